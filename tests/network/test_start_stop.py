"""lonc and lond as commands: start, stop, checks, exit codes, pid files."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.pidfile import running_pid, signal_daemon
from tests.helpers.daemons import (
    CONFIG,
    ENDS,
    HERE,
    OK,
    UNAVAILABLE,
    USAGE,
    both,
    daemon_of,
    pid_file,
    pid_in,
    run,
    signals,
    status_of,
    stop_by_pid_file,
    wait_for_end_of_all,
)
from tests.helpers.federation import Federation, Host
from tests.helpers.waiting import eventually, open_descriptors


def test_lond_serves_as_soon_as_its_background_start_returns(host: Host) -> None:
    for _ in range(3):
        started = run(host, "lond")
        assert (started.returncode, started.stdout, started.stderr) == (OK, "", "")
        address = (host.ip, host.federation.port)
        with socket.create_connection(address, ENDS, source_address=(host.ip, 0)) as channel:
            channel.sendall(b"init\n")
            assert channel.recv(100).strip().isdigit()
        stop_by_pid_file(host, "lond")


@both
def test_a_background_start_leaves_a_detached_daemon(host: Host, name: str) -> None:
    assert run(host, name).returncode == OK
    pid = running_pid(pid_file(host, name))
    assert pid is not None
    try:
        assert os.getsid(pid) not in (pid, os.getsid(0)), "it could get a controlling terminal again"
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        found = open_descriptors(pid)
        assert [found[number] for number in range(3)] == ["/dev/null"] * 3
        assert status_of(pid)["PPid"] != str(os.getpid())
        eventually(lambda: signals(status_of(pid)["SigBlk"]) == set())
    finally:
        stop_by_pid_file(host, name)


@both
def test_check_starts_nothing(host: Host, name: str) -> None:
    checked = run(host, name, "--check")
    assert (checked.returncode, checked.stderr) == (OK, "")
    assert f"configuration of {HERE} is good" in checked.stdout
    assert not (host.directory / "logs").exists()


@both
def test_usage_errors(host: Host, name: str) -> None:
    for option in ("--nonsense", "start", "--conf"):
        wrong = run(host, name, option)
        assert wrong.returncode == USAGE
        assert wrong.stderr.startswith("usage: ") and wrong.stdout == ""


@both
def test_a_second_instance_names_the_first(host: Host, name: str) -> None:
    daemon = daemon_of(host, name)
    daemon.start()
    for options in ((), ("--foreground",)):
        second = run(host, name, *options)
        assert second.returncode == UNAVAILABLE
        assert f"already running with pid {daemon.pid}" in second.stderr
    assert pid_in(pid_file(host, name)) == daemon.pid
    assert daemon.log.count("started with pid") == 1
    assert daemon.stop() == OK


FAULTS = {
    "loncapa.conf": ("PerlSetVar londPort 99999", "londPort"),
    "hosts.tab": ("msul9:msu:librarian:msul9.example.org:127.0.0.9", "ROLE"),
    "domain.tab": ("msu", "DESCRIPTION"),
    "spare.tab": ("nobody:primary", "HOSTID"),
    "links.tab": (f"{HERE}:classic-parallel", "OPTION"),
}


@both
@pytest.mark.parametrize("file", FAULTS)
def test_a_fault_in_any_file_is_named_with_its_line(host: Host, name: str, file: str) -> None:
    path = host.conf if file == "loncapa.conf" else host.federation.directory / "tables" / file
    text = path.read_text() if path.exists() else ""
    fault, variable = FAULTS[file]
    path.write_text(f"{text}# a comment\n\n{fault}\n")
    place = f"{path}:{text.count(chr(10)) + 3}: {variable}: "
    for options in (("--check",), (), ("--foreground",)):
        faulty = run(host, name, *options)
        assert (faulty.returncode, faulty.stdout) == (CONFIG, "")
        assert faulty.stderr.startswith(f"{name}: {place}") and faulty.stderr.count("\n") == 1
    assert not (host.directory / "logs").exists()


@both
def test_a_missing_configuration_is_named(host: Host, name: str) -> None:
    missing = run(host, name, conf=Path("/nonexistent/loncapa.conf"))
    assert missing.returncode == CONFIG
    assert "/nonexistent/loncapa.conf" in missing.stderr


@pytest.mark.parametrize("options", [(), ("--foreground",)], ids=["background", "foreground"])
def test_a_port_that_is_taken(host: Host, options: tuple[str, ...]) -> None:
    with socket.create_server((host.ip, host.federation.port)):
        failed = run(host, "lond", *options)
    log = host.lond.log
    (host.directory / "logs" / "lond.log").unlink()  # what it says is judged in the next test
    assert failed.returncode == UNAVAILABLE
    reason = f"can't listen on {host.ip} port {host.federation.port}: Address already in use"
    assert reason in failed.stderr and reason in log
    assert not pid_file(host, "lond").exists()
    host.start_lond()


def test_a_port_that_is_taken_is_no_bug(host: Host) -> None:
    with socket.create_server((host.ip, host.federation.port)):
        assert run(host, "lond").returncode == UNAVAILABLE
    assert "Traceback" not in host.lond.log


def test_an_address_that_is_not_ours(host: Host) -> None:
    host.write_conf(lonBindAddress="192.0.2.1")
    failed = run(host, "lond")
    (host.directory / "logs" / "lond.log").unlink()
    assert failed.returncode == UNAVAILABLE
    assert "can't listen on 192.0.2.1" in failed.stderr


def stale_contents() -> Mapping[str, bytes]:
    return {
        "init": b"1\n",
        "ourselves": b"%d\n" % os.getpid(),
        "empty": b"",
        "garbage": b"\0\xffgarbage\n-1\n" * 100,
        "no process": b"99999999999999999999\n",
        "negative": b"-1\n",
    }


@both
@pytest.mark.parametrize("content", stale_contents())
def test_a_stale_pid_file_stops_nobody(host: Host, name: str, content: str) -> None:
    path = pid_file(host, name)
    path.parent.mkdir()
    path.write_bytes(stale_contents()[content])
    daemon = daemon_of(host, name)
    daemon.start()
    assert pid_in(path) == daemon.pid
    assert daemon.stop() == OK
    assert not path.exists()


@both
def test_of_two_starters_at_once_one_serves(host: Host, name: str) -> None:
    for _ in range(25):  # fifty for both daemons
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda _: run(host, name), range(2)))
        assert sorted(result.returncode for result in results) == [OK, UNAVAILABLE], results
        loser = next(result for result in results if result.returncode)
        assert "already running with pid" in loser.stderr
        assert pid_in(pid_file(host, name)) == running_pid(pid_file(host, name))
        stop_by_pid_file(host, name)


def bytes_read(pid: int) -> int:
    """How far a start has come, measured by what the process has read; a steady measure where time is none."""
    return int(re.search(r"rchar: (\d+)", Path(f"/proc/{pid}/io").read_text())[1])  # type: ignore[index]


@both
def test_term_at_any_moment_of_a_start_ends_it(host: Host, name: str) -> None:
    daemon = daemon_of(host, name)
    daemon.start()
    whole = bytes_read(daemon.pid)
    assert daemon.stop() == OK
    codes = []
    for step in range(13):
        daemon.launch()

        def far_enough(step: int = step) -> bool:
            return bytes_read(daemon.pid) >= whole * step // 12

        eventually(far_enough, pause=0.0001) if step < 12 else daemon.wait_for("READY=1")
        codes.append(daemon.stop())
        assert running_pid(pid_file(host, name)) is None
    assert set(codes) <= {OK, -signal.SIGTERM}, codes
    assert codes[-1] == OK, "ready means that TERM is a request"
    daemon.start()


@both
def test_term_in_the_moments_before_ready(host: Host, name: str) -> None:
    """The marks of a start are what it leaves on disk."""
    logs, board = host.directory / "logs", host.directory / "run" / f".{name}.scoreboard"
    daemon = daemon_of(host, name)
    marks: list[Callable[[], bool]] = [
        (logs / f"{name}.log").exists,
        pid_file(host, name).exists,
        lambda: bool(pid_file(host, name).exists() and pid_file(host, name).read_text()),
        board.exists,
        lambda: "started with pid" in daemon.log,
    ]
    for mark in marks:
        for path in (logs / f"{name}.log", board, pid_file(host, name)):
            path.unlink(missing_ok=True)
        daemon.launch()
        eventually(mark, pause=0.0001)
        assert daemon.stop() in (OK, -signal.SIGTERM)
        assert running_pid(pid_file(host, name)) is None
    daemon.start()


@both
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_during_a_start_kills_nobody(host: Host, name: str, number: signal.Signals) -> None:
    """lond wakes the lonc that the pid file names, at whatever moment of its start."""
    daemon = daemon_of(host, name)
    for _ in range(5):
        daemon.launch()
        with ThreadPoolExecutor(1) as pool:
            ready = pool.submit(daemon.wait_for, "READY=1")
            while not ready.done():
                signal_daemon(pid_file(host, name), number)
        try:
            ready.result()
        finally:
            assert daemon.stop() in (OK, -number)
            pid_file(host, name).unlink(missing_ok=True)


@both
def test_term_again_and_again_is_one_request(host: Host, name: str) -> None:
    daemon = daemon_of(host, name)
    codes = []
    for _ in range(10):
        daemon.start()
        assert daemon.process is not None
        while daemon.process.poll() is None:
            daemon.signal(signal.SIGTERM)
        codes.append(daemon.stop())
    assert set(codes) == {OK}, codes


def test_interrupt_of_the_whole_group_ends_all(pair: Federation) -> None:
    for daemon in list(pair.daemons()):
        os.killpg(daemon.pid, signal.SIGINT)
        assert daemon.process is not None
        assert daemon.process.wait(ENDS) == OK
        wait_for_end_of_all(daemon)
        assert "unexpected" not in daemon.log and "KeyboardInterrupt" not in daemon.last_words()
        assert not pid_file(daemon.host, daemon.name).exists()
