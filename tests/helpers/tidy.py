"""What the program tidy finds wrong in a page.

A parser in strict mode finds errors of syntax; tidy knows which attributes and values HTML 5 has as well, and which
elements may stand where. (The W3C's own checker would find more still, and is 27 MB that need Java.)
"""

from __future__ import annotations

import shutil
import subprocess

import pytest

needs_tidy = pytest.mark.skipif(not shutil.which("tidy"), reason="there is no tidy here (Debian: apt install tidy)")


def complaints(page: str) -> str:
    """Errors and warnings, a line each; an empty element that is there for its colour is none."""
    command = ["tidy", "-errors", "-quiet", "-utf8", "--show-info", "no", "--drop-empty-elements", "no"]
    return subprocess.run(command, input=page.encode(), capture_output=True, timeout=30).stderr.decode()
