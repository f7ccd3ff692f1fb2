"""Thousands of HUP, USR1 and USR2 to both ends of a link under load: no request is lost, no child is doubled."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import partial

from lonnet import Lonnet
from tests.helpers.activity import arrivals, make_user, message
from tests.helpers.callers import Caller, start_caller
from tests.helpers.daemons import children, wait_until_settled
from tests.helpers.federation import Federation, Host
from tests.helpers.waiting import eventually
from tests.network.conftest import FederationFactory

ACCESS, LIBRARY = "msua1", "msul1"
EACH = 1000  # HUP, as many USR1, as many USR2
SECONDS = 10.0  # in which they are sent
PINGING, TELLING = range(4), range(4, 8)


def start_load(fed: Federation) -> list[Caller]:
    """Callers on the access server: some ask for the library server's id, some send it numbered messages."""

    def start(number: int) -> Caller:
        def work(net: Lonnet, wanted: Callable[[], bool], report: Callable[[str], None]) -> None:
            sent = 0
            while wanted():
                report(
                    net.reply("ping", LIBRARY) if number in PINGING else net.critical(message(number, sent), LIBRARY)
                )
                sent += 1

        return start_caller(fed.hosts[ACCESS].conf, fed.directory / f"answers{number}", work)

    return [start(number) for number in (*PINGING, *TELLING)]


def storm(fed: Federation) -> None:
    """Send all signals to all four daemons, evenly over the time, while the configuration changes again and again."""
    daemons = [daemon for host in fed.hosts.values() for daemon in (host.lonc, host.lond)]
    pace = threading.Event()
    for count in range(EACH):
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            for daemon in daemons:
                daemon.signal(number)
        if count % 50 == 0:
            for host in fed.hosts.values():
                host.write_conf(lonRequestTimeout=str(40 + count // 50))  # HUP replaces every child
        pace.wait(SECONDS / EACH)


def one_child_each(host: Host) -> None:
    """lonc has one child per host, all up, and nobody else."""
    slots = sorted((slot.host, slot.state) for slot in host.lonc.slots())
    assert slots == [(ACCESS, "up"), (LIBRARY, "up")]
    assert len(children(host.lonc)) == 2


def test_a_storm_of_signals_loses_no_request_and_doubles_no_child(federation: FederationFactory) -> None:
    # Twenty seconds are too few where the machine is busy: after them a caller is told that its message is delayed.
    fed = federation([ACCESS, LIBRARY], settings={"lonCriticalTimeout": "120"})
    make_user(fed.hosts[LIBRARY])
    callers = start_load(fed)
    try:
        storm(fed)
    finally:
        for caller in callers:
            caller.stop()
    answers = [caller.join() for caller in callers]
    assert all(answers)
    assert {answer for number in PINGING for answer in answers[number]} == {LIBRARY}
    assert {answer for number in TELLING for answer in answers[number]} == {"ok"}
    found = arrivals(fed.hosts[LIBRARY])
    assert found.by_caller == {number: list(range(len(answers[number]))) for number in TELLING}
    for host in fed.hosts.values():
        assert host.lonc.log.count("is up") > len(fed.hosts), "nobody was replaced"
        eventually(partial(one_child_each, host))
        wait_until_settled(host, links=2)
        assert "is lost" not in host.lonc.log
        assert "unexpected" not in host.lonc.log + host.lond.log
        assert "stays" not in host.lonc.log + host.lond.log
