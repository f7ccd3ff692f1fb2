"""The log-in page of a host that has too much to do: how long visitors wait while the spares are asked.

The page is fetched from a real web server (waitress) by one browser. The limit is what the page may take when half of
the spares don't answer. It is compared with the longest time: one visitor in two seconds has the spares asked, and the
percentiles show the others.
"""

from __future__ import annotations

import os
import signal
from array import array
from collections.abc import Iterator
from time import perf_counter_ns

from lonnet.sessions import Sessions
from tests.bench.sample import NANOSECONDS, Sample
from tests.bench.subject import DEFAULTS, Effort, progress
from tests.bench.table import Table, count, milliseconds, ratio, words
from tests.helpers.federation import Federation
from tests.helpers.http_browser import HttpBrowser
from tests.helpers.web_servers import Waitress, web_settings

HERE, SPARES = "msua1", tuple(f"msua{number}" for number in range(2, 10))
HALF = SPARES[: len(SPARES) // 2]
LIMIT = 0.3  # seconds

COLUMNS = (
    words("what", "what"),
    count("rate", "per second"),
    milliseconds("p50", "p50 ms"),
    milliseconds("p99", "p99 ms"),
    ratio("p50_ratio", "p50 x floor"),
    ratio("limit", "max of 300 ms"),
)


def tables(effort: Effort) -> Iterator[Table]:
    """One table."""
    table = Table(f"Log-in page with {len(SPARES)} spares", COLUMNS)
    progress(f"loginpage: starting {1 + len(SPARES)} hosts")
    federation = Federation([HERE, *SPARES], settings=DEFAULTS)
    spares = "".join(f"{spare}:primary\n" for spare in SPARES)
    (federation.directory / "tables" / "spare.tab").write_text(spares)
    host = federation.hosts[HERE]
    host.write_conf(**web_settings(host))
    server = Waitress(host)
    try:
        federation.start()
        _measure(table, federation, server, effort)
    finally:
        _signal(federation, signal.SIGCONT)
        server.stop()
        federation.close()
    table.notes.append("floor: the page while the host has room and asks nobody, in this run")
    yield table


def _measure(table: Table, federation: Federation, server: Waitress, effort: Effort) -> None:
    host = federation.hosts[HERE]
    server.start()
    floor = _page(server, effort)
    _add(table, "there is room", floor, floor)
    server.stop()
    for _ in range(2):  # twice as many sessions as there may be
        Sessions(host.site().config).create("smith", "msu", HERE)
    host.write_conf(lonUserLoadLim="1")
    server.start()
    _add(table, "full, all spares answer", _page(server, effort), floor)
    _signal(federation, signal.SIGSTOP)
    _add(table, "full, half of the spares hang", _page(server, effort), floor)
    _signal(federation, signal.SIGCONT)
    for spare in HALF:
        federation.hosts[spare].lond.stop()
        host.wait_for_no_link(spare)
    _add(table, "full, half of the spares are down", _page(server, effort), floor)


def _signal(federation: Federation, number: int) -> None:
    """Signal every lond process of half of the spares."""
    for spare in HALF:
        if federation.hosts[spare].lond.running:
            for pid in federation.hosts[spare].lond.session():
                os.kill(pid, number)


def _page(server: Waitress, effort: Effort) -> Sample:
    browser, latencies = HttpBrowser(server.base), array("Q")
    browser.get("/adm/login")  # makes the application
    end = perf_counter_ns() + int(effort.seconds * NANOSECONDS)
    while (began := perf_counter_ns()) < end:
        browser.get("/adm/login")
        latencies.append(perf_counter_ns() - began)
    return Sample.of(effort.seconds, [latencies])


def _add(table: Table, what: str, sample: Sample, floor: Sample) -> None:
    progress(f"loginpage: {what}")
    cells = {key: value for key, value in sample.cells(floor).items() if key != "rate_ratio"}
    table.add(what=what, **cells, limit=sample.max / LIMIT)
