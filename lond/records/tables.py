"""All tables of one user's database as values, to be read and added to row by row, and copies of a database.

:mod:`lond.records.user` is what commands need; this is what moving a user as a whole needs: every row, and nothing
derived from it. Names, keys, values and texts are in escaped form, as everywhere in storage.

Promises: :meth:`Copy.of` is one state of the database, whoever writes meanwhile, and keeps nobody waiting. A Copy is
an unnamed file of SQLite's that vanishes with the process. Rows come in an order that depends on them alone, except
that a history is in its own order.

Raises: sqlite3.Error from the methods of :class:`Tables`, for :class:`lond.storage.Storage` to judge; from those of
:class:`Copy` only StorageError, so that trouble with a copy is never taken for damage of the original. Logs nothing.

Known limits: a copy needs as much room as the original, in SQLITE_TMPDIR, TMPDIR, /var/tmp or /tmp.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from lond.records.database import Database, Patience, Value
from lond.records.faults import StorageError, fault_of
from lond.records.schema import USER_STEPS, migrate
from lond.records.user import Item


@dataclass(frozen=True, slots=True)
class Version:
    """What one `store` has kept: its number counts from 1 per resource id; the values in the order they came in."""

    rid: bytes
    number: int
    values: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a namespace's history. `time`: UNIX seconds; `about`: a resource id, EXEDOM:EXEUSER, or empty."""

    time: int
    action: str
    about: bytes
    what: bytes


@dataclass(frozen=True, slots=True)
class Activity:
    """One line of the activity log. Time is in UNIX seconds."""

    time: int
    host: bytes
    text: bytes


class Tables:
    """The tables of an open database; belongs to one request, as :class:`lond.records.user.UserRecords` does."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._ids: dict[bytes, int] = {}

    def namespaces(self) -> list[bytes]:
        """The names of all namespaces, sorted."""
        return [name for (name,) in self._rows("SELECT name FROM namespace ORDER BY name")]

    def has_namespace(self, name: bytes) -> bool:
        """Whether there is a namespace of this name."""
        return self._id(name) != 0

    def entries(self, namespace: bytes) -> Iterator[Item]:
        """Keys and values, by key; nothing for a namespace that is not there, here and below."""
        sql = "SELECT key, value FROM entry WHERE namespace = ? ORDER BY key"
        yield from self._rows(sql, (self._id(namespace),))

    def value(self, namespace: bytes, key: bytes) -> bytes | None:
        """The value of a key."""
        sql = "SELECT value FROM entry WHERE namespace = ? AND key = ?"
        return next((value for (value,) in self._rows(sql, (self._id(namespace), key))), None)

    def versions(self, namespace: bytes) -> Iterator[Version]:
        """Stored versions, by resource id and number."""
        sql = "SELECT rid, number, key, value FROM version WHERE namespace = ? ORDER BY rid, number, position"
        for (rid, number), rows in groupby(self._rows(sql, (self._id(namespace),)), itemgetter(0, 1)):
            yield Version(rid, number, tuple((key, value) for _, _, key, value in rows))

    def version(self, namespace: bytes, rid: bytes, number: int) -> Version | None:
        """One stored version."""
        sql = "SELECT key, value FROM version WHERE namespace = ? AND rid = ? AND number = ? ORDER BY position"
        values = tuple((key, value) for key, value in self._rows(sql, (self._id(namespace), rid, number)))
        return Version(rid, number, values) if values else None

    def history(self, namespace: bytes) -> Iterator[Event]:
        """What happened to a namespace, oldest first."""
        sql = "SELECT time, action, about, what FROM history WHERE namespace = ? ORDER BY seq"
        for row in self._rows(sql, (self._id(namespace),)):
            yield Event(*row)

    def activity(self) -> Iterator[Activity]:
        """The activity log, oldest first."""
        for row in self._rows("SELECT time, host, text FROM activity ORDER BY seq"):
            yield Activity(*row)

    def add_namespace(self, name: bytes) -> bool:
        """Makes a namespace; False if it is there, and so for what follows: what is there stays."""
        return self._add("INSERT OR IGNORE INTO namespace (name) VALUES (?)", (name,))

    def add_entry(self, namespace: bytes, key: bytes, value: bytes) -> bool:
        """Sets a value in a namespace that is there."""
        sql = "INSERT OR IGNORE INTO entry (namespace, key, value) VALUES (?, ?, ?)"
        return self._add(sql, (self._id(namespace), key, value))

    def add_version(self, namespace: bytes, version: Version) -> bool:
        """Keeps a version; False if any row of it is there."""
        sql = "INSERT OR IGNORE INTO version (namespace, rid, number, position, key, value) VALUES (?, ?, ?, ?, ?, ?)"
        name = (self._id(namespace), version.rid, version.number)
        return all([self._add(sql, (*name, at, *item)) for at, item in enumerate(version.values)])

    def add_event(self, namespace: bytes, event: Event) -> None:
        """Appends to a namespace's history."""
        sql = "INSERT INTO history (namespace, time, action, about, what) VALUES (?, ?, ?, ?, ?)"
        self._add(sql, (self._id(namespace), event.time, event.action, event.about, event.what))

    def add_activity(self, activity: Activity) -> None:
        """Appends to the activity log."""
        sql = "INSERT INTO activity (time, host, text) VALUES (?, ?, ?)"
        self._add(sql, (activity.time, activity.host, activity.text))

    def _id(self, namespace: bytes) -> int:
        number = self._ids.get(namespace)
        if number is None:
            rows = self._rows("SELECT id FROM namespace WHERE name = ?", (namespace,))
            number = next((int(row[0]) for row in rows), 0)  # SQLite counts from 1
            if number:
                self._ids[namespace] = number
        return number

    def _rows(self, sql: str, parameters: Sequence[Value] = ()) -> Iterator[tuple[Any, ...]]:
        yield from self.database.select(sql, parameters)

    def _add(self, sql: str, parameters: Sequence[Value]) -> bool:
        return self.database.write(sql, parameters).rowcount > 0


class Copy(Tables):
    """A database without a name. Close it, or use it in a `with` statement.

    :raises StorageError: there is no room for it.
    """

    def __init__(self) -> None:
        with storage_errors():
            connection = _unnamed()
            connection.execute("BEGIN")
            migrate(connection, USER_STEPS)
            connection.execute("COMMIT")
            super().__init__(_writable(connection))

    @classmethod
    def of(cls, original: Database) -> Copy:
        """One state of a database.

        :param original: open; reading when this returns, until the end of its batch.
        """
        # It reads from here on, with Storage's patience; a backup that had to begin to would wait without an end.
        original.select("SELECT count(*) FROM namespace").fetchone()
        copy = cls.__new__(cls)
        connection = _unnamed()
        try:
            original.connection.backup(connection, pages=-1)
            Tables.__init__(copy, _writable(connection))
        except BaseException:
            connection.close()
            raise
        return copy

    def close(self) -> None:
        """Ends it; SQLite gives the room back."""
        self.database.close()

    def __enter__(self) -> Copy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self, sql: str, parameters: Sequence[Value] = ()) -> Iterator[tuple[Any, ...]]:
        with storage_errors():
            yield from super()._rows(sql, parameters)

    def _add(self, sql: str, parameters: Sequence[Value]) -> bool:
        with storage_errors():
            return super()._add(sql, parameters)


@contextmanager
def storage_errors() -> Iterator[None]:
    """SQLite's errors as StorageError, for a database that Storage does not look after."""
    try:
        yield
    except sqlite3.Error as error:
        failure = fault_of(error).error()
        raise StorageError(failure.number, f"{failure.text} ({error})") from error


def _unnamed() -> sqlite3.Connection:
    connection = sqlite3.connect("", isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _writable(connection: sqlite3.Connection) -> Database:
    database = Database(Path(), connection, 0, Patience(0))
    database.begin(wait=False)
    return database
