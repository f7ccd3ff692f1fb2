"""Telling the service manager: the transcript on its socket, and who may speak."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """The manager's end, and the environment that it gives to a daemon (D8)."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@notify-of-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
        channel.bind("\0" + name[1:] if name.startswith("@") else name)
        yield channel, {"NOTIFY_SOCKET": name, "HOME": "/"}


def said(channel: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(channel.recv(65536).decode())
        except BlockingIOError:
            return messages


def test_a_life(manager: tuple[socket.socket, dict[str, str]]) -> None:
    channel, environ = manager
    notifier = Notifier(environ)
    assert said(channel) == []
    before = time.monotonic_ns() // 1000
    notifier.ready("3 links up")
    notifier.status("2 links up")
    notifier.reloading()
    notifier.ready("3 links up")
    notifier.stopping()
    first, status, reloading, again, stopping = said(channel)
    assert (first, status, again, stopping) == (
        "READY=1\nSTATUS=3 links up",
        "STATUS=2 links up",
        "READY=1\nSTATUS=3 links up",
        "STOPPING=1",
    )
    stamp = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=([0-9]+)", reloading)
    assert stamp and before <= int(stamp[1]) <= time.monotonic_ns() // 1000


def test_a_status_is_said_only_if_it_is_news(manager: tuple[socket.socket, dict[str, str]]) -> None:
    channel, environ = manager
    notifier = Notifier(environ)
    notifier.ready("2 links up")
    for text in ("2 links up", "3 links up", "3 links up", "2 links up"):
        notifier.status(text)
    assert said(channel) == ["READY=1\nSTATUS=2 links up", "STATUS=3 links up", "STATUS=2 links up"]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "600000"}, 0.2),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_PID": str(os.getpid())}, 0.0),
        ({"WATCHDOG_USEC": "-5"}, 0.0),
        ({"WATCHDOG_USEC": "0"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_watchdog_s_time(
    manager: tuple[socket.socket, dict[str, str]], given: dict[str, str], seconds: float
) -> None:
    channel, environ = manager
    environ |= given
    notifier = Notifier(environ)
    assert notifier.ping_seconds == pytest.approx(seconds)
    assert environ == {"HOME": "/"}
    notifier.alive()
    assert said(channel) == ["WATCHDOG=1"]


def test_nobody_keeps_watch_without_a_manager() -> None:
    assert Notifier({"WATCHDOG_USEC": "30000000"}).ping_seconds == 0


def test_no_child_speaks_in_the_daemons_name(manager: tuple[socket.socket, dict[str, str]]) -> None:
    channel, environ = manager
    Notifier(environ)
    assert environ == {"HOME": "/"}
    Notifier(environ).ready("child")
    assert said(channel) == []


def test_the_process_environment_is_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    Notifier()
    assert "NOTIFY_SOCKET" not in os.environ


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@nobody", "/" + "x" * 200])
def test_without_a_manager_nothing_happens(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address} if address else {})
    notifier.ready("x")
    notifier.reloading()
    notifier.status("x")
    notifier.stopping()


def test_a_manager_that_does_not_read_is_no_reason_to_wait(manager: tuple[socket.socket, dict[str, str]]) -> None:
    channel, environ = manager
    notifier = Notifier(environ)
    for number in range(5000):
        notifier.status(f"{number} {'x' * 1000}")
    assert 0 < len(said(channel)) < 5000


def test_what_the_manager_could_not_take_is_said_again(manager: tuple[socket.socket, dict[str, str]]) -> None:
    channel, environ = manager
    notifier = Notifier(environ)
    for _ in range(100_000):
        if not notifier._send("WATCHDOG=1"):
            break
    notifier.ready("3 links up")
    assert "READY=1\nSTATUS=3 links up" not in said(channel)
    notifier.status("3 links up")
    notifier.status("3 links up")
    assert said(channel) == ["READY=1\nSTATUS=3 links up"]
