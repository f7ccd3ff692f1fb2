"""The tables of our databases, and the steps from every older version to the newest.

``PRAGMA user_version`` of a file is the number of steps that it has seen; a step is never changed once it was
published, a new one is appended. Keys, values and texts are kept in their escaped form, as they are on the wire.

Promises: :func:`migrate` is atomic: after it the file has the newest version, or it is as it was.

Raises: sqlite3.Error, and :class:`Unusable` for a file that a newer program wrote. Logs nothing.
"""

from __future__ import annotations

import errno
import sqlite3

from lond.records.faults import Unusable

# entry: the hashes. version: what `store` keeps, one row per name and value, in the order in which they came,
# `number` counting from 1 per rid. history: append-only, what happened to a namespace. activity: the command `log`.
USER_STEPS = (
    """
    CREATE TABLE namespace (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
    CREATE TABLE entry (
        namespace INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
        PRIMARY KEY (namespace, key)) WITHOUT ROWID;
    CREATE TABLE version (
        namespace INTEGER NOT NULL, rid BLOB NOT NULL, number INTEGER NOT NULL, position INTEGER NOT NULL,
        key BLOB NOT NULL, value BLOB NOT NULL,
        PRIMARY KEY (namespace, rid, number, position)) WITHOUT ROWID;
    CREATE TABLE history (
        seq INTEGER PRIMARY KEY, namespace INTEGER NOT NULL, time INTEGER NOT NULL,
        action TEXT NOT NULL, about BLOB NOT NULL, what BLOB NOT NULL);
    CREATE TABLE activity (seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, host BLOB NOT NULL, text BLOB NOT NULL);
    """,
)

# id: user names by the numbers that an institution gives. temporary: what tmpput keeps for a while, and the
# replies to queries. chat and presence: by course.
DOMAIN_STEPS = (
    """
    CREATE TABLE id (id BLOB PRIMARY KEY, user BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE course (id BLOB PRIMARY KEY, value BLOB NOT NULL, time INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE temporary (id BLOB PRIMARY KEY, time INTEGER NOT NULL, text BLOB NOT NULL) WITHOUT ROWID;
    CREATE INDEX temporary_time ON temporary (time);
    CREATE TABLE query (
        id BLOB PRIMARY KEY, time INTEGER NOT NULL, host BLOB NOT NULL, text BLOB NOT NULL) WITHOUT ROWID;
    CREATE INDEX query_time ON query (time);
    CREATE TABLE chat (
        seq INTEGER PRIMARY KEY, course BLOB NOT NULL, time INTEGER NOT NULL, post BLOB NOT NULL);
    CREATE INDEX chat_course ON chat (course, time);
    CREATE TABLE presence (
        course BLOB NOT NULL, user BLOB NOT NULL, time INTEGER NOT NULL,
        PRIMARY KEY (course, user)) WITHOUT ROWID;
    """,
)


def migrate(connection: sqlite3.Connection, steps: tuple[str, ...]) -> None:
    """Brings a database to the newest version, in one transaction. The caller has taken the write lock.

    :raises Unusable: 95, the file has a version that we do not know.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(steps):
        raise Unusable(errno.EOPNOTSUPP, f"database has version {version}, this program knows {len(steps)}")
    for step in steps[version:]:
        # Not executescript: it would commit first, and half a step could stay.
        for statement in step.split(";"):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(steps):d}")
