"""The thirteen hosts of the example table, all on one machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from common.hosts_table import parse_hosts
from tests.conftest import Measured
from tests.helpers.federation import ROOT, Federation

TABLE = ROOT / "conf" / "hosts.tab"


def pss(pid: int) -> int:
    """Proportional set size in kB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1])


def test_thirteen_hosts_come_up_and_answer_each_other(
    federation: Callable[..., Federation], measured: Measured
) -> None:
    hosts = parse_hosts(TABLE.read_text(), str(TABLE))
    fed = federation(list(hosts), start=[], addresses={host.id: host.ip for host in hosts.values()})
    began = time.monotonic()
    fed.start()
    up_after = time.monotonic() - began

    wrong = []
    for host in fed.hosts.values():
        net = host.lonnet()
        wrong += [(host.id, peer, answer) for peer in hosts if (answer := net.reply("ping", peer)) != peer]
    assert wrong == []

    daemons = list(fed.daemons())
    assert len(daemons) == 26
    links = sum(slot.state == "up" for host in fed.hosts.values() for slot in host.lonc.slots())
    assert links == 169
    children = {name: [] for name in ("lonc", "lond")}
    for daemon in daemons:
        children[daemon.name] += [pss(pid) for pid in daemon.session() if pid != daemon.pid]
    sizes = ", ".join(f"{name} {sum(each) / len(each):.0f} kB ({len(each)})" for name, each in children.items())
    measured(f"13 hosts, {links} links up after {up_after:.1f} s; PSS per child: {sizes}")
