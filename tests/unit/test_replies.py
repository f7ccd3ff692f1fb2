"""Replies leave in the order of their requests, however late some of them are ready."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from lond.dispatcher import Pending
from lond.replies import Replies


def test_nothing_is_ready_at_first() -> None:
    replies = Replies()
    assert (len(replies), replies.held, replies.take_ready()) == (0, 0, b"")


def test_a_pending_reply_holds_back_those_behind_it() -> None:
    replies, late = Replies(), Pending()
    replies.add([b"1", late, b"333"])
    assert replies.held == 4
    assert replies.take_ready() == b"1\n"
    assert (len(replies), replies.held) == (2, 3)
    late.settle(b"22")
    assert replies.take_ready() == b"22\n333\n"
    assert (len(replies), replies.held) == (0, 0)


@given(st.lists(st.booleans()), st.randoms())
def test_any_order_of_settling_gives_the_order_of_requests(late: list[bool], random: Random) -> None:
    made = [Pending() if is_late else b"%d" % number for number, is_late in enumerate(late)]
    replies = Replies()
    replies.add(made)
    pending = [(number, reply) for number, reply in enumerate(made) if isinstance(reply, Pending)]
    random.shuffle(pending)
    sent = replies.take_ready()
    for number, reply in pending:
        reply.settle(b"%d" % number)
        sent += replies.take_ready()
    assert sent == b"".join(b"%d\n" % number for number in range(len(late)))
    assert (len(replies), replies.held) == (0, 0)
