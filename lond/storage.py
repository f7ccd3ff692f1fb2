"""All records of this host: open databases, requests that are all or nothing, batches that commit together.

The dispatcher runs each request of a batch through :meth:`Storage.perform` and then calls :meth:`Storage.commit`
once, before any reply leaves. Databases are opened after the fork only; make a Storage in the child that uses it.

Promises: a request either is in its batch's transaction as a whole or left no trace. When `commit` has returned
without a failure for a request's token, its writes are on disk. The write lock of one database is
never held while waiting for another's: two children cannot wait for each other. A database that was moved away or
replaced is noticed at the next batch. At most londMaxOpenUsers databases are open.

Raises: :class:`StorageError` for what the request or the disk is to blame for; anything else is a bug. Logs one
critical line for each damaged database (lond.records.damage).

Known limits: when a batch goes from one user to another whose lock is taken, what it wrote so far is
committed on its own; the promises hold, only the number of commits grows. A batch over more users than may be open
does the same. A few more than londMaxOpenUsers
are open while they are being closed.
"""

from __future__ import annotations

import sqlite3
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

from common.counters import Tally
from common.metrics import LOND, Layout
from common.site import Site
from lond.records.database import Database, Opening, State
from lond.records.databases import Databases, Key
from lond.records.domain import DomainRecords
from lond.records.faults import Fault, StorageError, fault_of
from lond.records.user import UserRecords

COMMITTERS = 8  # threads that commit and close databases side by side, when a batch touches several

Token = int
Result = TypeVar("Result")
_Records = UserRecords | DomainRecords


class Storage:
    """The records of all users and domains of this host, for one process.

    :param site: for lonUsersDir, the limits, and the own domain.
    :param opening: how databases are opened; tests hand in one that makes them fail.
    :param tally: where the time that commits take is counted.
    """

    def __init__(self, site: Site, opening: Opening | None = None, tally: Tally | None = None) -> None:
        self._tally = tally or Tally(Layout(LOND))
        self._max_open = site.config.max_open_users
        self._databases = Databases(site, opening)
        self._open: OrderedDict[Key, _Records] = OrderedDict()
        self._batch: dict[Key, _Records] = {}  # those that this batch has touched
        self._tokens: dict[Key, Token] = {}  # the transactions that this batch has open
        self._failures: dict[Token, StorageError] = {}
        self._too_busy: set[Key] = set()  # waited for in vain in this batch
        self._last_token = 0
        self._current: Key | None = None  # what the request under way uses
        self._pool: ThreadPoolExecutor | None = None
        self._closing: deque[Future[None]] = deque()

    def user(self, domain: bytes, user: bytes, *, write: bool = False) -> UserRecords:
        """One user's records, for the request under way (see :meth:`perform`).

        :param write: the request will change them; without it, there must be some.
        :raises StorageError: 2 no such user, or nothing to read; 5 damaged; 11 locked for too long; 28 no room.
        """
        return cast(UserRecords, self._records((domain, user), write))

    def domain(self, domain: bytes, *, write: bool = False) -> DomainRecords:
        """A domain's records, as :meth:`user`. The own domain's directory is made if need be, another one's never."""
        return cast(DomainRecords, self._records((domain, b""), write))

    def user_directory(self, domain: bytes, user: bytes) -> Path:
        """Where the user's directory is or would be."""
        return self._databases.user_directory(domain, user)

    def is_home(self, domain: bytes, user: bytes) -> bool:
        """Whether this host is the user's home server, as :meth:`Databases.is_home`."""
        return self._databases.is_home(domain, user)

    def perform(self, action: Callable[[], Result]) -> tuple[Result, Token | None]:
        """Runs one request; what it wrote is undone if it raises anything.

        :returns: the action's result, and the token of the transaction that the result depends on (None: on none);
            look it up in what :meth:`commit` returns.
        :raises StorageError: the request failed, or what the action raised.
        """
        self._current = None
        try:
            result = action()
            return result, self._keep()
        except sqlite3.Error as error:
            failure = self._failed(error)
            if failure is error:
                raise
            raise failure from error
        except BaseException:
            self._undo()
            raise

    def commit(self) -> dict[Token, StorageError]:
        """Ends the batch: makes all its writes durable, one commit per database.

        :returns: the transactions that were not stored, with the reason.
        """
        begun = time.monotonic() if self._tokens else None
        lost = self._commit_side_by_side()
        for key in list(self._batch):
            if key in lost:
                self._give_up(key, lost[key])
            else:
                self._finish(key)
        if begun is not None:
            self._tally.observe("commit_seconds", time.monotonic() - begun)
        failures, self._failures = self._failures, {}
        self._too_busy.clear()
        return failures

    def _commit_side_by_side(self) -> dict[Key, sqlite3.Error]:
        """Commits what several users' databases have to commit, and tells which failed.

        Each commit waits for the disk; the file system syncs those that wait at the same time together.
        """
        writing = [key for key, records in self._batch.items() if records.database.state is State.WRITING]
        if len(writing) < 2:
            return {}
        commits = {key: self._threads().submit(self._batch[key].database.end) for key in writing}
        errors = {key: commit.exception() for key, commit in commits.items()}
        for error in errors.values():
            if error is not None and not isinstance(error, sqlite3.Error):
                raise error
        return {key: error for key, error in errors.items() if isinstance(error, sqlite3.Error)}

    def _threads(self) -> ThreadPoolExecutor:
        # Made late: most batches touch one user, and a process with threads can't fork (lond's children never do).
        if self._pool is None:
            self._pool = ThreadPoolExecutor(COMMITTERS, "commit")
        return self._pool

    def close(self) -> None:
        """Closes all databases; what was not committed is gone."""
        for key in list(self._open):
            self._drop(key, Fault.IO.error())
        self._failures.clear()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _records(self, key: Key, write: bool) -> _Records:
        records = self._batch.get(key)
        if records is None:
            records = self._batch[key] = self._found(key, write)
        self._current = key
        if write:
            if records.database.state is not State.WRITING:
                self._begin(key, records.database)
            records.database.begin_request()
        return records

    def _found(self, key: Key, write: bool) -> _Records:
        """An open database that is still the right one, or a newly opened one."""
        records = self._open.get(key)
        if records is not None and records.database.is_in_place():
            self._open.move_to_end(key)
            return records
        if records is not None:
            self._drop(key, Fault.IO.error())
        while len(self._open) >= self._max_open:
            oldest = next(iter(self._open))
            self._finish(oldest)
            self._evict(oldest)
        database = self._databases.open(key, write=write)
        records = self._open[key] = UserRecords(database) if key[1] else DomainRecords(database)
        return records

    def _begin(self, key: Key, database: Database) -> None:
        """Takes the write lock; before it waits for one, it gives up all others."""
        if key in self._too_busy:
            raise Fault.BUSY.error()
        if not database.begin(wait=False):
            for other in list(self._tokens):
                self._finish(other)
            try:
                database.begin(wait=True)
            except sqlite3.OperationalError:
                self._too_busy.add(key)
                raise
        self._last_token += 1
        self._tokens[key] = self._last_token

    def _keep(self) -> Token | None:
        if self._current is None:
            return None
        self._open[self._current].database.keep_request()
        return self._tokens.get(self._current)

    def _undo(self) -> None:
        """Takes back the request under way."""
        key = self._current
        if key is None or key not in self._open or not self._open[key].database.in_request:
            return
        self._open[key].forget()
        try:
            kept = self._open[key].database.undo_request()
        except sqlite3.Error as error:
            self._drop(key, self._judged(key, error))
            return
        if not kept:
            self._lose(key, Fault.FULL.error())

    def _failed(self, error: sqlite3.Error) -> Exception:
        """Takes back the request under way; what to raise for it."""
        key, fault = self._current, fault_of(error)
        if fault is Fault.DAMAGED and key is not None and key in self._open:
            failure = self._judged(key, error)
            self._drop(key, failure)
            return failure
        self._undo()
        return error if fault is Fault.BUG else fault.error()

    def _finish(self, key: Key) -> None:
        """Commits or ends reading, and takes the database out of the batch."""
        records = self._batch.pop(key, None)
        if records is None:
            return
        try:
            records.database.end()
            self._tokens.pop(key, None)
        except sqlite3.Error as error:
            self._give_up(key, error)

    def _give_up(self, key: Key, error: sqlite3.Error) -> None:
        """A transaction could not be committed."""
        failure, records = self._judged(key, error), self._open[key]
        # Not closed for want of room: to open it again needs room, and reading goes on without.
        if fault_of(error) is Fault.FULL and records.database.give_up():
            records.forget()
            self._lose(key, failure)
            self._batch.pop(key, None)
        else:
            self._drop(key, failure)

    def _judged(self, key: Key, error: sqlite3.Error) -> StorageError:
        """The error of a transaction that is lost; a damaged file is set aside."""
        failure = self._databases.failure(self._open[key].database, error)
        return failure if isinstance(failure, StorageError) else Fault.BUG.error()

    def _lose(self, key: Key, failure: StorageError) -> None:
        token = self._tokens.pop(key, None)
        if token is not None:
            self._failures[token] = failure

    def _evict(self, key: Key) -> None:
        """Closes an idle database beside the work: the last one who closes it moves its log into the file."""
        if (records := self._open.pop(key, None)) is None:
            return
        self._closing.append(self._threads().submit(records.database.close))
        if len(self._closing) > COMMITTERS:  # opening must not run away from closing
            self._closing.popleft().result()

    def _drop(self, key: Key, failure: StorageError) -> None:
        """Closes a database; a transaction that it has open fails."""
        self._lose(key, failure)
        self._batch.pop(key, None)
        records = self._open.pop(key, None)
        if records is not None:
            records.database.close()
