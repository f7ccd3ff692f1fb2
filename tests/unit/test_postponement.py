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


def state(postponement: Postponement) -> tuple[bool, bool, set[int]]:
    """Whether it has begun to wait, whether it lasts, and who waits."""
    return bool(postponement), postponement.lasts, postponement.seqs()


def test_nothing_is_postponed_at_first(postponement: Postponement) -> None:
    assert not postponement and not postponement.lasts and postponement.words == ""
    assert postponement.limit(1024) == 1


def test_a_pause_begins_and_ends(postponement: Postponement, clock: Clock) -> None:
    postponement.refused(row(1), FULL)
    postponement.refused(row(2), b"error: 11 busy")
    assert state(postponement) == (True, False, {1, 2})
    assert postponement.begin() == (row(1), FULL)
    assert state(postponement) == (False, True, set())
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
    assert postponement.answered(row(2), executed=False) == []
    assert postponement.answered(row(3), executed=True) == [(row(1), FULL)]
    assert not postponement and postponement.answered(row(4), executed=True) == [] and postponement.words == ""


def refused_again_and_again(postponement: Postponement, seq: int, times: int) -> list[int]:
    limits = []
    for _ in range(times):
        postponement.refused(row(seq), FULL)
        postponement.begin()
        limits.append(postponement.limit(4))
    return limits


def test_more_are_tried_when_one_alone_was_refused_often(postponement: Postponement) -> None:
    assert refused_again_and_again(postponement, 1, PATIENT + 4) == [1] * PATIENT + [2, 4, 4, 4]
    postponement.answered(row(2), executed=True)
    assert postponement.limit(4) == 1


def test_each_message_has_the_same_patience(postponement: Postponement) -> None:
    refused_again_and_again(postponement, 1, PATIENT + 4)  # and an administrator deletes it
    assert refused_again_and_again(postponement, 2, PATIENT + 1) == [1] * PATIENT + [2]


def test_the_last_word_on_the_first_ends_it(postponement: Postponement) -> None:
    refused_again_and_again(postponement, 1, 3)
    postponement.answered(row(2), executed=False)
    assert postponement.words
    postponement.answered(row(1), executed=False)
    assert postponement.words == ""


def test_only_the_first_pause_of_a_message_is_news(postponement: Postponement) -> None:
    news = []
    for seq in (1, 1, 1, 2, 2):
        postponement.refused(row(seq), FULL)
        postponement.begin()
        news.append(postponement.is_news)
    assert news == [True, False, False, True, False]
