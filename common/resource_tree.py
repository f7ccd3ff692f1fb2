"""The tree of resources on this host's disk: how a resource is opened, replaced and removed as a whole.

A resource is two files, content and metadata, that must belong together. They are replaced under a lock on their
directory: the new metadata becomes ``.NAME.next``, the new content takes its name, then the metadata does. Who finds a
``.NAME.next`` has met the remains of a process that was killed: if its digest is that of the content the replacement
is completed, otherwise it is as if it had never begun. Readers take the lock shared, and open both files under it.

Promises: no path leads out of the tree: every directory is opened from its parent, and neither a directory nor
a file that is a symbolic link is followed. What :func:`install` has returned from is on disk. A reader has the whole
old resource or the whole new one, whoever is killed whenever; a content that is open stays what it is.

Raises: OSError (FileNotFoundError: there is no such resource), MetadataError, Busy. Logs nothing.

Known limits: locks are flock(2) on directories, so the tree lies on a local file system. Whoever opens a
resource's file by its name alone gets a whole content as well, but can't tell of which version it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

from common.config import Config
from common.errors import LonError
from common.metadata import MAX_BYTES, Metadata, MetadataError, parse_metadata
from common.resource_path import COPY, IN_TRANSFER, META, ResourcePath

LOCK_SECONDS = 10.0  # that a directory's lock is waited for; it is held for some file operations only
LOCK_PAUSE = 0.005  # seconds between two tries
CHUNK = 262144  # bytes
DIRECTORY_MODE, FILE_MODE = 0o755, 0o644

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NO_LINK = os.O_NOFOLLOW | os.O_NONBLOCK  # nonblocking: a FIFO must not hang who opens it


class Busy(LonError):
    """A directory stayed locked by another process."""


class Opened(NamedTuple):
    """A resource that was opened for reading.

    :param file: its content, at the beginning; to be closed.
    :param copy_of: the host id of the home server that it is a copy of; "": it is the original.
    """

    file: BinaryIO
    metadata: Metadata
    copy_of: str


def root_of(config: Config) -> Path:
    """Where the tree begins: what is below it is asked for as /res/..."""
    return config.doc_root / "res"


@contextmanager
def directory(root: Path, path: ResourcePath, create: bool = False) -> Iterator[int]:
    """The directory that a resource lies in, open, for the calls below and those of `os` with ``dir_fd``.

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


def open_resource(root: Path, path: ResourcePath) -> Opened:
    """Opens content and metadata of one version.

    :raises FileNotFoundError: there is none here.
    :raises OSError: what is there can't be opened, or is no regular file.
    :raises MetadataError: its metadata can't be read.
    """
    with directory(root, path) as at:
        return open_at(at, path)


def open_at(at: int, path: ResourcePath, seconds: float | None = None) -> Opened:
    """As :func:`open_resource`, in its directory, which is open.

    :param seconds: that the directory's lock is waited for, as in :func:`locked`.
    """
    with locked(at, exclusive=False, seconds=seconds):
        if not exists(at, _next(path)):
            return _open_pair(at, path)
    with locked(at, exclusive=True, seconds=seconds):
        heal(at, path)
        return _open_pair(at, path)


def _open_pair(at: int, path: ResourcePath) -> Opened:
    fd = open_regular(at, path.name)
    try:
        metadata = read_metadata(at, path)
        return Opened(os.fdopen(fd, "rb"), metadata, _copy_of(at, path))
    except BaseException:
        os.close(fd)
        raise


def read_metadata(at: int, path: ResourcePath) -> Metadata:
    """The metadata beside a resource; errors as :func:`open_resource`."""
    return parse_metadata(_read(at, path.name + META), f"{path}{META}")


def _copy_of(at: int, path: ResourcePath) -> str:
    try:
        return _read(at, path.name + COPY).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return ""


def open_regular(at: int, name: str) -> int:
    """A descriptor for reading a regular file of an open directory.

    :raises OSError: it is missing, a symbolic link, or something else.
    """
    fd = os.open(name, os.O_RDONLY | _NO_LINK, dir_fd=at)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(f"{name} is not a file")
    return fd


def _read(at: int, name: str) -> bytes:
    with os.fdopen(open_regular(at, name), "rb") as file:
        return file.read(MAX_BYTES + 1)


def exists(at: int, name: str) -> bool:
    """Whether an open directory has an entry of this name, whatever it is."""
    try:
        os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _is_regular(at: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def new_name(path: ResourcePath) -> str:
    """A fresh hidden name for a content that is being written."""
    return f".{path.name}.{secrets.token_hex(4)}.new"


def _next(path: ResourcePath) -> str:
    return f".{path.name}.next"


def digest_of(file: BinaryIO) -> str:
    """The digest of what is left of a file, as metadata has it."""
    digest = hashlib.sha256()
    while data := file.read(CHUNK):
        digest.update(data)
    return f"sha256={digest.hexdigest()}"


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


def install(
    at: int, path: ResourcePath, content: str, metadata: Metadata, *, copy_of: str = "", new_version: bool = False
) -> Metadata:
    """Puts a content and its metadata into a resource's place.

    :param at: its directory, locked exclusively.
    :param content: the name of the complete and synced file with the content.
    :param copy_of: the home server that it comes from; "": this is the home server.
    :param new_version: keep what is there as an older version, and number the new one.
    :returns: the metadata with its version.
    :raises IsADirectoryError: there is a directory in its place, and something in it.
    """
    for name in (path.name, path.name + META, path.name + COPY):
        with suppress(OSError):  # an empty directory that a killed process has left
            os.rmdir(name, dir_fd=at)
    heal(at, path)
    if new_version:
        metadata = replace(metadata, version=_keep_old(at, path, metadata))
    if copy_of and not _is_regular(at, path.name + COPY):
        write_synced(at, path.name + COPY, f"{copy_of}\n".encode("ascii"))
    unnamed = new_name(path)
    write_synced(at, unnamed, metadata.encode())
    rename(at, unnamed, _next(path))
    os.fsync(at)
    rename(at, content, path.name)
    os.fsync(at)
    rename(at, _next(path), path.name + META)
    os.fsync(at)
    return metadata


def heal(at: int, path: ResourcePath) -> None:
    """Completes or undoes what a killed process has left of a replacement.

    :param at: the resource's directory, locked exclusively.
    """
    if exists(at, _next(path)):
        try:
            wanted = parse_metadata(_read(at, _next(path)), _next(path)).digest
            with os.fdopen(open_regular(at, path.name), "rb") as file:
                is_there = digest_of(file) == wanted
        except (OSError, LonError):
            is_there = False
        if is_there:
            rename(at, _next(path), path.name + META)
        else:
            remove(at, _next(path))
        os.fsync(at)
    if numbers := [n for n, same in _older(at, path) if same]:
        for number in numbers:
            name = path.version_name(number)
            remove(at, name + META, name)
        os.fsync(at)


def _keep_old(at: int, path: ResourcePath, new: Metadata) -> int:
    """Gives the current version its older name as well; the number of the next one.

    Who may not have the new version may have no older one from now on.
    """
    number = current_version(at, path)
    if number < 0:
        return 1
    older = path.version_name(number)
    remove(at, older + META, older)  # a publication that was killed may have left one of the two
    for old, name in ((path.name + META, older + META), (path.name, older)):
        with suppress(FileNotFoundError):
            os.link(old, name, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
    for version in older_paths(at, path):
        _narrow(at, version, new)
    os.fsync(at)
    return number + 1


def older_paths(at: int, path: ResourcePath) -> list[ResourcePath]:
    """The older versions of a resource, each as the resource that it is; a version that is half published as well."""
    numbers = sorted(number for number, _ in _older(at, path))
    return [replace(path, parts=(*path.parts[:-1], path.version_name(number))) for number in numbers]


def _narrow(at: int, path: ResourcePath, new: Metadata) -> None:
    try:
        metadata = read_metadata(at, path)
    except (OSError, MetadataError):  # nobody can read what it belongs to either
        return
    narrowed = metadata.narrowed(new, path.domain)
    if narrowed != metadata:
        unnamed = new_name(path)
        write_synced(at, unnamed, narrowed.encode())
        rename(at, unnamed, path.name + META)


def older_versions(at: int, path: ResourcePath) -> list[int]:
    """The numbers of the versions before the current one that are there, in order."""
    return sorted(number for number, same in _older(at, path) if not same)


def current_version(at: int, path: ResourcePath) -> int:
    """The current version's number: one more than the highest older one; -1: there is none."""
    if not exists(at, path.name):
        return -1
    return max(older_versions(at, path), default=0) + 1


def _older(at: int, path: ResourcePath) -> list[tuple[int, bool]]:
    """Numbers of files ``NAME.N.EXT``, each with whether it is the current version itself, half published."""
    found = []
    current = _identity(at, path.name)
    for name in os.listdir(at):
        number = path.number_of(name)
        if number is not None:
            found.append((number, _identity(at, name) == current))
    return found


def _identity(at: int, name: str) -> tuple[int, int]:
    try:
        status = os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return (0, 0)
    return status.st_dev, status.st_ino


def prune(root: Path, path: ResourcePath) -> None:
    """Removes the directories of a resource that are empty now, from its own upwards."""
    names = path.directories
    for depth in range(len(names), 0, -1):
        try:
            with open_directory(root, names[: depth - 1], create=False) as at:
                os.rmdir(names[depth - 1], dir_fd=at)
        except OSError:
            return


def begin_transfer(at: int, path: ResourcePath) -> int | None:
    """The file that a copy is written to, locked by its descriptor until that is closed; None: another one has it.

    What a transfer that was killed has left is taken over.
    """
    name = path.name + IN_TRANSFER
    while True:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | _NO_LINK, FILE_MODE, dir_fd=at)
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
    return _identity(at, name) == (status.st_dev, status.st_ino)


def remove_copy(at: int, path: ResourcePath) -> None:
    """Removes a copy, the file that says so last.

    :param at: the resource's directory, locked exclusively.
    """
    remove(at, path.name, path.name + META, _next(path))
    os.fsync(at)
    remove(at, path.name + COPY)
    os.fsync(at)
