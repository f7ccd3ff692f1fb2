"""HUP: new configuration and tables without a lost request."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial

from lonnet import Lonnet
from tests.helpers.activity import arrivals, make_user, message
from tests.helpers.callers import Caller, start_caller
from tests.helpers.federation import ROOT, Daemon, Federation, Host
from tests.helpers.waiting import eventually

MakeFederation = Callable[..., Federation]
Work = Callable[[Lonnet, Callable[[], bool], Callable[[str], None]], None]


def pings(net: Lonnet, wanted: Callable[[], bool], report: Callable[[str], None]) -> None:
    while wanted():
        report(net.reply("ping", "msul1"))


def messages(number_of_caller: int) -> Work:
    def send(net: Lonnet, wanted: Callable[[], bool], report: Callable[[str], None]) -> None:
        number = 0
        while wanted():
            report(net.critical(message(number_of_caller, number), "msul1"))
            number += 1

    return send


def answered(callers: list[Caller]) -> int:
    return sum(caller.result.stat().st_size for caller in callers if caller.result.exists())


def wait_for_traffic(callers: list[Caller]) -> None:
    before = answered(callers)
    eventually(lambda: answered(callers) > before + 2000, 60)


def test_no_request_fails_under_load(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"])
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    make_user(there)
    callers = [start_caller(here.conf, fed.directory / f"c{n}", pings) for n in range(12)]
    callers += [start_caller(here.conf, fed.directory / f"c{n}", messages(n)) for n in range(12, 16)]
    wait_for_traffic(callers)
    for round in range(1, 6):
        links = [here.lonc.slot("msul1", "up").pid, there.lond.slot("msua1", "serving").pid]
        for host in (here, there):
            host.write_conf(lonRequestTimeout=str(40 + round))  # a setting changed: every child is replaced
            host.lonc.signal(signal.SIGHUP)
            host.lond.signal(signal.SIGHUP)

        def replaced(old: list[int] = links) -> None:
            assert here.lonc.slot("msul1", "up").pid != old[0]
            assert there.lond.slot("msua1", "serving").pid != old[1]
            assert old[0] not in here.lonc.session()

        eventually(replaced, 30)
        wait_for_traffic(callers)
    for caller in callers:
        caller.stop()
    results = [caller.join() for caller in callers]
    assert {answer for lines in results[:12] for answer in lines} == {"msul1"}
    assert {answer for lines in results[12:] for answer in lines} == {"ok"}
    found = arrivals(there)
    assert found.in_order()
    assert found.by_caller == {n: list(range(len(results[n]))) for n in range(12, 16)}


def check(host: Host, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / name, "--conf", host.conf, "--check"],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_broken_table_keeps_the_old_one(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"])
    here = fed.hosts["msua1"]
    net = here.lonnet()
    table = fed.directory / "tables" / "hosts.tab"
    children = [here.lonc.slot(peer, "up").pid for peer in fed.hosts]
    good = table.read_text()
    table.write_text(good + "# a comment\nmsul9:msu:librarian:msul9.example.org:127.0.0.9\n")
    line = len(good.splitlines()) + 2
    complaint = f"{table}:{line}: "
    for daemon in (here.lonc, here.lond):
        daemon.signal(signal.SIGHUP)
        eventually(partial(has_refused, daemon))
        assert [entry.count(complaint) for entry in daemon.log.splitlines() if " ERROR: " in entry] == [1]
        result = check(here, daemon.name)
        assert result.returncode == 78
        assert result.stderr.startswith(f"{daemon.name}: {complaint}") and "librarian" in result.stderr
    assert [here.lonc.slot(peer, "up").pid for peer in fed.hosts] == children
    assert net.reply("ping", "msul1") == "msul1"

    table.write_text(good)
    assert check(here, "lonc").returncode == 0


def has_refused(daemon: Daemon) -> bool:
    return "the old one stays" in daemon.log


def reload(daemon: Daemon) -> None:
    before = daemon.log.count("configuration taken over")
    daemon.signal(signal.SIGHUP)
    eventually(lambda: daemon.log.count("configuration taken over") > before)


def test_adding_and_removing_a_host_touches_no_other_link(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"])
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    links = {peer: here.lonc.slot(peer, "up").pid for peer in fed.hosts}
    opened = "link of msua1 is open"  # which lond's parent logs when it has heard of it
    eventually(lambda: there.lond.log.count(opened) == 1)
    ip = there.ip.rpartition(".")[0] + ".99"
    new = fed.add("msul2", ip)
    fed.write_tables()
    for host in (here, there):
        reload(host.lonc)
        reload(host.lond)
    new.start()
    here.wait_for_link("msul2")
    new.wait_for_link("msua1")
    assert here.lonnet().reply("ping", "msul2") == "msul2"

    del fed.lines["msul2"]
    fed.write_tables()
    for host in (here, there):
        reload(host.lonc)
        reload(host.lond)
    here.wait_for_no_link("msul2")
    assert here.lonnet().reply("ping", "msul2") == "no_such_host"
    new.wait_for_no_link("msua1")  # lond has closed the link of the host that is gone

    assert {peer: here.lonc.slot(peer, "up").pid for peer in links} == links
    assert there.lond.log.count(opened) == 1
    assert "is lost" not in here.lonc.log.replace("link to msul2 is lost", "")


def test_a_changed_address_moves_one_link_only(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1", "msul2"])
    here, moved = fed.hosts["msua1"], fed.hosts["msul2"]
    other = here.lonc.slot("msul1", "up").pid
    moved.stop()
    moved.ip = moved.ip.rpartition(".")[0] + ".77"
    fed.lines["msul2"] = fed.lines["msul2"].rpartition(":")[0] + f":{moved.ip}"
    fed.write_tables()
    for host in (here, fed.hosts["msul1"]):
        reload(host.lonc)
        reload(host.lond)
    moved.start()
    here.wait_for_link("msul2")
    moved.wait_for_link("msua1")
    assert here.lonc.slot("msul1", "up").pid == other
