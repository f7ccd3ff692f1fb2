"""What have the daemons complained of since the last run?

Each log is read from where the last run ended, over its rotation too (the old file is found by its inode beside it).
Lines that differ only in numbers are the same trouble and one finding. A critical line is an error, an error line a
warning, a warning a notice: what needs somebody at once is what the daemons call critical.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from loncron.memory import Mark
from loncron.visit import Visit
from lonstatus.findings import Finding, Level

NAMES = ("lond.log", "lonc.log")
MOST_KINDS = 20  # of complaints in one log
TEXT_CHARACTERS = 300  # of a line that are shown

_LINE = re.compile(r"\S+ \S+ \w+\[\d+\] (WARNING|ERROR|CRITICAL): (.*)")
_LEVELS = {"WARNING": Level.NOTICE, "ERROR": Level.WARNING, "CRITICAL": Level.ERROR}
_NUMBERS = re.compile(r"[0-9a-f]{32}|\d+")


@dataclass(slots=True)
class _Kind:
    level: Level
    last: str
    number: int = 0


def check(visit: Visit) -> Iterator[Finding]:
    """What is new in the logs."""
    for name in NAMES:
        path = visit.site.config.daemons_dir / "logs" / name
        lines, mark = read_new(path, visit.memory.logs.get(name), visit.site.config.log_scan)
        if mark is not None:
            visit.memory.logs[name] = mark
        yield from _findings(name, lines)


def _findings(name: str, lines: list[str]) -> Iterator[Finding]:
    kinds: dict[str, _Kind] = {}
    for line in lines:
        if (match := _LINE.fullmatch(line)) is None:
            continue
        level, text = _LEVELS[match[1]], match[2]
        shape = f"{match[1]} {_NUMBERS.sub('#', text)}"
        if shape not in kinds and len(kinds) >= MOST_KINDS:
            shape = f"{match[1]} others"
        kind = kinds.setdefault(shape, _Kind(level, text))
        kind.number += 1
        kind.last = text
    for shape, kind in kinds.items():
        times = "" if kind.number == 1 else f" ({kind.number} times, this is the last)"
        text = f"{kind.last[:TEXT_CHARACTERS]}{times}"
        yield Finding(kind.level, name, f"{name} {shape}"[:TEXT_CHARACTERS], text, kind.number)


def read_new(path: Path, mark: Mark | None, limit: int) -> tuple[list[str], Mark | None]:
    """The whole lines that have come since the mark, and the new mark (None: there is no such log).

    :param limit: bytes that are read at most; of more, the last ones.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            known = mark is not None and (mark.device, mark.inode) == (status.st_dev, status.st_ino)
            start = mark.offset if mark is not None and known and mark.offset <= status.st_size else 0
            before = [] if known or mark is None else _rest_of_rotated(path, mark, limit)
            lines, end = _lines(file.fileno(), start, status.st_size, limit)
    except OSError:
        return [], None
    return before + lines, Mark(status.st_dev, status.st_ino, end)


def _rest_of_rotated(path: Path, mark: Mark, limit: int) -> list[str]:
    for old in path.parent.glob(f"{path.name}*"):
        try:
            with old.open("rb") as file:
                status = os.fstat(file.fileno())
                if (status.st_dev, status.st_ino) == (mark.device, mark.inode):
                    return _lines(file.fileno(), mark.offset, status.st_size, limit)[0]
        except OSError:
            continue
    return []


def _lines(fd: int, start: int, size: int, limit: int) -> tuple[list[str], int]:
    """The whole lines of a part of a file, and where they end."""
    first = max(start, size - limit)
    data = os.pread(fd, size - first, first)
    whole = data.rpartition(b"\n")[0]
    if not whole:
        return [], first
    lines = whole.decode("utf-8", "replace").split("\n")
    return lines[1:] if first > start else lines, first + len(whole) + 1
