"""How each peer is, told from a scoreboard, the FIFOs and the pauses, without a daemon."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from common.backlog import Backlog
from common.delayed import FAILED, HELD, Message, Outcome
from common.pauses import Pause, pause
from common.scoreboard import Scoreboard, Slot, scoreboard_path
from common.site import Site
from lonstatus.peers import HUNG_SECONDS, Peer, messages, peers
from tests.helpers.dispatching import make_site

PAUSE = Pause("msua1", 1000.0, "ada", "new disks")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "run").mkdir()
    return make_site(tmp_path, lonSockDir=tmp_path / "run", lonDelayedDir=tmp_path / "delayed", lonMaxAttempts=3)


@pytest.fixture
def board(site: Site) -> Iterator[Scoreboard]:
    with closing(Scoreboard.create(scoreboard_path(site.config.sock_dir, "lonc"), 4)) as board:
        yield board


def slot(state: str, **fields: object) -> Slot:
    now = {"since": time.time(), "heartbeat": time.monotonic()}
    return Slot(pid=1, host="msua1", state=state, **(now | fields))  # type: ignore[arg-type]


def peer(site: Site, running: bool = True) -> Peer:
    return next(found for found in peers(site, running) if found.host == "msua1")


@pytest.mark.parametrize(
    ("told", "attempts", "text", "state"),
    [
        ("up", 0, "connection refused", "up"),
        ("waiting", 2, "connection refused", "down"),
        ("waiting", 3, "connection refused", "given up"),
        ("connecting", 0, "connection refused", "connecting"),
        ("paused", 0, "by ada: new disks", "paused"),
    ],
)
def test_states_and_their_reasons(
    site: Site, board: Scoreboard, told: str, attempts: int, text: str, state: str
) -> None:
    board.write(0, slot(told, attempts=attempts, text=text))
    found = peer(site)
    assert (found.state, found.why, found.last_error) == (state, "" if state == "up" else text, text)


def test_a_child_that_gives_no_sign_of_life_hangs_whatever_it_says(site: Site, board: Scoreboard) -> None:
    board.write(0, slot("up", heartbeat=time.monotonic() - HUNG_SECONDS - 5))
    found = peer(site)
    assert (found.state, found.idle) == ("hung", False)
    since = re.match(r"process 1 \(up\) has given no sign of life for (\d+) s", found.why)
    assert since and HUNG_SECONDS + 5 <= int(since[1]) < HUNG_SECONDS + 60


def test_of_two_children_the_one_that_stays_is_told(site: Site, board: Scoreboard) -> None:
    board.write(0, slot("paused", text="by ada: new disks"))
    board.write(1, slot("draining"))
    assert peer(site).state == "paused"
    board.write(2, slot("up", requests=7))
    assert peer(site).requests == 7


def test_a_child_whose_successor_is_about_to_come_is_waited_for(
    site: Site, board: Scoreboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: board.write(0, slot("waiting", text="connection refused")))
    assert (peer(site).state, peer(site).why) == ("down", "connection refused")


def test_a_link_without_callers_is_idle(site: Site, board: Scoreboard) -> None:
    board.write(0, slot("up"))
    assert peer(site).idle
    board.write(0, slot("up", connections=1))
    assert not peer(site).idle


def test_a_host_without_a_child_is_no_host_without_lonc(site: Site) -> None:
    assert (peer(site).state, peer(site).why) == ("stopped", "lonc has no child for it: see its log")
    assert peer(site, False).why == "lonc does not run"


def test_without_lonc_the_pause_is_known_all_the_same(site: Site) -> None:
    assert (peer(site, False).state, peer(site, False).since) == ("stopped", None)
    pause(site.config.delayed_dir, PAUSE)
    assert peer(site, False).last_error.endswith("; paused by ada: new disks")


def test_what_stands_in_the_fifo_and_why_it_stays_there(site: Site, board: Scoreboard) -> None:
    board.write(0, slot("up", text="connection refused"))
    with closing(Backlog(site.config.delayed_dir, "msua1", lambda: time.time() - 100)) as backlog:
        backlog.append([Message(f"{number:032x}", b"ping") for number in range(4)])
        backlog.commit([], [Outcome(4, FAILED, b"error: 2 no such user")])
        found = peer(site)
        assert (found.delayed, found.held, found.failed) == (3, 0, 1)
        assert found.oldest is not None and 100 <= found.oldest < 160
        assert found.last_error == "a message was refused: error: 2 no such user"
        assert backlog.record_attempt(2, "the link broke", hold_at=1)
        assert peer(site).last_error == "a message is held: the link broke"
        assert [row.state for row in backlog.hold([f"{0:032x}"], "by ada: wait")] == [HELD]
        assert peer(site).last_error == "a message is held by hand by ada: wait"


def test_a_fifo_that_can_not_be_read_is_no_empty_one(site: Site) -> None:
    site.config.delayed_dir.mkdir()
    (site.config.delayed_dir / "msua1.db").write_bytes(b"no database" * 100)
    assert "its FIFO can't be read: " in messages(site, "msua1").trouble
    assert peer(site, False).last_error.startswith("its FIFO can't be read: ")
