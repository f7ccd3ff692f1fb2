"""What an administrator does to the messages of a FIFO, and what that means for their order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from common.backlog import BY_HAND, KEPT, Backlog, may_requeue
from common.delayed import DONE, FAILED, HELD, WAITING, Message, Outcome, Row
from tests.conftest import FakeClock


def id_of(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture
def backlog(tmp_path: Path, clock: FakeClock) -> Iterator[Backlog]:
    """Five waiting messages, 0 to 4."""
    with closing(Backlog(tmp_path, "msul1", clock)) as backlog:
        backlog.append([Message(id_of(number), b"m%d" % number) for number in range(5)])
        yield backlog


def order(backlog: Backlog) -> list[bytes]:
    return [row.command for row in backlog.waiting(0, 100)]


def test_a_held_message_is_passed_over_and_comes_back_in_its_place(backlog: Backlog) -> None:
    held = backlog.hold([id_of(1), id_of(3)], "by ada: look first")
    assert [(row.state, row.last_error) for row in held] == [(HELD, "held by hand by ada: look first")] * 2
    assert order(backlog) == [b"m0", b"m2", b"m4"]
    assert backlog.hold([id_of(1)], "again") == [], "it is held already"
    assert [row.state for row in backlog.release([id_of(3), id_of(1), id_of(0)])] == [WAITING, WAITING]
    assert order(backlog) == [b"m0", b"m1", b"m2", b"m3", b"m4"]


def test_release_gives_all_attempts_again(backlog: Backlog) -> None:
    assert backlog.record_attempt(1, "the link broke", hold_at=1)
    assert [row.attempts for row in backlog.release([id_of(0)])] == [0]


def test_requeued_messages_stand_at_the_end_under_their_ids_and_begin_to_age_anew(
    backlog: Backlog, clock: FakeClock
) -> None:
    backlog.commit([], [Outcome(1, FAILED, b"error: 2 no such user"), Outcome(3, FAILED, b"refused")])
    clock.advance(100)
    again = backlog.requeue([id_of(2), id_of(0)])
    assert [(row.seq, row.id, row.created, row.state, row.reply) for row in again] == [
        (6, id_of(2), clock.now, WAITING, None),
        (7, id_of(0), clock.now, WAITING, None),
    ]
    assert again[1].last_error == "refused: error: 2 no such user"
    assert order(backlog) == [b"m1", b"m3", b"m4", b"m2", b"m0"]


def test_what_may_be_on_the_link_is_not_requeued(backlog: Backlog) -> None:
    assert backlog.requeue([id_of(0)]) == [], "it waits"
    backlog.hold([id_of(0)], "by ada")
    assert backlog.requeue([id_of(0)]) == [], "held by hand: perhaps while it was on the link"
    backlog.record_attempt(2, "the link broke", hold_at=1)
    assert [row.seq for row in backlog.requeue([id_of(1)])] == [6], "the link ended under it"


@pytest.mark.parametrize(
    ("state", "error", "may"),
    [(FAILED, "", True), (HELD, "the link broke", True), (HELD, f"{BY_HAND} by ada", False), (WAITING, "", False)],
)
def test_who_may_be_requeued(state: str, error: str, may: bool) -> None:
    assert may_requeue(Row(1, id_of(1), b"m", 0.0, state=state, last_error=error)) is may


def test_what_is_passed_on_waits_for_the_other_host_alone(backlog: Backlog, tmp_path: Path) -> None:
    with closing(Backlog(tmp_path, "msul2")) as other:
        other.append([Message(id_of(9), b"m9")])
        backlog.commit([], [Outcome(1, FAILED, b"error: 2 moved"), Outcome(2, DONE, b"ok")])
        backlog.hold([id_of(3)], "by ada")
        assert [row.command for row in backlog.pass_on([id_of(n) for n in range(5)], other)] == [b"m0"]
        assert backlog.find(id_of(0)) is None
        assert order(backlog) == [b"m2", b"m4"]
        assert order(other) == [b"m9", b"m0"]


def test_what_a_crash_has_left_in_both_is_passed_on_once(
    backlog: Backlog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog.commit([], [Outcome(1, FAILED, b"error: 2 moved")])
    with closing(Backlog(tmp_path, "msul2")) as other:
        with monkeypatch.context() as patch:
            patch.setattr(backlog, "_remove", lambda *_: [])
            backlog.pass_on([id_of(0)], other)
        assert [row.id for row in backlog.pass_on([id_of(0)], other)] == [id_of(0)]
        assert order(other) == [b"m0"]


def test_what_failed_on_the_other_host_as_well_is_tried_again_there(backlog: Backlog, tmp_path: Path) -> None:
    backlog.commit([], [Outcome(seq, FAILED, b"error: 2 moved") for seq in (1, 2, 3)])
    with closing(Backlog(tmp_path, "msul2")) as other:
        rows = other.append([Message(id_of(number), b"m%d" % number) for number in range(3)])
        other.commit([], [Outcome(rows[0].seq, FAILED, b"error: 13"), Outcome(rows[2].seq, DONE, b"ok")])
        other.record_attempt(rows[1].seq, "the link broke", hold_at=1)
        assert len(backlog.pass_on([id_of(number) for number in range(3)], other)) == 3
        assert order(other) == [b"m0", b"m1"], "m2 is done"


def test_what_is_done_stays(backlog: Backlog) -> None:
    backlog.commit([], [Outcome(1, DONE, b"ok")])
    ids = [id_of(0)]
    assert backlog.hold(ids, "x") == backlog.release(ids) == backlog.requeue(ids) == backlog.delete(ids) == []
    assert [row.state for row in backlog.matching(id_of(0))] == [DONE]


def test_deleting_gives_back_what_stood_there(backlog: Backlog) -> None:
    backlog.hold([id_of(2)], "x")
    gone = backlog.delete([id_of(2), id_of(4), id_of(9)])
    assert [(row.command, row.state) for row in gone] == [(b"m2", HELD), (b"m4", WAITING)]
    assert [row.command for row in backlog.rows(KEPT)] == [b"m0", b"m1", b"m3"]


def test_an_outcome_of_a_message_that_was_deleted_meanwhile_is_no_error(backlog: Backlog) -> None:
    backlog.delete([id_of(0)])
    backlog.commit([], [Outcome(1, DONE, b"ok")])
    assert backlog.matching(id_of(0)) == []


def test_looking_through(backlog: Backlog) -> None:
    assert [row.seq for row in backlog.rows([WAITING], after=2, limit=2)] == [3, 4]
    backlog.hold([id_of(4)], "x")
    assert [row.seq for row in backlog.rows([HELD, FAILED])] == [5]
    assert [row.id for row in backlog.matching("0" * 31)] == [id_of(number) for number in range(5)]
    assert [row.id for row in backlog.matching("0" * 31 + "3")] == [id_of(3)]
    assert backlog.matching("f") == []


def test_age_classes(backlog: Backlog, clock: FakeClock) -> None:
    clock.advance(60)
    backlog.append([Message(id_of(5), b"m5")])
    clock.advance(60)
    backlog.append([Message(id_of(6), b"m6")])
    assert backlog.ages([59, 60, 119]) == [1, 1, 0, 5]
    assert backlog.ages([1000], HELD) == [0, 0]
    assert backlog.ages([]) == [7]
