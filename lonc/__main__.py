"""``python -m lonc`` is the command ``lonc``."""

import sys

from lonc.parent import main

sys.exit(main())
