"""A new database gets its name when it has all its tables and is on disk: an empty file is never a new one.

It is made under another name in the same directory, then linked to its own.

Promises: the database is there with all its tables or not at all, whoever is killed at whatever moment. Of several
processes that create it at once one wins, and the others find what it has made. It survives a power cut when
:func:`create_database` has returned; until then it has a second name, by which who opens it sees that.

Raises: OSError, sqlite3.Error. Logs nothing.

Known limits: a process that is killed leaves a file of some 30 kB whose name begins with :data:`common.durable.PREFIX`.
If it is killed between the link and the end, that is a second name of the database in use, and grows with it; to
remove it takes nothing away.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from common.durable import PREFIX, sync_directory
from lond.records.schema import migrate


def create_database(path: Path, steps: tuple[str, ...], connect: Callable[[Path], sqlite3.Connection]) -> None:
    """Makes an empty database in the newest version, mode 0600; does nothing if there is one.

    :param steps: its schema.
    :param connect: opens a file, which is there, without a transaction of its own.
    """
    descriptor, name = tempfile.mkstemp(prefix=PREFIX, dir=path.parent)
    new = Path(name)
    try:
        with closing(connect(new)) as connection:
            _fill(connection, steps)
        os.fsync(descriptor)
        with suppress(FileExistsError):  # somebody else was faster
            path.hardlink_to(new)
        sync_directory(path.parent)  # before the second name goes
    finally:
        os.close(descriptor)
        new.unlink(missing_ok=True)  # its directory may have been moved away


def _fill(connection: sqlite3.Connection, steps: tuple[str, ...]) -> None:
    # What fails is thrown away, so that there is nothing to go back to, and no second file that a kill could leave.
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    migrate(connection, steps)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
