"""A peer that hangs: SIGSTOP, and SIGCONT later."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable

from tests.conftest import Measured
from tests.helpers.activity import executions, make_user, message
from tests.helpers.callers import start_caller
from tests.helpers.daemons import stop_child
from tests.helpers.federation import Federation, Host
from tests.helpers.waiting import eventually

HUNG = {"lonPingAfter": "2", "lonDeadAfter": "8"}  # longer than a busy machine stalls a process


def test_a_stopped_peer_is_recognised_and_comes_back(federation: Callable[..., Federation], measured: Measured) -> None:
    fed = federation(["msua1", "msul1"])
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]

    def recognised() -> float:
        stopped = there.lond.session()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert released(here) == ["con_lost"]
            seconds = time.monotonic() - began
            here.wait_for_no_link("msul1")
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        here.wait_for_link("msul1")
        assert here.lonnet().reply("ping", "msul1") == "msul1"
        assert seconds < 35  # in one of the tries; the machine may be held up in another
        return seconds

    measured(f"recognised, and its caller released, after {eventually(recognised, 150):.1f} s")
    assert re.search(r"nothing received for 3\d s", here.lonc.log)  # and not lonRequestTimeout, which is 60 s


def released(here: Host) -> list[str]:
    """What a caller hears who asks now."""
    caller = start_caller(
        here.conf, here.directory / "caller", lambda net, _wanted, report: report(net.reply("ping", "msul1"))
    )
    return caller.join()


def test_one_stopped_child_does_not_keep_the_link_down(federation: Callable[..., Federation]) -> None:
    fed = federation(["msua1", "msul1"], settings=HUNG)
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    child = there.lond.slot("msua1", "serving").pid
    os.kill(child, signal.SIGSTOP)
    net = here.lonnet()
    assert net.reply("ping", "msul1") == "con_lost"
    here.wait_for_link("msul1")
    assert net.reply("ping", "msul1") == "msul1"
    assert {slot.pid for slot in there.lond.slots() if (slot.host, slot.state) == ("msua1", "serving")} > {child}
    os.kill(child, signal.SIGCONT)


def test_a_child_that_had_hung_executes_nothing_behind_newer_messages(federation: Callable[..., Federation]) -> None:
    fed = federation(["msua1", "msul1"], settings=HUNG)
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    make_user(there)
    net = here.lonnet()
    assert net.critical(message(0, 0), "msul1") == "ok"
    child = there.lond.slot("msua1", "serving").pid
    stop_child(child)
    assert net.critical(message(0, 1), "msul1") == "con_delayed"
    here.wait_for_link("msul1")
    assert [net.critical(message(0, number), "msul1") for number in (2, 3)] == ["ok"] * 2
    os.kill(child, signal.SIGCONT)
    eventually(lambda: child not in there.lond.session())
    assert executions(there) == [(0, number) for number in range(4)]
