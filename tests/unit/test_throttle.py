"""Failed log-ins: who waits how long, who does not, and the table that all children share."""

from __future__ import annotations

import fcntl
import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config import Config
from common.login_lanes import LoginLane
from lond.authentication import throttle_table
from lond.authentication.throttle import Lane, Limits, Record, admitted, failed
from lond.authentication.throttle_table import PLACES, SETS, ThrottleTable
from tests.helpers.in_child import in_child

STRANGERS = LoginLane.STRANGERS
LIMITS = Limits(after=3, longest=3.0, forget=900.0)
NOW = 1000.0


def after_failures(number: int, now: float = NOW) -> Record:
    record = Record()
    for _ in range(number):
        record = failed(record, now, LIMITS)
    return record


def is_admitted(record: Record, now: float = NOW, limits: Limits = LIMITS) -> bool:
    return admitted(record, now, limits)[1]


class TestPolicy:
    def test_limits_of_the_configuration(self) -> None:
        config = Config(host_id="msul1")
        assert Limits.of(config, LoginLane.KNOWN) == Limits.of(config, STRANGERS) == LIMITS
        assert Limits.of(config, LoginLane.FRESH) == replace(LIMITS, longest=0.5)
        off = replace(config, throttle_max=0.0)
        assert Limits.of(off, LoginLane.FRESH).longest == 0.0

    @pytest.mark.parametrize("failures", [0, 1, 2])
    def test_the_first_failures_are_free(self, failures: int) -> None:
        record = after_failures(failures)
        for _ in range(5):
            record, yes = admitted(record, NOW, LIMITS)
            assert yes

    @pytest.mark.parametrize(
        ("failures", "gap"), [(3, 0.25), (4, 0.5), (5, 1), (6, 2), (7, 3), (1000, 3)]
    )  # fmt: skip
    def test_the_gap_grows_up_to_its_limit(self, failures: int, gap: float) -> None:
        record = after_failures(failures)
        assert not is_admitted(record, NOW + gap - 0.01)
        assert is_admitted(record, NOW + gap)

    def test_one_is_let_in_after_each_gap(self) -> None:
        record, times = after_failures(5), []
        for tenths in range(50):
            record, yes = admitted(record, NOW + tenths / 10, LIMITS)
            if yes:
                times.append(tenths)
        assert times == [10, 20, 30, 40]

    def test_who_is_not_let_in_makes_nobody_wait_longer(self) -> None:
        record = after_failures(7)
        assert admitted(record, NOW + 1, LIMITS) == (record, False)

    def test_after_a_pause_all_is_forgotten(self) -> None:
        record = after_failures(100)
        assert is_admitted(record, NOW + 899)  # the gap is long over, but
        assert failed(record, NOW + 899, LIMITS).failures == 101
        assert failed(record, NOW + 900, LIMITS).failures == 1

    def test_it_can_be_turned_off(self) -> None:
        off = Limits(after=1, longest=0.0, forget=900.0)
        assert is_admitted(failed(failed(Record(), NOW, off), NOW, off), NOW, off)

    @given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=60), st.integers(1, 5), st.floats(0, 10))
    def test_guesses_are_rare_and_the_next_gap_ends(
        self, steps: list[tuple[float, bool]], after: int, longest: float
    ) -> None:
        limits = Limits(after, longest, 900.0)
        record, now, checked = Record(), NOW, []
        for pause, fails in steps:
            now += pause
            record, yes = admitted(record, now, limits)
            if yes:
                checked.append((now, record.failures))
                record = failed(record, now, limits) if fails else record
            assert is_admitted(record, now + longest + 1e-6, limits)
        for (earlier, failures), (later, _) in itertools.pairwise(checked):
            if failures >= after + 10:
                assert later - earlier >= longest - 1e-6


@pytest.fixture
def table() -> Iterator[ThrottleTable]:
    table = ThrottleTable.create()
    yield table
    table.close()


def fail(table: ThrottleTable, user: str, host: str = "msua1", now: float = NOW) -> int:
    def change(record: Record) -> tuple[Record, int]:
        new = failed(record, now, LIMITS)
        return new, new.failures

    return table.change(Lane(b"msu", user.encode(), host, STRANGERS).name, change)


def look(
    table: ThrottleTable, user: str, host: str = "msua1", *, domain: bytes = b"msu", kind: LoginLane = STRANGERS
) -> Record:
    return table.change(Lane(domain, user.encode(), host, kind).name, lambda record: (record, record))


class TestTable:
    def test_a_record_is_kept(self, table: ThrottleTable) -> None:
        assert [fail(table, "smith") for _ in range(3)] == [1, 2, 3]
        assert look(table, "smith") == after_failures(3)

    def test_another_host_user_domain_or_lane_has_its_own(self, table: ThrottleTable) -> None:
        fail(table, "smith")
        assert look(table, "smith", "hubl1") == Record()
        assert look(table, "jones") == Record()
        assert look(table, "smith", domain=b"hub") == Record()
        assert look(table, "smith", kind=LoginLane.KNOWN) == look(table, "smith", kind=LoginLane.FRESH) == Record()
        assert look(table, "smith").failures == 1

    def test_names_that_only_look_alike_when_joined(self) -> None:
        lanes = [
            Lane(b"a", b"bc", "d", STRANGERS),
            Lane(b"ab", b"c", "d", STRANGERS),
            Lane(b"a", b"b", "cd", STRANGERS),
        ]
        lanes += [Lane(b"a", b"bc", "dknown", STRANGERS), *(Lane(b"a", b"bc", "d", kind) for kind in LoginLane)]
        assert len({lane.name for lane in lanes}) == 6

    def test_looking_takes_no_place(self, table: ThrottleTable, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(throttle_table, "SETS", 1)
        fail(table, "smith", now=1.0)
        for number in range(100):
            look(table, f"user{number}")
        assert look(table, "smith").failures == 1

    def test_a_log_in_without_failures_takes_no_place(
        self, table: ThrottleTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(throttle_table, "SETS", 1)
        for number in range(PLACES):
            fail(table, f"user{number}")
        for number in range(100):
            name = Lane(b"msu", f"other{number}".encode(), "msua1", STRANGERS).name
            assert table.change(name, lambda record: admitted(record, NOW, LIMITS))
        assert [look(table, f"user{number}").failures for number in range(PLACES)] == [1] * PLACES

    def test_memory_is_bounded_and_the_oldest_goes_first(
        self, table: ThrottleTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(throttle_table, "SETS", 1)
        for number in range(PLACES):
            fail(table, f"user{number}", now=NOW + number)
        fail(table, "user0", now=NOW + 100)
        fail(table, "another", now=NOW + 101)
        kept = [number for number in range(PLACES) if look(table, f"user{number}").failures]
        assert kept == [0, 2, 3, 4, 5, 6, 7]
        assert look(table, "another").failures == 1

    def test_keys_spread_over_the_sets(self, table: ThrottleTable) -> None:
        number = SETS * PLACES // 4
        for user in range(number):
            fail(table, f"user{user}")
        lost = sum(look(table, f"user{user}") == Record() for user in range(number))
        assert lost < number / 100

    def test_all_processes_share_it(self, table: ThrottleTable) -> None:
        fail(table, "smith")
        assert in_child(lambda: fail(table, "smith")) == 2
        assert fail(table, "smith") == 3

    def test_no_change_of_several_processes_is_lost(self, table: ThrottleTable) -> None:
        def many() -> None:
            for _ in range(200):
                fail(table, "smith")

        def both() -> None:
            many()
            in_child(many)

        many()
        in_child(both)
        assert look(table, "smith").failures == 600

    def test_a_lock_that_is_never_given_back_stops_nobody(
        self, table: ThrottleTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def locked(*arguments: object) -> None:
            if arguments[1] != fcntl.LOCK_UN:
                raise BlockingIOError

        monkeypatch.setattr("lond.authentication.throttle_table.fcntl.lockf", locked)
        assert fail(table, "smith") == 1

    def test_it_holds_no_names(self, table: ThrottleTable) -> None:
        fail(table, "smith")
        content = bytes(table._memory)
        assert b"smith" not in content
        assert content.strip(b"\0")
