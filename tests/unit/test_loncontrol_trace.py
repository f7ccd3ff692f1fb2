"""What the other end's answer about a message is told as."""

from __future__ import annotations

import pytest

from loncontrol.trace import words_of_peer


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("con_lost", "can't be asked: there is no link to it now"),
        ("unknown_cmd", "keeps no journal (it answers unknown_cmd); whether it executed the message can't be told"),
        ("error: 22 \x1b", "keeps no journal (it answers error: 22 \\x1b); whether"),
        ("5000::", "has an empty journal, or keeps none; whether it executed the message can't be told"),
        ("5000:1000:", "has not executed this command for us; its journal begins at "),
        ("5000:1000:2000=ok", "was asked once to execute this command for us, and answered: "),
        ("5000:1000:2000=ok&3000=error 2", "was asked 2 times to execute this command for us, and answered: "),
    ],
)
def test_the_words_of_the_peer(reply: str, words: str) -> None:
    told = words_of_peer(reply, "log", False, 1500.0)
    assert told.startswith(words) and "older than that journal" not in told


def test_what_the_journal_can_not_know_is_said() -> None:
    assert "an earlier execution would not be known" in words_of_peer("5000:1000:", "log", False, 900.0)
    assert words_of_peer("5000:1000:", "passwd", True, 1500.0).startswith(
        "has not executed passwd, of which it keeps no more than the word, for us; "
    )
    assert "these may be other messages" in words_of_peer("5000:1000:2000=ok", "log", False, 1500.0)
