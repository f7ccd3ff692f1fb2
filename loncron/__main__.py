"""``python -m loncron``."""

import sys

from loncron.command_line import main

sys.exit(main())
