"""How often refused connections are logged: one line when they begin, one per interval with their number."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lond.refusals import MAX_KEYS, OTHERS, Refusals

INTERVAL = 300.0


def due(refusals: Refusals, now: float) -> list[tuple[str, str, int]]:
    return list(refusals.due(now))


def test_a_series_is_logged_when_it_begins() -> None:
    refusals = Refusals(INTERVAL)
    assert [refusals.add("10.0.0.1", "unknown", now) for now in (0, 1, 2)] == [True, False, False]
    assert refusals.total == 3


def test_the_rest_is_logged_by_its_number_once_per_interval() -> None:
    refusals = Refusals(INTERVAL)
    for now in range(10):
        refusals.add("10.0.0.1", "unknown", now)
    assert due(refusals, 299.9) == []
    assert due(refusals, 300) == [("10.0.0.1", "unknown", 9)]
    assert due(refusals, 301) == []
    refusals.add("10.0.0.1", "unknown", 302)
    assert due(refusals, 599.9) == []
    assert due(refusals, 600) == [("10.0.0.1", "unknown", 1)]


def test_a_series_that_fell_silent_is_forgotten() -> None:
    refusals = Refusals(INTERVAL)
    assert refusals.add("10.0.0.1", "unknown", 0)
    assert due(refusals, 300) == []
    assert refusals.add("10.0.0.1", "unknown", 301), "it begins anew"
    refusals.add("10.0.0.1", "unknown", 302)
    assert due(refusals, 601) == [("10.0.0.1", "unknown", 1)]
    assert due(refusals, 901) == []
    assert refusals.add("10.0.0.1", "unknown", 902)


def test_addresses_and_reasons_are_series_of_their_own() -> None:
    refusals = Refusals(INTERVAL)
    for address in ("10.0.0.1", "10.0.0.2"):
        for reason in ("unknown", "too many links"):
            assert refusals.add(address, reason, 0)
            assert not refusals.add(address, reason, 0)
    assert len(due(refusals, INTERVAL)) == 4


def test_a_flood_of_addresses_fills_neither_log_nor_memory() -> None:
    refusals = Refusals(INTERVAL)
    logged = sum(refusals.add(f"address {number}", "unknown", 0) for number in range(MAX_KEYS * 3))
    assert logged == MAX_KEYS + 1
    assert refusals.total == MAX_KEYS * 3
    assert due(refusals, INTERVAL) == [(*OTHERS, MAX_KEYS * 2 - 1)]
    assert refusals.add("a new one", "unknown", INTERVAL)


def test_those_that_are_known_keep_their_series_in_a_flood() -> None:
    refusals = Refusals(INTERVAL)
    for number in range(MAX_KEYS * 2):
        refusals.add(f"address {number}", "unknown", 0)
    assert not refusals.add("address 0", "unknown", 1)
    assert ("address 0", "unknown", 1) in due(refusals, INTERVAL)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y"]), st.integers(0, 200)), max_size=60))
def test_every_refusal_is_told_of_once(plan: list[tuple[str, str, int]]) -> None:
    refusals, told, now = Refusals(INTERVAL), Counter[tuple[str, str]](), 0
    lines_at: dict[tuple[str, str], list[int]] = {}

    def line(key: tuple[str, str], number: int) -> None:
        told[key] += number
        lines_at.setdefault(key, []).append(now)

    for address, reason, pause in plan:
        now += pause
        for *key, number in due(refusals, now):
            line((key[0], key[1]), number)
        if refusals.add(address, reason, now):
            line((address, reason), 1)
    now += 1000
    for *key, number in due(refusals, now):
        line((key[0], key[1]), number)
    assert told == Counter((address, reason) for address, reason, _ in plan)
    assert all(b - a >= INTERVAL for times in lines_at.values() for a, b in pairwise(times))
    assert refusals.total == len(plan)
