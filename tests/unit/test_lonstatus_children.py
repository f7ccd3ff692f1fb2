"""The processes of a daemon, told from its scoreboard."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from common.scoreboard import Scoreboard, Slot, scoreboard_path
from lonstatus.children import children
from tests.helpers.dispatching import make_site

NOBODY = 2**22 + 1  # above the greatest pid that Linux gives


def test_they_are_told_by_host_and_who_has_ended_is_left_out(tmp_path: Path) -> None:
    site = make_site(tmp_path, lonSockDir=tmp_path)
    told = [
        ("idle", "", os.getpid()),
        ("up", "msul2", os.getpid()),
        ("up", "msua1", NOBODY),
        ("up", "hubl1", os.getpid()),
    ]
    with closing(Scoreboard.create(scoreboard_path(tmp_path, "lonc"), len(told))) as board:
        for index, (state, host, pid) in enumerate(told):
            board.write(index, Slot(pid=pid, host=host, state=state, since=0.0, heartbeat=0.0))
        assert [child.host for child in children(site, "lonc")] == ["hubl1", "msul2", ""]


def test_without_a_scoreboard_there_is_none(tmp_path: Path) -> None:
    assert children(make_site(tmp_path, lonSockDir=tmp_path), "lonc") == []
