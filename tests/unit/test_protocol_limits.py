"""Limits: how long a line may be at each stage of a link, and what stands beside one that is too long."""

from __future__ import annotations

import re

import pytest

from common.link_states import Refused, Replies, Requests, State
from common.protocol import MAX_HANDSHAKE_LINE, LondConnection
from tests.helpers.link_ends import (
    CHALLENGE,
    KEY,
    MAX_REPLY,
    MAX_REQUEST,
    STAGES,
    a_lond,
    fed,
    keyed_lonc,
    keyed_lond,
)

# How long a line may be at each stage, and how one begins there.
LONGEST: dict[str, tuple[int, bytes]] = {
    "lond start": (MAX_HANDSHAKE_LINE, b"init:"),
    "lond challenged": (MAX_HANDSHAKE_LINE, b"1"),
    "lond open": (MAX_REQUEST, b"put:"),
    "lond keyed": (MAX_REQUEST, b"put:"),
    "lonc greeted": (MAX_HANDSHAKE_LINE, b"1"),
    "lonc echoed": (MAX_HANDSHAKE_LINE, b"ok"),
    "lonc accepted": (MAX_HANDSHAKE_LINE, b"msul1"),
    "lonc identified": (MAX_HANDSHAKE_LINE, KEY),
    "lonc keyed": (MAX_REPLY, b""),
}


def limits_passed(events: list[object]) -> list[int]:
    """The limits that a line is said to be longer than."""
    texts = [event[1] for event in events if isinstance(event, tuple)]
    return [int(found[1]) for text in texts if (found := re.match("line longer than ([0-9]+) bytes", text))]


def ways_to_send(line: bytes, end: bytes) -> list[list[bytes]]:
    half = len(line) // 2
    return [[line + end], [line, end], [line[:half], line[half:] + end], [line[:-1], line[-1:], end]]


@pytest.mark.parametrize("way", range(4))
@pytest.mark.parametrize("stage", STAGES)
def test_a_line_of_just_the_limit_is_taken(stage: str, way: int) -> None:
    limit, beginning = LONGEST[stage]
    line = beginning.ljust(limit, b"x")
    assert limits_passed(fed(STAGES[stage](), ways_to_send(line, b"\n")[way])) == []


@pytest.mark.parametrize("end", [b"\n", b"", b"\nmore\n", b"\n\n\n"], ids=repr)
@pytest.mark.parametrize("way", range(4))
@pytest.mark.parametrize("stage", STAGES)
def test_a_line_of_a_byte_more_ends_the_link(stage: str, way: int, end: bytes) -> None:
    limit, beginning = LONGEST[stage]
    connection = STAGES[stage]()
    line = beginning.ljust(limit + 1, b"x")
    events = fed(connection, ways_to_send(line, end)[way])
    assert limits_passed(events) == [limit]
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
    assert limits_passed(events) == [MAX_REQUEST] * excess and len(events) == 1 + excess
    assert len(taken.commands) == (2 if excess else 2 + end.count(b"\n"))


@pytest.mark.parametrize("excess", [0, 1])
def test_good_replies_before_in_the_same_chunk_count(excess: int) -> None:
    events = fed(keyed_lonc(3), [b"a\nb\n" + b"x" * (MAX_REPLY + excess) + b"\n"])
    replies = events[0]
    assert isinstance(replies, Replies) and replies.lines[:2] == [b"a", b"b"]
    assert limits_passed(events) == [MAX_REPLY] * excess
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
