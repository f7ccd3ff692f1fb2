"""The FIFO of delayed messages: order, ids, states, durability under kill -9, and disks that say no."""

from __future__ import annotations

import fcntl
import os
import random
import resource
import signal
import sqlite3
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.delayed import DONE, FAILED, HELD, PURGE_ROWS, WAITING, Fifo, Message, Outcome, Row
from common.errors import SpoolError
from common.lease import Lease
from tests.conftest import FakeClock
from tests.helpers.in_child import Barrier, Child, in_child, read_all, read_some
from tests.helpers.waiting import eventually

SEED = random.randrange(1 << 32)


def message(number: int) -> Message:
    return Message(f"{number:032x}", b"put:msu:smith:env:n=%d" % number)


def messages(*numbers: int) -> list[Message]:
    return [message(number) for number in numbers]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "delayed"


@pytest.fixture
def fifo(directory: Path, clock: FakeClock) -> Iterator[Fifo]:
    with closing(Fifo(directory, "msul1", clock)) as fifo:
        yield fifo


@contextmanager
def again(fifo: Fifo) -> Iterator[Fifo]:
    """The same FIFO, as another process sees it."""
    with closing(Fifo(fifo.path.parent, fifo.path.stem)) as other:
        yield other


def test_a_run_of_like_outcomes_marks_no_message_between_or_beside(fifo: Fifo) -> None:
    rows = fifo.append([Message(f"{number:032x}", b"c") for number in range(10)])
    marked = [
        (0, DONE, b"ok"),
        (1, DONE, b"ok"),
        (3, DONE, b"ok"),
        (4, FAILED, b"ok"),
        (5, FAILED, b"no"),
        (8, DONE, b""),
    ]
    fifo.commit((), [Outcome(rows[number].seq, state, reply) for number, state, reply in marked])
    found = {row.seq - 1: (row.state, row.reply) for row in (fifo.find(row.id) for row in rows) if row}
    expected: dict[int, tuple[str, bytes | None]] = {number: (WAITING, None) for number in range(10)}
    assert found == expected | {number: (state, reply) for number, state, reply in marked}


@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 257, 1000])
def test_a_batch_of_any_size_keeps_its_order(fifo: Fifo, count: int) -> None:
    batch = [Message(f"{number:032x}", b"c%d" % number) for number in range(count)]
    assert [(row.seq, row.command) for row in fifo.append(batch)] == [(n + 1, b"c%d" % n) for n in range(count)]
    assert all_waiting(fifo) == batch
    again = [*batch[:1], Message("f" * 32, b"new"), *batch[1:]]
    assert [row.id for row in fifo.append(again)] == [message.id for message in again]
    assert len(all_waiting(fifo)) == count + 1


def all_waiting(fifo: Fifo) -> list[Message]:
    return [Message(row.id, row.command) for row in fifo.waiting(0, 1_000_000)]


# --- appending --------------------------------------------------------------------------------------------


def test_a_message_is_a_row(fifo: Fifo, clock: FakeClock) -> None:
    row = Row(1, f"{7:032x}", b"put:msu:smith:env:n=7", clock.now, 0, WAITING, None, "")
    assert fifo.append(messages(7)) == [row]
    assert fifo.find(row.id) == row
    assert fifo.waiting(0, 10) == [row]
    assert fifo.find("0" * 31 + "f") is None


def test_a_command_is_bytes_and_keeps_its_prefix(fifo: Fifo) -> None:
    command = b"encrypt:passwd:msu:smith:\x00\xff%0a\r" + bytes(range(11, 256))
    fifo.append([Message("a" * 32, command)])
    with again(fifo) as other:
        row = other.find("a" * 32)
        assert row is not None and row.command == command and type(row.command) is bytes


def test_order_is_the_order_of_acceptance(fifo: Fifo) -> None:
    fifo.append(messages(3, 1))
    fifo.append(messages(2))
    fifo.append([])
    fifo.append(messages(9, 8))
    assert all_waiting(fifo) == messages(3, 1, 2, 9, 8)
    assert [row.seq for row in fifo.waiting(0, 10)] == [1, 2, 3, 4, 5]


def test_waiting_is_read_in_pieces(fifo: Fifo) -> None:
    fifo.append(messages(*range(10)))
    assert [row.seq for row in fifo.waiting(0, 3)] == [1, 2, 3]
    assert [row.seq for row in fifo.waiting(3, 3)] == [4, 5, 6]
    assert [row.seq for row in fifo.waiting(9, 3)] == [10]
    assert fifo.waiting(10, 3) == []


def test_an_id_stands_in_the_fifo_once(fifo: Fifo) -> None:
    [first] = fifo.append(messages(1))
    assert fifo.append([Message(first.id, b"another command")]) == [first]
    rows = fifo.append([message(2), message(1), message(3), message(2)])
    assert [row.id for row in rows] == [message(n).id for n in (2, 1, 3, 2)]
    assert rows == [fifo.find(row.id) for row in rows]
    assert rows[0].seq < rows[2].seq, "numbers may be left out, but they grow"
    assert all_waiting(fifo) == messages(1, 2, 3)


def test_an_id_that_was_answered_gives_its_answer(fifo: Fifo) -> None:
    [row] = fifo.append(messages(1))
    fifo.commit((), [Outcome(row.seq, DONE, b"ok")])
    [known] = fifo.append(messages(1))
    assert (known.state, known.reply) == (DONE, b"ok")
    assert fifo.waiting(0, 10) == []


def test_rows_returned_are_rows_stored(fifo: Fifo) -> None:
    rows = fifo.append(messages(1, 2, 3)) + fifo.append(messages(4, 1, 5))
    assert rows == [fifo.find(row.id) for row in rows]


def test_two_writers_interleave(fifo: Fifo) -> None:
    with again(fifo) as other:
        for number in range(0, 20, 2):
            assert fifo.append(messages(number))[0].seq == number + 1
            assert other.append(messages(number + 1))[0].seq == number + 2
        assert all_waiting(fifo) == all_waiting(other) == messages(*range(20))
        [row] = other.append(messages(0))
        assert row.seq == 1


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 15), max_size=5)), max_size=8))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_interleaving_keeps_order_and_ids(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[bool, list[int]]]
) -> None:
    directory = tmp_path_factory.mktemp("fifo")
    accepted: list[int] = []
    with closing(Fifo(directory, "a")) as one, closing(Fifo(directory, "a")) as other:
        for first, numbers in plan:
            rows = (one if first else other).append(messages(*numbers))
            accepted += [n for n in dict.fromkeys(numbers) if n not in accepted]
            assert [row.id for row in rows] == [message(n).id for n in numbers]
            assert [(row.seq, row.command) for row in rows] == [
                (row.seq, row.command) for n in numbers if (row := one.find(message(n).id))
            ]
        assert all_waiting(one) == messages(*accepted)
        seqs = [row.seq for row in one.waiting(0, 100)]
        assert seqs == sorted(set(seqs))


def test_data_version_tells_of_other_writers_alone(fifo: Fifo) -> None:
    with again(fifo) as other:
        seen = fifo.data_version()
        fifo.append(messages(1))
        assert fifo.data_version() == seen
        other.append(messages(2))
        assert fifo.data_version() != seen
        seen = fifo.data_version()
        assert fifo.data_version() == seen


def test_last_seq(fifo: Fifo) -> None:
    assert fifo.last_seq() == 0
    fifo.append(messages(1, 2))
    assert fifo.last_seq() == 2


def test_a_seq_is_never_used_twice(fifo: Fifo, clock: FakeClock) -> None:
    rows = fifo.append(messages(1, 2, 3))
    fifo.commit((), [Outcome(row.seq, DONE, b"ok") for row in rows])
    clock.advance(100)
    assert fifo.purge(50) == 3
    assert fifo.last_seq() == 3
    assert fifo.append(messages(4))[0].seq == 4
    with again(fifo) as other:
        assert other.append(messages(5))[0].seq == 5


def test_the_epoch_belongs_to_the_file(fifo: Fifo, directory: Path) -> None:
    with again(fifo) as other, closing(Fifo(directory, "msul2")) as another_host:
        assert len(fifo.epoch) == 32 and int(fifo.epoch, 16) >= 0
        assert other.epoch == fifo.epoch != another_host.epoch


# --- states -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [DONE, FAILED, HELD])
def test_an_outcome_ends_the_waiting(fifo: Fifo, state: str) -> None:
    first, second = fifo.append(messages(1, 2))
    assert fifo.commit((), [Outcome(first.seq, state, b"refused")]) == []
    row = fifo.find(first.id)
    assert row is not None and (row.state, row.reply) == (state, b"refused")
    assert fifo.waiting(0, 10) == [second]


def test_messages_and_outcomes_are_one_commit(fifo: Fifo) -> None:
    fifo.append(messages(1, 2))
    rows = fifo.commit(messages(3), [Outcome(1, DONE, b"ok"), Outcome(2, FAILED, b"unknown_cmd")])
    assert [row.seq for row in rows] == [3]
    assert fifo.count() == {FAILED: 1, WAITING: 1}


def test_counts(fifo: Fifo) -> None:
    assert (fifo.count(), fifo.waiting_count(), fifo.oldest()) == ({}, 0, None)
    fifo.append(messages(*range(6)))
    fifo.commit((), [Outcome(1, DONE, b""), Outcome(2, FAILED, b""), Outcome(3, HELD, b"")])
    assert fifo.count() == {WAITING: 3, FAILED: 1, HELD: 1}
    assert fifo.waiting_count() == 3


def test_the_oldest_is_the_oldest_waiting(fifo: Fifo, clock: FakeClock) -> None:
    for number in range(3):
        fifo.append(messages(number))
        clock.advance(10)
    assert fifo.oldest() == 1000
    fifo.commit((), [Outcome(1, DONE, b"ok")])
    assert fifo.oldest() == 1010


def test_attempts_are_counted_until_the_message_is_held(fifo: Fifo) -> None:
    fifo.append(messages(1, 2))
    for attempt in range(1, 5):
        row = fifo.record_attempt(1, f"error {attempt}", 5)
        assert row is not None and (row.attempts, row.state, row.last_error) == (attempt, WAITING, f"error {attempt}")
    row = fifo.record_attempt(1, "the last one", 5)
    assert row is not None and (row.attempts, row.state) == (5, HELD)
    assert [row.seq for row in fifo.waiting(0, 10)] == [2]
    with again(fifo) as other:
        assert other.find(row.id) == row
        assert other.append(messages(1)) == [row]


@pytest.mark.parametrize("state", [DONE, FAILED, HELD])
def test_only_waiting_messages_are_attempted(fifo: Fifo, state: str) -> None:
    fifo.append(messages(1))
    fifo.commit((), [Outcome(1, state, b"x")])
    assert fifo.record_attempt(1, "error", 1) is None
    row = fifo.find(messages(1)[0].id)
    assert row is not None and (row.attempts, row.state, row.last_error) == (0, state, "")


def test_an_attempt_at_no_message(fifo: Fifo) -> None:
    assert fifo.record_attempt(4711, "error", 5) is None


def test_what_was_answered_in_the_future_does_not_hide_what_is_long_over(fifo: Fifo, clock: FakeClock) -> None:
    fifo.append(messages(1, 2))
    clock.advance(1e8)
    fifo.commit((), [Outcome(1, DONE, b"ok")])
    clock.advance(-1e8)
    fifo.commit((), [Outcome(2, DONE, b"ok")])
    clock.advance(3601)
    assert fifo.purge(3600) == 2


def test_purging_takes_only_what_was_answered_long_ago(fifo: Fifo, clock: FakeClock) -> None:
    fifo.append(messages(*range(1, 6)))
    fifo.commit((), [Outcome(1, DONE, b"ok"), Outcome(2, FAILED, b"no"), Outcome(3, HELD, b"")])
    clock.advance(3600)
    fifo.commit((), [Outcome(4, DONE, b"ok")])
    assert fifo.purge(3600) == 0
    clock.advance(0.001)
    assert fifo.purge(3600) == 1
    assert [fifo.find(message(n).id) is not None for n in range(1, 6)] == [False, True, True, True, True]
    assert fifo.purge(3600) == 0


def test_purging_is_done_in_pieces(fifo: Fifo, clock: FakeClock) -> None:
    total = PURGE_ROWS + 10
    fifo.append(messages(*range(total)))
    fifo.commit((), [Outcome(seq, DONE, b"ok") for seq in range(1, total + 1)])
    clock.advance(10)
    assert [fifo.purge(1), fifo.purge(1), fifo.purge(1)] == [PURGE_ROWS, 10, 0]


# --- files ------------------------------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0, 0o027, 0o077])
def test_nobody_else_reads_messages(directory: Path, umask: int) -> None:
    def body() -> dict[str, int]:
        os.umask(umask)
        with closing(Fifo(directory, "msul1")) as fifo:
            fifo.append(messages(1))
            lease = Lease(directory, "msul1")
            lease.try_take()
            lease.close()
            return {path.name: mode(path) for path in (directory, *directory.iterdir())}

    modes = in_child(body)
    assert modes.pop("delayed") == 0o700
    assert modes.keys() >= {"msul1.db", "msul1.db-wal", "msul1.lease"}
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"garbage, and much of it\n" * 1000])
def test_a_file_that_is_none(directory: Path, content: bytes) -> None:
    directory.mkdir()
    (directory / "msul1.db").write_bytes(content)
    if not content:  # what a crash between making and filling it leaves
        with closing(Fifo(directory, "msul1")) as fifo:
            fifo.append(messages(1))
        return
    with pytest.raises(SpoolError, match=r"msul1\.db"):
        Fifo(directory, "msul1")
    assert (directory / "msul1.db").read_bytes() == content


def test_a_damaged_file_is_set_aside_by_the_holder_of_the_lease(
    directory: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    directory.mkdir()
    content = b"garbage, and much of it\n" * 1000
    (directory / "msul1.db").write_bytes(content)
    with closing(Fifo(directory, "msul1", clock, set_aside=True)) as fifo:
        fifo.append(messages(1))
        assert all_waiting(fifo) == messages(1)
    assert (directory / "msul1.db.damaged-1000").read_bytes() == content
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    assert "msul1.db.damaged-1000" in caplog.text


def test_a_good_file_is_not_set_aside(fifo: Fifo, directory: Path) -> None:
    fifo.append(messages(1))
    with closing(Fifo(directory, "msul1", set_aside=True)) as other:
        assert all_waiting(other) == messages(1)


def test_what_is_no_damage_is_not_set_aside(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(SpoolError):
        Fifo(tmp_path / "plain", "msul1", set_aside=True)
    (tmp_path / "msul1.db").mkdir()
    with pytest.raises(SpoolError):
        Fifo(tmp_path, "msul1", set_aside=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["msul1.db", "plain"]


def test_a_page_that_went_bad_is_an_error_that_names_the_file(fifo: Fifo, directory: Path) -> None:
    fifo.append(messages(*range(200)))
    fifo.close()
    path = directory / "msul1.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(SpoolError, match=r"msul1\.db"), closing(Fifo(directory, "msul1")) as damaged:
        damaged.waiting(0, 1000)


def test_processes_that_make_the_file_at_once_make_one(directory: Path) -> None:
    for number in range(40):
        with Barrier() as go, ExitStack() as stack:

            def body(number: int = number, go: Barrier = go) -> tuple[str, int]:
                os.close(go.write_end)
                go.wait()
                with closing(Fifo(directory, f"h{number}")) as fifo:
                    return fifo.epoch, fifo.append([Message(os.urandom(16).hex(), b"x")])[0].seq

            children = [stack.enter_context(Child(body)) for _ in range(4)]
            os.close(go.write_end)  # all pass at the end of file
            results = [child.result() for child in children]
        assert len({epoch for epoch, _ in results}) == 1
        assert sorted(seq for _, seq in results) == [1, 2, 3, 4]


# --- a disk that says no ----------------------------------------------------------------------------------


def test_a_full_disk_takes_nothing_of_a_commit(fifo: Fifo, directory: Path) -> None:
    fifo.append(messages(1))
    pages = fifo._db.execute("PRAGMA page_count").fetchone()[0]
    fifo._db.execute(f"PRAGMA max_page_count = {pages + 4}")
    big = [Message(f"{number:032x}", b"x" * 3000) for number in range(100, 140)]
    with pytest.raises(SpoolError, match=r"msul1\.db: .*full"):
        fifo.commit(big, [Outcome(1, DONE, b"ok")])
    assert all_waiting(fifo) == messages(1)
    fifo._db.execute("PRAGMA max_page_count = 1000000")
    assert [row.seq for row in fifo.append(big)] == list(range(2, 42))
    with again(fifo) as other:
        assert all_waiting(other) == messages(1) + big


def test_a_file_that_may_not_grow_takes_nothing_of_a_commit(directory: Path) -> None:
    """The limit of the process on file sizes stands for a full disk or quota; the write itself fails."""
    with closing(Fifo(directory, "msul1")) as fifo:
        fifo.append(messages(1))
    big = [Message(f"{number:032x}", b"x" * 3000) for number in range(100, 140)]

    def body() -> tuple[str, list[Message], int]:
        with closing(Fifo(directory, "msul1")) as fifo:
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
            error = ""
            try:
                fifo.append(big)
            except SpoolError as caught:
                error = str(caught)
            before = all_waiting(fifo)
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            return error, before, len(fifo.append(big))

    error, before, accepted = in_child(body)
    assert "msul1.db: " in error
    assert (before, accepted) == (messages(1), 40)
    with closing(Fifo(directory, "msul1")) as fifo:
        assert all_waiting(fifo) == messages(1) + big


def test_a_writer_that_does_not_end_is_not_waited_for_without_limit(
    directory: Path,
) -> None:
    with closing(Fifo(directory, "msul1", patience=0.02)) as fifo, again(fifo) as other:
        other._db.execute("BEGIN IMMEDIATE")
        with pytest.raises(SpoolError, match="locked"):
            fifo.append(messages(1))
        other._db.execute("ROLLBACK")
        assert fifo.append(messages(1))[0].seq == 1


def test_an_error_in_the_middle_rolls_back_what_came_before(fifo: Fifo) -> None:
    [row] = fifo.append(messages(1))
    with pytest.raises(SpoolError):
        fifo.commit([message(2), Message(None, b"x")], [Outcome(row.seq, DONE, b"ok"), Outcome(row.seq, object(), b"")])  # type: ignore[arg-type]
    assert fifo.waiting(0, 10) == [row]
    assert fifo.append(messages(3))[0].seq == 2


@pytest.mark.parametrize(
    "use",
    [
        lambda fifo: fifo.append(messages(1)),
        lambda fifo: fifo.find("x"),
        lambda fifo: fifo.waiting(0, 1),
        lambda fifo: fifo.last_seq(),
        lambda fifo: fifo.data_version(),
        lambda fifo: fifo.count(),
        lambda fifo: fifo.waiting_count(),
        lambda fifo: fifo.oldest(),
        lambda fifo: fifo.record_attempt(1, "", 5),
        lambda fifo: fifo.purge(0),
        lambda fifo: fifo.epoch,
    ],
)
def test_every_call_says_what_is_wrong_by_a_spool_error(fifo: Fifo, use: Callable[[Fifo], object]) -> None:
    fifo.close()
    with pytest.raises(SpoolError, match=r"msul1\.db") as caught:
        use(fifo)
    assert isinstance(caught.value.__cause__, sqlite3.Error)


# --- kill -9 ----------------------------------------------------------------------------------------------

_REPORT = struct.Struct(">I")


def append_for_ever(directory: Path, first: int, report: int) -> None:
    """Commit batches, tell the highest number of each once the FIFO has taken it, and finish some before."""
    fifo, number, chance = Fifo(directory, "msul1"), first, random.Random(first)
    while True:
        size = chance.randrange(1, 8)
        batch = messages(*range(number, number + size))
        outcomes = [Outcome(row.seq, DONE, b"ok") for row in fifo.waiting(0, 3)] if chance.random() < 0.3 else []
        fifo.commit(batch, outcomes)
        number += size
        os.write(report, _REPORT.pack(number))


def test_what_was_reported_survives_kill_9(directory: Path) -> None:
    """A child is killed at random points of committing, a dozen times over the same file."""
    chance, number = random.Random(SEED), 0
    for _ in range(12):
        with Barrier() as pipe:
            with Child(partial(append_for_ever, directory, number, pipe.write_end)) as child:
                os.close(pipe.write_end)
                reports = b""
                while len(reports) < _REPORT.size * chance.randrange(1, 60):
                    reports += read_some(pipe.read_end)
                child.kill(signal.SIGKILL)
                assert child.wait() == -signal.SIGKILL
            reports += read_all(pipe.read_end)
        whole = len(reports) // _REPORT.size * _REPORT.size
        reported = _REPORT.unpack(reports[whole - _REPORT.size : whole])[0]
        with closing(Fifo(directory, "msul1")) as fifo:
            stored = [row for n in range(reported) if (row := fifo.find(message(n).id))]
            assert len(stored) == reported, SEED
            assert [row.seq for row in stored] == sorted(row.seq for row in stored), SEED
            assert all(row.command == message(n).command for n, row in enumerate(stored))
            number = fifo.last_seq()  # a last batch that was taken but not reported is there as a whole
            assert fifo.find(message(number).id) is None


def test_a_writer_killed_within_its_transaction_leaves_nothing_of_it(fifo: Fifo, directory: Path) -> None:
    fifo.append(messages(1))
    with Barrier() as ready:

        def body() -> None:
            other = Fifo(directory, "msul1")
            with other._transaction(synced=True):
                other._insert(messages(2, 3))
                ready.open()
                signal.pause()

        with Child(body) as child:
            ready.wait()
            child.kill()
            child.wait()
    assert all_waiting(fifo) == messages(1)
    assert fifo.append(messages(4))[0].seq == 2


def test_interleaved_processes_lose_and_double_nothing(directory: Path) -> None:
    def body(first: int) -> list[int]:
        with closing(Fifo(directory, "msul1")) as fifo:
            return [row.seq for n in range(first, first + 60, 3) for row in fifo.append(messages(n, n + 1, n + 2))]

    Fifo(directory, "msul1").close()
    with Child(lambda: body(0)) as one, Child(lambda: body(1000)) as two:
        first, second = one.result(), two.result()
    assert first == sorted(first) and second == sorted(second)
    assert sorted(first + second) == list(range(1, 121))
    with closing(Fifo(directory, "msul1")) as fifo:
        order = [int(row.id, 16) for row in fifo.waiting(0, 1000)]
    assert [n for n in order if n < 1000] == list(range(60))
    assert [n for n in order if n >= 1000] == list(range(1000, 1060))


# --- the lease --------------------------------------------------------------------------------------------


def test_a_lease_has_one_holder(directory: Path) -> None:
    one, other, elsewhere = Lease(directory, "msul1"), Lease(directory, "msul1"), Lease(directory, "msul2")
    try:
        assert (one.held, one.try_take(), one.held) == (False, True, True)
        assert (other.try_take(), other.held) == (False, False)
        assert elsewhere.try_take()
        one.close()
        one.close()
        assert (one.held, other.try_take(), other.held) == (False, True, True)
        assert other.try_take()
    finally:
        for lease in (one, other, elsewhere):
            lease.close()


def test_a_lease_excludes_other_processes_and_ends_with_its_holder(directory: Path) -> None:
    with Barrier() as ready:

        def body() -> None:
            lease = Lease(directory, "msul1")
            ready.open(b"1" if lease.try_take() else b"0")
            signal.pause()

        with Child(body) as child:
            assert ready.wait() == b"1"
            lease = Lease(directory, "msul1")
            assert not lease.try_take()
            child.kill()
            child.wait()
        assert eventually(lease.try_take)
        lease.close()


def test_a_lease_does_not_keep_others_from_appending(fifo: Fifo, directory: Path) -> None:
    lease = Lease(directory, "msul1")
    assert lease.try_take()

    def body() -> int:
        with closing(Fifo(directory, "msul1")) as other:
            return other.append(messages(5))[0].seq

    assert in_child(body) == 1
    lease.close()


def test_the_lease_is_a_lock_of_the_open_file(directory: Path) -> None:
    """Closing another descriptor of the same file must not free it, as it would with a lock of fcntl(2)."""
    lease, other = Lease(directory, "msul1"), Lease(directory, "msul1")
    assert lease.try_take()
    os.close(os.open(directory / "msul1.lease", os.O_RDWR))
    assert not other.try_take()
    with open(directory / "msul1.lease") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    lease.close()
    other.close()


def test_a_lease_that_can_not_be_made_is_a_spool_error(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(SpoolError):
        Lease(tmp_path / "plain", "msul1").try_take()


def test_counting_does_not_look_at_what_is_done(tmp_path: Path) -> None:
    """Reports count often, and a busy FIFO keeps an hour of done messages."""
    with closing(Fifo(tmp_path, "msul2")) as fifo:
        rows = fifo.append([Message(f"{n:032x}", b"ping") for n in range(5)])
        states = (DONE, DONE, FAILED, HELD)
        fifo.commit([], [Outcome(row.seq, state, b"x") for row, state in zip(rows, states, strict=False)])
        assert fifo.count() == {WAITING: 1, FAILED: 1, HELD: 1}
        statements: list[str] = []
        fifo._db.set_trace_callback(statements.append)
        fifo.count()
        fifo._db.set_trace_callback(None)
        for statement in statements:
            plans = [row[3] for row in fifo._db.execute(f"EXPLAIN QUERY PLAN {statement}")]
            assert all("INDEX message_" in plan for plan in plans), plans
