"""Opening an SQLite file that several processes write to and whose commits survive a power cut.

Raises: sqlite3.Error and OSError as they come; callers know what their file is called and for whom it matters.
Logs nothing.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from common.durable import sync_directory

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
