"""The scoreboard: what children write, readers see whole, whoever dies in the middle."""

from __future__ import annotations

import os
import signal
import stat
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.scoreboard import _SLOT_SIZE, Scoreboard, Slot, scoreboard_path
from tests.helpers.in_child import Barrier, Child, in_child
from tests.helpers.waiting import eventually, open_descriptors

FULL = Slot(
    pid=4711,
    generation=7,
    state="connecting",
    since=1.5,
    heartbeat=2.5,
    last_received=3.5,
    next_try=4.5,
    oldest_delayed=5.5,
    started=6.5,
    requests=2**63,
    replies=2**40,
    connections=3,
    outstanding=4,
    waiting=5,
    delayed=6,
    attempts=7,
    host="msul1",
    text="connection refused",
    trouble="messages are postponed",
)
HEADER_SIZE, SLOT_SIZE = 64, _SLOT_SIZE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return scoreboard_path(tmp_path, "lonc")


@pytest.fixture
def board(path: Path) -> Iterator[Scoreboard]:
    with closing(Scoreboard.create(path, 4)) as board:
        yield board


def test_a_fresh_board_is_free(board: Scoreboard) -> None:
    assert [board.read(number) for number in range(board.slots)] == [Slot()] * 4
    assert list(board.all()) == []


def test_every_field_has_a_value_in_this_test() -> None:
    assert all(value != field.default for field, value in zip(fields(Slot), asdict(FULL).values(), strict=True))


def test_every_field_comes_back(board: Scoreboard) -> None:
    board.write(2, FULL)
    assert board.read(2) == FULL
    assert list(board.all()) == [FULL]
    assert [board.read(number) for number in (0, 1, 3)] == [Slot()] * 3


def test_the_last_write_counts(board: Scoreboard) -> None:
    for number in range(5):
        board.write(0, replace(FULL, requests=number, text="x" * (9 - number)))
    assert board.read(0) == replace(FULL, requests=4, text="xxxxx")
    board.clear(0)
    assert board.read(0) == Slot()


@pytest.mark.parametrize("number", [-1, 4, 1000])
def test_there_is_no_other_slot(board: Scoreboard, number: int) -> None:
    with pytest.raises(IndexError, match=f"slot {number} of 4"):
        board.read(number)
    with pytest.raises(IndexError, match=f"slot {number} of 4"):
        board.write(number, FULL)


# --- text -------------------------------------------------------------------------------------------------


def with_text(slot: Slot, name: str, text: str) -> Slot:
    changed = replace(slot)
    setattr(changed, name, text)
    return changed


LONGEST = {"state": 16, "host": 64, "text": 160}


@pytest.mark.parametrize("name", LONGEST)
def test_text_is_cut_to_its_field(board: Scoreboard, name: str) -> None:
    for size in (LONGEST[name] - 1, LONGEST[name], LONGEST[name] + 1, 5000):
        board.write(1, with_text(FULL, name, "x" * size))
        assert getattr(board.read(1), name) == "x" * min(size, LONGEST[name])
        assert with_text(board.read(1), name, "") == with_text(FULL, name, ""), "the neighbours are untouched"


@pytest.mark.parametrize(
    ("beginning", "character"), [("x" * 157, "\U0001d11e"), ("x" * 158, "\u20ac"), ("x" * 159, "\xe9")]
)
def test_text_is_cut_between_characters(board: Scoreboard, beginning: str, character: str) -> None:
    text = beginning + character * 3
    board.write(0, replace(FULL, text=text))
    assert text.startswith(board.read(0).text) and len(board.read(0).text) >= len(beginning)


@given(st.text(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_can_be_written_and_read(board: Scoreboard, text: str) -> None:
    board.write(3, replace(FULL, text=text))
    slot = board.read(3)
    if "\0" not in text and len(text.encode()) <= 160:
        assert slot.text == text
    assert replace(slot, text=FULL.text) == FULL


def test_text_that_is_not_utf_8_is_no_reason_to_fail(board: Scoreboard) -> None:
    board.write(0, replace(FULL, text="\udcff in a file name"))
    assert board.read(0).text == "? in a file name"


# --- torn writes ------------------------------------------------------------------------------------------


def place(number: int) -> int:
    return HEADER_SIZE + number * SLOT_SIZE


def put(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def guard(path: Path, number: int) -> int:
    return int(struct.unpack_from("<I", path.read_bytes(), place(number))[0])


def copy(path: Path, number: int, which: int) -> int:
    """Where one of a slot's two copies begins."""
    return place(number) + 8 + which * ((place(1) - place(0) - 8) // 2)


def test_every_write_fills_the_copy_that_does_not_hold(board: Scoreboard, path: Path) -> None:
    for requests in range(1, 5):
        before = path.read_bytes()
        holds = guard(path, 1) % 2
        board.write(1, replace(FULL, requests=requests))
        after = path.read_bytes()
        start, end = copy(path, 1, holds), copy(path, 1, holds) + copy(path, 1, 1) - copy(path, 1, 0)
        assert before[start:end] == after[start:end]
        assert guard(path, 1) % 2 != holds and board.read(1).requests == requests


def test_a_write_that_ends_in_an_error_is_not_taken_for_a_whole_one(board: Scoreboard) -> None:
    board.write(1, FULL)
    with pytest.raises(struct.error):
        board.write(1, replace(FULL, pid=4712, attempts=-1))
    assert board.read(1) == FULL


@pytest.mark.parametrize("start", [1, 3, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF])
def test_the_guard_may_run_over(board: Scoreboard, path: Path, start: int) -> None:
    put(path, place(1), struct.pack("<I", start))
    for requests in (1, 2, 3):
        board.write(1, replace(FULL, requests=requests))
        assert board.read(1).requests == requests


@pytest.mark.parametrize("written", [0, 1, 50, 300])
def test_a_writer_that_died_while_it_wrote_leaves_the_last_complete_state(
    board: Scoreboard, path: Path, written: int
) -> None:
    old, new = replace(FULL, requests=1, text="old " * 20), replace(FULL, pid=4712, requests=2, text="new " * 20)
    board.write(0, new)
    holding = copy(path, 0, guard(path, 0) % 2)
    content = path.read_bytes()[holding : holding + written]
    board.write(0, old)
    put(path, copy(path, 0, (guard(path, 0) + 1) % 2), content)
    assert board.read(0) == old
    assert len(list(board.all())) == 1


# --- other processes --------------------------------------------------------------------------------------


def test_a_child_writes_what_its_parent_and_strangers_read(board: Scoreboard, path: Path) -> None:
    def body() -> None:
        board.write(1, FULL)
        os.kill(os.getpid(), signal.SIGKILL)

    with Child(body) as child:
        assert child.wait() == -signal.SIGKILL
    with closing(Scoreboard.open(path)) as stranger:
        assert board.read(1) == stranger.read(1) == FULL
        assert stranger.slots == 4


def test_readers_never_see_half_a_write(board: Scoreboard, path: Path) -> None:
    """A writer in another process flips between two states as fast as it can."""
    one = replace(FULL, pid=1, requests=1, text="1" * 160)
    two = replace(FULL, pid=2, requests=2, text="2" * 160)
    seen: list[Slot] = []
    with Barrier() as ready:

        def body() -> None:
            board.write(0, one)
            ready.open()
            while True:
                board.write(0, two)
                board.write(0, one)

        with Child(body), closing(Scoreboard.open(path)) as stranger:
            ready.wait()

            def both_are_seen() -> None:
                seen.extend(stranger.read(0) for _ in range(20_000))
                assert {slot.pid for slot in seen} >= {1, 2}, "the test has not raced"

            eventually(both_are_seen)
    assert [slot for slot in seen if slot not in (one, two)] == []


def test_a_reader_can_not_write(board: Scoreboard, path: Path) -> None:
    with closing(Scoreboard.open(path)) as stranger, pytest.raises(TypeError):
        stranger.write(0, FULL)


def test_a_new_board_leaves_readers_of_the_old_one_alone(board: Scoreboard, path: Path) -> None:
    board.write(0, FULL)
    with closing(Scoreboard.open(path)) as reader, closing(Scoreboard.create(path, 9)) as new:
        assert reader.read(0) == FULL and new.read(0) == Slot()
        with closing(Scoreboard.open(path)) as later:
            assert later.slots == 9


# --- the file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"LONSCORE", b"LONSCORE9999" + bytes(8000), b"\x7fELF" + bytes(8000)])
def test_what_is_no_scoreboard_is_not_taken_for_one(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"\.lonc\.scoreboard is not a scoreboard of this version"):
        Scoreboard.open(path)


def test_no_file_no_board(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Scoreboard.open(path)


def test_the_file_is_for_owner_and_group_and_alone_in_its_directory(path: Path) -> None:
    def body() -> tuple[int, list[str]]:
        os.umask(0o027)
        Scoreboard.create(path, 2).close()
        return stat.S_IMODE(path.stat().st_mode), os.listdir(path.parent)

    assert in_child(body) == (0o640, [".lonc.scoreboard"])


def test_close_frees_everything(path: Path) -> None:
    before = open_descriptors()
    board = Scoreboard.create(path, 2)
    board.close()
    assert open_descriptors().keys() == before.keys()
