"""The table of commands in the documentation is what the registry says."""

from __future__ import annotations

from pathlib import Path

import pytest

from lond.commands.arguments import USER
from lond.commands.registry import REGISTRY, Trust, command
from lond.commands.table import BEGIN, END, main, table, updated

DOCUMENT = Path(__file__).parents[2] / "docs" / "commands.md"

# classic-protocol.md, section 4, without what has families of its own.
DUE = [
    "ping", "pong", "ekey", "load", "userload", "version", "sethost", "exit", "quit", "init",
    "home", "log", "put", "newput", "inc", "get", "eget", "del", "keys", "dump",
    "rolesput", "rolesdel", "store", "restore", "currentdump", "idput", "idget", "tmpput", "tmpget", "tmpdel",
    "chatsend", "chatretr", "courseidput", "courseiddump", "querysend", "queryreply", "setannounce",
    "ls", "sub", "unsub", "update", "currentversion", "fetchuserfile", "tokenauthuserfile",
]  # fmt: skip


def test_document_is_up_to_date() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert updated(text) == text, "run: python -m lond.commands.table docs/commands.md"


def test_every_command_is_there() -> None:
    assert {name.encode() for name in DUE} <= set(REGISTRY)


def test_a_row_says_all_that_is_stated() -> None:
    rows = table().splitlines()
    assert "| `rolesdel` | `exedom:exeuser:udom:uname:k&k...` | E | W | roles | `ok`, `error: ...` |" in rows
    assert any(row.startswith("| `dump` | `udom:uname:ns[:regexp(esc)[:start-end]]` |  |  | records |") for row in rows)
    assert any(row.startswith("| `ekey` (link level) |") for row in rows)


def test_a_stale_document_is_brought_up_to_date(tmp_path: Path) -> None:
    file = tmp_path / "x.md"
    file.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert main([str(file)]) == 0
    assert file.read_text() == f"before\n{BEGIN}\n{table()}{END}\nafter\n"


def test_a_document_without_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="commands"):
        updated("nothing here")


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="two commands ping"):
        command("ping", USER, trust=Trust.NONE, replies="")(lambda context: b"")
