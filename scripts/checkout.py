"""How a command runs from a checkout: with this Python if it has what setup.cfg asks for, else with the checkout's own.

The one place for all commands of scripts/, so that each works in a shell that has not sourced scripts/environment.
"""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
OWN = ROOT / ".venv"  # made by scripts/environment
NEEDED = ("Crypto", "daemon", "psutil", "re2", "setproctitle", "urllib3")  # the modules of setup.cfg's install_requires

EX_UNAVAILABLE = 69


def run(module: str) -> NoReturn:
    """Become the command whose `main` is in a module of the checkout."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    python = OWN / "bin" / "python"
    if missing and Path(sys.prefix) != OWN and python.exists():
        os.execv(python, [str(python), *sys.argv])  # noqa: S606 - no shell is wanted
    if missing:
        print(f"{sys.argv[0]}: no {', '.join(missing)} here; first: source {ROOT}/scripts/environment", file=sys.stderr)
        sys.exit(EX_UNAVAILABLE)
    sys.path.insert(0, str(ROOT))
    sys.exit(import_module(module).main())
