"""The wire as state machines: golden dialogues in every chunking, both ends joined in memory, limits, violations."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.crypto import LinkCipher
from common.errors import LocalProtocolError, PeerProtocolError
from common.lines import Lines
from common.link_states import (
    TABLE,
    Accepted,
    Challenged,
    Departed,
    Echoed,
    Event,
    Failed,
    Greeted,
    Identified,
    KeyBuilt,
    Refused,
    Replies,
    Requests,
    State,
)
from common.protocol import MAX_HANDSHAKE_LINE, Connection, LoncConnection, LondConnection
from tests.helpers.soaking import TIMES

CHALLENGE = b"12345678901234567890"
KEY = b"54321A0DF99EB00CAB7DD0BA98765"
OTHER_KEY = b"98765ABCDEF0123456789ABCDEF98765"
PING, PONG = b"enc:4:3519a5adb04ebb8f", b"enc:8:894e174a75997a34625a4508e0ee3a70"
AUTH = b"enc:21:aecbc16f71e1eae9632bab034a0a94e56b2a0ad29a67856f"
MAX_REQUEST, MAX_REPLY = 5000, 6000
SEED = random.randrange(1 << 32)


def a_lond(keys: Iterable[bytes] = (KEY, OTHER_KEY), challenge: bytes = CHALLENGE) -> LondConnection:
    return LondConnection("msul1", "msul2", MAX_REQUEST, challenge, iter(keys).__next__)


def a_lonc() -> LoncConnection:
    lonc = LoncConnection("msul2", MAX_REPLY)
    assert lonc.outgoing() == b"init\n"
    return lonc


def open_lond() -> LondConnection:
    lond = a_lond()
    lond.receive(b"init\n" + CHALLENGE + b"\n")
    lond.outgoing()
    return lond


def keyed_lond() -> LondConnection:
    lond = open_lond()
    assert lond.receive(b"ekey\n") == [KeyBuilt(KEY)]
    return lond


def keyed_lonc(outstanding: int = 0) -> LoncConnection:
    lonc = a_lonc()
    lonc.receive(CHALLENGE + b"\nok\nmsul1\n" + KEY + b"\n")
    lonc.outgoing()
    for _ in range(outstanding):
        lonc.request(b"ping", encrypt=False)
    return lonc


def joined(events: Iterable[Event]) -> list[object]:
    """The same for every chunking: neighbouring batches as one, errors by their text."""
    result: list[object] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, Requests) and isinstance(last, Requests):
            result[-1] = Requests(last.commands + event.commands)
        elif isinstance(event, Replies) and isinstance(last, Replies):
            result[-1] = Replies(last.lines + event.lines)
        elif isinstance(event, Failed):
            result.append(("failed", str(event.error)))
        else:
            result.append(event)
    return result


def fed(connection: Connection, chunks: Iterable[bytes]) -> list[object]:
    return joined(event for chunk in chunks for event in connection.receive(chunk))


# --- golden dialogues -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """What comes from the other side, which events that makes, and what is to be written then."""

    received: bytes
    events: list[Event] = field(default_factory=list)
    sent: bytes = b""


@dataclass(frozen=True)
class Asked:
    """lonc's owner sends a request: the bytes on the wire."""

    command: bytes
    encrypt: bool
    wire: bytes


CHALLENGED = Step(b"init\n", [Greeted("")], CHALLENGE + b"\n")
ECHOED = Step(CHALLENGE + b"\n", [Accepted()], b"ok\n")
EKEY = Step(b"ekey\n", [KeyBuilt(KEY)])

LOND: dict[str, list[Step]] = {
    "our lonc": [
        CHALLENGED,
        ECHOED,
        Step(b"ping\n", [Requests([(b"ping", False)])]),
        EKEY,
        Step(PING + b"\n", [Requests([(b"ping", True)])]),
        Step(b"load\nuserload\n", [Requests([(b"load", False), (b"userload", False)])]),
        Step(AUTH + b"\n" + PONG + b"\n", [Requests([(b"auth:msu:smith:secret", True), (b"pong1234", True)])]),
        Step(b"exit\n", [Departed()]),
    ],
    "old lonc, quits": [
        CHALLENGED,
        ECHOED,
        Step(b"pong\n", [Requests([(b"pong", False)])]),
        EKEY,
        Step(b"quit\n", [Departed()]),
    ],
    "later lonc, CR LF": [
        Step(b"init::2.11.4\r\n", [Greeted("2.11.4")], CHALLENGE + b"\n"),
        Step(CHALLENGE + b"\r\n", [Accepted()], b"ok\n"),
        Step(b"version:2.11.4\r\n", [Requests([(b"version:2.11.4", False)])]),
        Step(b"sethost:msul2\r\n", [Requests([(b"sethost:msul2", False)])]),
        Step(b"ekey\r\n", [KeyBuilt(KEY)]),
        Step(PING + b"\r\n", [Requests([(b"ping", True)])]),
    ],
    "local authentication is answered with the plain challenge": [
        Step(b"init:local:/tmp/x\n", [Greeted("local:/tmp/x")], CHALLENGE + b"\n"),
        ECHOED,
    ],
    "TLS is answered with the plain challenge": [
        Step(b"init:ssl:2.9\n", [Greeted("ssl:2.9")], CHALLENGE + b"\n"),
        ECHOED,
    ],
    "TLS without more": [Step(b"init:ssl\n", [Greeted("ssl")], CHALLENGE + b"\n"), ECHOED],
    "two keys": [
        CHALLENGED,
        ECHOED,
        EKEY,
        Step(PING + b"\n", [Requests([(b"ping", True)])]),
        Step(b"ekey\n", [KeyBuilt(OTHER_KEY)]),
        Step(
            LinkCipher("msul1", "msul2", OTHER_KEY).frame(b"home:msu:smith") + b"\n",
            [Requests([(b"home:msu:smith", True)])],
        ),
    ],
    "wrong echo": [CHALLENGED, Step(b"4711\n", [Refused("wrong answer to the challenge")], b"refused\n")],
    "empty echo": [CHALLENGED, Step(b"\n", [Refused("wrong answer to the challenge")], b"refused\n")],
    "another first line": [Step(b"GET / HTTP/1.0\n", [Refused("first line is not init")], b"refused\n")],
    "empty first line": [Step(b"\n", [Refused("first line is not init")], b"refused\n")],
    "only alike": [Step(b"initial\n", [Refused("first line is not init")], b"refused\n")],
    "link words with arguments are commands": [
        CHALLENGED,
        ECHOED,
        Step(b"ekey:1\nexit:1\nEXIT\n", [Requests([(b"ekey:1", False), (b"exit:1", False), (b"EXIT", False)])]),
        Step(b"\n", [Requests([(b"", False)])]),
    ],
    "encrypted before the key": [CHALLENGED, ECHOED, Step(PING + b"\n", [Failed(PeerProtocolError("no key"))])],
    "malformed frame": [
        CHALLENGED,
        ECHOED,
        EKEY,
        Step(b"enc:4:xyz\n", [Failed(PeerProtocolError("encrypted line is not enc:LENGTH:HEX"))]),
    ],
}

SET_UP = [
    Step(CHALLENGE + b"\n", [], CHALLENGE + b"\n"),
    Step(b"ok\n", [Accepted()], b"ping\n"),
    Step(b"msul1\n", [Identified("msul1")], b"ekey\n"),
    Step(KEY + b"\n", [KeyBuilt(KEY)]),
]
LONC: dict[str, list[Step | Asked]] = {
    "clear and encrypted": [
        *SET_UP,
        Asked(b"ping", True, PING + b"\n"),
        Step(b"msul1\n", [Replies([b"msul1"])]),
        Asked(b"load", False, b"load\n"),
        Asked(b"eget:msu:smith:env:a", True, LinkCipher("msul1", "msul2", KEY).frame(b"eget:msu:smith:env:a") + b"\n"),
        Step(b"12\n" + PONG + b"\r\n", [Replies([b"12", b"pong1234"])]),
    ],
    "empty reply": [*SET_UP, Asked(b"get:a:b:c:d", False, b"get:a:b:c:d\n"), Step(b"\n", [Replies([b""])])],
    "CR LF": [
        Step(CHALLENGE + b"\r\n", [], CHALLENGE + b"\n"),
        Step(b"ok\r\n", [Accepted()], b"ping\n"),
        Step(b"msul1\r\n", [Identified("msul1")], b"ekey\n"),
        Step(KEY + b"\r\n", [KeyBuilt(KEY)]),
    ],
    "refused at once": [Step(b"refused\n", [Refused("the other side does not accept our address")])],
    "refused after the echo": [
        SET_UP[0],
        Step(b"refused\n", [Refused("the other side did not accept our answer to its challenge")]),
    ],
    "challenge with letters": [Step(b"12a\n", [Failed(PeerProtocolError("challenge is not a number"))])],
    "empty challenge": [Step(b"\n", [Failed(PeerProtocolError("challenge is not a number"))])],
    "long challenge": [Step(b"1" * 65 + b"\n", [Failed(PeerProtocolError("challenge is not a number"))])],
    "longest challenge": [Step(b"1" * 64 + b"\n", [], b"1" * 64 + b"\n")],
    "no host id": [*SET_UP[:2], Step(b"\n", [Failed(PeerProtocolError("the other side did not tell its host id"))])],
    "short build key": [
        *SET_UP[:3],
        Step(b"x" * 21 + b"\n", [Failed(PeerProtocolError("build key is too short or not printable"))]),
    ],
    "shortest build key": [*SET_UP[:3], Step(b"x" * 22 + b"\n", [KeyBuilt(b"x" * 22)])],
    "unprintable build key": [
        *SET_UP[:3],
        Step(KEY + b"\x07\n", [Failed(PeerProtocolError("build key is too short or not printable"))]),
    ],
    "unsolicited reply": [
        *SET_UP,
        Step(b"hello\n", [Failed(PeerProtocolError("a reply came that nobody asked for"))]),
    ],
    "more replies than requests": [
        *SET_UP,
        Asked(b"ping", False, b"ping\n"),
        Step(b"msul1\n", [Replies([b"msul1"])]),
        Step(b"msul1\n", [Failed(PeerProtocolError("a reply came that nobody asked for"))]),
    ],
}


def whole(data: bytes) -> list[bytes]:
    return [data]


def lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def single_bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def random_chunks(data: bytes) -> list[bytes]:
    chance = random.Random(SEED)
    cuts = sorted(chance.choices(range(len(data) + 1), k=chance.randrange(1, 12)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


CHUNKINGS = [whole, lines, single_bytes, random_chunks]


@pytest.mark.parametrize("trailing", [b"", b"par", b"par\r"], ids=repr)
@pytest.mark.parametrize("chunking", CHUNKINGS)
@pytest.mark.parametrize("name", LOND)
def test_golden_dialogues_of_lond(
    name: str, chunking: Callable[[bytes], list[bytes]], trailing: bytes, record_property: Callable[[str, object], None]
) -> None:
    record_property("seed", SEED)
    steps, lond = LOND[name], a_lond()
    data = b"".join(step.received for step in steps) + trailing
    assert fed(lond, chunking(data)) == joined(event for step in steps for event in step.events), SEED
    assert lond.outgoing() == b"".join(step.sent for step in steps)
    assert lond.outgoing() == b""
    if lond.state is not State.CLOSED:
        assert lond.unread == trailing


@pytest.mark.parametrize("chunking", CHUNKINGS)
@pytest.mark.parametrize("name", LONC)
def test_golden_dialogues_of_lonc(name: str, chunking: Callable[[bytes], list[bytes]]) -> None:
    lonc = a_lonc()
    for step in LONC[name]:
        if isinstance(step, Asked):
            assert lonc.request(step.command, step.encrypt) == step.wire
        else:
            assert fed(lonc, chunking(step.received)) == joined(step.events), SEED
            assert lonc.outgoing() == step.sent


@pytest.mark.parametrize("chunking", CHUNKINGS)
def test_lonc_takes_a_whole_set_up_that_came_early(chunking: Callable[[bytes], list[bytes]]) -> None:
    lonc = a_lonc()
    data = b"".join(step.received for step in SET_UP)
    assert fed(lonc, chunking(data + b"part of a repl")) == [Accepted(), Identified("msul1"), KeyBuilt(KEY)], SEED
    assert lonc.outgoing() == CHALLENGE + b"\nping\nekey\n"


def test_all_that_is_readable_at_once_is_one_batch() -> None:
    lond = keyed_lond()
    assert lond.receive(b"a\nb\n" + PING + b"\nc\nd") == [
        Requests([(b"a", False), (b"b", False), (b"ping", True), (b"c", False)])
    ]
    lonc = keyed_lonc(outstanding=3)
    assert lonc.receive(b"1\n2\n" + PONG + b"\n") == [Replies([b"1", b"2", b"pong1234"])]


def test_a_link_command_parts_the_batches_around_it() -> None:
    assert open_lond().receive(b"a\nekey\nb\nexit\nc\n") == [
        Requests([(b"a", False)]),
        KeyBuilt(KEY),
        Requests([(b"b", False)]),
        Departed(),
    ]


def test_what_stood_before_a_violation_is_handed_over_first() -> None:
    events = keyed_lond().receive(b"a\nb\nenc:bad\nc\n")
    assert joined(events) == [
        Requests([(b"a", False), (b"b", False)]),
        ("failed", "encrypted line is not enc:LENGTH:HEX"),
    ]


@pytest.mark.parametrize("bad", [b"unasked\n", b"enc:bad\n"])
def test_replies_before_a_violation_are_handed_over_first(bad: bytes) -> None:
    lonc = keyed_lonc(outstanding=1 if bad.startswith(b"un") else 2)
    events = lonc.receive(b"msul1\n" + bad)
    assert events[0] == Replies([b"msul1"])
    assert isinstance(events[1], Failed)


# --- both ends --------------------------------------------------------------------------------------------


class ConnectionPair:
    """Both ends of a link, joined in memory; `answer` is what lond's owner does with commands."""

    def __init__(self, answer: Callable[[bytes, bool], bytes], cut: Callable[[bytes], list[bytes]] = whole) -> None:
        self.lonc, self.lond = LoncConnection("msul2", MAX_REPLY), a_lond()
        self.seen_by_lonc: list[Event] = []
        self.seen_by_lond: list[Event] = []
        self.wire: list[bytes] = []
        self._answer, self._cut = answer, cut
        self._to_lond, self._to_lonc = b"", b""

    def write(self, data: bytes) -> None:
        """lonc's owner writes."""
        self._to_lond += data

    def run(self) -> None:
        """Carry bytes until nobody has anything to say."""
        while True:
            to_lond = self.lonc.outgoing() + self._to_lond
            self._to_lond = b""
            self._deliver(to_lond)
            to_lonc = self._to_lonc
            self._to_lonc = b""
            self.wire += [to_lond, to_lonc]
            for chunk in self._cut(to_lonc):
                self.seen_by_lonc += self.lonc.receive(chunk)
            if not to_lond and not to_lonc:
                return

    def _deliver(self, data: bytes) -> None:
        for chunk in self._cut(data):
            events = self.lond.receive(chunk)
            self._to_lonc += self.lond.outgoing()
            for event in events:
                self._act(event)

    def _act(self, event: Event) -> None:
        self.seen_by_lond.append(event)
        if isinstance(event, Requests):
            self._to_lonc += b"".join(self._answer(*request) + b"\n" for request in event.commands)
        elif isinstance(event, KeyBuilt):
            self._to_lonc += event.build_key + b"\n"
        elif isinstance(event, Departed):
            self._to_lonc += b"bye\n"


def answers_as_lond(command: bytes, encrypted: bool) -> bytes:
    if command == b"ping":
        return b"msul1"
    if command.startswith(b"eget:"):
        return LinkCipher("msul1", "msul2", KEY).frame(b"secret of " + command)
    return b"%s:%d" % (command, encrypted)


@pytest.mark.parametrize("cut", CHUNKINGS)
def test_a_link_comes_up(cut: Callable[[bytes], list[bytes]]) -> None:
    pair = ConnectionPair(answers_as_lond, cut)
    pair.run()
    assert joined(pair.seen_by_lonc) == [Accepted(), Identified("msul1"), KeyBuilt(KEY)]
    assert joined(pair.seen_by_lond) == [Greeted(""), Accepted(), Requests([(b"ping", False)]), KeyBuilt(KEY)]
    assert (pair.lonc.state, pair.lond.state) == (State.KEYED, State.KEYED)


@pytest.mark.parametrize("cut", CHUNKINGS)
def test_many_requests_are_outstanding_and_replies_keep_the_order(cut: Callable[[bytes], list[bytes]]) -> None:
    pair = ConnectionPair(answers_as_lond, cut)
    pair.run()
    pair.seen_by_lonc.clear()
    for number in range(50):
        pair.write(pair.lonc.request(b"c%d" % number, encrypt=number % 3 == 0))
    pair.run()
    assert joined(pair.seen_by_lonc) == [Replies([b"c%d:%d" % (n, n % 3 == 0) for n in range(50)])]


def test_encrypted_both_ways() -> None:
    pair = ConnectionPair(answers_as_lond)
    pair.run()
    pair.wire.clear()
    pair.write(pair.lonc.request(b"eget:msu:smith:env:a", encrypt=True))
    pair.run()
    assert pair.seen_by_lonc[-1] == Replies([b"secret of eget:msu:smith:env:a"])
    assert all(data.startswith(b"enc:") and b"secret" not in data and b"eget" not in data for data in pair.wire if data)


@pytest.mark.parametrize("word", [b"exit", b"quit"])
def test_leaving(word: bytes) -> None:
    pair = ConnectionPair(answers_as_lond)
    pair.run()
    pair.write(pair.lonc.request(b"a", encrypt=False) + pair.lonc.request(word, encrypt=False) + b"late\n")
    pair.run()
    assert pair.seen_by_lond[-2:] == [Requests([(b"a", False)]), Departed()]
    assert pair.seen_by_lonc[-1] == Replies([b"a:0", b"bye"])
    assert pair.lond.state is State.CLOSED


def test_lonc_is_refused_for_a_wrong_echo() -> None:
    lonc, lond = a_lonc(), a_lond()
    lond.receive(b"init\n")
    assert lonc.receive(lond.outgoing().replace(b"1", b"2")) == []
    assert isinstance(lond.receive(lonc.outgoing())[0], Refused)
    assert isinstance(lonc.receive(lond.outgoing())[0], Refused)
    assert lonc.outgoing() == b""


@given(st.lists(st.tuples(st.binary(max_size=60).filter(lambda c: not set(c) & {10, 13}), st.booleans()), max_size=8))
def test_any_encrypted_or_plain_command_arrives_as_it_was(commands: list[tuple[bytes, bool]]) -> None:
    plain_words = (b"enc:", b"ekey", b"exit", b"quit")
    commands = [(c, e) for c, e in commands if e or not c.startswith(plain_words)]
    lond, lonc = keyed_lond(), keyed_lonc()
    data = b"".join(lonc.request(command, encrypt) for command, encrypt in commands)
    assert fed(lond, [data]) == ([Requests(commands)] if commands else [])


# --- any bytes, any chunking ------------------------------------------------------------------------------

GOOD_LINES = [b"init", b"init::2.1", CHALLENGE, b"ping", b"ekey", b"exit", b"quit", PING, AUTH, b"", b"refused", b"ok"]
some_line = st.one_of(st.sampled_from([*GOOD_LINES, b"msul1", KEY, PONG, b"enc:"]), st.binary(max_size=30))
some_end = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b""])
gibberish = st.lists(st.tuples(some_line, some_end).map(b"".join), max_size=12).map(b"".join)
cut_points = st.lists(st.integers(0, 400), max_size=12)
starts = st.sampled_from([0, 1, 2, 3])


def cut(data: bytes, points: list[int]) -> list[bytes]:
    ends = sorted(point for point in points if point < len(data))
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


def check_end(connection: Connection, events: list[object]) -> None:
    failures = [event for event in events if isinstance(event, tuple)]
    assert failures == events[len(events) - len(failures) :] and len(failures) <= 1
    ended = any(isinstance(event, tuple | Refused | Departed) for event in events)
    assert ended == (connection.state is State.CLOSED)
    if ended:
        connection.outgoing()
        assert connection.receive(b"init\nping\n" + b"x" * 100_000) == []
        assert connection.outgoing() == b""


@given(gibberish, cut_points, starts)
@settings(max_examples=300 * TIMES)
def test_lond_does_not_care_how_bytes_are_cut(data: bytes, points: list[int], progress: int) -> None:
    data = b"".join((b"init\n", CHALLENGE + b"\n", b"ekey\n")[:progress]) + data
    lond, same, dripped = a_lond([KEY] * 99), a_lond([KEY] * 99), a_lond([KEY] * 99)
    events = fed(lond, [data])
    assert fed(same, cut(data, points)) == events == fed(dripped, single_bytes(data))
    assert lond.outgoing() == same.outgoing() == dripped.outgoing()
    check_end(lond, events)


def lonc_with_requests(progress: int) -> LoncConnection:
    return keyed_lonc(outstanding=3 * (progress - 1)) if progress else a_lonc()


def failures_alike(events: list[object]) -> list[object]:
    """Of several violations in one chunk lonc may name another one first."""
    return ["failed" if isinstance(event, tuple) else event for event in events]


@given(gibberish, cut_points, starts)
@example(b"\n\n", [1], 1)
@example(b"a\nb\nc\nd\n", [2], 2)
@example(b"a\nenc:\nb\n", [2], 2)
@example(b"refused\n" + b"x" * 2000 + b"\n", [9], 0)
@settings(max_examples=300 * TIMES)
def test_lonc_does_not_care_how_bytes_are_cut(data: bytes, points: list[int], progress: int) -> None:
    lonc, same, dripped = (lonc_with_requests(progress) for _ in range(3))
    events = fed(lonc, [data])
    assert failures_alike(fed(same, cut(data, points))) == failures_alike(events)
    assert failures_alike(fed(dripped, single_bytes(data))) == failures_alike(events)
    assert lonc.outgoing() == same.outgoing() == dripped.outgoing()
    check_end(lonc, events)


@given(st.lists(st.binary(max_size=40)))
def test_lines_are_those_of_the_whole(chunks: list[bytes]) -> None:
    lines = Lines(10_000)
    *complete, rest = b"".join(chunks).split(b"\n")
    assert [line for chunk in chunks for line in lines.feed(chunk)] == [line.removesuffix(b"\r") for line in complete]
    assert (lines.partial, lines.partial_length, lines.overflown) == (rest, len(rest), False)


# --- limits -----------------------------------------------------------------------------------------------


def lonc_after(*received: bytes) -> Callable[[], Connection]:
    def make() -> Connection:
        lonc = a_lonc()
        lonc.receive(b"".join(received))
        return lonc

    return make


def lond_challenged() -> Connection:
    lond = a_lond()
    lond.receive(b"init\n")
    return lond


AT_LIMIT: dict[str, tuple[Callable[[], Connection], int, bytes]] = {
    "lond start": (a_lond, MAX_HANDSHAKE_LINE, b"init:"),
    "lond challenged": (lond_challenged, MAX_HANDSHAKE_LINE, b"1"),
    "lond open": (open_lond, MAX_REQUEST, b"put:"),
    "lond keyed": (keyed_lond, MAX_REQUEST, b"put:"),
    "lonc greeted": (a_lonc, MAX_HANDSHAKE_LINE, b"1"),
    "lonc echoed": (lonc_after(CHALLENGE + b"\n"), MAX_HANDSHAKE_LINE, b"ok"),
    "lonc accepted": (lonc_after(CHALLENGE + b"\nok\n"), MAX_HANDSHAKE_LINE, b"msul1"),
    "lonc identified": (lonc_after(CHALLENGE + b"\nok\nmsul1\n"), MAX_HANDSHAKE_LINE, KEY),
    "lonc keyed": (lambda: keyed_lonc(5), MAX_REPLY, b""),
}


def too_long(events: list[object], limit: int) -> bool:
    return any(isinstance(event, tuple) and f"longer than {limit} bytes" in event[1] for event in events)


def ways_to_send(line: bytes, end: bytes) -> list[list[bytes]]:
    half = len(line) // 2
    return [[line + end], [line, end], [line[:half], line[half:] + end], [line[:-1], line[-1:], end]]


@pytest.mark.parametrize("way", range(4))
@pytest.mark.parametrize("place", AT_LIMIT)
def test_a_line_of_just_the_limit_is_taken(place: str, way: int) -> None:
    make, limit, beginning = AT_LIMIT[place]
    line = beginning.ljust(limit, b"x")
    assert not too_long(fed(make(), ways_to_send(line, b"\n")[way]), limit)


@pytest.mark.parametrize("end", [b"\n", b"", b"\nmore\n", b"\n\n\n"], ids=repr)
@pytest.mark.parametrize("way", range(4))
@pytest.mark.parametrize("place", AT_LIMIT)
def test_a_line_of_a_byte_more_ends_the_link(place: str, way: int, end: bytes) -> None:
    make, limit, beginning = AT_LIMIT[place]
    connection = make()
    line = beginning.ljust(limit + 1, b"x")
    events = fed(connection, ways_to_send(line, end)[way])
    assert too_long(events, limit)
    assert isinstance(events[-1], tuple) and connection.state is State.CLOSED


def test_an_echo_of_just_the_limit_is_only_wrong() -> None:
    lond = a_lond()
    assert isinstance(lond.receive(b"init\n" + b"1" * MAX_HANDSHAKE_LINE + b"\n")[-1], Refused)


@pytest.mark.parametrize("end", [b"\n", b"", b"\nlast\n"], ids=repr)
@pytest.mark.parametrize("excess", [0, 1])
def test_good_lines_before_in_the_same_chunk_count(excess: int, end: bytes) -> None:
    long_line = b"x" * (MAX_REQUEST + excess)
    events = fed(keyed_lond(), [b"a\nb\n" + long_line + end])
    taken = events[0]
    assert isinstance(taken, Requests)
    assert [command for command, _ in taken.commands[:2]] == [b"a", b"b"]
    assert len(events) == 1 + excess
    assert len(taken.commands) == (2 if excess else 2 + end.count(b"\n"))


@pytest.mark.parametrize("excess", [0, 1])
def test_good_replies_before_in_the_same_chunk_count(excess: int) -> None:
    events = fed(keyed_lonc(3), [b"a\nb\n" + b"x" * (MAX_REPLY + excess) + b"\n"])
    replies = events[0]
    assert isinstance(replies, Replies) and replies.lines[:2] == [b"a", b"b"]
    assert (len(replies.lines), len(events)) == ((2, 2) if excess else (3, 1))


def test_many_lines_may_be_longer_than_one() -> None:
    data = b"".join(b"%d\n" % number for number in range(MAX_REQUEST))
    assert fed(keyed_lond(), [data]) == [Requests([(b"%d" % number, False) for number in range(MAX_REQUEST)])]


def test_the_whole_handshake_and_a_long_request_in_one_chunk() -> None:
    request = b"x" * MAX_REQUEST
    events = fed(a_lond(), [b"init\n" + CHALLENGE + b"\n" + request + b"\n"])
    assert events[-1] == Requests([(request, False)])


class CountingBytes(bytearray):
    """Counts the bytes that are copied into it and out of it."""

    copied = 0

    def __iadd__(self, other: object) -> CountingBytes:
        assert isinstance(other, bytes)
        CountingBytes.copied += len(other)
        return super().__iadd__(other)

    def __bytes__(self) -> bytes:
        CountingBytes.copied += len(self)
        return bytes(memoryview(self))


def test_dripping_costs_time_linear_in_what_was_sent() -> None:
    size = 200_000
    connection = LondConnection.resumed("msul1", "msul2", 1_048_576, lambda: KEY, b"", b"")
    CountingBytes.copied = 0
    connection._lines._partial = CountingBytes()
    for _ in range(size):
        assert connection.receive(b"x") == []
    assert connection.receive(b"\n") == [Requests([(b"x" * size, False)])]
    assert size <= CountingBytes.copied <= 3 * size


# --- violations -------------------------------------------------------------------------------------------


def test_a_violation_is_reported_once_and_ends_the_machine() -> None:
    lond = keyed_lond()
    assert isinstance(lond.receive(b"enc:bad\n")[-1], Failed)
    assert lond.receive(b"ping\n") == []
    assert lond.state is State.CLOSED


@pytest.mark.parametrize("received", [b"refused\n", CHALLENGE + b"\nrefused\n"])
def test_a_long_line_behind_a_refusal_does_not_matter(received: bytes) -> None:
    events = a_lonc().receive(received + b"x" * (MAX_HANDSHAKE_LINE + 1) + b"\n")
    assert [type(event) for event in events][-1] is Refused


@pytest.mark.parametrize("key", [b" " * 22, b" " * 40])
def test_a_build_key_of_blanks_is_a_violation_or_a_key(key: bytes) -> None:
    events = lonc_after(CHALLENGE + b"\nok\nmsul1\n")().receive(key + b"\n")
    assert [type(event) for event in events][-1] in (Failed, KeyBuilt)


def test_an_encrypted_reply_is_one_line() -> None:
    lonc = keyed_lonc(1)
    events = lonc.receive(LinkCipher("msul1", "msul2", KEY).frame(b"mine\nanother caller's") + b"\n")
    assert all(b"\n" not in line for event in events if isinstance(event, Replies) for line in event.lines)


def test_an_encrypted_request_is_one_line() -> None:
    events = keyed_lond().receive(LinkCipher("msul1", "msul2", KEY).frame(b"log:a:b:c\nexit") + b"\n")
    assert all(b"\n" not in line for event in events if isinstance(event, Requests) for line, _ in event.commands)


def test_lonc_sends_no_request_before_the_key() -> None:
    for connection in (a_lonc(), lonc_after(CHALLENGE + b"\n")(), lonc_after(CHALLENGE + b"\nok\nmsul1\n")()):
        assert isinstance(connection, LoncConnection)
        with pytest.raises(LocalProtocolError, match="no request may be sent in state"):
            connection.request(b"ping", encrypt=False)


def test_lonc_sends_no_request_over_a_link_that_failed() -> None:
    lonc = keyed_lonc()
    lonc.receive(b"unasked\n")
    with pytest.raises(LocalProtocolError, match="closed"):
        lonc.request(b"ping", encrypt=True)


@pytest.mark.parametrize("encrypt", [False, True])
def test_a_request_is_one_line(encrypt: bool) -> None:
    lonc = keyed_lonc()
    with pytest.raises(LocalProtocolError, match="one line"):
        lonc.request(b"ping\nexit", encrypt)
    assert isinstance(lonc.receive(b"msul1\n")[0], Failed), "its reply must not be expected"


# --- the table --------------------------------------------------------------------------------------------

ALL_EVENTS = (
    Greeted(""),
    Challenged(),
    Echoed(),
    Accepted(),
    Refused(""),
    Identified("x"),
    KeyBuilt(KEY),
    Requests([]),
    Replies([]),
    Departed(),
    Failed(PeerProtocolError("")),
)


@pytest.mark.parametrize("event", ALL_EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("state", State)
def test_a_move_is_made_if_and_only_if_it_is_in_the_table(state: State, event: Event) -> None:
    for connection in (a_lonc(), a_lond()):
        connection.state = state
        wanted = TABLE.get((state, type(event)))
        if wanted is None:
            with pytest.raises(LocalProtocolError, match=f"{type(event).__name__} has no place in state {state.value}"):
                connection._moved(event)
            assert connection.state is state
        else:
            assert connection._moved(event) is event
            assert connection.state is wanted


def moves_of(connection: Connection, script: Iterable[bytes]) -> set[tuple[State, type[Event]]]:
    """The moves that a connection makes when it is fed the script line by line."""
    made: set[tuple[State, type[Event]]] = set()
    original = connection._moved

    def recording(event: Event) -> Event:
        made.add((connection.state, type(event)))
        return original(event)

    connection._moved = recording  # type: ignore[method-assign]
    for data in script:
        before = connection.state
        made |= {(before, type(e)) for e in connection.receive(data) if isinstance(e, Requests | Replies)}
    return made


def moves_of_all_dialogues() -> set[tuple[State, type[Event]]]:
    made: set[tuple[State, type[Event]]] = {(State.START, Greeted)}  # lonc's first line, written by its constructor
    for steps in LOND.values():
        made |= moves_of(a_lond(), (step.received for step in steps))
    for script in LONC.values():
        made |= moves_of(a_lonc(), (step.received for step in script if isinstance(step, Step)))
    made |= moves_of(keyed_lonc(1), [b"x\n"])
    made |= moves_of(open_lond(), [b"exit\n"])
    for make, limit, _ in AT_LIMIT.values():
        made |= moves_of(make(), [b"x" * (limit + 1)])
    made |= moves_of(a_lond(), [b"init\n", b"x" * 2000])
    return made


def test_every_entry_of_the_table_is_reached() -> None:
    assert moves_of_all_dialogues() >= TABLE.keys()


def test_every_move_is_in_the_table() -> None:
    assert moves_of_all_dialogues() <= TABLE.keys()


# --- a link that changes its process ----------------------------------------------------------------------


@pytest.mark.parametrize("unread", [b"", b"pi", b"enc:4:3519a5ad", b"x\r"], ids=repr)
@pytest.mark.parametrize("key", [b"", KEY])
def test_a_resumed_link_goes_on_where_it_stood(key: bytes, unread: bytes) -> None:
    before = keyed_lond() if key else open_lond()
    assert before.receive(b"load\n" + unread)[0] == Requests([(b"load", False)])
    after = LondConnection.resumed("msul1", "msul2", MAX_REQUEST, lambda: OTHER_KEY, key, before.unread)
    assert (after.state, after.unread) == (before.state, unread)
    rest = b"ng\nuserload\nekey\n"
    assert fed(after, [rest])[:1] == fed(before, [rest])[:1]
    assert after.outgoing() == b""


def test_a_resumed_link_decrypts_with_the_last_key_and_takes_a_new_one() -> None:
    lond = LondConnection.resumed("msul1", "msul2", MAX_REQUEST, lambda: OTHER_KEY, KEY, PING[:9])
    later = LinkCipher("msul1", "msul2", OTHER_KEY).frame(b"load")
    assert fed(lond, [PING[9:] + b"\nekey\n" + later + b"\n"]) == [
        Requests([(b"ping", True)]),
        KeyBuilt(OTHER_KEY),
        Requests([(b"load", True)]),
    ]


def test_a_resumed_link_keeps_its_limit() -> None:
    lond = LondConnection.resumed("msul1", "msul2", MAX_REQUEST, lambda: KEY, b"", b"x" * MAX_REQUEST)
    assert too_long(fed(lond, [b"x"]), MAX_REQUEST)
