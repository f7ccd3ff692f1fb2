"""The records of one user: hashes by namespace, their history, versions of stored resources, activity log.

All names, keys and values are in escaped form. Every method belongs to one request; that a request is undone as a
whole and made durable with its batch is :class:`lond.storage.Storage`'s business.

Promises: what section 5 of classic-protocol.md says. Reading from a namespace that nothing was ever written to is
:class:`StorageError` 2.

Raises: StorageError, and sqlite3.Error for Storage to judge. Logs nothing.

Known limits: `dump` and `current` read the whole namespace, in the order of the keys.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import cast

from lond.records.database import Database
from lond.records.faults import StorageError
from lond.records.numbers import sum_of

WITHOUT_HISTORY = b"nohist_"
TIMESTAMP = b"timestamp"

Pairs = Mapping[bytes, bytes]
Item = tuple[bytes, bytes]
_Version = tuple[bytes, int, bytes, bytes]  # rid, number, key, value

_PUT = (
    "INSERT INTO entry (namespace, key, value) VALUES (?, ?, ?) "
    "ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value"
)
_GET = "SELECT value FROM entry WHERE namespace = ? AND key = ?"
_VERSIONS = "SELECT rid, number, key, value FROM version WHERE namespace = ? ORDER BY rid, number, position"


class UserRecords:
    """One user's open database."""

    __slots__ = ("_ids", "database")

    def __init__(self, database: Database) -> None:
        self.database = database
        self._ids: dict[bytes, int] = {}

    def forget(self) -> None:
        """Drops what is known of the tables, after a transaction was taken back."""
        self._ids.clear()

    def put(self, namespace: bytes, pairs: Pairs, now: int, about: bytes = b"") -> None:
        """Sets values. `about` goes into the history in front of the pairs (``EXEDOM:EXEUSER`` for roles)."""
        number = self._made(namespace)
        self.database.write_all(_PUT, [(number, key, value) for key, value in pairs.items()])
        self._remember(namespace, number, now, "P", about, _joined(pairs.items()))

    def put_new(self, namespace: bytes, pairs: Pairs, now: int) -> bytes | None:
        """Sets values if none of the keys exists.

        :returns: None, or the first key that exists already; nothing was set then.
        """
        number = self._made(namespace)
        for key in pairs:
            if self._value(number, key) is not None:
                return key
        self.put(namespace, pairs, now)
        return None

    def increment(self, namespace: bytes, amounts: Sequence[Item], now: int) -> None:
        """Adds numbers (an empty one counts as 1) to stored ones (a missing one counts as 0).

        :raises StorageError: 22, one of the two is no number.
        """
        number = self._made(namespace)
        for key, amount in amounts:
            total = sum_of(self._value(number, key) or b"", amount)
            self.database.write(_PUT, (number, key, total))
        self._remember(namespace, number, now, "P", b"", _joined(amounts))

    def get(self, namespace: bytes, keys: Sequence[bytes]) -> list[bytes]:
        """The values in the order of the keys, empty for missing ones."""
        number = self._existing(namespace)
        return [self._value(number, key) or b"" for key in keys]

    def delete(self, namespace: bytes, keys: Iterable[bytes], now: int, about: bytes = b"") -> None:
        """Removes values; that one is missing is no error."""
        number = self._made(namespace)
        rows = [(number, key) for key in keys]
        self.database.write_all("DELETE FROM entry WHERE namespace = ? AND key = ?", rows)
        self._remember(namespace, number, now, "D", about, b"&".join([key for _, key in rows]))

    def dump(self, namespace: bytes) -> Iterator[Item]:
        """All keys and values in a fixed order; stored versions come last, under the names of section 5."""
        number = self._existing(namespace)
        select = self.database.select
        entries = select("SELECT key, value FROM entry WHERE namespace = ? ORDER BY key", (number,))
        yield from cast(Iterator[Item], entries)
        yield from _presented(cast(Iterator[_Version], select(_VERSIONS, (number,))))

    def store(self, namespace: bytes, rid: bytes, pairs: Pairs, now: int) -> None:
        """Keeps a new version of a resource id, with the time as its last value ``timestamp``."""
        number = self._made(namespace)
        last = self.database.select(
            "SELECT max(number) FROM version WHERE namespace = ? AND rid = ?", (number, rid)
        ).fetchone()[0]
        values = {**pairs}
        values.pop(TIMESTAMP, None)
        values[TIMESTAMP] = b"%d" % now
        version = (last or 0) + 1
        self.database.write_all(
            "INSERT INTO version (namespace, rid, number, position, key, value) VALUES (?, ?, ?, ?, ?, ?)",
            [(number, rid, version, at, key, value) for at, (key, value) in enumerate(values.items())],
        )
        self._remember(namespace, number, now, "P", rid, _joined(pairs.items()))

    def restore(self, namespace: bytes, rid: bytes) -> Iterator[Item]:
        """``version=N``, then for each version its ``n:keys`` and all ``n:KEY``; N = 0 if nothing was stored."""
        number = self._existing(namespace)
        rows = self.database.select(
            "SELECT number, key, value FROM version WHERE namespace = ? AND rid = ? ORDER BY number, position",
            (number, rid),
        ).fetchall()
        yield b"version", b"%d" % (rows[-1][0] if rows else 0)
        for version, group in groupby(rows, itemgetter(0)):
            values = [(key, value) for _, key, value in group]
            yield b"%d:keys" % version, b":".join([key for key, _ in values])
            for key, value in values:
                yield b"%d:%b" % (version, key), value

    def current(self, namespace: bytes) -> Iterator[Item]:
        """The latest value of each key of each resource id: ``RID:KEY`` and value."""
        rows = cast(Iterator[_Version], self.database.select(_VERSIONS, (self._existing(namespace),)))
        for rid, group in groupby(rows, itemgetter(0)):
            latest = {key: value for _, _, key, value in group}
            for key, value in latest.items():
                yield b"%b:%b" % (rid, key), value

    def log(self, host: bytes, text: bytes, now: int) -> None:
        """Appends to the activity log."""
        self.database.write("INSERT INTO activity (time, host, text) VALUES (?, ?, ?)", (now, host, text))

    def activity(self) -> Iterator[bytes]:
        """The activity log, ``UNIXTIME:CLIENTHOST:TEXT``, oldest first."""
        for time, host, text in self.database.select("SELECT time, host, text FROM activity ORDER BY seq"):
            yield b"%d:%b:%b" % (time, host, text)

    def history(self, namespace: bytes) -> Iterator[bytes]:
        """The history of a namespace in the form of section 5, oldest first."""
        rows = self.database.select(
            "SELECT action, time, about, what FROM history WHERE namespace = ? ORDER BY seq",
            (self._existing(namespace),),
        )
        for action, time, about, what in rows:
            yield b":".join([action.encode(), b"%d" % time, *([about] if about else []), what])

    def namespaces(self) -> list[bytes]:
        """The names of all namespaces, sorted."""
        return [name for (name,) in self.database.select("SELECT name FROM namespace ORDER BY name")]

    def _value(self, number: int, key: bytes) -> bytes | None:
        row = self.database.select(_GET, (number, key)).fetchone()
        return row[0] if row else None

    def _remember(self, namespace: bytes, number: int, now: int, action: str, about: bytes, what: bytes) -> None:
        if not namespace.startswith(WITHOUT_HISTORY):
            self.database.write(
                "INSERT INTO history (namespace, time, action, about, what) VALUES (?, ?, ?, ?, ?)",
                (number, now, action, about, what),
            )

    def _existing(self, namespace: bytes) -> int:
        """The number of a namespace. Only ever added, so that what is known stays true."""
        number = self._ids.get(namespace)
        if number is None:
            row = self.database.select("SELECT id FROM namespace WHERE name = ?", (namespace,)).fetchone()
            if row is None:
                raise StorageError(errno.ENOENT, "no such namespace")
            number = self._ids[namespace] = int(row[0])
        return number

    def _made(self, namespace: bytes) -> int:
        if namespace not in self._ids:
            self.database.write("INSERT OR IGNORE INTO namespace (name) VALUES (?)", (namespace,))
        return self._existing(namespace)


def _joined(items: Iterable[Item]) -> bytes:
    return b"&".join([key + b"=" + value for key, value in items])


def _presented(rows: Iterator[_Version]) -> Iterator[Item]:
    """Rows of the table of versions under the names of section 5."""
    for rid, versions in groupby(rows, itemgetter(0)):
        number = 0
        for number, group in groupby(versions, itemgetter(1)):
            keys = []
            for _, _, key, value in group:
                keys.append(key)
                yield b"%d:%b:%b" % (number, rid, key), value
            yield b"%d:keys:%b" % (number, rid), b":".join(keys)
        yield b"version:" + rid, b"%d" % number
