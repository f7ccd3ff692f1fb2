"""One host goes down and comes back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial

import pytest

from common.delayed import Fifo
from common.scoreboard import Scoreboard, scoreboard_path
from tests.conftest import Measured
from tests.helpers.activity import arrivals, executions, make_user, message
from tests.helpers.daemons import stop_child
from tests.helpers.federation import Federation
from tests.helpers.waiting import eventually

MakeFederation = Callable[..., Federation]
AT_ONCE = 25.0  # seconds; less than lonDeadAfter and lonRequestTimeout, and time for a busy machine


def test_callers_hear_con_lost_and_messages_arrive_when_the_host_is_back(
    federation: MakeFederation, measured: Measured
) -> None:
    fed = federation(["msua1", "msul1"])
    down = fed.hosts["msul1"]
    make_user(down)
    net = fed.hosts["msua1"].lonnet()
    assert net.critical(message(0, 0), "msul1") == "ok"
    down.kill()
    fed.hosts["msua1"].wait_for_no_link("msul1")

    def hears_it() -> float:
        began = time.monotonic()
        assert net.reply("ping", "msul1") == "con_lost"
        seconds = time.monotonic() - began
        assert seconds < 1.0  # in one of the tries; the machine may be held up in another
        return seconds

    measured(f"con_lost after {eventually(hears_it):.3f} s")
    answers = [net.critical(message(0, number), "msul1") for number in range(1, 50)]
    assert answers == ["con_delayed"] * 49

    down.start_lond()
    fed.hosts["msua1"].wait_for_link("msul1", AT_ONCE)
    down.start_lonc()
    # The socket file appears only when what was delayed has been delivered.
    assert arrivals(down).by_caller == {0: list(range(50))}
    assert net.critical(message(0, 50), "msul1") == "ok"
    assert arrivals(down).by_caller == {0: list(range(51))}


def test_the_link_stands_again_soon_after_the_host_is_back(federation: MakeFederation, measured: Measured) -> None:
    fed = federation(["msua1", "msul1"])
    here, down = fed.hosts["msua1"], fed.hosts["msul1"]

    def stands_again() -> float:
        down.lond.kill()
        here.wait_for_no_link("msul1")
        down.start_lond()
        began = time.monotonic()
        here.wait_for_link("msul1")
        seconds = time.monotonic() - began
        assert seconds < 2.0  # as above
        return seconds

    measured(f"the link stands {eventually(stands_again):.2f} s after lond answers")


def test_a_given_up_host_is_tried_again_when_it_connects_to_us(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"], start=[])
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    here.write_conf(lonMaxAttempts="2", lonRetryMax="300", lonRetryFirst="0.1")
    here.start()
    eventually(lambda: "msul1 is given up after 2 failures" in here.lonc.log)
    there.start()  # its lonc connects to our lond, and our lond wakes our lonc
    here.wait_for_link("msul1")
    assert here.lonc.log.count("is given up") == 1


def test_a_killed_link_releases_its_callers_at_once(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"])
    net = fed.hosts["msua1"].lonnet()
    lond = fed.hosts["msul1"].lond
    assert net.reply("ping", "msul1") == "msul1"
    lond.kill()
    fed.hosts["msua1"].wait_for_no_link("msul1", AT_ONCE)
    assert net.reply("ping", "msul1") == "con_lost"
    lond.start()


@pytest.mark.parametrize("error", ["No such file or directory", "Not a directory"])
def test_a_socket_directory_that_is_gone_for_a_while(federation: MakeFederation, error: str) -> None:
    fed = federation(["msua1", "msul1"])
    here = fed.hosts["msua1"]
    make_user(fed.hosts["msul1"])
    net = here.lonnet()
    directory = here.directory / "run"
    away = directory.with_name("away")

    def tried_again(peer: str, attempts: int) -> bool:
        board = Scoreboard.open(scoreboard_path(away, "lonc"))
        try:
            return any(slot.host == peer and slot.attempts >= attempts for slot in board.all())
        finally:
            board.close()

    for pid in (processes := here.lonc.session()):
        stop_child(pid)  # nobody looks between the two steps
    directory.rename(away)
    if error == "Not a directory":
        directory.touch()
    for pid in processes:
        os.kill(pid, signal.SIGCONT)
    for peer in fed.hosts:
        eventually(partial(tried_again, peer, 4))
    assert net.critical(message(0, 0), "msul1") == "con_delayed"
    eventually(lambda: tried_again("msul1", 7))
    assert executions(fed.hosts["msul1"]) == []  # over a link that must end at once again nothing is sent
    log = here.lonc.log
    directory.unlink(missing_ok=True)
    away.rename(directory)
    for peer in fed.hosts:
        here.wait_for_link(peer)
        assert here.lonnet().reply("ping", peer) == peer
        said = [line for line in log.splitlines() if f" to {peer} is lost" in line or f"no link to {peer}" in line]
        assert len(said) == 1 and f"can't be made in {directory}: {error}" in said[0], said
    assert "unexpected" not in log


def test_messages_without_lonc_wait_in_the_fifo(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"])
    make_user(fed.hosts["msul1"])
    here = fed.hosts["msua1"]
    here.lonc.stop()
    net = here.lonnet()
    assert [net.critical(message(0, number), "msul1") for number in range(5)] == ["con_delayed"] * 5
    fifo = Fifo(here.directory / "delayed", "msul1")
    assert fifo.count() == {"waiting": 5}
    fifo.close()
    perm_log = (here.directory / "logs" / "lonnet.perm.log").read_text()
    assert perm_log.count(":D:msul1:log:") == 5
    here.start_lonc()
    here.wait_for_link("msul1")
    assert arrivals(fed.hosts["msul1"]).by_caller == {0: list(range(5))}
    eventually(lambda: (here.directory / "logs" / "lonnet.perm.log").read_text().count(":S:msul1:log:") == 5)


def test_a_message_that_lonnet_stored_beside_a_living_child_is_sent_soon(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"])
    make_user(fed.hosts["msul1"])
    here = fed.hosts["msua1"]
    path, child = here.socket_path("msul1"), here.lonc.slot("msul1", "up").pid
    hidden = path.with_name("hidden")
    stop_child(child)  # it would make its socket again
    path.rename(hidden)  # lonnet sees no child, though there is one
    assert here.lonnet().critical(message(0, 0), "msul1") == "con_delayed"
    hidden.rename(path)
    os.kill(child, signal.SIGCONT)
    eventually(lambda: arrivals(fed.hosts["msul1"]).by_caller == {0: [0]})


def test_since_when_a_host_is_down_is_known_over_all_tries(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"])
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    up_since = here.lonc.slot("msul1", "up").since
    there.lond.kill()
    here.wait_for_no_link("msul1")

    def tried_again(attempts: int) -> float:
        slot = here.lonc.slot("msul1", "waiting")
        assert slot.attempts >= attempts
        return slot.since

    lost = eventually(lambda: tried_again(2))
    assert up_since < lost <= time.time()
    assert eventually(lambda: tried_again(4)) == lost
    there.start_lond()
    here.wait_for_link("msul1")
    assert here.lonc.slot("msul1", "up").since > lost
