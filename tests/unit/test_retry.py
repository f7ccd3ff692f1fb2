"""When to try a lost link again: at once, then after 1 s doubling to 300 s, with jitter; when a host is given up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lonc.retry import JITTER, Retry


def middle(low: float, high: float) -> float:
    """No jitter."""
    return (low + high) / 2


def a_retry(give_up: int = 15) -> Retry:
    return Retry(1, 300, 60, give_up, middle)


def test_at_once_then_doubling_to_the_maximum() -> None:
    retry = a_retry()
    assert [retry.failed(0) for _ in range(12)] == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_host_is_given_up_after_a_row_of_failures() -> None:
    retry = a_retry(give_up=4)
    states = [(retry.failed(0), retry.given_up) for _ in range(6)]
    assert states == [(0, False), (1, False), (2, False), (300, True), (300, True), (300, True)]


def test_a_link_that_stood_begins_again() -> None:
    retry = a_retry(give_up=4)
    for _ in range(10):
        retry.failed(0)
    assert retry.failed(60) == 0
    assert (retry.failures, retry.given_up) == (1, False)
    assert retry.failed(0) == 1


@pytest.mark.parametrize(("stood", "delay"), [(59.999, 4), (60, 0), (86400, 0)])
def test_how_long_a_link_must_stand(stood: float, delay: float) -> None:
    retry = a_retry()
    for _ in range(3):
        retry.failed(0)
    assert retry.failed(stood) == delay


def test_somebody_asks_for_it() -> None:
    retry = a_retry(give_up=2)
    retry.failed(0)
    retry.failed(0)
    assert retry.given_up
    retry.wake()
    assert (retry.given_up, retry.failures) == (False, 1), "the next tries come soon, but it is not forgotten"
    assert (retry.failed(0), retry.given_up) == (300, True)


def test_jitter_goes_both_ways_by_a_fifth() -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    retry = Retry(1, 300, 60, 15, uniform)
    assert retry.failed(0) == 0 and asked == [], "the first try is at once, without any jitter"
    assert retry.failed(0) == pytest.approx(1.2)
    assert asked == [(1 - JITTER, 1 + JITTER)] and JITTER == 0.2


def test_a_crowd_does_not_return_in_step() -> None:
    delays = set()
    for _ in range(50):
        retry = Retry(1, 300, 60, 15)
        retry.failed(0)
        delays.add(retry.failed(0))
    assert len(delays) > 40


@given(st.lists(st.floats(0, 1e6), max_size=200), st.integers(1, 20), st.floats(0.01, 10), st.floats(10, 3600))
def test_delays_have_bounds_however_long_it_lasts(
    stood: list[float], give_up: int, first: float, maximum: float
) -> None:
    retry = Retry(first, maximum, 60, give_up)
    for seconds in stood:
        delay = retry.failed(seconds)
        if retry.failures == 1:
            assert delay == 0
        else:
            assert min(first, maximum) * (1 - JITTER) <= delay <= maximum * (1 + JITTER)
        assert retry.given_up == (retry.failures >= give_up)


def test_a_failure_that_repeats_for_ever_overflows_nothing() -> None:
    retry = Retry(1, 300, 60, 10**9, middle)
    retry.failures = 10**8
    assert retry.failed(0) == 300
