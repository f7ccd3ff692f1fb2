"""How reports are written for people: columns, numbers, durations."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from itertools import accumulate, takewhile

EMPTY = ("", "-")  # what a cell holds where there is nothing to tell
_GAP, _INDENT = 2, 4  # columns of the screen


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as columns."""
    return "\n".join(folded(rows, sys.maxsize))


def folded(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Each row in columns; the cells of its end that go beyond `width` stand below it, indented.

    Only blanks are places to break a line at: a path or an id that is longer stays whole, for copying.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_folded(row, widths, width) for row in rows]


def _folded(row: Sequence[str], widths: Sequence[int], width: int) -> str:
    begins = accumulate((size + _GAP for size in widths[:-1]), initial=0)
    ends = (begin + len(cell) for begin, cell in zip(begins, row, strict=True))
    fitting = max(1, len(list(takewhile(lambda end: end <= width, ends))))
    cells = (cell.ljust(size) for cell, size in zip(row[:fitting], widths, strict=False))
    below = (_wrapped(cell, width) for cell in row[fitting:] if cell not in EMPTY)
    return "\n".join([(" " * _GAP).join(cells).rstrip(), *below])


def _wrapped(text: str, width: int) -> str:
    indent = " " * _INDENT
    return textwrap.fill(
        text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def without_empty_columns(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows, the head first, without the columns that hold nothing below it; the first column stays."""
    columns = enumerate(zip(*rows, strict=True))
    kept = [number for number, column in columns if number == 0 or any(cell not in EMPTY for cell in column[1:])]
    return [[row[number] for number in kept] for row in rows]


def counted(number: int, noun: str) -> str:
    """``1 message``, ``2 messages``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """``3d 04h``, ``2h 05m``, ``4m 10s``, ``12s``; ``-`` for None."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    for size, large, part, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{large} {whole % size // part:02d}{small}"
    return f"{whole}s"
