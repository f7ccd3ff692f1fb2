"""One open database file: opening it safely, and the transactions of a batch of requests.

Within a batch a database is idle, reading (one deferred transaction, so that all reads of a batch see one state) or
writing (one immediate transaction, committed once at the end). Each request that writes runs in a savepoint of its own.

Promises: files have mode 0600 and their directory entry is durable before anything is stored in them. An empty file is
damaged, never new (:mod:`lond.records.creation`). Waiting for a lock always ends (londBusyTimeout).

Raises: :class:`StorageError` from :func:`open_database`; sqlite3.Error from the methods of
:class:`Database`, which the owner judges by :func:`lond.records.faults.fault_of`. Logs through lond.records.damage.

Known limits: the check at opening is left out for files over QUICK_CHECK_UP_TO, since it reads the whole file;
there damage shows when the damaged page is used.
"""

from __future__ import annotations

import enum
import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from common.durable import sync_directory
from lond.records.creation import create_database
from lond.records.damage import refuse_damaged, refuse_lost, set_aside
from lond.records.faults import Fault, fault_of
from lond.records.schema import migrate

QUICK_CHECK_UP_TO = 8 * 1024 * 1024  # bytes

# Memory: many databases are open in many children, and most are small. KiB, negative by SQLite's convention.
_CACHE_SIZE = -256
# Pages in the -wal before it goes into the database: 800 KiB instead of 4 MB for each of thousands of users.
_CHECKPOINT_PAGES = 200
_PAUSE = (0.0002, 0.002)  # seconds; commits take about that long

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Value = bytes | int | str
Row = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for another child's lock; clock and pause can be replaced by a test.

    :param limit: seconds.
    """

    limit: float
    monotonic: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    def retry(self, action: Callable[[], Result]) -> Result:
        """Repeats `action` as long as it finds the database busy, then lets SQLite's error through."""
        deadline = 0.0
        while True:
            try:
                return action()
            except sqlite3.OperationalError as error:
                now = self.monotonic()
                deadline = deadline or now + self.limit
                if fault_of(error) is not Fault.BUSY or now >= deadline:
                    raise
            # SQLite's own waiting starts with 1 ms and grows to 100: under load the last one would starve.
            self.pause(random.uniform(*_PAUSE))


class State(enum.Enum):
    """What a database does in the present batch."""

    IDLE = enum.auto()
    READING = enum.auto()
    WRITING = enum.auto()


class Database:
    """An open file. Made by :func:`open_database`; belongs to one process."""

    __slots__ = ("_patience", "connection", "in_request", "inode", "path", "path_text", "state")

    def __init__(self, path: Path, connection: sqlite3.Connection, inode: int, patience: Patience) -> None:
        self.path, self.path_text = path, str(path)
        self.connection = connection
        self.inode = inode
        self.state = State.IDLE
        self.in_request = False
        self._patience = patience

    def is_in_place(self) -> bool:
        """Whether the path still names the file that we have open (it may have been moved or set aside)."""
        try:
            return os.stat(self.path_text).st_ino == self.inode  # noqa: PTH116 (once per user and batch)
        except OSError:
            return False

    def select(self, sql: str, parameters: Sequence[Value] = ()) -> sqlite3.Cursor:
        """Runs a query; sees what this batch has written."""
        if self.state is State.WRITING:
            return self.connection.execute(sql, parameters)
        if self.state is State.IDLE:
            self.connection.execute("BEGIN")
            self.state = State.READING
        # Readers wait only while another process opens the file after a crash or closes it as the last one.
        return self._patience.retry(lambda: self.connection.execute(sql, parameters))

    def write(self, sql: str, parameters: Sequence[Value] = ()) -> sqlite3.Cursor:
        """Changes rows, after :meth:`begin` and within a request."""
        return self.connection.execute(sql, parameters)

    def write_all(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        """As :meth:`write`, once for each row."""
        self.connection.executemany(sql, rows)

    def begin(self, wait: bool) -> bool:
        """Takes the write lock; False if it is taken and `wait` is not allowed.

        :raises sqlite3.OperationalError: still busy after the time that Patience allows.
        """
        self.end()  # a snapshot that was read before could not be written on
        try:
            if wait:
                self._patience.retry(lambda: self.connection.execute("BEGIN IMMEDIATE"))
            else:
                self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if wait or fault_of(error) is not Fault.BUSY:
                raise
            return False
        self.state = State.WRITING
        return True

    def begin_request(self) -> None:
        """Marks the point to which :meth:`undo_request` goes back."""
        if not self.in_request:
            self.connection.execute("SAVEPOINT request")
            self.in_request = True

    def keep_request(self) -> None:
        """What was written since :meth:`begin_request` belongs to the batch now."""
        if self.in_request:
            self.in_request = False
            self.connection.execute("RELEASE request")

    def undo_request(self) -> bool:
        """Takes back what was written since :meth:`begin_request`; False if the whole batch's transaction is lost."""
        self.in_request = False
        if not self.connection.in_transaction:  # SQLite itself gives up a transaction on some errors
            self.state = State.IDLE
            return False
        self.connection.execute("ROLLBACK TO request")
        self.connection.execute("RELEASE request")
        return True

    def end(self) -> None:
        """Commits, or ends reading; idle afterwards."""
        if self.state is not State.IDLE:
            self.connection.execute("COMMIT")
            self.state = State.IDLE

    def give_up(self) -> bool:
        """Takes back a transaction that could not be committed; False if that fails, too."""
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        except sqlite3.Error:
            return False
        self.state = State.IDLE
        self.in_request = False
        return True

    def close(self) -> None:
        """Closes the file; what was not committed is gone."""
        self.state = State.IDLE
        self.in_request = False
        self.connection.close()


@dataclass(frozen=True, slots=True)
class Opening:
    """How to open databases.

    :param factory: the class of connections; a seam at which tests make the disk full or commits fail.
    :param now: UNIX seconds, for the names of damaged files.
    """

    patience: Patience
    factory: type[sqlite3.Connection] = sqlite3.Connection
    now: Callable[[], float] = time.time

    def open(self, path: Path, steps: tuple[str, ...], *, create: bool, check: bool) -> Database | None:
        """Opens a database, in the newest version.

        :param create: make the file if it is not there (its directory must be).
        :param check: look for damage, if the file is not too large for that.
        :returns: None if there is no file and none was to be made.
        :raises StorageError: 2 no directory, 117 damaged or lost, 95 newer than we are, or what SQLite had.
        """
        refuse_damaged(path)
        state = _state(path)
        if state is None:
            refuse_damaged(path)  # once more: perhaps another child has just set it aside
            refuse_lost(path)
            if not create:
                return None
            self._create(path, steps)
            state = path.stat()
        if state.st_nlink > 1:  # who makes it has perhaps not synced its name yet
            sync_directory(path.parent)
        inode = state.st_ino
        connection = self._connected(path)
        try:
            if not state.st_size:  # SQLite must not look first: it deletes the -wal of an empty file
                raise _damage("it is empty")
            self._prepare(connection, steps)
            if check and path.stat().st_size <= QUICK_CHECK_UP_TO:
                self.patience.retry(lambda: _quick_check(connection))
            # Once more: another child may have set the file aside while we were opening it.
            refuse_damaged(path)
        except BaseException as error:
            # Judged before closing: SQLite leaves a file alone that has been set aside.
            failure = self.failure(path, inode, error) if isinstance(error, sqlite3.Error) else error
            connection.close()
            if failure is error:
                raise
            raise failure from error
        return Database(path, connection, inode, self.patience)

    def failure(self, path: Path, inode: int, error: sqlite3.Error) -> Exception:
        """What to raise for an error of SQLite; a damaged file is set aside. The caller closes the connection next."""
        fault = fault_of(error)
        if fault is Fault.DAMAGED:
            try:
                set_aside(path, inode, str(error), int(self.now()))
            except OSError as trouble:  # that user alone is affected all the same
                log.critical("damaged database %s can't be set aside: %s", path, trouble)
        return error if fault is Fault.BUG else fault.error()

    def _create(self, path: Path, steps: tuple[str, ...]) -> None:
        try:
            create_database(path, steps, self._connected)
        except sqlite3.Error as error:
            fault = fault_of(error)
            if fault is Fault.BUG:
                raise
            raise fault.error() from error

    def _connected(self, path: Path) -> sqlite3.Connection:
        # mode=rw: never make a file by the way, it would have the wrong mode. timeout=0: waiting is ours.
        return sqlite3.connect(
            f"{path.as_uri()}?mode=rw",
            timeout=0,
            isolation_level=None,
            factory=self.factory,
            uri=True,
            check_same_thread=False,  # one thread at a time: commits and closes may run beside the loop's thread
        )

    def _prepare(self, connection: sqlite3.Connection, steps: tuple[str, ...]) -> None:
        # Even a PRAGMA that sets something reads the file, and may find another child opening or closing it.
        version = self.patience.retry(lambda: _configured(connection))
        if version == len(steps):
            return
        if not version:
            raise _damage("it has no version")
        self.patience.retry(lambda: connection.execute("BEGIN IMMEDIATE"))
        migrate(connection, steps)
        connection.execute("COMMIT")


def _state(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _configured(connection: sqlite3.Connection) -> int:
    """Sets what holds for a connection; the version of the database."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = {_CACHE_SIZE}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _quick_check(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise _damage("quick_check failed")


def _damage(reason: str) -> sqlite3.DatabaseError:
    return sqlite3.DatabaseError(f"database disk image is malformed: {reason}")
