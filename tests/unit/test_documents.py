"""What the pages say of the code is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from common.link_states import TABLE, State
from loncontrol import command_line  # noqa: F401 (makes the commands known)
from loncontrol.control import COMMANDS
from loncontrol.documents.__main__ import documents
from loncontrol.documents.messages import unexplained

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_table_of_states_is_the_protocol_s() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text()
    rows = page.partition("<!-- states -->")[2].partition("<!-- /states -->")[0].strip().splitlines()[2:]
    shown: dict[tuple[State, str], State] = {}
    for row in rows:
        before, event, after = (cell.strip() for cell in row.strip("|").split("|"))
        shown |= {(State(state), event): State(after) for state in before.split(", ")}
    assert shown == {(state, event.__name__): after for (state, event), after in TABLE.items()}


def test_every_file_that_a_page_names_exists() -> None:
    missing = []
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        named = re.findall(r"`((?:common|lonc|lond|lonnet|scripts|tests|conf)/[\w./]+\w)`", page.read_text())
        named += [
            f"docs/{link}" if page.parent.name == "docs" else link
            for link in re.findall(r"\]\(([\w./]+)\)", page.read_text())
        ]
        missing += [(page.name, name) for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_every_test_that_the_checklist_names_exists() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text().partition("## The bug checklist")[2]
    named = set(re.findall(r"((?:unit|network)/test_\w+)", page))
    assert named and [name for name in named if not (ROOT / "tests" / f"{name}.py").exists()] == []


def test_every_module_is_in_the_house() -> None:
    modules = [path for name in ("common", "lonc", "lond", "lonnet") for path in (ROOT / name).glob("*.py")]
    assert [path.name for path in modules if not path.read_text().startswith('"""')] == []


def test_every_command_that_a_page_names_exists() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        named = set(re.findall(r"(?m)(?:^    |`)loncontrol ([a-z][a-z-]+(?: [a-z]+)?)", page.read_text()))
        unknown = {words for words in named if words not in COMMANDS and words.split()[0] not in COMMANDS}
        assert not unknown, f"{page.name} names {unknown}"


def test_no_document_that_is_made_of_the_sources_is_stale() -> None:
    stale = [str(path.relative_to(ROOT)) for path, text in documents() if not path.exists() or path.read_text() != text]
    assert not stale, f"stale: {stale}; write them: python -m loncontrol.documents"


def test_every_log_message_is_explained() -> None:
    keys = unexplained(ROOT)
    assert not keys, f"to be explained (or no longer logged) in loncontrol/documents/explanations.py: {keys}"
