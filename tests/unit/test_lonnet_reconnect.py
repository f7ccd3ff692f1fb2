"""reconlonc: who is signalled, who never is, and waiting for the socket."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.pidfile import _start_time
from common.site import Site
from lonnet import Lonnet
from lonnet.reconnect import reconlonc
from tests.unit.test_lonnet_scripted_child import a_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "logs").mkdir()
    return a_site(tmp_path, "msul1", "msul2")


@pytest.fixture
def pid_file(site: Site) -> Path:
    return site.config.daemons_dir / "logs" / "lonc.pid"


@contextmanager
def lonc(pid_file: Path, on_signal: Callable[[], None]) -> Iterator[int]:
    """A process that holds the pid file as lonc does, and does one thing on USR1."""
    reader, writer = os.pipe()
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    pid = os.fork()
    if pid == 0:
        try:
            lock = os.open(pid_file, os.O_RDWR | os.O_CREAT)
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.write(lock, b"%d\n%d\n" % (os.getpid(), _start_time(os.getpid())))
            os.write(writer, b"ready")
            signal.sigwait({signal.SIGUSR1})
            on_signal()
            os.write(writer, b"USR1")
            signal.pause()
        finally:
            os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
    try:
        assert os.read(reader, 5) == b"ready"
        yield reader
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def test_lonc_is_signalled(site: Site, pid_file: Path) -> None:
    with lonc(pid_file, lambda: None) as told:
        assert reconlonc(site)
        assert os.read(told, 4) == b"USR1"


def test_socket_is_waited_for(site: Site, pid_file: Path) -> None:
    socket_file = site.config.sock_dir / "msul2"
    with lonc(pid_file, lambda: make_socket(socket_file)):
        assert Lonnet(site).reconlonc("msul2")
        assert socket_file.is_socket()


def test_wait_has_an_end(site: Site, pid_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    (site.config.sock_dir / "msul2").touch()  # a file, but no socket
    with lonc(pid_file, lambda: None), caplog.at_level(logging.INFO):
        assert not reconlonc(site, "msul2", 0.03, 0.03)
    assert "no socket of msul2" in caplog.text


def test_unknown_host_signals_nobody(site: Site, pid_file: Path) -> None:
    with lonc(pid_file, lambda: None) as told:
        assert not reconlonc(site, "../msul2")
        os.set_blocking(told, False)
        with pytest.raises(BlockingIOError):
            os.read(told, 4)


@pytest.mark.parametrize("text", [None, "", "garbage\n", "1\n", "own"])
def test_number_without_a_lock_is_never_signalled(site: Site, pid_file: Path, text: str | None) -> None:
    if text is not None:
        pid_file.write_text(f"{os.getpid()}\n" if text == "own" else text)
    signalled = []
    old = signal.signal(signal.SIGUSR1, lambda *_: signalled.append(True))
    try:
        assert not reconlonc(site, "msul2")
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert not signalled


def test_failure_is_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not reconlonc(site)
    assert "can't be signalled" in caplog.text
