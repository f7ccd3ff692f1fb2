"""A user's directory is renamed by ``lonuser move`` at the worst moments of the opening of the database in it."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from lond.records.moving import moving_directory
from tests.helpers.dispatching import Lond, make_site

IS_MOVING = b"error: 11 the user is moving to another host, try again"
PUT, GET = "put:msu:smith:data:a=1", "get:msu:smith:data:a"


def rename_before(monkeypatch: pytest.MonkeyPatch, step: str, home: Path, new: Path) -> list[str]:
    """The user's directory gets another name at the next call of `step`; the list tells that it has come to that."""
    original = resolve_name(f"lond.records.{step}")
    done: list[str] = []

    def stepped(*arguments: Any, **keywords: Any) -> Any:
        monkeypatch.undo()
        done.append(step)
        home.rename(new)
        return original(*arguments, **keywords)

    monkeypatch.setattr(f"lond.records.{step}", stepped)
    return done


@pytest.mark.parametrize(
    ("command", "step"),
    [
        (GET, "database.refuse_damaged"),
        (GET, "database.Path.stat"),
        (GET, "database.refuse_lost"),
        (PUT, "database.refuse_lost"),
        (PUT, "creation.tempfile.mkstemp"),
        (PUT, "creation.migrate"),
        (PUT, "creation.Path.hardlink_to"),
        (PUT, "creation.sync_directory"),
    ],
)
def test_a_user_without_records_begins_to_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, step: str
) -> None:
    with Lond(make_site(tmp_path)) as lond:
        home = lond.user_path("smith").parent
        done = rename_before(monkeypatch, step, home, moving_directory(home, "msul2"))
        assert lond.ask(command) == IS_MOVING
        assert done


@pytest.mark.parametrize("command", [GET, PUT])
@pytest.mark.parametrize("step", ["database.refuse_damaged", "database.Path.stat", "database.sqlite3.connect"])
def test_a_user_with_records_begins_to_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, step: str
) -> None:
    site = make_site(tmp_path)
    with Lond(site) as lond:
        assert lond.ask(PUT) == b"ok"
    with Lond(site) as lond:
        home = lond.user_path("smith").parent
        done = rename_before(monkeypatch, step, home, moving_directory(home, "msul2"))
        assert lond.ask(command) == IS_MOVING
        assert done
