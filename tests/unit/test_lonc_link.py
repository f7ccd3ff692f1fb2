"""The link of a lonc child against the other role's protocol."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from common.config import Config
from common.hosts_table import Host
from common.link_states import Event, Requests
from common.loop import READ, Loop
from common.protocol import LondConnection
from lonc.link import Link

PEER = Host("msul1", "msu", "library", "zaphod.example.org", "127.0.0.1")
KEY = b"54321A0DF99EB00CAB7DD0BA98765"


class Asked:
    """A request that remembers its reply."""

    def __init__(self, command: bytes, encrypt: bool = False) -> None:
        self.command, self.encrypt, self.size = command, encrypt, 0
        self.reply: bytes | None = None

    def answered(self, reply: bytes) -> None:
        self.reply = reply


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def with_message_boundaries() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets; each send is one message, so that sends can be counted."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def over_tcp() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that end as those of two hosts do."""
    with socket.create_server((PEER.ip, 0)) as listener:
        return socket.create_connection(listener.getsockname()), listener.accept()[0]


class Pair:
    """A link and the lond it talks to."""

    def __init__(
        self,
        host: str = "msul1",
        options: frozenset[str] = frozenset(),
        config: Config | None = None,
        connected: Callable[[], tuple[socket.socket, socket.socket]] = with_message_boundaries,
    ) -> None:
        self.clock = Clock()
        self.loop = Loop(self.clock)
        self.ups = 0
        self.losses: list[tuple[str, bool]] = []
        self.lond = LondConnection(host, "msua1", 1 << 20, b"4711", lambda: KEY)
        ours, self.channel = connected()
        ours.setblocking(False)
        self.channel.settimeout(5)
        self.link = Link(
            self.loop, config or Config(host_id="msua1"), "msua1", PEER, options, "", self.on_up, self.on_lost
        )
        self.link._socket = ours
        self.loop.watch(ours, READ, self.link._on_ready)
        self.link._send(self.link._protocol.outgoing())

    def on_up(self) -> None:
        self.ups += 1

    def on_lost(self, reason: str, suspicious: bool) -> None:
        self.losses.append((reason, suspicious))

    def serve_one(self) -> list[Event]:
        """Take one message as lond, answer the dialogue, let the link take its turn."""
        events = self.lond.receive(self.channel.recv(1 << 20))
        for event in events:
            if isinstance(event, Requests):
                self.channel.send(b"".join(self.lond._ids[0].encode() + b"\n" for _ in event.commands))
            elif hasattr(event, "build_key"):
                self.channel.send(event.build_key + b"\n")
        if out := self.lond.outgoing():
            self.channel.send(out)
        self.loop.turn()
        return events

    def come_up(self) -> None:
        for _ in range(4):  # init, the echo, ping, ekey
            self.serve_one()

    def close(self) -> None:
        self.link.close()
        self.channel.close()
        self.loop.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def test_it_comes_up_after_the_key_exchange(pair: Pair) -> None:
    pair.come_up()
    assert (pair.ups, pair.losses, pair.link.up) == (1, [], True)


def test_all_requests_of_a_turn_leave_with_one_send_and_all_replies_come_with_one_recv(pair: Pair) -> None:
    pair.come_up()
    requests = [Asked(b"command%d" % number, encrypt=number % 7 == 0) for number in range(200)]
    for request in requests:
        pair.link.submit(request)
    pair.link.flush()
    (event,) = pair.lond.receive(pair.channel.recv(1 << 20))
    assert event == Requests([(request.command, request.encrypt) for request in requests])
    pair.channel.send(b"".join(b"reply%d\n" % number for number in range(200)))
    pair.loop.turn()
    assert [request.reply for request in requests] == [b"reply%d" % number for number in range(200)]
    assert pair.link.pending_bytes == 0 and not pair.link.pending


@pytest.mark.parametrize(
    ("options", "config", "room_for"),
    [
        (frozenset(), Config(host_id="msua1", window=5), 5),
        (frozenset({"classic-serial"}), Config(host_id="msua1"), 1),
        (frozenset(), Config(host_id="msua1", window_bytes=65536), 65536 // 1001 + 1),
    ],
)
def test_the_window(options: frozenset[str], config: Config, room_for: int) -> None:
    pair = Pair(options=options, config=config)
    try:
        pair.come_up()
        sent = 0
        while pair.link.room:
            pair.link.submit(Asked(b"x" * 1000))
            sent += 1
        assert sent == room_for
    finally:
        pair.close()


def test_a_peer_that_answers_as_another_host_is_not_taken() -> None:
    pair = Pair(host="msul2")
    try:
        for _ in range(3):
            pair.serve_one()
        assert pair.losses == [("wrong host: 127.0.0.1 answers as msul2", False)]
    finally:
        pair.close()


def test_unless_the_table_says_that_it_is_an_alias() -> None:
    pair = Pair(host="msul2", options=frozenset({"alias"}))
    try:
        pair.come_up()
        request = Asked(b"ping", encrypt=True)
        pair.link.submit(request)
        pair.link.flush()
        assert pair.serve_one() == [Requests([(b"ping", True)])]  # the key is made of the id that lond told
        assert request.reply == b"msul2"
    finally:
        pair.close()


def test_silence_is_answered_with_one_ping_and_then_with_the_end(pair: Pair) -> None:
    pair.come_up()
    pair.clock.now += 9.9
    pair.link.check_alive()
    assert not pair.link.pending
    for _ in range(3):
        pair.clock.now += 5
        pair.link.check_alive()
        pair.link.flush()
    assert [request.command for request in pair.link.pending] == [b"ping"]
    pair.clock.now += 6
    pair.link.check_alive()
    assert pair.losses == [("nothing received for 31 s", True)]


def test_only_received_bytes_count_as_life(pair: Pair) -> None:
    pair.come_up()
    for _ in range(7):  # requests go out all the time, but nothing comes back
        pair.clock.now += 5
        pair.link.check_alive()
        if not pair.losses:
            pair.link.submit(Asked(b"load"))
            pair.link.flush()
    assert [reason for reason, _ in pair.losses] == ["nothing received for 30 s"]


def test_what_came_while_the_process_was_stopped_counts_as_life(pair: Pair) -> None:
    pair.come_up()
    request = Asked(b"command")
    pair.link.submit(request)
    pair.link.flush()
    pair.channel.send(b"ok\n")
    pair.clock.now += 31
    pair.link.check_alive()  # timers are first in a turn
    assert (request.reply, pair.losses) == (b"ok", [])


@pytest.mark.parametrize(
    ("bytes_", "reason"),
    [
        (b"unasked\n", "protocol violated: a reply came that nobody asked for"),
        (b"", "the other side closed the link"),
    ],
)
def test_the_end_is_told_once(pair: Pair, bytes_: bytes, reason: str) -> None:
    pair.come_up()
    if bytes_:
        pair.channel.send(bytes_)
    else:
        pair.channel.shutdown(socket.SHUT_WR)
    pair.loop.turn()
    pair.link.check_alive()
    assert pair.losses == [(reason, True)]


def test_replies_that_came_before_the_connection_broke_are_handed_out() -> None:
    """A lond that ends with a request unread has its kernel reset the link, right behind its last replies."""
    pair = Pair(connected=over_tcp)
    try:
        pair.come_up()
        requests = [Asked(b"command%d" % number) for number in range(7)]
        for request in requests[:6]:
            pair.link.submit(request)
        pair.link.flush()
        executed = b"".join(request.command + b"\n" for request in requests[:5])
        assert pair.channel.recv(len(executed)) == executed
        pair.channel.sendall(b"ok\n" * 5)
        pair.channel.close()
        pair.link.submit(requests[6])
        pair.link.flush()  # fails, before anything was received in this turn
        assert [request.reply for request in requests] == [b"ok"] * 5 + [None] * 2
        assert len(pair.losses) == 1
    finally:
        pair.close()


def test_replies_that_came_before_it_is_closed_are_handed_out(pair: Pair) -> None:
    pair.come_up()
    requests = [Asked(b"command%d" % number) for number in range(3)]
    for request in requests:
        pair.link.submit(request)
    pair.link.flush()
    for _ in range(2):
        pair.channel.send(b"ok\n")
    pair.link.close()
    assert [request.reply for request in requests] == [b"ok", b"ok", None]
    assert pair.losses == []


def test_a_stranger_is_told_what_it_probably_is(pair: Pair) -> None:
    pair.channel.shutdown(socket.SHUT_WR)
    pair.loop.turn()
    assert pair.losses == [("refused without a word: our address is probably not in its hosts.tab", True)]


def test_a_key_exchange_has_a_time_limit(pair: Pair) -> None:
    pair.link.loop.call_later(10, pair.link._check_up)  # what connect() does
    pair.clock.now += 10.1
    pair.loop.call_later(0, lambda: None)
    pair.loop.turn()
    assert pair.losses == [("no key exchange within 10 s", False)]


def test_a_closed_link_is_reset() -> None:
    """Then nothing that was written to it arrives later."""
    loop = Loop(Clock())
    with socket.create_server((PEER.ip, 0)) as listener:
        config = Config(host_id="msua1", lond_port=listener.getsockname()[1])
        link = Link(loop, config, "msua1", PEER, frozenset(), "", lambda: None, lambda *_: None)
        link.connect()
        channel, _ = listener.accept()
        loop.turn()
    with channel:
        assert channel.recv(100).startswith(b"init")
        link.close()
        with pytest.raises(ConnectionResetError):
            channel.recv(100)
    loop.close()
