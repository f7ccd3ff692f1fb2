"""lonc and lond under kill -9, under signals, and under a service manager."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.helpers.daemons import (
    DOWN,
    ENDS,
    HERE,
    OK,
    PEER,
    UNAVAILABLE,
    both,
    callers,
    children,
    living,
    run,
    settled,
    stop_child,
    wait_for_end_of_all,
    wait_for_more,
    wait_for_reload,
    wait_until_settled,
)
from tests.helpers.federation import ROOT, Daemon, Federation, Host
from tests.helpers.service_manager import ServiceManager
from tests.helpers.waiting import eventually, processes_in_session


def test_children_do_not_outlive_their_parent(pair: Federation) -> None:
    here = pair.hosts[HERE]
    for daemon in (here.lonc, here.lond):
        assert daemon.process is not None
        daemon.signal(signal.SIGKILL)
        daemon.process.wait(ENDS)
        wait_for_end_of_all(daemon)
        daemon.start()
    here.wait_for_link(PEER)
    pair.hosts[PEER].wait_for_link(HERE)
    assert here.lonnet().reply("ping", PEER) == PEER
    assert pair.hosts[PEER].lonnet().reply("ping", HERE) == HERE


def test_stale_sockets_are_removed_at_start(pair: Federation) -> None:
    here, peer = pair.hosts[HERE], pair.hosts[PEER]
    os.killpg(here.lonc.pid, signal.SIGKILL)
    eventually(lambda: not here.lonc.running and not living(here.lonc.pid))
    assert here.socket_path(HERE).is_socket() and here.socket_path(PEER).is_socket()
    assert here.lonnet().reply("ping", PEER) == "con_lost"
    peer.lond.stop()
    here.start_lonc()
    assert not here.socket_path(PEER).exists()
    here.wait_for_link(HERE)


def test_lonc_restarts_beside_an_orphan_that_hangs(pair: Federation) -> None:
    here = pair.hosts[HERE]
    old = here.lonc.pid
    orphan = here.lonc.slot(PEER, "up").pid
    stop_child(orphan)
    here.lonc.signal(signal.SIGKILL)
    assert here.lonc.process is not None
    here.lonc.process.wait(ENDS)
    here.start_lonc()
    here.wait_for_link(HERE)
    os.kill(orphan, signal.SIGCONT)
    eventually(lambda: not living(old))
    here.wait_for_link(PEER)
    assert here.lonnet().reply("ping", PEER) == PEER
    assert here.socket_path(PEER).is_socket(), "the orphan took its successor's socket away"


def test_lond_says_why_it_cannot_restart_beside_an_orphan_that_hangs(pair: Federation) -> None:
    here = pair.hosts[HERE]
    old = here.lond.pid
    orphan = next(slot.pid for slot in here.lond.slots() if slot.state == "idle")
    stop_child(orphan)
    here.lond.signal(signal.SIGKILL)
    assert here.lond.process is not None
    here.lond.process.wait(ENDS)
    eventually(lambda: living(old) == [orphan])
    failed = run(here, "lond")
    assert failed.returncode == UNAVAILABLE
    assert "Address already in use" in failed.stderr
    os.kill(orphan, signal.SIGCONT)
    eventually(lambda: not living(old))
    (here.directory / "logs" / "lond.log").unlink()
    here.start_lond()
    pair.hosts[PEER].wait_for_link(HERE)


def test_a_killed_lonc_child_is_replaced_alone(pair: Federation) -> None:
    here = pair.hosts[HERE]
    other = here.lonc.slot(HERE, "up").pid
    for _ in range(5):
        killed = here.lonc.slot(PEER, "up").pid
        made = here.socket_path(PEER).stat().st_ctime_ns
        os.kill(killed, signal.SIGKILL)

        def replaced(killed: int = killed, made: int = made) -> None:
            assert here.lonc.slot(PEER, "up").pid != killed
            assert here.socket_path(PEER).exists() and here.socket_path(PEER).stat().st_ctime_ns > made

        eventually(replaced)
        assert here.lonnet().reply("ping", PEER) == PEER
    assert here.lonc.slot(HERE, "up").pid == other


def test_a_killed_lonc_child_of_a_host_that_is_down_leaves_no_socket(pair: Federation) -> None:
    here = pair.hosts[HERE]
    pair.hosts[PEER].lond.signal(signal.SIGSTOP)  # it accepts connections in its backlog, but nobody answers
    for pid in children(pair.hosts[PEER].lond):
        os.kill(pid, signal.SIGSTOP)
    os.kill(here.lonc.slot(PEER, "up").pid, signal.SIGKILL)
    here.wait_for_no_link(PEER)
    for pid in children(pair.hosts[PEER].lond):
        os.kill(pid, signal.SIGCONT)
    pair.hosts[PEER].lond.signal(signal.SIGCONT)
    here.wait_for_link(PEER)


def test_killed_lond_children_are_replaced(pair: Federation) -> None:
    here, peer = pair.hosts[HERE], pair.hosts[PEER]
    other = here.lond.slot(HERE, "serving").pid
    for state, host in (("serving", PEER), ("idle", "")) * 3:
        killed = here.lond.slot(host, state).pid
        os.kill(killed, signal.SIGKILL)

        def whole(killed: int = killed) -> None:
            assert killed not in here.lond.session()
            settled(here, links=2)
            assert peer.socket_path(HERE).exists()

        eventually(whole)
        assert peer.lonnet().reply("ping", HERE) == HERE
    assert here.lond.slot(HERE, "serving").pid == other


def test_hup_to_the_whole_group_kills_nobody(pair: Federation) -> None:
    here = pair.hosts[HERE]
    linked = here.lonc.session()
    with callers(here, HERE, 2):
        for round in range(1, 6):
            for daemon in (here.lonc, here.lond):
                os.killpg(daemon.pid, signal.SIGHUP)
                wait_for_reload(daemon, round)
            wait_until_settled(here, links=2)
    for daemon in (here.lonc, here.lond):
        assert daemon.running and "unexpected" not in daemon.log
    assert {here.lonc.slot(peer, "up").pid for peer in (HERE, PEER)} <= set(linked)
    for host in (here, pair.hosts[PEER]):
        assert "is lost" not in host.lonc.log


def test_usr1_to_the_whole_group_kills_nobody(host: Host) -> None:
    host.start()
    host.wait_for_link(HERE)
    wait_until_settled(host, links=1)
    for daemon in (host.lonc, host.lond):
        before = daemon.session()
        for _ in range(20):
            os.killpg(daemon.pid, signal.SIGUSR1)

        def all_have_spoken(daemon: Daemon = daemon, before: list[int] = before) -> bool:
            return all(f"{daemon.name}[{pid}]" in daemon.log for pid in before)

        eventually(all_have_spoken)
        assert daemon.session() == before


def test_usr1_has_every_child_log_one_line(host: Host) -> None:
    host.start()
    host.wait_for_link(HERE)
    wait_until_settled(host, links=1)
    for daemon in (host.lonc, host.lond):
        wanted = Counter(dict.fromkeys(children(daemon), 1))
        before = len(daemon.log)
        daemon.signal(signal.SIGUSR1)

        def logged(daemon: Daemon = daemon, before: int = before, wanted: Counter[int] = wanted) -> None:
            said = Counter(int(pid) for pid in re.findall(rf"{daemon.name}\[(\d+)\]", daemon.log[before:]))
            del said[daemon.pid]
            assert said == wanted

        eventually(logged)


def test_a_second_reload_before_a_link_was_handed_over(pair: Federation) -> None:
    here, peer = pair.hosts[HERE], pair.hosts[PEER]
    wait_until_settled(here, links=2)
    serving = here.lond.slot(PEER, "serving").pid
    stop_child(serving)
    for count in (1, 2):
        here.lond.signal(signal.SIGHUP)
        wait_for_reload(here.lond, count)
    os.kill(serving, signal.SIGCONT)
    eventually(lambda: serving not in here.lond.session())
    assert peer.lonnet().reply("ping", HERE) == HERE
    wait_until_settled(here, links=2)
    assert "is lost" not in peer.lonc.log


def test_a_burst_of_signals_under_load(pair: Federation) -> None:
    here, peer = pair.hosts[HERE], pair.hosts[PEER]
    numbers = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    daemons = (here.lonc, peer.lond, here.lond)
    with callers(here, PEER, 4) as answers:
        for count in range(1500):
            daemons[count // 3 % 3].signal(numbers[count % 3])
            if count % 10 == 0:
                wait_for_more(answers)
    for host in (here, peer):
        wait_until_settled(host, links=2)
        assert "is lost" not in host.lonc.log
        assert "unexpected" not in host.lonc.log + host.lond.log

    def one_child_each() -> None:
        slots = [(slot.host, slot.state) for slot in here.lonc.slots() if slot.host != DOWN]
        assert sorted(slots) == [(PEER, "up"), (HERE, "up")]
        assert len(children(here.lonc)) == 3

    eventually(one_child_each)


@contextmanager
def managed(host: Host, name: str, **environ: str) -> Iterator[tuple[ServiceManager, subprocess.Popen[bytes]]]:
    """A daemon under a service manager; it is gone afterwards, with all its children."""
    path = host.directory / f"{name}.manager"
    manager = ServiceManager(path)
    command = [sys.executable, "-W", "error", str(ROOT / "scripts" / name), "--conf", str(host.conf), "--foreground"]
    with (host.directory / "output").open("wb") as output, ExitStack() as stack:
        stack.callback(manager.channel.close)
        environment = {**os.environ, "NOTIFY_SOCKET": str(path), **environ}
        daemon = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
        stack.callback(daemon.wait)
        stack.callback(daemon.kill)
        yield manager, daemon
    eventually(lambda: not processes_in_session(daemon.pid))


@both
def test_what_the_service_manager_hears(host: Host, name: str) -> None:
    with managed(host, name) as (manager, daemon):
        ready = (daemon.pid, ["READY=1"])
        assert manager.heard() == ready
        for good in (True, False):
            if not good:
                host.write_conf(lonWindow="none")
            before = time.monotonic_ns() // 1000
            daemon.send_signal(signal.SIGHUP)
            sender, (word, moment) = manager.heard()
            assert (sender, word) == (daemon.pid, "RELOADING=1")
            assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
            assert manager.heard() == ready
        daemon.send_signal(signal.SIGTERM)
        assert manager.heard() == (daemon.pid, ["STOPPING=1"])
        assert daemon.wait(ENDS) == OK
        manager.channel.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.heard()


def test_the_service_manager_is_told_that_the_loops_turn_and_how_things_are(host: Host) -> None:
    """The parents alone speak, also after every child was replaced."""
    watchdog = {"WATCHDOG_USEC": "1500000"}  # a queue that nobody reads for 5 s still has room for STOPPING
    with (
        managed(host, "lond", **watchdog) as (lond, lond_process),
        managed(host, "lonc", **watchdog) as (lonc, process),
    ):
        assert lonc.wait_for_line("STATUS=1 of 1 links up") == process.pid
        assert lond.wait_for_line("STATUS=1 links, [1-4] spares") == lond_process.pid
        for manager, daemon in ((lond, lond_process), (lonc, process)):
            assert {manager.wait_for_line("WATCHDOG=1") for _ in range(4)} == {daemon.pid}
            host.write_conf(lonRequestTimeout="55")
            daemon.send_signal(signal.SIGHUP)
            assert manager.wait_for_line("READY=1") == daemon.pid
            assert {manager.wait_for_line("WATCHDOG=1") for _ in range(4)} == {daemon.pid}
        host.wait_for_link(HERE)
        for manager, daemon in ((lonc, process), (lond, lond_process)):
            daemon.send_signal(signal.SIGTERM)
            assert manager.wait_for_line("STOPPING=1") == daemon.pid
            assert daemon.wait(ENDS) == OK
