"""A peer that hangs: SIGSTOP, and SIGCONT later."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from tests.helpers.activity import executions, make_user, message
from tests.helpers.callers import start_caller
from tests.helpers.daemons import stop_child
from tests.helpers.federation import Federation
from tests.helpers.waiting import eventually


def test_a_stopped_peer_is_recognised_and_comes_back(federation: Callable[..., Federation]) -> None:
    fed = federation(["msua1", "msul1"])
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    stopped = there.lond.session()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    caller = start_caller(
        here.conf, fed.directory / "caller", lambda net, _wanted, report: report(net.reply("ping", "msul1"))
    )
    assert caller.join() == ["con_lost"]
    assert time.monotonic() - began < 35
    here.wait_for_no_link("msul1", 1)
    assert "nothing received for 30 s" in here.lonc.log

    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    here.wait_for_link("msul1", 35)
    assert here.lonnet().reply("ping", "msul1") == "msul1"


def test_one_stopped_child_does_not_keep_the_link_down(federation: Callable[..., Federation]) -> None:
    fed = federation(["msua1", "msul1"], settings={"lonPingAfter": "1", "lonDeadAfter": "3", "lonRetryFirst": "0.1"})
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    child = there.lond.slot("msua1", "serving").pid
    os.kill(child, signal.SIGSTOP)
    net = here.lonnet()
    assert net.reply("ping", "msul1") == "con_lost"
    here.wait_for_link("msul1", 35)
    assert net.reply("ping", "msul1") == "msul1"
    assert there.lond.slot("msua1", "serving").pid != child
    os.kill(child, signal.SIGCONT)


def test_a_child_that_had_hung_executes_nothing_behind_newer_messages(federation: Callable[..., Federation]) -> None:
    fed = federation(["msua1", "msul1"], settings={"lonPingAfter": "1", "lonDeadAfter": "2"})
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    make_user(there)
    net = here.lonnet()
    assert net.critical(message(0, 0), "msul1") == "ok"
    child = there.lond.slot("msua1", "serving").pid
    stop_child(child)
    assert net.critical(message(0, 1), "msul1") == "con_delayed"
    here.wait_for_link("msul1", 35)
    assert [net.critical(message(0, number), "msul1") for number in (2, 3)] == ["ok"] * 2
    os.kill(child, signal.SIGCONT)
    eventually(lambda: child not in there.lond.session())
    assert executions(there) == [(0, number) for number in range(4)]
