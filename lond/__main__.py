"""``python -m lond`` is the command ``lond``."""

import sys

from lond.parent import main

sys.exit(main())
