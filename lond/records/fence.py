"""Closing a user's database to every writer, those included that have it open already.

A lond child that has found a database in its place may write to it some time later. When the user is taken away from
this host, such a write must not be answered `ok` after the records were copied: it would be lost. Triggers in the
database itself refuse it, whoever has it open.

Promises: after :func:`close_to_writers` has committed, no request on this database can write. Both functions may be
repeated.

Raises: sqlite3.Error. Logs nothing; who is refused gets `error: 11 ...`.
"""

from __future__ import annotations

from lond.records.database import Database
from lond.records.faults import MOVED_AWAY

_WRITES = (
    ("namespace", "INSERT"),
    ("entry", "INSERT"),
    ("entry", "UPDATE"),
    ("entry", "DELETE"),
    ("version", "INSERT"),
    ("history", "INSERT"),
    ("activity", "INSERT"),
)


def close_to_writers(database: Database) -> None:
    """Refuses all writes from now on; waits for the one that is under way. Commits."""
    statements = [
        f"CREATE TRIGGER IF NOT EXISTS {_name(table, event)} BEFORE {event} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{MOVED_AWAY}'); END"
        for table, event in _WRITES
    ]
    _change(database, statements)


def open_to_writers(database: Database) -> None:
    """Takes :func:`close_to_writers` back. Commits."""
    _change(database, [f"DROP TRIGGER IF EXISTS {_name(table, event)}" for table, event in _WRITES])


def _change(database: Database, statements: list[str]) -> None:
    database.begin(wait=True)
    for statement in statements:
        database.write(statement)
    database.end()


def _name(table: str, event: str) -> str:
    return f"moved_{table}_{event.lower()}"
