"""The table of log messages: how messages are found, named and explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from loncontrol.documents.explanations import EXPLANATIONS, REASONS
from loncontrol.documents.messages import Message, messages, page

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "lonc").mkdir()
    (tmp_path / "lonc/tried.py").write_text(
        "log.info('link to %s is up', member.key)\n"
        "if bad:\n    _log.exception('it %s: ' '%.1f of 100 %%', error, 1 + 1)\n"
        "call(lambda: log.info('%s', self._status()))\n"
        "print('no message'); logs.info('neither'); math.log.info\n"
    )
    return tmp_path


def test_what_is_found(sources: Path) -> None:
    found = {message.format: message for message in messages(sources)}
    assert found == {
        "link to %s is up": Message("lonc.tried", "info", "link to %s is up", ("KEY",)),
        "it %s: %.1f of 100 %%": Message("lonc.tried", "error", "it %s: %.1f of 100 %%", ("ERROR", "...")),
        "%s": Message("lonc.tried", "info", "%s", ("STATUS",)),
    }
    assert found["it %s: %.1f of 100 %%"].text == "it ERROR: ... of 100 %"
    assert (found["%s"].key, found["link to %s is up"].key) == ("lonc.tried: %s", "link to %s is up")


def test_a_message_whose_text_is_put_together_cannot_be_explained(sources: Path) -> None:
    (sources / "lonc/other.py").write_text("log.error(f'{x} failed')\n")
    with pytest.raises(ValueError, match=r"lonc.other:1: the format must be a literal"):
        list(messages(sources))


def test_the_page_has_a_row_for_each(sources: Path) -> None:
    text = page(sources)
    meaning, _ = EXPLANATIONS["link to %s is up"]
    assert f"| `link to KEY is up` | info | lonc | {meaning} | nothing |" in text
    assert all(f"| {reason} | {meaning} | {action} |" in text for reason, meaning, action in REASONS)


def test_explanations_are_sentences_without_their_ends() -> None:
    for key, texts in EXPLANATIONS.items():
        assert texts[0] and not any(text.endswith(".") for text in texts), key
