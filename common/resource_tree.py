"""The tree of resources on this host's disk: how a resource is opened, replaced and removed as a whole.

A resource is two files, content and metadata, that must belong together. They are replaced under a lock on their
directory: the new metadata becomes ``.NAME.next``, the new content takes its name, then the metadata does. Who finds a
``.NAME.next`` has met the remains of a process that was killed: if its digest is that of the content the replacement
is completed, otherwise it is as if it had never begun. Readers take the lock shared, and open both files under it.

Promises: what :func:`install` has returned from is on disk. A reader has the whole old resource or the whole new one,
whoever is killed whenever; a content that is open stays what it is.

Raises: OSError (FileNotFoundError: there is no such resource), MetadataError, Busy. Logs nothing.

Known limits: whoever opens a resource's file by its name alone gets a whole content as well, but can't tell of which
version it is.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

from common.errors import LonError
from common.metadata import Metadata, parse_metadata
from common.resource_directory import directory, locked
from common.resource_files import (
    digest_of,
    exists,
    is_regular,
    new_name,
    open_regular,
    read_file,
    read_metadata,
    remove,
    rename,
    write_synced,
)
from common.resource_path import COPY, META, ResourcePath
from common.resource_versions import half_published, keep_old


class Opened(NamedTuple):
    """A resource that was opened for reading.

    :param file: its content, at the beginning; to be closed.
    :param copy_of: the host id of the home server that it is a copy of; "": it is the original.
    """

    file: BinaryIO
    metadata: Metadata
    copy_of: str


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


def _copy_of(at: int, path: ResourcePath) -> str:
    try:
        return read_file(at, path.name + COPY).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return ""


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
        metadata = replace(metadata, version=keep_old(at, path, metadata))
    if copy_of and not is_regular(at, path.name + COPY):
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
        if _is_next_there(at, path):
            rename(at, _next(path), path.name + META)
        else:
            remove(at, _next(path))
        os.fsync(at)
    if numbers := half_published(at, path):
        for number in numbers:
            name = path.version_name(number)
            remove(at, name + META, name)
        os.fsync(at)


def _is_next_there(at: int, path: ResourcePath) -> bool:
    """Whether the content is the one that the next metadata are of."""
    try:
        wanted = parse_metadata(read_file(at, _next(path)), _next(path)).digest
        with os.fdopen(open_regular(at, path.name), "rb") as file:
            return digest_of(file) == wanted
    except (OSError, LonError):
        return False


def remove_copy(at: int, path: ResourcePath) -> None:
    """Removes a copy, the file that says so last.

    :param at: the resource's directory, locked exclusively.
    """
    remove(at, path.name, path.name + META, _next(path))
    os.fsync(at)
    remove(at, path.name + COPY)
    os.fsync(at)


def _next(path: ResourcePath) -> str:
    return f".{path.name}.next"
