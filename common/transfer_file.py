"""NAME.in.transfer: the file that a copy is written to. Who holds its lock transfers; others see that it is there.

Promises: one process at a time has it; that of a process that was killed is free at once.

Raises: OSError. Logs nothing.
"""

from __future__ import annotations

import fcntl
import os

from common.resource_files import FILE_MODE, NO_LINK, identity, remove
from common.resource_path import IN_TRANSFER, ResourcePath


def begin_transfer(at: int, path: ResourcePath) -> int | None:
    """The file that a copy is written to, locked by its descriptor until that is closed; None: another one has it.

    What a transfer that was killed has left is taken over.
    """
    name = path.name + IN_TRANSFER
    while True:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | NO_LINK, FILE_MODE, dir_fd=at)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        if _is_file(at, name, fd):
            return fd
        os.close(fd)  # it was renamed or removed before we had the lock


def end_transfer(at: int, path: ResourcePath, fd: int) -> None:
    """Removes the file of :func:`begin_transfer`, unless it has taken the resource's name; before its lock goes."""
    if _is_file(at, path.name + IN_TRANSFER, fd):
        remove(at, path.name + IN_TRANSFER)


def _is_file(at: int, name: str, fd: int) -> bool:
    status = os.fstat(fd)
    return identity(at, name) == (status.st_dev, status.st_ino)
