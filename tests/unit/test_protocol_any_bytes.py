"""Any bytes: neither the events nor the answers depend on how the bytes are cut, and the end is an end."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.lines import Lines
from common.link_states import Departed, Refused, State
from common.protocol import Connection, LoncConnection
from tests.helpers.chunkings import cut_at, single_bytes
from tests.helpers.link_ends import AUTH, CHALLENGE, KEY, PING, PONG, a_lonc, a_lond, fed, keyed_lonc
from tests.helpers.soaking import TIMES

GOOD_LINES = [b"init", b"init::2.1", CHALLENGE, b"ping", b"ekey", b"exit", b"quit", PING, AUTH, b"", b"refused", b"ok"]
some_line = st.one_of(st.sampled_from([*GOOD_LINES, b"msul1", KEY, PONG, b"enc:"]), st.binary(max_size=30))
some_end = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b""])
gibberish = st.lists(st.tuples(some_line, some_end).map(b"".join), max_size=12).map(b"".join)
cut_points = st.lists(st.integers(0, 400), max_size=12)
starts = st.sampled_from([0, 1, 2, 3])


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
    assert fed(same, cut_at(data, points)) == events == fed(dripped, single_bytes(data))
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
    assert failures_alike(fed(same, cut_at(data, points))) == failures_alike(events)
    assert failures_alike(fed(dripped, single_bytes(data))) == failures_alike(events)
    assert lonc.outgoing() == same.outgoing() == dripped.outgoing()
    check_end(lonc, events)


@given(st.lists(st.binary(max_size=40)))
def test_lines_are_those_of_the_whole(chunks: list[bytes]) -> None:
    lines = Lines(10_000)
    *complete, rest = b"".join(chunks).split(b"\n")
    assert [line for chunk in chunks for line in lines.feed(chunk)] == [line.removesuffix(b"\r") for line in complete]
    assert (lines.partial, lines.partial_length, lines.overflown) == (rest, len(rest), False)
