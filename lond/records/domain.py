"""The records of one domain: institutional ids, courses, chat rooms, and what is kept for a short time.

Texts are in escaped form. Every method belongs to one request, as in lond.records.user.

Promises: chat posts and temporary texts are forgotten after their time, when the next one is written.

Raises: :class:`StorageError`, and sqlite3.Error for Storage to judge. Logs nothing.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from lond.records.database import Database
from lond.records.faults import StorageError
from lond.records.user import Item, Pairs

CHAT_KEPT = 3600  # seconds
PRESENT_FOR = 60  # seconds after the last look into the chat room
TEMPORARY_KEPT = 7 * 86400  # seconds; also for queries


class DomainRecords:
    """One domain's open database."""

    __slots__ = ("database",)

    def __init__(self, database: Database) -> None:
        self.database = database

    def forget(self) -> None:
        """Nothing is remembered here that a transaction taken back could make wrong."""

    def put_ids(self, pairs: Pairs) -> None:
        """Sets the user names of ids."""
        self.database.write_all(
            "INSERT INTO id (id, user) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET user = excluded.user",
            pairs.items(),
        )

    def get_ids(self, ids: Sequence[bytes]) -> list[bytes]:
        """The user names in the order of the ids, empty for unknown ones."""
        rows = [self.database.select("SELECT user FROM id WHERE id = ?", (key,)).fetchone() for key in ids]
        return [row[0] if row else b"" for row in rows]

    def put_courses(self, pairs: Iterable[Item], now: int) -> None:
        """Sets what is known of courses, and the time of it."""
        self.database.write_all(
            "INSERT INTO course (id, value, time) VALUES (?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET value = excluded.value, time = excluded.time",
            [(key, value, now) for key, value in pairs],
        )

    def courses(self, since: int) -> Iterator[Item]:
        """The courses that were put at `since` (UNIX seconds) or later, by id."""
        rows = self.database.select("SELECT id, value FROM course WHERE time >= ? ORDER BY id", (since,))
        return cast(Iterator[Item], rows)

    def put_temporary(self, key: bytes, text: bytes, now: int) -> None:
        """Keeps a text under a key for TEMPORARY_KEPT seconds; a key that is there already gets the new text."""
        self.database.write("DELETE FROM temporary WHERE time < ?", (now - TEMPORARY_KEPT,))
        self.database.write("INSERT OR REPLACE INTO temporary (id, time, text) VALUES (?, ?, ?)", (key, now, text))

    def get_temporary(self, key: bytes) -> bytes:
        """The text; StorageError 2 if there is none."""
        row = self.database.select("SELECT text FROM temporary WHERE id = ?", (key,)).fetchone()
        if row is None:
            raise _no_such_id()
        return cast(bytes, row[0])

    def delete_temporary(self, key: bytes) -> None:
        """Forgets a text; StorageError 2 if there is none."""
        if not self.database.write("DELETE FROM temporary WHERE id = ?", (key,)).rowcount:
            raise _no_such_id()

    def put_query(self, key: bytes, host: bytes, text: bytes, now: int) -> None:
        """Keeps a query that a host has sent, for whoever answers queries here."""
        self.database.write("DELETE FROM query WHERE time < ?", (now - TEMPORARY_KEPT,))
        self.database.write("INSERT INTO query (id, time, host, text) VALUES (?, ?, ?, ?)", (key, now, host, text))

    def post(self, course: bytes, post: bytes, now: int) -> None:
        """Adds to a chat room and forgets its posts older than CHAT_KEPT."""
        self.database.write("DELETE FROM chat WHERE course = ? AND time < ?", (course, now - CHAT_KEPT))
        self.database.write("INSERT INTO chat (course, time, post) VALUES (?, ?, ?)", (course, now, post))

    def posts(self, course: bytes, now: int) -> Iterator[tuple[int, int, bytes]]:
        """Sequence number, UNIX time and text of the posts not older than CHAT_KEPT, oldest first."""
        rows = self.database.select(
            "SELECT seq, time, post FROM chat WHERE course = ? AND time >= ? ORDER BY seq",
            (course, now - CHAT_KEPT),
        )
        return cast(Iterator[tuple[int, int, bytes]], rows)

    def enter(self, course: bytes, user: bytes, now: int) -> None:
        """Notes that a user looks into a chat room now, and forgets those who left."""
        self.database.write("DELETE FROM presence WHERE course = ? AND time <= ?", (course, now - PRESENT_FOR))
        self.database.write(
            "INSERT OR REPLACE INTO presence (course, user, time) VALUES (?, ?, ?)", (course, user, now)
        )

    def present(self, course: bytes, now: int) -> list[bytes]:
        """Who looked into a chat room during the last PRESENT_FOR seconds, sorted."""
        rows = self.database.select(
            "SELECT user FROM presence WHERE course = ? AND time > ? ORDER BY user", (course, now - PRESENT_FOR)
        )
        return [user for (user,) in rows]


def _no_such_id() -> StorageError:
    return StorageError(errno.ENOENT, "no such id")
