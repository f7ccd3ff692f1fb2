"""The file of a host's delayed messages: ``HOST.db`` in lonDelayedDir, an SQLite database in WAL mode.

Promises: a transaction is whole or was not, and on disk at its end if it is synced. A file that can't be read is moved
away by the holder of the lease alone, and kept.

Raises SpoolError for everything the disk or the file is to blame for. Logs a file that was moved away (critical).
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from common.errors import SpoolError
from common.wal import is_damaged, open_wal

log = logging.getLogger(__name__)

BUSY_SECONDS = 10.0  # how long a writer waits for another writer's commit
CHECK_BYTES = 67108864  # a file up to this size is looked through for damage when its sender opens it

_SCHEMA = """
CREATE TABLE message (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    command    BLOB NOT NULL,
    created    REAL NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT '',
    state      TEXT NOT NULL DEFAULT 'waiting',
    reply      BLOB,
    finished   REAL
);
CREATE INDEX message_waiting ON message (seq) WHERE state = 'waiting';
CREATE INDEX message_kept ON message (state) WHERE state IN ('held', 'failed');
CREATE TABLE fifo (epoch TEXT NOT NULL);
"""
_SCHEMA_VERSION = 1


class DelayedFile:
    """The open file; to be opened after the fork and in the thread that uses it.

    :param directory: lonDelayedDir; made (mode 0700) if missing.
    :param host: host id, checked by the hosts table.
    :param now: UNIX time in seconds.
    :param set_aside: move an unreadable file away and begin a new one (for the holder of the lease alone).
    :param patience: seconds to wait for another writer's commit.
    :raises SpoolError: the file can't be opened or is damaged.
    """

    def __init__(
        self,
        directory: Path,
        host: str,
        now: Callable[[], float] = time.time,
        *,
        set_aside: bool = False,
        patience: float = BUSY_SECONDS,
    ) -> None:
        self.path = directory / f"{host}.db"
        self._now = now
        self._patience = patience
        try:
            self._db = self._open()
            if set_aside:
                self._check()
        except SpoolError as error:
            if not (set_aside and is_damaged(error)):
                raise
            self.set_aside(error)
            self._db = self._open()
        self._synced = True

    def _open(self) -> sqlite3.Connection:
        with self._errors():
            db = open_wal(self.path, self._patience)
            try:
                _create_schema(db)
            except BaseException:
                db.close()
                raise
            return db

    def _check(self) -> None:
        if self.path.stat().st_size > CHECK_BYTES:
            return
        with self._errors():
            try:
                (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
                if verdict != "ok":
                    raise sqlite3.DatabaseError(str(verdict))
            except BaseException:
                self._db.close()
                raise

    def set_aside(self, why: object) -> None:
        """Move the closed file away, for the holder of the lease alone; who opens it next begins a new one."""
        suffix = f".damaged-{int(self._now())}"
        for ending in ("", "-wal", "-shm"):
            path = Path(f"{self.path}{ending}")
            if path.exists():
                path.rename(f"{path}{suffix}")
        log.critical("FIFO was unreadable (%s) and is kept as %s%s; a new one begins", why, self.path, suffix)

    @property
    def epoch(self) -> str:
        """32 random hex digits made with the file: tells this FIFO from any earlier one of the same host."""
        with self._errors():
            return str(self._db.execute("SELECT epoch FROM fifo").fetchone()[0])

    def prove_writable(self) -> None:
        """Write what is there already, and sync it.

        :raises SpoolError: the disk does not take it.
        """
        with self._transaction(synced=True):
            self._db.execute("UPDATE fifo SET epoch = epoch")

    def close(self) -> None:
        """Close the file; the object is of no further use."""
        self._db.close()

    @contextmanager
    def _transaction(self, *, synced: bool) -> Iterator[None]:
        """One transaction, taken back if anything goes wrong in it.

        :param synced: it is on disk when it ends; otherwise with the next one that is.
        """
        with self._errors():
            self._sync_commits(synced)
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _sync_commits(self, wanted: bool) -> None:
        # In WAL mode NORMAL means: written, not synced. The pragma costs some microseconds, hence the memory.
        if wanted != self._synced:
            self._db.execute("PRAGMA synchronous = FULL" if wanted else "PRAGMA synchronous = NORMAL")
            self._synced = wanted

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise SpoolError(f"{self.path}: {error}") from error


def _create_schema(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA user_version").fetchone()[0] >= _SCHEMA_VERSION:
        return
    db.execute("BEGIN IMMEDIATE")  # of two processes that open a new file at once, one makes the tables
    try:
        if db.execute("PRAGMA user_version").fetchone()[0] < _SCHEMA_VERSION:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute("INSERT INTO fifo VALUES (?)", (uuid4().hex,))
            db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
