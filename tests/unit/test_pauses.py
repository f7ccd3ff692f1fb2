"""Paused hosts on disk, and the pipe by which lonc is asked to look at them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from common.pauses import MAX_WHY, Pause, pause, pauses, resume
from lonc.control import NAME, ControlPipe, ask

ADA = Pause("msul2", 1000.5, "ada", "disk full: \u00fcber Nacht")


def test_a_pause_is_there_until_it_is_taken_away(tmp_path: Path) -> None:
    directory = tmp_path / "delayed"
    assert pauses(directory) == {}
    pause(directory, ADA)
    pause(directory, ADA._replace(host="msul3", why="x" * 500))
    assert pauses(directory) == {"msul2": ADA, "msul3": ADA._replace(host="msul3", why="x" * MAX_WHY)}
    assert (resume(directory, "msul2"), resume(directory, "msul2")) == (True, False)
    assert list(pauses(directory)) == ["msul3"]
    assert os.listdir(directory) == ["msul3.paused"], "nothing else is left"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"when": "x", "who": "ada", "why": ""}', "\udcff"])
def test_a_pause_that_can_not_be_understood_is_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "msul2.paused").write_text(content, errors="surrogateescape")
    found = pauses(tmp_path)["msul2"]
    assert (found.who, found.why) == ("?", f"{tmp_path}/msul2.paused can't be read")


def test_a_half_written_pause_is_none(tmp_path: Path) -> None:
    (tmp_path / ".msul2.paused.123").write_text("{")
    (tmp_path / "msul2.db").write_text("")
    assert pauses(tmp_path) == {}


def test_what_can_not_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "msul2.paused").mkdir()  # a name that can't be replaced by a file
    with pytest.raises(OSError):
        pause(tmp_path, ADA)
    assert os.listdir(tmp_path) == ["msul2.paused"]


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[ControlPipe]:
    with closing(ControlPipe(tmp_path)) as pipe:
        yield pipe


def test_what_is_asked_arrives_in_order(tmp_path: Path, pipe: ControlPipe) -> None:
    assert pipe.read() == []
    assert ask(tmp_path, "retry", "msul2") and ask(tmp_path, "look")
    assert pipe.read() == [("retry", "msul2"), ("look", "")]
    assert pipe.read() == [], "no writer is left, which is no end of file"
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_without_a_reader_nothing_is_asked(tmp_path: Path) -> None:
    assert not ask(tmp_path, "look"), "there is no pipe"
    ControlPipe(tmp_path).close()
    assert not ask(tmp_path, "look"), "nobody reads it"


def test_what_lies_in_the_pipe_s_place(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("kept by nobody")
    assert not ask(tmp_path, "look")
    with closing(ControlPipe(tmp_path)) as pipe:
        assert ask(tmp_path, "look") and pipe.read() == [("look", "")]


def test_a_reader_that_hangs_keeps_nobody_waiting(tmp_path: Path, pipe: ControlPipe) -> None:
    with pytest.raises(BlockingIOError):
        for _ in range(100_000):
            ask(tmp_path, "retry", "msul2")
    assert len(pipe.read()) > 1000


def test_what_can_not_be_read_is_not_taken_for_no_pause(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        pauses(tmp_path / "file")
    assert pauses(tmp_path / "missing") == {}
