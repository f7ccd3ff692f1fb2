"""Who does not answer is asked rarely until it does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lond.authentication.silence import PAUSE, Silences
from lond.authentication.throttle_table import ThrottleTable
from tests.conftest import FakeClock

REALM, OTHER = "krb5:MSU.EDU", "unix:"


@pytest.fixture
def silences(clock: FakeClock) -> Iterator[Silences]:
    table = ThrottleTable.create()
    yield Silences(table, clock)
    table.close()


def test_one_silence_is_nothing(silences: Silences) -> None:
    assert not silences.silent(REALM)
    assert all(silences.may_ask(REALM) for _ in range(5))


def test_after_two_in_a_row_one_question_at_a_time_and_others_are_not_concerned(
    silences: Silences, clock: FakeClock
) -> None:
    silences.silent(REALM)
    assert silences.silent(REALM), "this is told once"
    assert not silences.silent(REALM)
    assert not silences.may_ask(REALM)
    assert silences.may_ask(OTHER)
    clock.advance(PAUSE)
    assert [silences.may_ask(REALM) for _ in range(3)] == [True, False, False]
    clock.advance(PAUSE)
    assert silences.may_ask(REALM)


def test_an_answer_ends_it(silences: Silences, clock: FakeClock) -> None:
    silences.silent(REALM)
    silences.silent(REALM)
    clock.advance(PAUSE)
    assert silences.may_ask(REALM)
    silences.answered(REALM)
    assert all(silences.may_ask(REALM) for _ in range(5))
    assert not silences.silent(REALM)
    assert silences.may_ask(REALM)
