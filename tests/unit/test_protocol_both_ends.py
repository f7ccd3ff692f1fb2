"""Both ends of a link, joined in memory: it comes up, carries requests and replies, and ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.crypto import LinkCipher
from common.link_states import (
    Accepted,
    Departed,
    Event,
    Greeted,
    Identified,
    KeyBuilt,
    Refused,
    Replies,
    Requests,
    State,
)
from common.protocol import LoncConnection
from tests.helpers.chunkings import CHUNKINGS, Chunking, whole
from tests.helpers.link_ends import KEY, MAX_REPLY, a_lonc, a_lond, fed, joined, keyed_lonc, keyed_lond


class ConnectionPair:
    """Both ends of a link, joined in memory; `answer` is what lond's owner does with commands."""

    def __init__(self, answer: Callable[[bytes, bool], bytes], cut: Chunking = whole) -> None:
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
def test_a_link_comes_up(cut: Chunking) -> None:
    pair = ConnectionPair(answers_as_lond, cut)
    pair.run()
    assert joined(pair.seen_by_lonc) == [Accepted(), Identified("msul1"), KeyBuilt(KEY)]
    assert joined(pair.seen_by_lond) == [Greeted(""), Accepted(), Requests([(b"ping", False)]), KeyBuilt(KEY)]
    assert (pair.lonc.state, pair.lond.state) == (State.KEYED, State.KEYED)


@pytest.mark.parametrize("cut", CHUNKINGS)
def test_many_requests_are_outstanding_and_replies_keep_the_order(cut: Chunking) -> None:
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
