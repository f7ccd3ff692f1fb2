"""Messages that the other side can't take for the moment: who waits, who fails, when it is tried again."""

from __future__ import annotations

import pytest

from common.delayed import Row
from lonc.postponement import PATIENT, PAUSE, Postponement

FULL = b"error: 28 no space left on device"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def postponement(clock: Clock) -> Postponement:
    return Postponement(clock)


def row(seq: int) -> Row:
    return Row(seq, f"{seq:032x}", b"m", 0.0)


def test_nothing_is_postponed_at_first(postponement: Postponement) -> None:
    assert not postponement and not postponement.lasts and postponement.words == ""
    assert postponement.limit(1024) == 1


def test_a_pause_begins_and_ends(postponement: Postponement, clock: Clock) -> None:
    postponement.refused(row(1), FULL)
    postponement.refused(row(2), b"error: 11 busy")
    assert postponement and not postponement.lasts and postponement.seqs() == {1, 2}
    assert postponement.begin() == (row(1), FULL)
    assert not postponement and postponement.lasts and postponement.seqs() == set()
    assert postponement.words == "messages are postponed: it answers error: 28 no space left on device"
    clock.now += PAUSE
    assert not postponement.lasts and postponement.words, "they wait until one is executed"


def test_a_pause_can_be_ended(postponement: Postponement) -> None:
    postponement.refused(row(1), FULL)
    postponement.begin()
    postponement.end()
    assert not postponement.lasts


def test_what_is_overtaken_is_given_up(postponement: Postponement) -> None:
    postponement.refused(row(1), FULL)
    assert postponement.executed() == [(row(1), FULL)]
    assert not postponement and postponement.executed() == [] and postponement.words == ""


def test_more_are_tried_when_one_alone_was_refused_often(postponement: Postponement) -> None:
    limits = []
    for _ in range(PATIENT + 4):
        postponement.refused(row(1), FULL)
        postponement.begin()
        limits.append(postponement.limit(4))
    assert limits == [1] * PATIENT + [2, 4, 4, 4]
    postponement.executed()
    assert postponement.limit(4) == 1


def test_only_the_first_pause_in_a_row_is_news(postponement: Postponement) -> None:
    news = []
    for _ in range(3):
        postponement.refused(row(1), FULL)
        postponement.begin()
        news.append(postponement.is_news)
    assert news == [True, False, False]
