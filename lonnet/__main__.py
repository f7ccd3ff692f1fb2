"""``python -m lonnet``: lonnet from a shell; see :mod:`lonnet.command_line`."""

import sys

from lonnet.command_line import main

if __name__ == "__main__":
    sys.exit(main())
