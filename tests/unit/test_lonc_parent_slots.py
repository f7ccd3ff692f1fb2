"""What lonc's parent does when more hosts were added than it has slots for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from common.hosts_table import HostsTable, parse_hosts
from common.notify import Notifier
from common.parent import LOADER
from common.pidfile import PidFile
from common.population import System
from common.site import load_site
from lonc import parent as lonc_parent
from lonc.parent import LoncParent
from tests.helpers.in_child import in_child


class NobodyIsBorn(System):
    """Forks that give numbers only."""

    def __init__(self) -> None:
        self._pids = count(10_000_000)  # above what a process can have

    def fork(self, release: Callable[[], None], body: Callable[[], int]) -> int:
        """The next number."""
        return next(self._pids)


def table(hosts: int) -> str:
    return "".join(f"msul{n}:msu:library:msul{n}.example.org:127.0.0.{n}\n" for n in range(1, hosts + 1))


def test_a_full_scoreboard_is_told_and_keeps_nobody_from_reloading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lonc_parent, "SPARE_SLOTS", 1)
    (tmp_path / "hosts.tab").write_text(table(1))
    conf = tmp_path / "loncapa.conf"
    directories = {name: tmp_path for name in ("lonTabDir", "lonSockDir", "lonDaemons", "lonDelayedDir")}
    lines = [f"PerlSetVar {name} {value}\n" for name, value in ({"lonHostID": "msul1"} | directories).items()]
    conf.write_text("".join(lines))

    def added_hosts() -> tuple[list[str], list[str], int]:
        parent = LoncParent(load_site(conf), conf, PidFile(tmp_path / "lonc.pid"), Notifier({}))
        parent.population._system = NobodyIsBorn()
        old = parent.site
        parent.site = replace(old, table=HostsTable(parse_hosts(table(5), "hosts.tab")))
        parent.on_reloaded(old, frozenset())
        parent.balance()
        parent.balance()
        parent._reload(tables_only=True)
        errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        return [member.key for member in parent.population.alive()], errors, parent.board.slots

    alive, errors, slots = in_child(added_hosts)
    assert (alive, slots) == (["msul1", "msul2", "msul3", LOADER], 4)
    assert errors == ["no slot is free for a child of msul4: restart lonc, so that it makes room for all hosts"]
