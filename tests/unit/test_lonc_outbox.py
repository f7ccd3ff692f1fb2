"""The part of a FIFO that is in memory: bounded, in order, complete."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.delayed import DONE, Fifo, Message, Outcome
from lonc import outbox as module
from lonc.outbox import Outbox


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    fifo = Fifo(tmp_path / "delayed", "msul1")
    yield fifo
    fifo.close()


def messages(first: int, count: int, size: int = 10) -> list[Message]:
    return [Message(f"{number:032x}", b"c" * size) for number in range(first, first + count)]


def drained(outbox: Outbox) -> list[int]:
    return [outbox.pop().seq for _ in list(outbox)]


def test_what_a_turn_recorded_is_taken_without_reading_it_again(fifo: Fifo) -> None:
    outbox = Outbox(1000)
    outbox.read(fifo, set())
    assert not outbox.behind and not outbox
    outbox.take(fifo.append(messages(0, 3)))
    assert not outbox.behind
    assert [row.seq for row in outbox] == [1, 2, 3]
    assert outbox.first() == next(iter(outbox))


def test_after_somebody_elses_messages_all_are_read_in_order(fifo: Fifo) -> None:
    outbox = Outbox(1000)
    outbox.read(fifo, set())
    fifo.append(messages(0, 1))  # lonnet's, which this child has not seen
    outbox.take(fifo.append(messages(1, 1)))
    assert outbox.behind and not outbox
    outbox.read(fifo, set())
    assert drained(outbox) == [1, 2]


def test_no_more_is_read_than_a_page_or_the_bytes_allow(fifo: Fifo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 4)
    fifo.append(messages(0, 6))
    outbox = Outbox(1000)
    outbox.read(fifo, set())
    assert (outbox.behind, outbox.has_room) == (True, False)
    assert drained(outbox) == [1, 2, 3, 4]
    outbox.read(fifo, set())
    assert not outbox.behind
    assert drained(outbox) == [5, 6]

    narrow = Outbox(25)
    narrow.read(fifo, set())
    assert narrow.behind and not narrow.has_room
    assert drained(narrow) == [1, 2, 3]  # the third reaches 25 bytes


def test_what_was_sent_already_is_not_taken_again(fifo: Fifo) -> None:
    fifo.append(messages(0, 4))
    outbox = Outbox(1000)
    outbox.read(fifo, {1, 3})
    assert drained(outbox) == [2, 4]


def test_what_does_not_fit_is_left_to_be_read(fifo: Fifo) -> None:
    outbox = Outbox(25)
    outbox.read(fifo, set())
    outbox.take(fifo.append(messages(0, 3)))
    outbox.take(fifo.append(messages(3, 1)))
    assert outbox.behind
    assert drained(outbox) == [1, 2, 3]
    outbox.read(fifo, set())
    assert drained(outbox) == [4]
    assert not outbox.behind


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_from_whom_each_is_sent_once_and_in_order(
    fifo: Fifo, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(module, "PAGE", chance.choice([2, 5, 50]))
    outbox = Outbox(chance.choice([20, 100, 10_000]))
    stored = 0
    sent: list[int] = []
    for _ in range(200):
        deed = chance.choice(["child", "lonnet", "read", "send", "look"])
        count = chance.randint(1, 7)
        if deed == "child":
            outbox.take(fifo.append(messages(stored, count)))
        elif deed == "lonnet":
            fifo.append(messages(stored, count))
        elif deed == "look":
            outbox.behind = True
        elif deed == "read" and outbox.behind and outbox.has_room:
            outbox.read(fifo, set())
        elif deed == "send":
            taken = [outbox.pop().seq for _ in range(min(count, len(list(outbox))))]
            fifo.commit((), [Outcome(seq, DONE, b"ok") for seq in taken])
            sent += taken
        stored += count if deed in ("child", "lonnet") else 0
    outbox.behind = True
    while outbox or outbox.behind:
        if outbox.behind and outbox.has_room:
            outbox.read(fifo, set())
        sent += [outbox.pop().seq for _ in list(outbox)]
    assert sent == list(range(1, stored + 1))
