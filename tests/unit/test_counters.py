"""Numbers in shared memory: who adds, what survives a child, what a reader meets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.counters import Counters, Tally, counters_path
from common.metrics import LONC, OTHER, STORED, Counter, Histogram, Latest, Layout
from lonc.latency import Latencies
from lonc.reasons import kind_of as kind_of_end
from lond.refusals import kind_of as kind_of_refusal
from tests.helpers.in_child import Child, in_child
from tests.helpers.waiting import eventually

REPLIES = Histogram("seconds", "how long", (0.1, 1.0))
FAILURES = Counter("failures", "failures", "reason", ("bad", OTHER))
TABLE = (Counter("requests", "requests"), REPLIES, FAILURES, Latest("seen", "seen"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return counters_path(tmp_path, "lonc")


def test_what_children_and_parent_count_is_added_up_by_host(path: Path) -> None:
    counters = Counters.create(path, TABLE, 3)
    old, new, other = (counters.claim(slot, label) for slot, label in ((0, "msul1"), (1, "msul1"), (2, "msul2")))
    old.add("requests", number=5)
    new.add("requests")
    other.add("failures", "bad")
    other.add("failures", "a reason that nobody knew")
    counters.total().add("requests", number=100)
    old.note("seen", 20.0)
    new.note("seen", 10.0)
    new.observe("seconds", 0.1)
    new.observe("seconds", 5.0, 2)

    found = Counters.read(path, TABLE)
    assert set(found) == {"", "msul1", "msul2"}
    assert found["msul1"].counter(TABLE[0]) == {"": 6}
    assert found[""].counter(TABLE[0]) == {"": 100}
    assert found["msul2"].counter(FAILURES) == {"bad": 1, OTHER: 1}
    assert found["msul1"].histogram(REPLIES) == ([1, 0, 2], 10.1)
    assert found["msul1"].latest("seen") == 20.0


def test_a_killed_child_s_numbers_stay_when_its_slot_is_given_away(path: Path) -> None:
    counters = Counters.create(path, TABLE, 2)

    def life() -> int:
        tally = counters.claim(1, "msul1")
        tally.add("requests", number=7)
        tally.note("seen", 3.0)
        os.kill(os.getpid(), 9)
        return 0

    with Child(life) as child:
        assert child.wait() == -9
    assert Counters.read(path, TABLE)["msul1"].cells[0] == 7
    for _ in range(2):  # the second time there is nothing to add
        counters.fold(1)
        assert Counters.read(path, TABLE)["msul1"].cells[0] == 7
    counters.claim(1, "msul2").add("requests")
    counters.claim(0, "msul1").add("requests")
    counters.fold(0)
    found = Counters.read(path, TABLE)
    assert (found["msul1"].cells[0], found["msul2"].cells[0], found["msul1"].latest("seen")) == (8, 1, 3.0)


def test_more_hosts_than_rows_are_counted_with_the_daemon(path: Path) -> None:
    counters = Counters.create(path, TABLE, 2)
    for number in range(5):
        counters.claim(0, f"msul{number}").add("requests")
        counters.fold(0)
    found = Counters.read(path, TABLE)
    assert {label: numbers.cells[0] for label, numbers in found.items()} == {"msul0": 1, "": 4}


def test_a_reader_never_meets_a_row_twice_or_not_at_all(path: Path) -> None:
    """A parent folds and folds while a stranger reads: the sum never goes back and never jumps."""
    counters = Counters.create(path, TABLE, 2)

    def parent() -> None:
        while True:
            counters.claim(0, "msul1").add("requests")
            counters.fold(0)

    counters.claim(0, "msul1")
    seen: list[float] = []

    def raced() -> bool:
        seen.extend(Counters.read(path, TABLE)["msul1"].cells[0] for _ in range(2000))
        return len(set(seen)) > 10

    with Child(parent):
        eventually(raced)
    assert seen == sorted(seen)


def test_a_file_of_another_version_is_not_read(path: Path) -> None:
    with pytest.raises(OSError):
        Counters.read(path, TABLE)
    Counters.create(path, TABLE, 2)
    with pytest.raises(ValueError, match="not a file of counters of this version"):
        Counters.read(path, TABLE[:1])
    path.write_bytes(b"LON")
    with pytest.raises(ValueError):
        Counters.read(path, TABLE)


def test_the_file_is_for_its_owner_and_group(path: Path) -> None:
    assert in_child(lambda: Counters.create(path, TABLE, 2) and None) is None
    assert path.stat().st_mode & 0o777 == 0o640


def test_names_are_unique_and_every_label_has_room_for_the_unknown() -> None:
    for metrics in STORED.values():
        names = [metric.name for metric in metrics]
        assert len(names) == len(set(names))
        layout = Layout(metrics)
        assert layout.size == sum(metric.cells for metric in metrics)
        assert all(list(bounds) == sorted(bounds) for bounds in layout.bounds.values())


def latencies() -> tuple[Latencies, Tally]:
    tally = Tally(Layout(LONC))
    return Latencies(tally), tally


def test_every_request_has_the_latency_of_the_turns_it_was_sent_and_answered_in() -> None:
    times, tally = latencies()
    times.sent(3, 10.0)
    times.sent(2, 10.2)
    times.answered(1, 10.004)
    times.answered(3, 10.3)  # the other two of the first turn, one of the second
    times.answered(1, 12.2)
    replies = next(metric for metric in LONC if isinstance(metric, Histogram))
    buckets, total = tally.numbers().histogram(replies)
    shown = {bound: number for bound, number in zip((*replies.bounds, None), buckets, strict=True) if number}
    assert shown == {0.005: 1, 0.25: 1, 0.5: 2, 2.5: 1}
    assert total == pytest.approx(0.004 + 2 * 0.3 + 0.1 + 2.0)
    requests = next(metric for metric in LONC if isinstance(metric, Counter))
    assert tally.numbers().counter(requests) == {"": 5}


def test_replies_that_belong_to_nothing_sent_are_not_counted() -> None:
    times, tally = latencies()
    times.answered(2, 10.0)
    assert sum(tally.numbers().cells) == 0


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("connection refused", "connection_refused"),
        ("no key exchange within 10 s", "timeout"),
        ("wrong host: 127.0.0.1 answers as msul2", "wrong_host"),
        ("refused: it answers refused", "refused"),
        ("protocol violated: too long", "protocol"),
        ("the other side closed the link", "closed"),
        ("nothing received for 30 s", "silent"),
        ("cannot assign requested address", OTHER),
    ],
)
def test_ends_of_links_are_counted_by_few_kinds(reason: str, kind: str) -> None:
    assert kind_of_end(reason) == kind


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("is not in hosts.tab", "unknown_address"),
        ("has 4 connections open that did not answer yet", "too_many"),
        ("no answer to the challenge within 10 s", "timeout"),
        ("it hung up before its answer to the challenge", "hung_up"),
        ("a request longer than 100 bytes", "protocol"),
        ("for various reasons", OTHER),
    ],
)
def test_rejected_connections_are_counted_by_few_kinds(reason: str, kind: str) -> None:
    assert kind_of_refusal(reason) == kind
