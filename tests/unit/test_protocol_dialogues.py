"""One end of a link: golden dialogues in every chunking, and how what became readable is handed over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common.link_states import Accepted, Departed, Failed, Identified, KeyBuilt, Replies, Requests, State
from tests.helpers.chunkings import CHUNKINGS, SEED, Chunking
from tests.helpers.dialogues import LONC, LOND, SET_UP, Asked
from tests.helpers.link_ends import (
    CHALLENGE,
    KEY,
    PING,
    PONG,
    a_lonc,
    a_lond,
    fed,
    joined,
    keyed_lonc,
    keyed_lond,
    open_lond,
)


@pytest.mark.parametrize("trailing", [b"", b"par", b"par\r"], ids=repr)
@pytest.mark.parametrize("chunking", CHUNKINGS)
@pytest.mark.parametrize("name", LOND)
def test_golden_dialogues_of_lond(
    name: str, chunking: Chunking, trailing: bytes, record_property: Callable[[str, object], None]
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
def test_golden_dialogues_of_lonc(name: str, chunking: Chunking) -> None:
    lonc = a_lonc()
    for step in LONC[name]:
        if isinstance(step, Asked):
            assert lonc.request(step.command, step.encrypt) == step.wire
        else:
            assert fed(lonc, chunking(step.received)) == joined(step.events), SEED
            assert lonc.outgoing() == step.sent


@pytest.mark.parametrize("chunking", CHUNKINGS)
def test_lonc_takes_a_whole_set_up_that_came_early(chunking: Chunking) -> None:
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
