"""Texts for people, compared with files in tests/golden/ that show them as they should be.

LONCAPA_UPDATE_GOLDEN=1 writes the files instead; whoever does that reads what has changed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
_DAY = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_VARIABLE = (
    (rf"{_DAY} [ \d]\d \d\d:\d\d:\d\d \d{{4}}", "TIME"),
    (r"\b(\d+[dhm] )?\d+[dhms](?![\w.])", "AGE"),
    (r"\bpid \d+", "pid N"),
    (r"\bprocess \d+", "process N"),
    (r"\b\d+ % of", "N % of"),
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r" {2,}", "  "),
)


def placed(text: str, **places: str) -> str:
    """The text with what differs from run to run replaced; `places` are further texts by their names."""
    for name, value in places.items():
        text = text.replace(value, name.upper())
    for pattern, name in _VARIABLE:
        text = re.sub(pattern, name, text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def assert_golden(name: str, text: str, **places: str) -> None:
    """Assert that the text is that of tests/golden/NAME, but for what differs from run to run."""
    path, shown = GOLDEN / name, placed(text, **places)
    if os.environ.get("LONCAPA_UPDATE_GOLDEN"):
        path.write_text(shown)
    assert shown == path.read_text(), f"{name} is no longer what it was; if it is better now, write it again"
