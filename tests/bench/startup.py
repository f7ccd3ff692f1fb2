"""How long a network takes to come up, and what memory its children take.

A whole network of 13 hosts on one machine, each with a link to every one; then one lonc with 100 and more peers, all of
which are addresses of one lond.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

from tests.bench.memory import available_mib, children_kib
from tests.bench.subject import DEFAULTS, Effort, moved, progress, write_tables
from tests.bench.table import Table, count, megabytes, seconds, words
from tests.helpers.federation import Daemon, Federation

HOSTS = (
    "msul1", "msua1", "msul2", "msua2", "hubl14", "hubl15", "hubl16",
    "huba20", "huba21", "huba22", "huba23", "otherl25", "othera27",
)  # fmt: skip
ASKING, PEER = "msua1", "msul1"
NEEDED_MIB_PER_LINK = 16  # for a child at each end, with room to spare

COLUMNS = (
    words("network", "network"),
    count("links", "links"),
    seconds("ready", "daemons ready s"),
    seconds("up", "last link up s"),
    count("children", "children"),
    megabytes("lonc", "PSS of a lonc child MB"),
    megabytes("lond", "PSS of a lond child MB"),
    words("prototype", "prototype MB"),
)


def tables(effort: Effort) -> Iterator[Table]:
    """One table."""
    table = Table("Start-up time and memory", COLUMNS)
    _whole_network(table)
    for peers in effort.children:
        if available_mib() < peers * NEEDED_MIB_PER_LINK:
            table.notes.append(f"{peers} peers: not measured, too little memory is free")
        else:
            _many_peers(table, peers)
    table.notes.append("from the start of the first daemon; memory: mean over the idle children, spares included")
    table.notes.append("prototype: 200 children; with gc.freeze() before the fork, and without")
    yield table


def _whole_network(table: Table) -> None:
    progress(f"startup: {len(HOSTS)} hosts")
    federation = Federation(HOSTS, settings=DEFAULTS)
    try:
        loncs = [host.lonc for host in federation.hosts.values()]
        londs = [host.lond for host in federation.hosts.values()]
        begin = time.monotonic()
        ready = _start(londs, loncs) - begin
        for host in federation.hosts.values():
            for peer in HOSTS:
                host.wait_for_link(peer)
        up = time.monotonic() - begin
        _add(table, f"{len(HOSTS)} hosts, each with all", len(HOSTS) ** 2, ready, up, loncs, londs)
    finally:
        federation.close()


def _many_peers(table: Table, peers: int) -> None:
    progress(f"startup: 1 lonc with {peers} peers")
    federation = Federation([ASKING, PEER], settings=DEFAULTS)
    try:
        aliases = _configure(federation, peers)
        asking, lonc, lond = federation.hosts[ASKING], federation.hosts[ASKING].lonc, federation.hosts[PEER].lond
        begin = time.monotonic()
        ready = _start([lond], [lonc]) - begin
        for alias in aliases:
            asking.wait_for_link(alias)
        up = time.monotonic() - begin
        _add(table, f"1 lonc with {peers} peers", len(aliases), ready, up, [lonc], [lond])
    finally:
        federation.close()


def _configure(federation: Federation, peers: int) -> list[str]:
    """Give the asking host a table of its own, in which every peer is another address of one lond; all ids."""
    asking, peer = federation.hosts[ASKING], federation.hosts[PEER]
    base = federation.lines[PEER]
    net = ".".join(asking.ip.split(".")[:2])
    lines = {ASKING: federation.lines[ASKING]}
    for number in range(peers - 1):  # the asking host itself is a peer as well
        id = f"peerl{number}"
        lines[id] = moved(base.replace(PEER, id), f"{net}.{200 + number // 250}.{1 + number % 250}")
    port = str(_free_port())
    tables = write_tables(federation.directory / "asking", lines, dict.fromkeys(lines, "alias"))
    asking.write_conf(lonTabDir=str(tables), londPort=port)
    everyone = str(peers + 1)
    peer.write_conf(lonBindAddress="0.0.0.0", londPort=port, londMaxLinksPerHost=everyone, londMaxHandshakes=everyone)
    return list(lines)


def _free_port() -> int:
    # The usual port may be in use on some addresses of this machine, and this lond takes it on all of them.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _start(londs: list[Daemon], loncs: list[Daemon]) -> float:
    """Start the daemons; when the last one was ready, on the monotonic clock."""
    for daemons in (londs, loncs):
        for daemon in daemons:
            daemon.launch()
        for daemon in daemons:
            daemon.wait_for("READY=1")
    return time.monotonic()


def _add(
    table: Table, network: str, links: int, ready: float, up: float, loncs: list[Daemon], londs: list[Daemon]
) -> None:
    lonc_children, lonc = children_kib(loncs)
    lond_children, lond = children_kib(londs)
    prototype = "0.8-0.95, 3.9-5" if lonc_children >= 200 else None
    table.add(
        network=network, links=links, ready=ready, up=up, children=lonc_children + lond_children, lonc=lonc,
        lond=lond, prototype=prototype,
    )  # fmt: skip
