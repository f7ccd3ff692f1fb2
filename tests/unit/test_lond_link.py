"""The link as lond serves it: a connection on loopback, its peer's end in the test's hands."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

import pytest

from common.config import Config
from common.crypto import LinkCipher
from common.hosts_table import Host
from common.loop import Loop
from lonc.link import RESET
from lond.commands.registry import Pending
from lond.lingering import DROPPED_BYTES, LINGER
from lond.link import UNSENT_BYTES, Link, Packed

PEER = Host("msua1", "msu", "access", "arthur.example.org", "127.0.0.1")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Served:
    """An open link; it answers each request with ``ok``, or with what `replies` has for it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.loop = Loop(self.clock)
        self.executed: list[bytes] = []
        self.replies: dict[bytes, bytes] = {}
        self.most = 1024  # requests that are executed as one batch
        self.refusals: list[str] = []
        self.ends = 0
        with socket.create_server((PEER.ip, 0)) as listener:
            self.peer = socket.create_connection(listener.getsockname())
            channel, _ = listener.accept()
        self.peer.settimeout(5)
        packed = Packed(PEER.id, "", "", "")
        self.link = Link(
            self.loop, Config(host_id="msul1"), "msul1", PEER, channel, self, lambda _session: self.execute, packed
        )

    def execute(self, requests: Sequence[tuple[bytes, bool]]) -> list[bytes | Pending]:
        commands = [command for command, _ in requests[: self.most]]
        self.executed += commands
        return [self.replies.get(command, b"ok") for command in commands]

    def on_open(self) -> None:
        """It was open from the beginning."""

    def on_refused(self, reason: str) -> None:
        self.refusals.append(reason)

    def on_closed(self) -> None:
        self.ends += 1

    def turn(self) -> None:
        """One turn of the loop, also if nothing is ready."""
        self.loop.call_later(0, lambda: None)
        self.loop.turn()

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.turn()

    def close(self) -> None:
        self.peer.close()
        self.link.close()
        self.pass_time(LINGER)
        self.loop.close()


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


@pytest.mark.parametrize(("last", "reply"), [(b"", b""), (b"exit\n", b"bye\n")])
def test_no_more_replies_are_made_than_the_peer_takes(served: Served, last: bytes, reply: bytes) -> None:
    served.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 524288)  # else the kernel takes many megabytes
    served.link._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 524288)
    served.replies, served.most = {b"dump": b"x" * UNSENT_BYTES}, 1
    served.peer.sendall(b"dump\n" * 40 + last)
    served.turn()
    assert len(served.executed) < 10
    expected = (served.replies[b"dump"] + b"\n") * 40 + reply
    received = bytearray()
    while len(received) < len(expected) and (piece := served.peer.recv(1 << 20)):
        received += piece
        served.turn()
    assert hash(bytes(received)) == hash(expected)  # forty megabytes are not to be shown


def test_each_request_is_answered_under_the_key_of_its_time(served: Served) -> None:
    framed: list[bytes] = []

    def execute(requests: Sequence[tuple[bytes, bool]]) -> list[bytes | Pending]:
        assert served.link.session.frame is not None
        framed.extend(served.link.session.frame(command) for command, _ in requests)
        return [b"ok"] * len(requests)

    served.link._execute = execute
    served.peer.sendall(b"ekey\none\nekey\ntwo\nexit\n")
    served.turn()
    first, _, second, *_ = until_closed(served.peer).split(b"\n")
    assert first != second
    assert framed == [
        LinkCipher("msul1", PEER.id, first).frame(b"one"),
        LinkCipher("msul1", PEER.id, second).frame(b"two"),
    ]


def until_closed(channel: socket.socket) -> bytes:
    return b"".join(iter(lambda: channel.recv(65536), b""))


def drain_with_a_request_unread(served: Served) -> None:
    served.peer.sendall(b"one\ntwo\n")
    served.turn()
    served.link.drain()
    served.peer.sendall(b"three\n")
    served.turn()


def test_the_last_replies_arrive_though_requests_are_unread(served: Served) -> None:
    drain_with_a_request_unread(served)
    assert until_closed(served.peer) == b"ok\nok\n"  # the end of a reset connection would be an error
    assert served.executed == [b"one", b"two"]


def test_the_link_is_over_when_the_peer_has_closed_too(served: Served) -> None:
    drain_with_a_request_unread(served)
    served.turn()
    assert served.ends == 0
    served.peer.close()
    served.turn()
    assert served.ends == 1 and served.link.fileno() < 0


def test_a_peer_that_does_not_close_is_not_waited_for(served: Served) -> None:
    drain_with_a_request_unread(served)
    served.pass_time(LINGER - 0.1)
    assert served.ends == 0
    served.pass_time(0.2)
    assert served.ends == 1
    with pytest.raises(ConnectionError):
        for _ in range(2):  # the first one may be taken before the reset has come
            served.peer.sendall(b"four\n")


def test_a_peer_that_goes_on_sending_is_not_read_for_ever(served: Served) -> None:
    drain_with_a_request_unread(served)
    sent = 0
    with pytest.raises(ConnectionError):
        while sent < 10 * DROPPED_BYTES:
            sent += served.peer.send(b"x" * 65536)
            served.turn()
    assert sent >= DROPPED_BYTES and served.ends == 1


@pytest.mark.parametrize(
    ("last", "reply", "refusals"),
    [(b"exit\n", b"bye\n", []), (b"enc:x\n", b"error: no key\n", ["no key"])],
)
def test_what_ends_a_link_is_answered(served: Served, last: bytes, reply: bytes, refusals: list[str]) -> None:
    served.peer.sendall(b"one\n" + last)
    served.turn()
    served.peer.sendall(b"never executed\n")
    served.turn()
    assert until_closed(served.peer) == b"ok\n" + reply
    assert (served.executed, served.refusals) == ([b"one"], refusals)


def test_a_peer_that_is_gone_ends_the_link_at_once(served: Served) -> None:
    served.link.drain()
    served.peer.close()
    served.turn()
    served.turn()
    assert served.ends == 1


def give_up(channel: socket.socket) -> None:
    """Close as lonc does: the connection is reset."""
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    channel.close()


def test_what_a_reset_link_has_left_unread_is_not_executed(served: Served) -> None:
    served.peer.sendall(b"one\n")
    give_up(served.peer)
    served.turn()
    assert (served.executed, served.ends, served.refusals) == ([], 1, [])


def test_what_was_read_from_a_link_before_its_reset_is_not_executed(served: Served) -> None:
    def execute(requests: Sequence[tuple[bytes, bool]]) -> list[bytes | Pending]:
        served.executed.append(requests[0][0])
        give_up(served.peer)
        return [Pending()]

    served.link._execute = execute
    served.peer.sendall(b"one\ntwo\n")
    served.turn()
    assert (served.executed, served.ends) == ([b"one"], 1)
