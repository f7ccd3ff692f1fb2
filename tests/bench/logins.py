"""A log-in storm: log-ins per second, and what they do to other requests.

Checking a password takes tens of milliseconds by intention. On a link whose replies leave in order a request behind a
log-in waits for it; on another link nobody should notice.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.asking import replying
from tests.bench.crowd import Prepare, measure_each
from tests.bench.sample import Sample
from tests.bench.subject import DEFAULTS, Effort, NotMeasured, progress
from tests.bench.table import Table, count, milliseconds, ratio, words
from tests.helpers.federation import Federation

STORMING, CALM, LIBRARY = "msua1", "msua2", "msul1"
CALLERS = 8  # that log in
SECRET = "correct%20horse"

COLUMNS = (
    words("what", "what"),
    count("callers", "callers"),
    count("rate", "per second"),
    milliseconds("p50", "p50 ms"),
    milliseconds("p99", "p99 ms"),
    ratio("p50_ratio", "p50 x floor"),
)


def tables(effort: Effort) -> Iterator[Table]:
    """One table.

    :raises NotMeasured: the daemons don't know the commands.
    """
    table = Table(f"Log-in storm of {CALLERS} callers", COLUMNS)
    progress("logins: starting 3 hosts")
    federation = Federation([STORMING, CALM, LIBRARY], settings=DEFAULTS)
    try:
        federation.start()
        _make_users(federation)
        _measure(table, federation, effort)
    finally:
        federation.close()
    table.notes.append("floor: ping while nobody logs in, in this run")
    yield table


def _make_users(federation: Federation) -> None:
    net = federation.hosts[STORMING].lonnet()
    for number in range(CALLERS):
        answer = net.reply(f"encrypt:makeuser:msu:login{number}:internal:{SECRET}", LIBRARY)
        if answer != "ok":
            raise NotMeasured(f"makeuser is answered {answer!r}")
    answer = net.reply(f"encrypt:auth:msu:login0:{SECRET}", LIBRARY)
    if answer != "authorized":
        raise NotMeasured(f"auth is answered {answer!r}")


def _measure(table: Table, federation: Federation, effort: Effort) -> None:
    hosts = federation.hosts
    pings = [replying(hosts[id].conf, LIBRARY, "ping", LIBRARY) for id in (STORMING, CALM)]
    progress("logins: ping while nobody logs in")
    calm = Sample.of(effort.seconds, measure_each(pings[1:], effort.seconds))
    table.add(what="ping, nobody logs in", callers=1, **_cells(calm, calm))
    progress(f"logins: {CALLERS} callers log in")
    same, other, *storm = measure_each([*pings, *_logging_in(federation)], effort.seconds)
    logins = Sample.of(effort.seconds, storm)
    table.add(what="log-in", callers=CALLERS, rate=logins.rate, p50=logins.p50, p99=logins.p99)
    table.add(what="ping, same link", callers=1, **_cells(Sample.of(effort.seconds, [same]), calm))
    table.add(what="ping, another link", callers=1, **_cells(Sample.of(effort.seconds, [other]), calm))


def _logging_in(federation: Federation) -> list[Prepare]:
    conf = federation.hosts[STORMING].conf
    return [
        replying(conf, LIBRARY, f"encrypt:auth:msu:login{number}:{SECRET}", "authorized") for number in range(CALLERS)
    ]


def _cells(sample: Sample, floor: Sample) -> dict[str, float]:
    return {key: value for key, value in sample.cells(floor).items() if key != "rate_ratio"}
