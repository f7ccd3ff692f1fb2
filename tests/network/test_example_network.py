"""The thirteen hosts of the example table, all on one machine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from common.hosts_table import parse_hosts
from tests.conftest import Measured
from tests.helpers.federation import ROOT, Federation, Host

TABLE = ROOT / "conf" / "hosts.tab"


def pss(pid: int) -> int:
    """Proportional set size in kB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1])


def ping_all(host: Host) -> subprocess.CompletedProcess[str]:
    """What an administrator of a host types to see whether all others answer."""
    command = [sys.executable, "-m", "lonnet", "--conf", str(host.conf), "ping", "--all"]
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


def test_thirteen_hosts_come_up_and_answer_each_other(
    federation: Callable[..., Federation], measured: Measured
) -> None:
    hosts = parse_hosts(TABLE.read_text(), str(TABLE))
    fed = federation(list(hosts), start=[], addresses={host.id: host.ip for host in hosts.values()})
    began = time.monotonic()
    fed.start()
    up_after = time.monotonic() - began

    for host in fed.hosts.values():
        ran = ping_all(host)
        rows = [line.split() for line in ran.stdout.splitlines()[1:]]
        assert (ran.returncode, ran.stderr) == (0, "")
        assert [(row[0], row[3]) for row in rows] == [(peer, peer) for peer in hosts], host.id

    daemons = list(fed.daemons())
    assert len(daemons) == 26
    links = sum(slot.state == "up" for host in fed.hosts.values() for slot in host.lonc.slots())
    assert links == 169
    children: dict[str, list[int]] = {name: [] for name in ("lonc", "lond")}
    for daemon in daemons:
        children[daemon.name] += [pss(pid) for pid in daemon.session() if pid != daemon.pid]
    sizes = ", ".join(f"{name} {sum(each) / len(each):.0f} kB ({len(each)})" for name, each in children.items())
    measured(f"13 hosts, {links} links up after {up_after:.1f} s; PSS per child: {sizes}")
