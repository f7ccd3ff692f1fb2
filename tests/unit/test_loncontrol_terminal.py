"""How loncontrol's answers look on a terminal, and that nothing of it goes anywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from loncontrol.terminal import RED, coloured, confirmed, printable, table

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


def test_on_a_terminal_rows_have_colours_a_rule_and_an_end(terminal: pytest.MonkeyPatch) -> None:
    head, rule, first, second = table(HEAD, ROWS, ["", RED]).splitlines()
    assert (head, rule, first) == ("\x1b[1mHOST   WHY\x1b[0m", "─" * 40, "msul1  ok")
    assert second == f"\x1b[31m{('msul2  ' + printable(ROWS[1][1]))[:40]}\x1b[0m"


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
