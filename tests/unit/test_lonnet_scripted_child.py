"""A lonc child as lonnet's tests need it: a UNIX socket whose every connection follows a script.

The scripts run in one thread, one connection after the other, on real sockets, so that the kernel's own rules about
closed and unread connections are what is tested. What goes wrong in a script fails the test when the child ends.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest

from common.config import Config
from common.hosts_table import Host, HostsTable
from common.site import Site

PATIENCE = 20.0  # seconds after which a test that hangs is broken

Script = Callable[[socket.socket], None]


class ScriptedChild:
    """Listens at `path`; the n-th connection is handed to the n-th script and closed at its end.

    :param first: runs in the thread before anything is accepted.
    """

    def __init__(self, path: Path, *scripts: Script, first: Callable[[socket.socket], None] | None = None) -> None:
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(16)
        self.listener.settimeout(PATIENCE)
        self._scripts, self._first = scripts, first
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> ScriptedChild:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.join(PATIENCE)
        self.listener.close()
        if error is None:
            assert not self._thread.is_alive(), "not all scripts were run to their end"
            if self._fault is not None:
                raise self._fault

    def _serve(self) -> None:
        try:
            if self._first:
                self._first(self.listener)
            for script in self._scripts:
                with self.listener.accept()[0] as connection:
                    connection.settimeout(PATIENCE)
                    script(connection)
        except BaseException as fault:  # handed to the test, which raises it
            self._fault = fault


def read_line(connection: socket.socket) -> bytes:
    """One request with its LF, b"" at the end."""
    line = b""
    while not line.endswith(b"\n"):
        piece = connection.recv(65536)
        if not piece:
            return line
        line += piece
    return line


def readable(connection: socket.socket) -> None:
    """Wait until something has come, without reading it."""
    connection.recv(1, socket.MSG_PEEK)


def answers(*replies: bytes) -> Script:
    """Answer one request with each of `replies`, then wait for the caller's end."""

    def script(connection: socket.socket) -> None:
        for reply in replies:
            assert read_line(connection)
            connection.sendall(reply)
        assert read_line(connection) == b""

    return script


def echoes(connection: socket.socket) -> None:
    """Answer each request with itself, until the caller closes."""
    while line := read_line(connection):
        connection.sendall(line)


def silent(connection: socket.socket) -> None:
    """Read one request and never answer."""
    assert read_line(connection)
    assert read_line(connection) == b""


def reads_then_closes(connection: socket.socket) -> None:
    assert read_line(connection)


def closes_over_the_request(connection: socket.socket) -> None:
    readable(connection)


def closes_at_once(connection: socket.socket) -> None:
    """Close, looking at nothing."""


def a_site(directory: Path, *hosts: str, **settings: object) -> Site:
    """A site whose every directory is `directory`; the first of `hosts` is the own one."""
    config = Config(
        hosts[0],
        sock_dir=directory,
        tab_dir=directory,
        delayed_dir=directory / "delayed",
        daemons_dir=directory,
        **settings,  # type: ignore[arg-type]
    )
    table = {
        host: Host(host, "msu", "library", f"{host}.example.org", f"127.0.0.{number}")
        for number, host in enumerate(hosts, 1)
    }
    return Site(config, HostsTable(table))


def test_a_fault_in_a_script_fails_the_test(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError),
        ScriptedChild(tmp_path / "msul1", answers(b"never\n")),
        socket.socket(socket.AF_UNIX) as caller,
    ):
        caller.connect(str(tmp_path / "msul1"))
