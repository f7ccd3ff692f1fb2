"""How answers look: plain text everywhere; colour, rules and redrawing on a terminal alone.

Promises: what a program or a file gets has no control sequences, whatever the terminal; NO_COLOR and TERM=dumb turn
colours off on terminals too. Questions are asked on a terminal only. Text from outside (host names, replies, reasons)
is made printable.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence

from lonstatus.text import aligned, folded, without_empty_columns

GREEN, YELLOW, RED = "32", "33", "31"
_BOLD = "1"
_WIDTH = 100  # columns of running text where there is no terminal
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def width() -> int:
    """How wide a text may be, in columns."""
    return shutil.get_terminal_size().columns if on_terminal() else _WIDTH


def coloured(text: str, code: str) -> str:
    """`text` in a colour, if there are colours."""
    if not (code and on_terminal() and "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb"):
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def printable(text: str) -> str:
    """`text` without control characters."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], colours: Sequence[str] = ()) -> str:
    """Rows below a head; on a terminal with a rule between them, within its width, each row in its colour.

    If they are too wide, columns that hold nothing are left out, then the ends of rows stand below them.
    """
    cells = [list(head), *([printable(cell) for cell in row] for row in rows)]
    if not on_terminal():
        return aligned(cells)
    columns = width()
    if max(map(len, aligned(cells).splitlines())) > columns:
        cells = without_empty_columns(cells)
    first, *others = folded(cells, columns)
    rule = "─" * min(columns, max(len(line) for row in (first, *others) for line in row.splitlines()))
    painted = [coloured(row, code) for row, code in zip(others, colours or [""] * len(others), strict=True)]
    return "\n".join([coloured(first, _BOLD), rule, *painted])


def repeated(seconds: float, text: Callable[[], str]) -> None:
    """Show a text again and again until Ctrl-C: on a terminal always in the same place."""
    try:
        while True:
            shown = text()
            print(f"{_CLEAR}{time.ctime()}\n{shown}" if on_terminal() else f"{shown}\n", flush=True)
            time.sleep(seconds)
    except KeyboardInterrupt:
        return


def confirmed(question: str, yes: bool) -> bool:
    """Whether it is to be done: `yes` (the option), or a person at a terminal says so."""
    if yes:
        return True
    if not (sys.stdin.isatty() and on_terminal()):
        return False
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False
