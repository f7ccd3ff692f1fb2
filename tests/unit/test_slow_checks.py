"""Checks that take longer than a link should wait: who waits, who is sent away, and what becomes of the outcome."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lond.authentication import slow_checks
from lond.authentication.hashing import Outcome, Verdict
from lond.authentication.slow_checks import HURRY, KEPT, SlowChecks
from tests.helpers.log_ins import PATIENCE, Clockwork

RIGHT, WRONG, BUSY, UNDER_WAY = (
    Outcome(verdict) for verdict in (Verdict.RIGHT, Verdict.WRONG, Verdict.BUSY, Verdict.UNDER_WAY)
)


class World:
    """The checks of one link, and what was begun and told."""

    def __init__(self) -> None:
        self.clock = Clockwork()
        self.checks = SlowChecks(self.clock, self.clock, PATIENCE)
        self.begun: list[tuple[bytes, Callable[[Outcome], None]]] = []

    def join(self, name: bytes = b"smith") -> list[Outcome]:
        told: list[Outcome] = []
        self.checks.join(name, lambda done: self.begun.append((name, done)), told.append)
        return told

    def end(self, name: bytes = b"smith", outcome: Outcome = RIGHT) -> None:
        """The first check under this name that is under way ends."""
        index = [begun for begun, _ in self.begun].index(name)
        self.begun.pop(index)[1](outcome)


@pytest.fixture
def world() -> World:
    return World()


def test_a_quick_check_is_waited_for(world: World) -> None:
    told = world.join()
    world.clock.advance(PATIENCE / 2)
    assert told == []
    world.end()
    assert told == [RIGHT]
    world.clock.advance(PATIENCE)
    assert told == [RIGHT], "once"
    assert world.join() == [] and len(world.begun) == 1, "another log-in, another check"


def test_an_outcome_at_once_is_given_at_once(world: World) -> None:
    told: list[Outcome] = []
    for _ in range(2):
        world.checks.join(b"smith", lambda done: done(BUSY), told.append)
    assert told == [BUSY, BUSY]


def test_who_waited_too_long_comes_again_for_the_outcome(world: World) -> None:
    told = world.join()
    world.clock.advance(PATIENCE)
    assert told == [UNDER_WAY]
    assert world.join() == [UNDER_WAY] and len(world.begun) == 1
    world.end(outcome=WRONG)
    assert told == [UNDER_WAY]
    assert world.join() == [WRONG]
    assert world.join() == [UNDER_WAY] and len(world.begun) == 1, "it was given once; this is the next check"


@pytest.mark.parametrize(("seconds", "told"), [(KEPT - 0.1, [RIGHT]), (KEPT, [])])
def test_an_outcome_is_kept_for_a_while(world: World, seconds: float, told: list[Outcome]) -> None:
    world.join()
    world.clock.advance(PATIENCE)
    world.end()
    world.clock.advance(seconds)
    assert world.join() == told


def test_an_outcome_that_was_fetched_does_not_end_the_next_check_when_its_time_is_over(world: World) -> None:
    world.join()
    world.clock.advance(PATIENCE)
    world.end()
    world.join()
    told = world.join()
    world.clock.advance(KEPT)
    assert told == [UNDER_WAY]
    world.end(outcome=WRONG)
    assert world.join() == [WRONG]


def test_two_who_wait_for_the_same_hear_the_same(world: World) -> None:
    first = world.join()
    world.clock.advance(PATIENCE / 2)
    second = world.join()
    world.clock.advance(PATIENCE / 2)
    assert (first, second) == ([UNDER_WAY], [])
    world.end()
    assert second == [RIGHT]
    assert world.join() == [RIGHT], "it waits for the first one as well"
    assert world.begun == []


def test_after_somebody_has_waited_in_vain_nobody_waits_for_a_while(world: World) -> None:
    waiting = world.join(b"jones")
    world.clock.advance(PATIENCE / 2)
    earlier = world.join(b"smith")
    world.clock.advance(PATIENCE / 2)
    assert waiting == [UNDER_WAY]
    world.end(b"jones")
    assert world.join(b"lee") == [UNDER_WAY], "though nothing takes long at this moment"
    world.end(b"lee")
    assert world.join(b"lee") == [RIGHT]
    world.end(b"smith")
    assert earlier == [RIGHT]
    world.clock.advance(HURRY)
    assert world.join(b"chen") == []


def test_there_is_a_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_checks, "MOST", 2)
    world.join(b"smith")
    world.join(b"jones")
    assert world.join(b"lee") == [BUSY]
    world.clock.advance(PATIENCE)
    world.end(b"smith")
    assert world.join(b"lee") == [BUSY], "an outcome that is kept takes room as well"
    assert world.join(b"smith") == [RIGHT]
    assert world.join(b"lee") == [UNDER_WAY]


def test_names_are_kept_as_keyed_hashes_only(world: World) -> None:
    world.join(b"secret")
    assert not any(b"secret" in key for key in world.checks._checks)
    other = World()
    other.join(b"secret")
    assert world.checks._checks.keys().isdisjoint(other.checks._checks)
