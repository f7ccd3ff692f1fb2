"""The process title, as ps reads it; set in children of the test, whose titles nobody reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import title
from common.title import set_title
from tests.helpers.in_child import in_child


def title_after(*titles: str) -> str:
    def body() -> str:
        for text in titles:
            set_title(text)
        return Path("/proc/self/cmdline").read_bytes().rstrip(b"\0").decode()

    return in_child(body)


def test_the_title_is_what_was_said_last() -> None:
    assert title_after("lonc: msul1 connecting", "lond: idle") == "lond: idle"


def test_control_characters_are_made_visible() -> None:
    assert title_after("lond: \x1b[2Jmsul1\n\0\u2028x\u00e4") == "lond: ?[2Jmsul1???x\u00e4"


def test_the_system_is_asked_only_for_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = ["lonc: parent"]
    monkeypatch.setattr(title, "getproctitle", lambda: shown[-1])
    monkeypatch.setattr(title, "setproctitle", shown.append)
    for text in ("lonc: parent", "lonc: parent\t", "lonc: parent\t", "lonc: parent?"):
        set_title(text)
    assert shown == ["lonc: parent", "lonc: parent?"]
