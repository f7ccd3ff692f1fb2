"""One connection: the failure table of lonnet.connection line by line, limits, long lines."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lonnet.connection import Connection, NoChild, NoReply, NotExecuted, Unusable, seconds_left
from tests.conftest import FakeClock
from tests.unit.test_lonnet_scripted_child import (
    PATIENCE,
    Script,
    ScriptedChild,
    answers,
    closes_at_once,
    closes_over_the_request,
    echoes,
    read_line,
    readable,
    reads_then_closes,
    silent,
)

MAX_REPLY = 8_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "msul1"


def connect(path: Path, seconds: float = PATIENCE) -> Connection:
    return Connection(str(path), monotonic() + seconds, MAX_REPLY)


def ask(connection: Connection, line: bytes = b"ping\n", seconds: float = PATIENCE) -> bytes:
    return connection.exchange(line, seconds, monotonic() + seconds)


def is_closed(connection: Connection) -> bool:
    return connection._socket.fileno() == -1


@contextmanager
def raised_and_closed(connection: Connection, kind: type[Exception]) -> Iterator[None]:
    with pytest.raises(kind):
        yield
    assert is_closed(connection)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# connect


def test_no_socket_file(path: Path) -> None:
    before = open_descriptors()
    with pytest.raises(NoChild) as caught:
        connect(path)
    assert not isinstance(caught.value, Unusable)
    assert open_descriptors() == before


def test_nobody_listens(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    with pytest.raises(NoChild) as caught:
        connect(path)
    assert not isinstance(caught.value, Unusable)


@contextmanager
def full_backlog(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)  # Linux: one may wait
        first.connect(str(path))
        yield listener


def test_full_backlog_is_waited_for_until_the_deadline(path: Path) -> None:
    begun = monotonic()
    with full_backlog(path), pytest.raises(NoReply):
        connect(path, 0.05)
    assert monotonic() - begun >= 0.05


def test_deadline_passed_before_connecting(path: Path) -> None:
    with pytest.raises(NoReply):
        connect(path, -1.0)


def test_unusable_path_is_a_fault_of_this_machine(path: Path) -> None:
    path.write_text("a file, not a directory")
    with pytest.raises(Unusable, match=r"msul1/below.*Not a directory"):
        connect(path / "below")
    with pytest.raises(Unusable, match="path too long"):
        connect(path.parent / ("x" * 120))


def test_out_of_descriptors_is_a_fault_of_this_machine(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("lonnet.connection.socket.socket", none_left)
    with pytest.raises(Unusable, match="Too many open files"):
        connect(path)


def test_default_timeout_of_the_process_changes_nothing(path: Path) -> None:
    socket.setdefaulttimeout(0.0)
    try:
        with ScriptedChild(path, answers(b"msul1\n")):
            connection = connect(path)
            assert ask(connection) == b"msul1"
            connection.close()
    finally:
        socket.setdefaulttimeout(None)


# send


def test_closed_while_idle(path: Path) -> None:
    with ScriptedChild(path, closes_at_once):
        connection = connect(path)
    with raised_and_closed(connection, NotExecuted):
        ask(connection)


def test_closed_within_the_line(path: Path) -> None:
    def reads_a_little(connection: socket.socket) -> None:
        assert connection.recv(1000)

    with ScriptedChild(path, reads_a_little):
        connection = connect(path)
        with raised_and_closed(connection, NotExecuted):
            ask(connection, b"x" * 4_000_000 + b"\n")


def test_signal_during_connect_leaves_it_unconnected(path: Path) -> None:
    # Python takes EINTR for "goes on in the background", which is not so with UNIX sockets.
    with full_backlog(path), alarm(lambda: None):
        ring()
        connection = connect(path)
        with raised_and_closed(connection, NotExecuted):
            ask(connection)


# recv


def test_closed_over_the_unread_request(path: Path) -> None:
    with ScriptedChild(path, closes_over_the_request):
        connection = connect(path)
        with raised_and_closed(connection, NotExecuted):
            ask(connection)


def test_listener_closed_before_it_accepted(path: Path) -> None:
    def closes_on_a_caller(listener: socket.socket) -> None:
        select.select([listener], [], [], PATIENCE)
        listener.close()

    with ScriptedChild(path, first=closes_on_a_caller):
        connection = connect(path)
        with raised_and_closed(connection, NotExecuted):
            ask(connection)


def test_end_of_file_instead_of_a_reply(path: Path) -> None:
    with ScriptedChild(path, reads_then_closes):
        connection = connect(path)
        with raised_and_closed(connection, NoReply):
            ask(connection)


def test_end_of_file_within_a_reply(path: Path) -> None:
    def half(connection: socket.socket) -> None:
        read_line(connection)
        connection.sendall(b"msu")

    with ScriptedChild(path, half):
        connection = connect(path)
        with raised_and_closed(connection, NoReply):
            ask(connection)


def test_reset_within_a_reply(path: Path) -> None:
    def half_over_unread_bytes(connection: socket.socket) -> None:
        readable(connection)
        connection.recv(2)
        connection.sendall(b"msu")

    with ScriptedChild(path, half_over_unread_bytes):
        connection = connect(path)
        with raised_and_closed(connection, NoReply):
            ask(connection)


def test_reply_in_time_is_taken_even_if_the_child_closes_over_unread_bytes(path: Path) -> None:
    def answers_early(connection: socket.socket) -> None:
        readable(connection)
        connection.recv(2)
        connection.sendall(b"error: request too long\n")

    with ScriptedChild(path, answers_early):
        connection = connect(path)
        assert ask(connection) == b"error: request too long"
    connection.close()


def test_no_reply_in_time(path: Path) -> None:
    with ScriptedChild(path, silent):
        connection = connect(path)
        with raised_and_closed(connection, NoReply):
            ask(connection, seconds=0.05)


def test_child_that_does_not_read_a_long_line(path: Path) -> None:
    with full_backlog(path) as listener:
        listener.accept()[0].close()  # makes room for one that is never accepted
        connection = connect(path)
        with raised_and_closed(connection, NoReply):
            ask(connection, b"x" * 4_000_000 + b"\n", seconds=0.05)


def test_two_replies_to_one_request(path: Path) -> None:
    with ScriptedChild(path, answers(b"one\ntwo\n")):
        connection = connect(path)
        with raised_and_closed(connection, NoReply):
            ask(connection)


def test_reply_longer_than_allowed(path: Path) -> None:
    def endless(connection: socket.socket) -> None:
        read_line(connection)
        with suppress(OSError):
            while True:
                connection.sendall(b"x" * 65536)

    with ScriptedChild(path, endless):
        connection = connect(path)
        with raised_and_closed(connection, NoReply):
            ask(connection)


def test_dripping_reply_does_not_prolong_the_wait(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of the limit passes with each byte; whoever waits for the end gets a reply."""
    monkeypatch.setattr("lonnet.connection.monotonic", clock)
    dripped = []

    def drips(connection: socket.socket) -> None:
        read_line(connection)
        end = monotonic() + PATIENCE
        while monotonic() < end:
            if select.select([connection], [], [], 0.01)[0]:
                return  # the caller has closed
            clock.advance(PATIENCE / 10)
            with suppress(OSError):
                dripped.append(connection.send(b"x"))
        connection.sendall(b"\n")

    with ScriptedChild(path, drips):
        connection = Connection(str(path), clock() + PATIENCE, MAX_REPLY)
        with raised_and_closed(connection, NoReply):
            connection.exchange(b"ping\n", PATIENCE, clock() + PATIENCE)
    assert len(dripped) > 2


def test_reply_in_pieces(path: Path) -> None:
    def byte_by_byte(connection: socket.socket) -> None:
        read_line(connection)
        for byte in b"a reply\n":
            connection.sendall(bytes([byte]))
        answers(b"another\n")(connection)

    with ScriptedChild(path, byte_by_byte):
        connection = connect(path)
        assert ask(connection) == b"a reply"
        assert ask(connection) == b"another"
        connection.close()


def limits_of(connection: Connection) -> list[float]:
    options = (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO)
    set_ = [struct.unpack("ll", connection._socket.getsockopt(socket.SOL_SOCKET, o, 16)) for o in options]
    return [seconds + microseconds / 1e6 for seconds, microseconds in set_]


@pytest.mark.parametrize(("request_size", "reply_size"), [(1_000_000, 0), (0, 1_000_000), (1_000_000, 1_000_000)])
def test_limit_is_whole_again_after_a_long_exchange(path: Path, request_size: int, reply_size: int) -> None:
    with (
        ScriptedChild(path, answers(b"x" * reply_size + b"\n", b"short\n")),
        closing(connect(path)) as connection,
    ):
        connection.exchange(b"x" * request_size + b"\n", PATIENCE, monotonic() + PATIENCE / 2)
        assert min(limits_of(connection)) <= PATIENCE / 2
        ask(connection)
        assert limits_of(connection) == [PATIENCE, PATIENCE]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 32767, 32768, 1_048_576])
def test_lines_of_all_lengths_pass_both_ways(path: Path, size: int) -> None:
    with ScriptedChild(path, echoes):
        connection = connect(path)
        for _ in range(2):
            assert ask(connection, b"x" * size + b"\n") == b"x" * size
        connection.close()


@given(replies=st.lists(st.binary(max_size=6000).map(lambda b: b.replace(b"\n", b"")), min_size=1, max_size=8))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_but_lf_are_a_reply(path: Path, replies: list[bytes]) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
    with ScriptedChild(path, answers(*(reply + b"\n" for reply in replies))):
        connection = connect(path)
        assert [ask(connection) for _ in replies] == replies
        connection.close()


# Signals: the tests run in the main thread, where Python's handlers do.


def ring() -> None:
    """Send SIGALRM again and again: the first one may come a moment before the wait that it shall end."""
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)


@contextmanager
def alarm(action: Callable[[], None]) -> Iterator[None]:
    old = signal.signal(signal.SIGALRM, lambda *_: action())
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def test_signal_does_not_end_the_wait(path: Path) -> None:
    seen: list[bool] = []

    def answers_after_the_signal(connection: socket.socket) -> None:
        read_line(connection)
        ring()
        while not seen:
            select.select([connection], [], [], 0.01)
        connection.sendall(b"msul1\n")

    with ScriptedChild(path, answers_after_the_signal), alarm(lambda: seen.append(True)):
        connection = connect(path)
        assert ask(connection) == b"msul1"
        connection.close()


class Interrupted(Exception):
    """What a signal handler of the caller's raises."""


def give_up() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    raise Interrupted


def test_handler_that_raises_closes_the_connection(path: Path) -> None:
    def rings(connection: socket.socket) -> None:
        assert read_line(connection)
        ring()
        assert read_line(connection) == b""

    with ScriptedChild(path, rings), alarm(give_up):
        connection = connect(path)
        with raised_and_closed(connection, Interrupted):
            ask(connection)


def test_handler_that_raises_within_a_reply_closes_the_connection(path: Path) -> None:
    def begins(connection: socket.socket) -> None:
        read_line(connection)
        connection.sendall(b"msu")
        ring()
        assert read_line(connection) == b""

    script: Script = begins
    with ScriptedChild(path, script), alarm(give_up):
        connection = connect(path)
        with raised_and_closed(connection, Interrupted):
            ask(connection)


def test_seconds_left() -> None:
    assert 0 < seconds_left(monotonic() + 5) <= 5
    with pytest.raises(NoReply):
        seconds_left(monotonic())
