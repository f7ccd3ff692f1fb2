"""The files of an open directory of resources, by name: read, written to disk, renamed, removed.

Promises: no symbolic link is followed, and what is no regular file is not read. Raises: OSError. Logs nothing.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from contextlib import suppress
from typing import BinaryIO

from common.metadata import MAX_BYTES, Metadata, parse_metadata
from common.resource_path import META, ResourcePath

CHUNK = 262144  # bytes
FILE_MODE = 0o644
NO_LINK = os.O_NOFOLLOW | os.O_NONBLOCK  # nonblocking: a FIFO must not hang who opens it


def open_regular(at: int, name: str) -> int:
    """A descriptor for reading a regular file of an open directory.

    :raises OSError: it is missing, a symbolic link, or something else.
    """
    fd = os.open(name, os.O_RDONLY | NO_LINK, dir_fd=at)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(f"{name} is not a file")
    return fd


def read_file(at: int, name: str) -> bytes:
    with os.fdopen(open_regular(at, name), "rb") as file:
        return file.read(MAX_BYTES + 1)


def read_metadata(at: int, path: ResourcePath) -> Metadata:
    """The metadata beside a resource; errors as :func:`open_resource`."""
    return parse_metadata(read_file(at, path.name + META), f"{path}{META}")


def exists(at: int, name: str) -> bool:
    """Whether an open directory has an entry of this name, whatever it is."""
    try:
        os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def is_regular(at: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def identity(at: int, name: str) -> tuple[int, int]:
    try:
        status = os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return (0, 0)
    return status.st_dev, status.st_ino


def digest_of(file: BinaryIO) -> str:
    """The digest of what is left of a file, as metadata has it."""
    digest = hashlib.sha256()
    while data := file.read(CHUNK):
        digest.update(data)
    return f"sha256={digest.hexdigest()}"


def new_name(path: ResourcePath) -> str:
    """A fresh hidden name for a content that is being written."""
    return f".{path.name}.{secrets.token_hex(4)}.new"


def write_synced(at: int, name: str, data: bytes) -> None:
    """Writes a file of an open directory; it is on disk then, its name not yet."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(name, flags, FILE_MODE, dir_fd=at), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def rename(at: int, old: str, new: str) -> None:
    """Renames within an open directory."""
    os.rename(old, new, src_dir_fd=at, dst_dir_fd=at)


def remove(at: int, *names: str) -> None:
    """Removes what is there of these names, in this order."""
    for name in names:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=at)
