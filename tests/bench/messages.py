"""Critical messages acknowledged per second: each one is on disk at the asking host before it is sent.

`ping` costs nothing at its receiver; `put` is on disk there as well before it is answered. Every caller puts into
the records of its own user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lonnet import Lonnet
from tests.bench.asking import asking, expecting
from tests.bench.commits import raw_commits
from tests.bench.cpu import CpuMeter, children_of_link
from tests.bench.crowd import Prepare, measure
from tests.bench.records import make_users
from tests.bench.sample import Sample
from tests.bench.subject import CALLERS, DEFAULTS, Effort, progress
from tests.bench.table import Table, count, microseconds, milliseconds, ratio, words
from tests.helpers.federation import Federation, Host
from tests.helpers.waiting import eventually

ASKING, PEER = "msua1", "msul1"
PROTOTYPE = {1: 3_000, 8: 12_500, 64: 29_000}  # published figures of a throw-away prototype on a machine with 2 cores

COLUMNS = (
    words("way", "message"),
    count("callers", "callers"),
    count("rate", "acknowledged/s"),
    ratio("rate_ratio", "of floor"),
    milliseconds("p50", "p50 ms"),
    ratio("p50_ratio", "x floor"),
    milliseconds("p99", "p99 ms"),
    microseconds("lonc", "lonc us"),
    microseconds("lond", "lond us"),
    count("prototype", "prototype/s"),
)


def tables(effort: Effort) -> Iterator[Table]:
    """One table."""
    table = Table("Critical messages", COLUMNS)
    progress("messages: starting 2 hosts")
    federation = Federation([ASKING, PEER], settings=DEFAULTS)
    try:
        floor = _floor(table, federation, effort)
        federation.start()
        host, peer = federation.hosts[ASKING], federation.hosts[PEER]
        users = make_users(peer.site(), max(CALLERS))
        pids = eventually(lambda: children_of_link(federation, ASKING, PEER))
        _ladder(table, "ping", [sending(host, "ping", PEER)] * len(users), effort, floor, pids)
        puts = [sending(host, f"put:{peer.site().own.domain}:{user}:bench:key=value", "ok") for user in users]
        _ladder(table, "put", puts, effort, floor, pids)
    finally:
        federation.close()
    table.notes.append("floor: one process that commits to one SQLite file (WAL, synchronous=FULL), in this run")
    table.notes.append("lonc, lond: processor time of the link's two children for each message")
    table.notes.append("more callers than one share a commit: one for each turn of lonc's loop")
    yield table


def _floor(table: Table, federation: Federation, effort: Effort) -> Sample:
    progress("messages: raw commits")
    sample = raw_commits(federation.directory, 1, effort.seconds)
    table.add(way="raw SQLite commit", callers=1, **sample.cells(sample))
    return sample


def sending(host: Host, command: str, expected: str) -> Prepare:
    """A caller that sends one critical message to the peer again and again and waits for its answer each time."""

    def operation_of(net: Lonnet) -> Callable[[], object]:
        return lambda: expecting(net.critical(command, PEER), expected)

    return asking(host.conf, operation_of)


def _ladder(
    table: Table, way: str, prepares: list[Prepare], effort: Effort, floor: Sample, pids: dict[str, int]
) -> None:
    for callers in CALLERS:
        progress(f"messages: {way}, {callers} callers")
        meter = CpuMeter(pids)
        sample = measure(prepares.__getitem__, callers, effort.seconds, at_edge=meter.read)
        prototype = PROTOTYPE[callers] if way == "ping" else None
        table.add(way=way, callers=callers, prototype=prototype, **sample.cells(floor), **meter.per_answer(sample))
