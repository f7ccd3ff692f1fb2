"""Directories of the tree of resources: how they are opened, made, locked and removed.

Promises: no path leads out of the tree: every directory is opened from its parent, and none that is a symbolic link is
followed. A lock ends with the process that holds it.

Raises: OSError, Busy. Logs nothing.

Known limits: locks are flock(2) on directories, so the tree lies on a local file system.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from common.config import Config
from common.errors import LonError
from common.resource_path import ResourcePath

LOCK_SECONDS = 10.0  # that a directory's lock is waited for; it is held for some file operations only
LOCK_PAUSE = 0.005  # seconds between two tries
DIRECTORY_MODE = 0o755

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Busy(LonError):
    """A directory stayed locked by another process."""


def root_of(config: Config) -> Path:
    """Where the tree begins: what is below it is asked for as /res/..."""
    return config.doc_root / "res"


@contextmanager
def directory(root: Path, path: ResourcePath, create: bool = False) -> Iterator[int]:
    """The directory that a resource lies in, open, for :mod:`common.resource_files` and calls of `os` with ``dir_fd``.

    :param create: make what is missing of it, and of the tree.
    :raises OSError: one of the directories is missing, or is none (a symbolic link, say).
    """
    with open_directory(root, path.directories, create) as at:
        yield at


@contextmanager
def open_directory(root: Path, names: Sequence[str], create: bool = False) -> Iterator[int]:
    """As :func:`directory`, by the names of the directories below any root."""
    if create:
        root.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in names:
            below = _below(here, name, create)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _below(here: int, name: str, create: bool) -> int:
    if create:
        with suppress(FileExistsError):
            os.mkdir(name, DIRECTORY_MODE, dir_fd=here)
            os.fsync(here)
    return os.open(name, _DIRECTORY, dir_fd=here)


def prune(root: Path, path: ResourcePath) -> None:
    """Removes the directories of a resource that are empty now, from its own upwards."""
    names = path.directories
    for depth in range(len(names), 0, -1):
        try:
            with open_directory(root, names[: depth - 1], create=False) as at:
                os.rmdir(names[depth - 1], dir_fd=at)
        except OSError:
            return


@contextmanager
def locked(at: int, *, exclusive: bool, seconds: float | None = None) -> Iterator[None]:
    """Holds the lock of an open directory; one opening of it can hold it once.

    :param seconds: that it is waited for; None: :data:`LOCK_SECONDS`.
    :raises Busy: others held it for so long.
    """
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    patience = LOCK_SECONDS if seconds is None else seconds
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(at, kind | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() >= end:
                raise Busy(f"a directory of resources stayed locked for {patience:.1f} s") from None
        time.sleep(LOCK_PAUSE)
    try:
        yield
    finally:
        fcntl.flock(at, fcntl.LOCK_UN)
