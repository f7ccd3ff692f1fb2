"""SQLite files that several processes write to and whose commits survive a power cut: opened, and what ails them.

Raises: sqlite3.Error and OSError as they come; callers know what their file is called and for whom it matters, and make
SpoolErrors of them. Logs nothing.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from common.durable import sync_directory
from common.errors import SpoolError

PAUSE = 0.002  # seconds between two tries to make a new file a WAL file


def open_wal(path: Path, patience: float) -> sqlite3.Connection:
    """A connection in WAL mode, synced at each commit, without implicit transactions.

    :param path: made with its directory (mode 0600 and 0700) if missing, and then durable.
    :param patience: seconds to wait for another writer's commit.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = not path.exists()
    if fresh:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = sqlite3.connect(path, timeout=patience, isolation_level=None)
    try:
        _enter_wal_mode(db, patience)
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        db.close()
        raise
    if fresh:
        sync_directory(path.parent)
    return db


def _enter_wal_mode(db: sqlite3.Connection, patience: float) -> None:
    # SQLite's own patience does not cover this statement: of two processes that open a new file at once, one
    # would hear "locked".
    end = time.monotonic() + patience
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= end:
                raise
        time.sleep(PAUSE)


def is_damaged(error: SpoolError) -> bool:
    """Whether the file itself is at fault, and not its environment (locked, full, no permission)."""
    cause = error.__cause__
    return type(cause) is sqlite3.DatabaseError  # its subclasses mean the environment, or a mistake of ours


def is_locked(error: SpoolError) -> bool:
    """Whether another writer kept the file to itself for longer than our patience."""
    return isinstance(error.__cause__, sqlite3.OperationalError) and "locked" in str(error.__cause__)
