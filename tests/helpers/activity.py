"""The activity log of one user as the witness of critical messages: what arrived, how often, in which order."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field

from common.delayed import Fifo
from tests.helpers.federation import Host

DOMAIN, USER = "msu", "smith"


def make_user(host: Host) -> None:
    """Make the host the home of the user."""
    directory = host.directory / "users" / DOMAIN / "s" / "m" / "i" / USER
    directory.mkdir(parents=True)
    (directory / "passwd").write_text("none:\n")


def message(caller: int, number: int) -> str:
    """A message whose execution leaves a trace."""
    return f"log:{DOMAIN}:{USER}:{caller}_{number}"


@dataclass
class Arrivals:
    """What one host has executed, by caller."""

    by_caller: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    @property
    def duplicates(self) -> int:
        """How many arrived a second time."""
        return sum(len(numbers) - len(set(numbers)) for numbers in self.by_caller.values())

    def in_order(self) -> bool:
        """Whether the first arrivals of every caller stand in the order of sending."""
        return all(first == sorted(first) for first in map(_first_arrivals, self.by_caller.values()))

    def of(self, caller: int) -> list[int]:
        """The first arrivals of one caller."""
        return _first_arrivals(self.by_caller[caller])


def _first_arrivals(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


def executions(host: Host) -> list[tuple[int, int]]:
    """Read the user's activity log from the host's disk: caller and number of each message, as they were executed."""
    path = host.directory / "users" / DOMAIN / "s" / "m" / "i" / USER / "records.db"
    if not path.exists():
        return []
    db = sqlite3.connect(path, timeout=60)
    try:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'activity'").fetchone():
            return []  # lond is just making it
        lines = [bytes(text).split(b"_") for (text,) in db.execute("SELECT text FROM activity ORDER BY rowid")]
    finally:
        db.close()
    return [(int(caller), int(number)) for caller, number in lines]


def arrivals(host: Host) -> Arrivals:
    """What the host has executed until now."""
    found = Arrivals()
    for caller, number in executions(host):
        found.by_caller[caller].append(number)
    return found


def nothing_waits(host: Host, peer: str) -> None:
    """All messages that the host accepted for the peer have been answered by it."""
    fifo = Fifo(host.directory / "delayed", peer)
    try:
        assert fifo.count() == {}
    finally:
        fifo.close()
