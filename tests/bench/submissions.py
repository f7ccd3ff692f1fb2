"""Homework submissions: what a library server with many users takes from several access servers at once.

A submission is what a handler sends when a student hands in an answer, one request after the other: one ``store`` of 6
values of together 500 bytes, one ``log``, one ``get``. The first two are on disk before they are answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle

from common.escape import escape
from lonnet import Lonnet
from tests.bench.asking import asking, expecting
from tests.bench.commits import raw_commits
from tests.bench.crowd import measure
from tests.bench.records import KEY, NAMESPACE, VALUE, make_users
from tests.bench.sample import Sample
from tests.bench.subject import DEFAULTS, Effort, progress, write_tables
from tests.bench.table import Table, count, milliseconds, ratio, words
from tests.helpers.federation import Federation

LIBRARY = "msul1"
ACCESS = tuple(f"msua{number}" for number in range(1, 11))
SERVERS = (1, 5, 10)
ORIGINAL = (15, 20)  # submissions/s with one access server, on a server of 2005, as published
HANDLERS = 8  # callers on each access server
VALUES, VALUE_BYTES = 6, 500

DISTINCT, OWN, HOT = "every one from another user", "one user per handler", "all from one user"
COLUMNS = (
    words("users", "submissions"),
    count("servers", "access servers"),
    count("callers", "handlers"),
    count("rate", "submissions/s"),
    ratio("rate_ratio", "of floor"),
    milliseconds("p50", "p50 ms"),
    milliseconds("p99", "p99 ms"),
    words("original", "original of 2005 /s"),
)


def tables(effort: Effort) -> Iterator[Table]:
    """One table."""
    table = Table(f"Homework submissions to one library server with {effort.users:,} users", COLUMNS)
    progress(f"submissions: starting {1 + len(ACCESS)} hosts")
    federation = Federation([LIBRARY, *ACCESS], settings=DEFAULTS)
    try:
        floors = _floors(table, federation, effort)
        progress(f"submissions: making {effort.users} users")
        site = federation.hosts[LIBRARY].site()
        users = make_users(site, effort.users)
        _start(federation)
        for kind in (DISTINCT, OWN, HOT):
            _ladder(table, federation, kind, users, effort, floors)
    finally:
        federation.close()
    table.notes.append("floor: as many processes as access servers, each with an SQLite file of its own (commits/s)")
    table.notes.append(f"a submission: store of {VALUES} values ({VALUE_BYTES} bytes), log, get, one after the other")
    table.notes.append("original: published are 15-20 with one access server, and 'almost linear' up to 10")
    table.notes.append("derived: that many times the servers, as if it were quite linear; so at most that")
    yield table


def _start(federation: Federation) -> None:
    """Every access server knows itself and the library server; its other links would only take memory."""
    hosts, lines = federation.hosts, federation.lines
    hosts[LIBRARY].start_lond()
    for id in ACCESS:
        own = write_tables(federation.directory / f"tables-{id}", {host: lines[host] for host in (id, LIBRARY)}, {})
        hosts[id].write_conf(lonTabDir=str(own))
        hosts[id].start()
    for id in ACCESS:
        hosts[id].wait_for_link(LIBRARY)


def _floors(table: Table, federation: Federation, effort: Effort) -> dict[int, Sample]:
    floors = {}
    for servers in SERVERS:
        progress(f"submissions: raw commits, {servers} processes")
        sample = floors[servers] = raw_commits(federation.directory, servers, effort.seconds)
        cells = sample.cells(sample)
        table.add(users="raw SQLite commits", callers=servers, **cells)
    return floors


def _ladder(
    table: Table, federation: Federation, kind: str, users: Sequence[str], effort: Effort, floors: dict[int, Sample]
) -> None:
    for servers in SERVERS:
        callers = servers * HANDLERS
        progress(f"submissions: {kind}, {servers} access servers")
        prepares = []
        for number in range(callers):
            host = federation.hosts[ACCESS[number % servers]]
            prepares.append(asking(host.conf, _submitting(users_of(kind, users, number, callers))))
        sample = measure(prepares.__getitem__, callers, effort.seconds)
        table.add(
            users=kind, servers=servers, callers=callers, original=original(servers), **sample.cells(floors[servers])
        )  # fmt: skip


def original(servers: int) -> str:
    """What is published of the original with so many access servers, or follows from it."""
    least, most = (rate * servers for rate in ORIGINAL)
    return f"{least}-{most}" if servers == 1 else f"{least}-{most} (derived)"


def users_of(kind: str, users: Sequence[str], number: int, callers: int) -> Sequence[str]:
    """The users whose submissions the handler `number` of so many callers sends."""
    if kind == HOT:
        return users[:1]
    return users[number::callers] if kind == DISTINCT else users[number : number + 1]


def _submitting(users: Sequence[str]) -> Callable[[Lonnet], Callable[[], object]]:
    pairs = [(f"resource.{at}.answer".encode(), b"x" * (VALUE_BYTES // VALUES)) for at in range(VALUES)]
    values = b"&".join(escape(key) + b"=" + escape(value) for key, value in pairs).decode()
    text = escape(b"submission of problem 12, part 1").decode()

    def operation_of(net: Lonnet) -> Callable[[], object]:
        turn = cycle(users)

        def operation() -> None:
            user = next(turn)
            expecting(net.reply(f"store:msu:{user}:homework:problem12:{values}", LIBRARY), "ok")
            expecting(net.reply(f"log:msu:{user}:{text}", LIBRARY), "ok")
            expecting(net.reply(f"get:msu:{user}:{NAMESPACE}:{KEY}", LIBRARY), VALUE)

        return operation

    return operation_of
