"""The benchmark's own arithmetic: a wrong percentile would be believed."""

from __future__ import annotations

import argparse
import json
import math
import socket
from array import array
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench import __main__ as command
from tests.bench import logins, submissions
from tests.bench.crowd import closed_loop
from tests.bench.profile import profiler_cost, without_profiler
from tests.bench.relay import DelayLine, Direction
from tests.bench.sample import Sample, percentile, ratio
from tests.bench.subject import moved, neighbour
from tests.bench.table import MISSING, Column, Table, count, microseconds, milliseconds, words


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7], 1, 7),
        ([7], 100, 7),
        ([1, 2], 50, 1),
        ([1, 2, 3], 50, 2),
        ([1, 2], 51, 2),
        (range(1, 101), 99, 99),
        (range(1, 101), 99.5, 100),
        (range(1, 1001), 99, 990),
    ],
)
def test_percentile(values: Sequence[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_no_percentile_without_values() -> None:
    assert math.isnan(percentile([], 50))


@pytest.mark.parametrize("percent", [0, -1, 100.1])
def test_a_percentile_outside_of_its_range_is_an_error(percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile([1], percent)


@given(st.lists(st.integers(0, 50), min_size=1).map(sorted), st.floats(0.1, 100))
def test_a_percentile_splits_the_values_as_its_definition_says(values: list[int], percent: float) -> None:
    found = percentile(values, percent)
    not_above = sum(value <= found for value in values)
    assert found in values
    assert not_above >= len(values) * percent / 100 - 1e-9
    assert sum(value < found for value in values) < len(values) * percent / 100


def test_a_sample_merges_what_all_callers_measured() -> None:
    sample = Sample.of(2.0, [array("Q", [3_000_000, 1_000_000]), array("Q"), array("Q", [2_000_000])])
    assert sample.rate == 1.5
    assert sample.p50 == 0.002
    assert sample.p99 == sample.max == 0.003


def test_cells_compare_with_the_floor() -> None:
    floor = Sample(1.0, array("Q", [1_000_000] * 10))
    cells = Sample(1.0, array("Q", [4_000_000] * 5)).cells(floor)
    assert (cells["rate_ratio"], cells["p50_ratio"]) == (0.5, 4.0)
    assert "rate_ratio" not in floor.cells()


def test_there_is_no_p99_of_a_few_answers() -> None:
    few, many = (logins.cells(Sample(1.0, array("Q", range(1, count + 1)))) for count in (99, 100))
    assert math.isnan(few["p99"]) and (few["answers"], few["max"]) == (99, 99e-9)
    assert (many["p99"], many["max"]) == (99e-9, 100e-9)


def test_what_follows_from_the_original_is_told_from_what_is_published() -> None:
    assert [submissions.original(servers) for servers in (1, 5)] == ["15-20", "75-100 (derived)"]


def test_nothing_can_be_compared_with_an_empty_floor() -> None:
    cells = Sample(1.0, array("Q", [1])).cells(Sample(1.0, array("Q")))
    assert math.isnan(cells["rate_ratio"])
    assert math.isnan(cells["p50_ratio"])
    assert math.isnan(ratio(1.0, 0.0))


def test_a_closed_loop_counts_what_is_answered_within_the_window() -> None:
    moments: Iterator[int] = iter([0, 9, 10, 14, 20, 21])
    asked: list[int] = []
    latencies = closed_loop(lambda: asked.append(1), clock=lambda: next(moments))(10, 20)
    assert list(latencies) == [1, 4, 6]  # answered at 10, 14 and 20; those at 9 and 21 are outside
    assert len(asked) == 5


def test_a_table_is_aligned() -> None:
    table = Table(
        "Title", [words("way", "way"), count("rate", "per s"), milliseconds("p50", "p50 ms")], notes=["Note."]
    )
    table.add(way="a", rate=12345.6, p50=0.0015)
    table.add(way="longer", rate=7.25)
    assert table.text().splitlines() == [
        "Title",
        "----------------------",
        "way      per s  p50 ms",
        "----------------------",
        "a       12,346   1.500",
        "longer    7.25       -",
        "  Note.",
    ]


@pytest.mark.parametrize("cell", [None, math.nan])
def test_a_missing_cell_is_a_dash_and_never_formatted(cell: float | None) -> None:
    table = Table("T", [Column("key", "heading", lambda _value: "formatted")])
    table.add(key=cell)
    assert table.text().splitlines()[-1].strip() == MISSING


def test_a_table_without_rows_can_be_printed() -> None:
    assert "heading" in Table("T", [words("key", "heading")]).text()


def test_data_is_json_even_for_what_is_no_number() -> None:
    table = Table("T", [microseconds("a", "a")])
    table.add(a=0.5, b=math.nan)
    text = json.dumps(table.data(), allow_nan=False)
    assert json.loads(text)["rows"] == [{"a": 0.5, "b": None}]


def test_a_delay_line_gives_out_in_order_and_never_early() -> None:
    line = DelayLine(0.025)
    assert DelayLine(0.025).next_due is None
    line.put(1.0, b"a")
    line.put(1.01, b"b")
    line.put(1.5, b"")
    assert line.next_due == 1.025
    assert line.take_due(1.02) == []
    assert line.take_due(1.04) == [b"a", b"b"]
    assert line.take_due(1.04) == []
    assert line.take_due(2.0) == [b""]


@pytest.fixture
def channels() -> Iterator[tuple[socket.socket, socket.socket, socket.socket, socket.socket]]:
    """Near end, the relay's two ends, far end."""
    near, source = socket.socketpair()
    sink, far = socket.socketpair()
    for channel in (source, sink, far):
        channel.setblocking(False)
    with near, source, sink, far:
        yield near, source, sink, far


def test_a_relay_passes_on_the_end_after_all_bytes(
    channels: tuple[socket.socket, socket.socket, socket.socket, socket.socket],
) -> None:
    near, source, sink, far = channels
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sent = b"0123456789abcdef" * 4096
    direction = Direction(source, sink, 1.0)
    near.sendall(sent)
    near.close()
    while direction.reading:
        direction.receive(0.0)
    direction.forward(0.5)
    with pytest.raises(BlockingIOError):
        far.recv(1)
    received = b""
    while not direction.ended:
        direction.forward(1.0)
        received += far.recv(1 << 20)
    assert received == sent
    assert far.recv(1) == b""


def test_addresses() -> None:
    assert neighbour("127.4.5.11", 203) == "127.4.5.203"
    assert moved("msul1:msu:library:msul1.example.org:127.4.5.11", "127.4.5.203").endswith(".org:127.4.5.203")


def test_distinct_users_are_shared_out_without_overlap() -> None:
    users = [f"u{number}" for number in range(10)]
    shares = [submissions.users_of(submissions.DISTINCT, users, number, 3) for number in range(3)]
    assert sorted(user for share in shares for user in share) == sorted(users)
    assert [submissions.users_of(submissions.OWN, users, number, 3) for number in (0, 2)] == [["u0"], ["u2"]]
    assert submissions.users_of(submissions.HOT, users, 2, 3) == ["u0"]


def test_subjects_are_chosen_by_name() -> None:
    assert command.names("messages,requests") == ["messages", "requests"]
    with pytest.raises(argparse.ArgumentTypeError, match="'speed' is not one of"):
        command.names("messages,speed")


def test_what_the_profiler_took_is_taken_off() -> None:
    outer, inner = ("a.py", 1, "outer"), ("a.py", 2, "inner")
    stats = {
        outer: (1, 1, 1.0, 2.0, {}),
        inner: (10, 10, 0.5, 0.5, {outer: (10, 10, 0.5, 0.5)}),
    }
    own = without_profiler(stats, callee_cost=0.01, caller_cost=0.02)
    assert own[outer] == pytest.approx(1.0 - 0.01 - 10 * 0.02)
    assert own[inner] == pytest.approx(0.5 - 10 * 0.01)
    assert without_profiler(stats, 1.0, 1.0) == {outer: 0.0, inner: 0.0}


def test_the_profiler_costs_something_and_not_much() -> None:
    callee, caller = profiler_cost()
    assert 0 < callee + caller < 1e-4
