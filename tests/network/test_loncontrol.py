"""The administrator's command against real daemons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from common.pidfile import running_pid
from tests.helpers.daemons import kill_parent, wait_for_reload
from tests.helpers.federation import Daemon, Federation, Host
from tests.helpers.loncontrol import control
from tests.helpers.waiting import eventually
from tests.network.conftest import FederationFactory


def pid(host: Host, name: str) -> int | None:
    return running_pid(host.directory / "logs" / f"{name}.pid")


@pytest.fixture
def host(federation: FederationFactory) -> Iterator[Host]:
    """A host whose daemons loncontrol starts; whatever the test leaves running is stopped."""
    here = federation(["msul1"], start=[]).hosts["msul1"]
    yield here
    assert control(here, "stop").returncode == 0


def test_the_life_of_a_host_by_lsb_codes(host: Host) -> None:
    assert control(host, "status").returncode == 3
    assert control(host, "try-restart").returncode == 0
    assert control(host, "status").returncode == 3, "nothing ran, so nothing was started"
    assert control(host, "reload").returncode == 7
    assert control(host, "retry").returncode == 7
    started = control(host, "start")
    assert started.returncode == 0, started.stderr
    assert started.stdout.splitlines() == [
        f"lond started, pid {pid(host, 'lond')}",
        f"lonc started, pid {pid(host, 'lonc')}",
    ]
    assert control(host, "status").returncode == 0
    host.wait_for_link("msul1")

    before = pid(host, "lonc")
    again = control(host, "start")
    assert (again.returncode, pid(host, "lonc")) == (0, before)
    assert f"lonc runs already, pid {before}" in again.stdout
    eventually(lambda: "msul1 up" in host.lonc.log)  # USR1: children log their status
    assert control(host, "try-restart").returncode == 0
    assert pid(host, "lonc") not in (None, before)
    assert control(host, "stop").returncode == 0
    assert (control(host, "status").returncode, pid(host, "lond")) == (3, None)


def test_a_killed_daemon_is_dead_with_its_pid_file(host: Host) -> None:
    assert control(host, "start").returncode == 0
    lond = pid(host, "lond")
    assert lond is not None
    kill_parent(lond)
    status = control(host, "status")
    assert (status.returncode, status.stdout.splitlines()[0]) == (1, "lond: dead, its pid file is left")
    assert control(host, "start").returncode == 0
    assert control(host, "status").returncode == 0


def test_a_broken_table_is_found_before_anything_is_reloaded(host: Host) -> None:
    assert control(host, "start").returncode == 0
    table: Path = host.federation.directory / "tables" / "hosts.tab"
    good = table.read_text()
    table.write_text(good + "broken\n")
    for action in ("reload", "configtest", "restart", "try-restart"):
        result = control(host, action)
        assert result.returncode == 6 and result.stderr.startswith(f"loncontrol: {table}:2: ")
    table.write_text(good)
    assert control(host, "reload").returncode == 0
    eventually(lambda: "configuration taken over" in host.lonc.log and "configuration taken over" in host.lond.log)


def test_what_looks_like_a_mistake_is_said_although_it_is_no_error(host: Host) -> None:
    host.write_conf(lonGrce="3")
    odd = "'lonGrce' is unknown and ignored; did you mean lonGrace?"
    for command in ("configtest", "start", "restart", "reload"):
        told = control(host, command)
        assert told.returncode == 0 and odd in told.stderr, (command, told.stderr)
    for daemon in (host.lond, host.lonc):
        wait_for_reload(daemon, 1)
        eventually(partial(says, daemon, odd, 3))  # of two starts and of a reload


def says(daemon: Daemon, words: str, times: int) -> bool:
    return daemon.log.count(words) == times


def test_a_broken_configuration_hides_and_protects_nothing_that_runs(host: Host) -> None:
    assert control(host, "start").returncode == 0
    pids = [pid(host, name) for name in ("lond", "lonc")]
    good = host.conf.read_text()
    host.conf.write_text(f"{good}PerlSetVar lonWindow none\n")
    fault = f"loncontrol: {host.conf}:{good.count(chr(10)) + 1}: lonWindow: 'none' is not"
    status = control(host, "status")
    assert (status.returncode, status.stdout.splitlines()) == (
        0,
        [f"lond: running, pid {pids[0]}", f"lonc: running, pid {pids[1]}"],
    )
    assert status.stderr.startswith(fault) and "what runs goes on with what it has read" in status.stderr
    for action in ("restart", "try-restart", "reload"):
        refused = control(host, action)
        assert refused.returncode == 6 and refused.stderr.startswith(fault)
    assert [pid(host, name) for name in ("lond", "lonc")] == pids
    for lost in (good.replace("PerlSetVar lonDaemons /", "PerlSetVar lonDaemons "), None):
        if lost is None:
            host.conf.unlink()
        else:
            host.conf.write_text(lost)
        assert [control(host, action).returncode for action in ("stop", "status")] == [6, 4]
        assert "nobody knows where the daemons' pid files are" in control(host, "status").stderr
    host.conf.write_text(f"{good}PerlSetVar lonWindow none\n")
    stopped = control(host, "stop")
    assert (stopped.returncode, stopped.stdout.splitlines()) == (0, ["lonc stopped", "lond stopped"])
    assert stopped.stderr.startswith(fault)
    assert control(host, "status").returncode == 3
    assert control(host, "start").returncode == 6
    host.conf.write_text(good)


def test_a_broken_table_hides_and_protects_nothing_that_runs(host: Host) -> None:
    assert control(host, "start").returncode == 0
    pids = [pid(host, name) for name in ("lond", "lonc")]
    table: Path = host.federation.directory / "tables" / "hosts.tab"
    good = table.read_text()
    table.write_text(good + "broken\n")
    status = control(host, "status")
    assert status.returncode == 0 and status.stderr.startswith(f"loncontrol: {table}:2: ")
    assert control(host, "start").returncode == 0, "both run"
    assert [pid(host, name) for name in ("lond", "lonc")] == pids
    assert control(host, "stop").returncode == 0
    assert control(host, "status").returncode == 3
    assert control(host, "try-restart").returncode == 0
    refused = control(host, "start")
    assert refused.returncode == 6 and refused.stderr.startswith(f"loncontrol: {table}:2: ")
    table.write_text(good)


def test_peers_tell_why_since_when_and_by_how_much(federation: FederationFactory) -> None:
    fed: Federation = federation(["msua1", "msul1", "msul2"], start=[])
    here = fed.hosts["msua1"]
    here.write_conf(lonMaxAttempts="3", lonRetryMax="1000")
    stopped = json.loads(control(here, "peers", "--json").stdout)
    assert {peer["state"] for peer in stopped} == {"stopped"}
    here.start()
    fed.hosts["msul1"].start()
    net = here.lonnet()
    assert [net.critical("log:msu:smith:x", "msul2") for _ in range(3)] == ["con_delayed"] * 3
    here.wait_for_link("msul1")
    assert net.reply("ping", "msul1") == "msul1"

    def told() -> dict[str, dict[str, object]]:
        return {peer["host"]: peer for peer in json.loads(control(here, "peers", "--json").stdout)}

    def as_expected() -> None:
        peers = told()
        up, down = peers["msul1"], peers["msul2"]
        assert (up["state"], up["delayed"], up["why"]) == ("up", 0, "") and up["requests"] != 0
        assert (down["state"], down["delayed"], down["why"]) == ("given up", 3, "connection refused")
        assert 0 <= float(str(down["oldest"])) < 600 and float(str(down["next_try"])) > 10

    eventually(as_expected)
    text = control(here, "peers", "-v").stdout.splitlines()
    assert text[0].split()[:3] == ["HOST", "STATE", "SINCE"]
    assert any(line.startswith("msul2") and line.endswith("connection refused") for line in text)
    assert "how far behind the peer is" in "\n".join(text)

    fed.hosts["msul2"].start_lond()
    assert control(here, "retry").returncode == 0
    here.wait_for_link("msul2")


def test_children_are_shown_with_what_they_do_and_what_they_cost(host: Host) -> None:
    assert control(host, "children").stdout.startswith("DAEMON  PID  STATE  HOST  AGE  HEARTBEAT")
    assert control(host, "start").returncode == 0
    host.wait_for_link("msul1")
    host.lonnet().reply("ping", "msul1")

    def told() -> list[list[str]]:
        return [line.split() for line in control(host, "children").stdout.splitlines()[1:]]

    def all_are_shown() -> None:
        rows = told()
        assert ["lonc", "up", "msul1"] in [[row[0], row[2], row[3]] for row in rows]
        states = sorted(row[2] for row in rows if row[0] == "lond")
        workers = {"asker", "asker-known", "hasher", "updater"}
        assert states == sorted(["idle", "idle", "serving", *workers, *workers])
        assert all(float(row[-1]) > 0.1 for row in rows), "memory of each"

    eventually(all_are_shown)
