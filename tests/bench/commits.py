"""The raw rate of SQLite commits on this file system: the floor of everything that is on disk before it is answered.

One row of 100 bytes, one commit, synced (WAL, synchronous=FULL) as the FIFO and the records are. Every process has a
file of its own.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from tests.bench.crowd import Prepare, Run, closed_loop, measure
from tests.bench.sample import Sample

ROW = b"x" * 100


def raw_commits(directory: Path, processes: int, seconds: float) -> Sample:
    """Commits that so many processes manage at the same time; the files are made in `directory` and removed."""
    with tempfile.TemporaryDirectory(dir=directory, prefix="commits") as place:
        return measure(lambda number: _committing(Path(place) / f"{number}.db"), processes, seconds)


def _committing(path: Path) -> Prepare:
    def prepare() -> Run:
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY AUTOINCREMENT, value BLOB NOT NULL)")
        return closed_loop(lambda: database.execute("INSERT INTO entry (value) VALUES (?)", (ROW,)))

    return prepare
