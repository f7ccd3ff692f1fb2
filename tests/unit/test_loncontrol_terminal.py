"""How loncontrol's answers look on a terminal, and that nothing of it goes anywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from loncontrol.terminal import RED, coloured, confirmed, table

HEAD, ROWS = ["HOST", "WHY"], [["msul1", "ok"], ["msul2", "a\x1b[31mb\n" + "x" * 60]]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((40, 20)))
    for name, value in (("TERM", "xterm"), ("COLUMNS", "40"), ("LINES", "20")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    yield monkeypatch


def test_in_a_pipe_there_is_text_alone() -> None:
    assert table(HEAD, ROWS, ["", RED]).splitlines() == [
        "HOST   WHY", "msul1  ok", "msul2  a\\x1b[31mb\\x0a" + "x" * 60,
    ]  # fmt: skip
    assert coloured("text", RED) == "text"


def test_on_a_terminal_rows_have_colours_and_a_rule(terminal: pytest.MonkeyPatch) -> None:
    head, rule, first, second = table(HEAD, [["msul1", "ok"], ["msul2", "a\x1b[31mb"]], ["", RED]).splitlines()
    assert (head, rule, first) == ("\x1b[1mHOST   WHY\x1b[0m", "─" * 17, "msul1  ok")
    assert second == "\x1b[31mmsul2  a\\x1b[31mb\x1b[0m"


def test_nothing_is_cut_on_a_narrow_terminal(terminal: pytest.MonkeyPatch) -> None:
    rows = [["msul1", "-", "up", "-", "", ""], ["msul2", "-", "given up", "5", "/" + "x" * 50, "no link " * 6]]
    assert table(["HOST", "OLDEST", "STATE", "HELD", "PATH", "WHY"], rows).splitlines() == [
        "\x1b[1mHOST   STATE     HELD  PATH", "    WHY\x1b[0m", "─" * 40,
        "msul1  up        -",
        "msul2  given up  5", "    /" + "x" * 50, "    no link no link no link no link no", "    link no link",
    ]  # fmt: skip


def test_what_fits_has_all_its_columns(terminal: pytest.MonkeyPatch) -> None:
    assert table(["HOST", "HELD"], [["msul1", "-"]]).splitlines()[2:] == ["msul1  -"]


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", ""), ("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_turned_off(terminal: pytest.MonkeyPatch, name: str, value: str) -> None:
    terminal.setenv(name, value)
    assert coloured("text", RED) == "text"
    assert "\x1b" not in table(HEAD, ROWS, ["", RED])


@pytest.mark.parametrize(("typed", "done"), [("y", True), ("Yes ", True), ("", False), ("no", False), (None, False)])
def test_a_person_is_asked(terminal: pytest.MonkeyPatch, typed: str | None, done: bool) -> None:
    def answer(_question: str) -> str:
        if typed is None:
            raise EOFError
        return typed

    terminal.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    terminal.setattr("builtins.input", answer)
    assert confirmed("Go on?", False) is done
    assert confirmed("Go on?", True)


def test_nobody_is_asked_where_nobody_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda _question: "y")
    assert not confirmed("Go on?", False)
    assert confirmed("Go on?", True)
