"""What every subject of the benchmark is given, and how it says that something could not be measured."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.table import Table

DEFAULTS: Mapping[str, str] = {}  # a measured network has the limits that an administrator gets
CALLERS = (1, 8, 64)


class NotMeasured(Exception):
    """Something that is to be measured is not there, or not able to answer; the text says what."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to look at each thing.

    :param seconds: of each window.
    :param users: of the library server in the submissions.
    :param children: the numbers of peers to measure start-up and memory with.
    """

    seconds: float = 3.0
    users: int = 5000
    children: tuple[int, ...] = (100, 200)


QUICK = Effort(1.0, 500, (100,))

Subject = Callable[[Effort], Iterator[Table]]


def progress(text: str) -> None:
    """Say on standard error what is under way."""
    print(f"  {text} ...", file=sys.stderr, flush=True)


def write_tables(directory: Path, lines: Mapping[str, str], links: Mapping[str, str]) -> Path:
    """Tables of one host's own; returns their directory.

    :param lines: of hosts.tab by host id.
    :param links: host id to options.
    """
    directory.mkdir()
    (directory / "hosts.tab").write_text("".join(f"{line}\n" for line in lines.values()))
    (directory / "links.tab").write_text("".join(f"{host}:{options}\n" for host, options in links.items()))
    return directory


def moved(line: str, ip: str) -> str:
    """A line of hosts.tab with another address."""
    return f"{line.rpartition(':')[0]}:{ip}"


def neighbour(ip: str, last: int) -> str:
    """The address in the same /24 that ends in `last`."""
    return f"{ip.rpartition('.')[0]}.{last}"
