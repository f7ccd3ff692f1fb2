"""Damaged databases: set aside, never deleted, and remembered by that until an administrator has acted.

A damaged ``NAME`` becomes ``NAME.damaged-UNIXTIME`` (with its -wal and -shm beside it, so that it can still be
opened and salvaged). While such a file exists, :func:`refuse_damaged` keeps everybody from starting a new, empty
database in its place: an empty one would look like a user who lost everything. For the same reason an empty file is a
damaged one (:mod:`lond.records.database`).

Promises: nothing is deleted; of several children that find the same damage one sets aside and raises the alarm.

Logs one critical line per damaged database. Raises :class:`StorageError` and OSError.

Known limits: a child that has the file open when another one sets it aside may still commit what it
has begun; that is in the file set aside.
"""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress
from pathlib import Path

from common.durable import sync_directory
from lond.records.faults import Fault, StorageError, Unusable

_log = logging.getLogger(__name__)

_MARK = ".damaged-"


def refuse_damaged(path: Path) -> None:
    """Raises StorageError 117 if `path` or a predecessor was set aside and nobody has cleared that away.

    :raises StorageError: 117 as said; 2 if the directory does not exist.
    """
    try:
        names = os.listdir(path.parent)  # noqa: PTH208 (names are enough, and this is on the way of every opening)
    except (FileNotFoundError, NotADirectoryError):
        raise StorageError(errno.ENOENT, "no such user or domain") from None
    mark = path.name + _MARK
    if any(name.startswith(mark) for name in names):
        raise Fault.DAMAGED.error()


def refuse_lost(path: Path) -> None:
    """Raises Unusable if `path`, which was not there before, is lost: a database is never away while its -wal is there.

    A new one in its place would take what is in there for its own.
    """
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and not path.exists():  # in this order: another child may be making both
        number, text = Fault.DAMAGED.value
        raise Unusable(number, text, f"it is gone, but {log.name} is there")


def set_aside(path: Path, inode: int, reason: str, time: int) -> None:
    """Moves a damaged database out of the way, unless another child has done that.

    :param inode: of the file in which the damage was seen; another one at `path` is left alone.
    :param reason: SQLite's message, for the alarm.
    :param time: now, UNIX seconds; becomes part of the name.
    """
    aside = path.with_name(f"{path.name}{_MARK}{time}")
    try:
        if path.stat().st_ino != inode:
            return
        # A second name first, the other files next, the old name last: at no moment is there neither a mark nor
        # a database, and a new database never meets the old -wal.
        aside.hardlink_to(path)
    except (FileNotFoundError, FileExistsError):
        return
    for suffix in ("-wal", "-shm"):
        companion = path.with_name(path.name + suffix)
        with suppress(FileNotFoundError):  # another child may be setting the same file aside
            companion.rename(f"{aside}{suffix}")
    path.unlink(missing_ok=True)
    sync_directory(path.parent)
    _log.critical("database %s is damaged (%s), set aside as %s: see docs/storage.md", path, reason, aside.name)
