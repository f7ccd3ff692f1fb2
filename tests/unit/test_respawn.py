"""Children that die at once are no storm of forks and no flood of messages: a minute of both parents' lives."""

from __future__ import annotations

import itertools
import logging
import os
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common.fork import EXIT_BUG
from common.notify import Notifier
from common.parent import Parent
from common.pidfile import PidFile
from common.population import System
from common.site import load_site
from lonc.parent import LoncParent
from lond.parent import LondParent
from tests.conftest import FakeClock
from tests.helpers.in_child import in_child

MINUTE = 60.0
TURN = 0.01  # seconds from one comparison of the children that are wanted with those that live to the next


@dataclass
class Deadly(System):
    """Forks whose children have ended before anybody looks."""

    pids: itertools.count[int] = field(default_factory=lambda: itertools.count(1_000_000))
    ended: deque[int] = field(default_factory=deque)

    def fork(self, release: Callable[[], None], body: Callable[[], int]) -> int:
        """A child that ends at once."""
        self.ended.append(next(self.pids))
        return self.ended[-1]

    def reap(self) -> tuple[int, int] | None:
        """The next that ended."""
        return (self.ended.popleft(), EXIT_BUG) if self.ended else None


class Said(logging.Handler):
    """What a parent logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        self.lines.append(record.getMessage())


def write_conf(directory: Path) -> Path:
    """The configuration of a network of two hosts."""
    net = f"127.{1 + os.getpid() % 200}.{1 + os.getpid() // 200 % 200}"
    (directory / "hosts.tab").write_text(
        f"msul1:msu:library:msul1.example.org:{net}.8\nmsua1:msu:access:msua1.example.org:{net}.9\n"
    )
    names = ("lonTabDir", "lonSockDir", "lonDaemons", "lonUsersDir", "lonDelayedDir")
    values = {"lonHostID": "msul1"} | {name: str(directory) for name in names}
    conf = directory / "loncapa.conf"
    conf.write_text("".join(f"PerlSetVar {name} {value}\n" for name, value in values.items()))
    return conf


def live_a_minute(parent: Parent) -> tuple[dict[str, int], list[str]]:
    """How many children of each kind the parent forked, and the lines that it logged."""
    clock = FakeClock()
    clock.now = begin = parent.loop.clock()
    parent.loop.clock = clock
    parent.population._system = Deadly()
    forks: Counter[str] = Counter()
    said = Said()
    logging.getLogger().addHandler(said)
    while clock.now < begin + MINUTE:
        parent.balance()
        forks.update(member.key for member in parent.population.members.values())
        parent.population.reap()
        clock.advance(TURN)
    return dict(forks), said.lines


@pytest.mark.parametrize(
    ("make", "kind", "at_first", "a_second"),
    [
        (LoncParent, "msua1", 2, 1),  # the second at once, as after a link that stood
        (LondParent, "spare", 2, 2),
    ],
)
def test_children_that_die_at_once(
    tmp_path: Path, make: Callable[..., Parent], kind: str, at_first: int, a_second: int
) -> None:
    conf = write_conf(tmp_path)

    def live() -> tuple[dict[str, int], list[str]]:
        return live_a_minute(make(load_site(conf), conf, PidFile(tmp_path / "daemon.pid"), Notifier({})))

    forks, lines = in_child(live)
    assert MINUTE / 2 < forks[kind] <= at_first + a_second * MINUTE
    of_kind = [line for line in lines if f" of {kind} ended unexpectedly" in line or f"({kind}) ended" in line]
    assert len(of_kind) == forks[kind], "one line for each child that died"
    assert len(lines) == sum(forks.values()), "and no other lines"
