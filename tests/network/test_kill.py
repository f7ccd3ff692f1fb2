"""Critical messages while any process may be killed with -9 at any moment.

None is lost or overtaken, and one that is executed twice was so over two links: between the two, a process at an end of
its link was killed. That is told by the order in which the receiver executed, not by clocks.

The same code with bigger numbers runs under ``scripts/soak`` (LON_SOAK_MESSAGES, LON_SOAK_KILLS).
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence, Set
from functools import partial
from typing import NamedTuple

import pytest

from lonnet import Lonnet
from tests.conftest import Measured
from tests.helpers.activity import arrivals, executions, make_user, message, nothing_waits
from tests.helpers.callers import Caller, start_caller
from tests.helpers.federation import Daemon, Federation, Host
from tests.helpers.waiting import eventually

HERE, CALLERS = "msua1", 8
MESSAGES = int(os.environ.get("LON_SOAK_MESSAGES", "5000"))
KILLS = int(os.environ.get("LON_SOAK_KILLS", "50"))
PEERS = ["msul1", "msul2", "msul3"]


class Death(NamedTuple):
    """The end of a link to a peer.

    :param before: how many messages the peer had executed when a process at one end of the link was killed.
    :param after: how many, when no process was left that the old link could bring any to.
    """

    peer: str
    before: int
    after: int


def kill_one(federation: Federation, rng: random.Random, deaths: list[Death]) -> str:
    """Kill one process of the federation; a parent is started again, as loncron would do it."""
    daemons = list(federation.daemons())
    daemon, pid = rng.choice([(daemon, pid) for daemon in daemons for pid in daemon.session()])
    before = {peer: len(executions(federation.hosts[peer])) for peer in PEERS}
    links, is_parent = links_of(federation, daemon, pid), pid == daemon.pid
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return kill_one(federation, rng, deaths)
    if is_parent:
        daemon.kill()
    for peer, serving in links.items():
        there = federation.hosts[peer]
        eventually(partial(are_gone, there, serving))
        deaths.append(Death(peer, before[peer], len(executions(there))))
    if is_parent:
        daemon.start()
    return f"{daemon.name} {'parent' if is_parent else 'child'}"


def are_gone(there: Host, serving: Set[int]) -> bool:
    return serving.isdisjoint(there.lond.session())


def links_of(federation: Federation, daemon: Daemon, pid: int) -> dict[str, set[int]]:
    """The peers to which a link ends with this process, and the processes that serve it there."""
    if (daemon.host.id, daemon.name) == (HERE, "lonc"):
        peers = PEERS if pid == daemon.pid else [slot.host for slot in daemon.slots() if slot.pid == pid]
        return {peer: serving(federation.hosts[peer]) for peer in peers if peer in PEERS}
    if daemon.host.id in PEERS and daemon.name == "lond":
        at_the_end = serving(daemon.host)
        return {daemon.host.id: at_the_end & {pid} or at_the_end} if pid in {daemon.pid, *at_the_end} else {}
    return {}


def serving(host: Host) -> set[int]:
    """The processes of lond that serve our lonc."""
    return {slot.pid for slot in host.lond.slots() if slot.host == HERE}


def unexplained(executed: Sequence[tuple[int, int]], deaths: Sequence[Death]) -> list[tuple[int, int]]:
    """The messages that were executed again though no link had died since."""
    found: list[tuple[int, int]] = []
    last: dict[tuple[int, int], int] = {}
    for at, one in enumerate(executed, 1):
        if one in last and not any(death.before < at and last[one] <= death.after for death in deaths):
            found.append(one)
        last[one] = at
    return found


def test_what_a_death_explains() -> None:
    executed = [(1, 0), (2, 0), (1, 1), (2, 0), (1, 1), (1, 2)]
    assert unexplained(executed, []) == [(2, 0), (1, 1)]
    assert unexplained(executed, [Death("msul1", 3, 3)]) == [], "between them"
    assert unexplained(executed, [Death("msul1", 0, 2)]) == [(1, 1)], "executed on the old link, after the kill"
    assert unexplained(executed, [Death("msul1", 0, 1), Death("msul1", 5, 6)]) == [(2, 0), (1, 1)], "before and after"


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
    fed = federation([HERE, *PEERS])
    for peer in PEERS:
        make_user(fed.hosts[peer])
    callers = [start_caller(fed.hosts[HERE].conf, fed.directory / f"caller{n}", sender(n)) for n in range(CALLERS)]
    kills: Counter[str] = Counter()
    deaths: list[Death] = []
    sent_before = 0
    while kills.total() < KILLS:
        sent_before = eventually(partial(some_more, callers, sent_before), 60)
        kills[kill_one(fed, rng, deaths)] += 1
    for caller in callers:
        caller.stop()
    answers = [[line.split(" ") for line in caller.join()] for caller in callers]

    for peer in PEERS:
        eventually(partial(nothing_waits, fed.hosts[HERE], peer), 60)
    duplicates = 0
    for peer in PEERS:
        found = arrivals(fed.hosts[peer])
        duplicates += found.duplicates
        assert found.in_order(), f"seed {seed}"
        of_this_link = [death for death in deaths if death.peer == peer]
        assert unexplained(executions(fed.hosts[peer]), of_this_link) == [], f"seed {seed}: {of_this_link}"
        for which, lines in enumerate(answers):
            sent = [int(number) for to, number, _ in lines if to == peer]
            assert found.of(which) == sent, f"seed {seed}"
    replies = Counter(answer for lines in answers for _, _, answer in lines)
    assert set(replies) <= {"ok", "con_delayed"}
    assert replies["ok"] and replies["con_delayed"], "the test must meet both"
    measured(
        f"{sum(map(len, answers))} critical messages, {dict(kills)} killed: answers {dict(replies)}, "
        f"none lost, none out of order, {duplicates} arrived twice, each of them when one of {len(deaths)} links died"
    )


def some_more(callers: Sequence[Caller], before: int) -> int:
    """How far the callers are, once it is well beyond `before`: kills are spread over the messages."""
    sent = sum(caller.result.stat().st_size for caller in callers if caller.result.exists())
    assert sent > before + 200
    return sent
