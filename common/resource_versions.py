"""The versions of a resource before the current one: files ``NAME.N.EXT`` beside it, each a resource itself.

Raises: OSError. Logs nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace

from common.metadata import Metadata, MetadataError
from common.resource_files import exists, identity, new_name, read_metadata, remove, rename, write_synced
from common.resource_path import META, ResourcePath


def older_versions(at: int, path: ResourcePath) -> list[int]:
    """The numbers of the versions before the current one that are there, in order."""
    return sorted(number for number, same in _older(at, path) if not same)


def older_paths(at: int, path: ResourcePath) -> list[ResourcePath]:
    """The older versions of a resource, each as the resource that it is; a version that is half published as well."""
    numbers = sorted(number for number, _ in _older(at, path))
    return [replace(path, parts=(*path.parts[:-1], path.version_name(number))) for number in numbers]


def current_version(at: int, path: ResourcePath) -> int:
    """The current version's number: one more than the highest older one; -1: there is none."""
    if not exists(at, path.name):
        return -1
    return max(older_versions(at, path), default=0) + 1


def half_published(at: int, path: ResourcePath) -> list[int]:
    """Numbers of older versions that are the current one: a publication was killed before it could replace it."""
    return [number for number, same in _older(at, path) if same]


def _older(at: int, path: ResourcePath) -> list[tuple[int, bool]]:
    """Numbers of files ``NAME.N.EXT``, each with whether it is the current version itself, half published."""
    found = []
    current = identity(at, path.name)
    for name in os.listdir(at):
        number = path.number_of(name)
        if number is not None:
            found.append((number, identity(at, name) == current))
    return found


def keep_old(at: int, path: ResourcePath, new: Metadata) -> int:
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
