"""Critical messages while any process may be killed with -9 at any moment.

The same code with bigger numbers runs under ``scripts/soak`` (LON_SOAK_MESSAGES, LON_SOAK_KILLS).
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable

import pytest

from lonnet import Lonnet
from tests.conftest import Measured
from tests.helpers.activity import arrivals, make_user, message, nothing_waits
from tests.helpers.callers import start_caller
from tests.helpers.federation import Daemon, Federation
from tests.helpers.waiting import eventually

CALLERS = 8
MESSAGES = int(os.environ.get("LON_SOAK_MESSAGES", "5000"))
KILLS = int(os.environ.get("LON_SOAK_KILLS", "50"))
PEERS = ["msul1", "msul2", "msul3"]


def kill_one(federation: Federation, rng: random.Random) -> str:
    """Kill one process of the federation; a parent is started again, as loncron would do it."""
    daemons = list(federation.daemons())
    daemon, pid = rng.choice([(daemon, pid) for daemon in daemons for pid in daemon.session()])
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return kill_one(federation, rng)
    if pid != daemon.pid:
        return f"{daemon.name} child"
    restart(daemon)
    return f"{daemon.name} parent"


def restart(daemon: Daemon) -> None:
    daemon.kill()
    daemon.start()


def sender(caller: int) -> Callable[[Lonnet, Callable[[], bool], Callable[[str], None]], None]:
    """Sends its share of the messages, and goes on until the killing is over."""

    def send(net: Lonnet, wanted: Callable[[], bool], report: Callable[[str], None]) -> None:
        number = 0
        while number < MESSAGES // CALLERS or wanted():
            peer = PEERS[number % len(PEERS)]
            report(f"{peer} {number} {net.critical(message(caller, number), peer)}")
            number += 1

    return send


@pytest.mark.timeout(3600)
def test_no_critical_message_is_lost_or_overtaken(federation: Callable[..., Federation], measured: Measured) -> None:
    seed = random.SystemRandom().randrange(10**6)
    rng = random.Random(seed)
    fed = federation(["msua1", *PEERS])
    for peer in PEERS:
        make_user(fed.hosts[peer])
    callers = [start_caller(fed.hosts["msua1"].conf, fed.directory / f"caller{n}", sender(n)) for n in range(CALLERS)]
    kills: Counter[str] = Counter()
    sent_before = 0
    while kills.total() < KILLS:
        sent_before = eventually(lambda before=sent_before: some_more(callers, before), 60)
        kills[kill_one(fed, rng)] += 1
    for caller in callers:
        caller.stop()
    answers = [[line.split(" ") for line in caller.join()] for caller in callers]

    for peer in PEERS:
        eventually(lambda peer=peer: nothing_waits(fed.hosts["msua1"], peer), 60)
    duplicates = 0
    for peer in PEERS:
        found = arrivals(fed.hosts[peer])
        duplicates += found.duplicates
        assert found.in_order(), f"seed {seed}"
        for caller, lines in enumerate(answers):
            sent = [int(number) for to, number, _ in lines if to == peer]
            assert found.of(caller) == sent, f"seed {seed}"
    replies = Counter(answer for lines in answers for _, _, answer in lines)
    assert set(replies) <= {"ok", "con_delayed"}
    assert replies["ok"] and replies["con_delayed"], "the test must meet both"
    measured(
        f"{sum(map(len, answers))} critical messages, {dict(kills)} killed: answers {dict(replies)}, "
        f"none lost, none out of order, {duplicates} arrived twice"
    )


def some_more(callers: list, before: int) -> int:
    """How far the callers are, once it is well beyond `before`: kills are spread over the messages."""
    sent = sum(caller.result.stat().st_size for caller in callers if caller.result.exists())
    assert sent > before + 200
    return sent
