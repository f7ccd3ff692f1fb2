"""A log-in storm: log-ins per second, and what they do to other requests.

Checking a password takes tens of milliseconds by intention. On a link whose replies leave in order a request behind a
log-in waits for it; on another link nobody should notice. Pings that wait come a few in a second, so the storm is
watched for longer than other subjects: for a p99 it takes a hundred of them.
"""

from __future__ import annotations

import math
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
STORM = 15  # windows of the others that the storm is watched for
ENOUGH = 100  # answers, for a p99 that is not just the slowest
TARGET = 0.005  # seconds that the p99 of a ping on another link stays under

COLUMNS = (
    words("what", "what"),
    count("callers", "callers"),
    count("answers", "answers"),
    count("rate", "per second"),
    milliseconds("p50", "p50 ms"),
    milliseconds("p99", "p99 ms"),
    milliseconds("max", "max ms"),
    ratio("p50_ratio", "p50 x floor"),
    ratio("target", "p99 of 5 ms"),
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
    table.notes.append("p99 of 5 ms: what the p99 is of the target, under 5 ms on another link; under 1 meets it")
    table.notes.append(f"no p99 of fewer than {ENOUGH} answers")
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
    table.add(what="ping, nobody logs in", callers=1, **cells(calm, calm))
    seconds = STORM * effort.seconds
    progress(f"logins: {CALLERS} callers log in")
    same, other, *storm = measure_each([*pings, *_logging_in(federation)], seconds)
    table.add(what="log-in", callers=CALLERS, **cells(Sample.of(seconds, storm)))
    table.add(what="ping, same link", callers=1, **cells(Sample.of(seconds, [same]), calm))
    elsewhere = Sample.of(seconds, [other])
    table.add(what="ping, another link", callers=1, **cells(elsewhere, calm), target=elsewhere.p99 / TARGET)


def _logging_in(federation: Federation) -> list[Prepare]:
    conf = federation.hosts[STORMING].conf
    return [
        replying(conf, LIBRARY, f"encrypt:auth:msu:login{number}:{SECRET}", "authorized") for number in range(CALLERS)
    ]


def cells(sample: Sample, floor: Sample | None = None) -> dict[str, float]:
    """The cells of a row; no p99 of a few answers, which would be the slowest of them."""
    answers = len(sample.latencies)
    found = {key: value for key, value in sample.cells(floor).items() if key != "rate_ratio"}
    found |= {"answers": answers, "max": sample.max}
    return found if answers >= ENOUGH else found | {"p99": math.nan}
