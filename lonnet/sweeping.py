"""Housekeeping of copies, and of what killed processes have left in the tree.

A copy that was last used longer ago than lonExpire is deleted and unsubscribed (:mod:`lonnet.dropping`); one that is in
use is compared with its home server now and then (:mod:`lonnet.renewal`). Files that a publication or a transfer left
incomplete go when they are older than :data:`LEFTOVER_SECONDS` and nobody holds them; so do directories that have been
empty for as long.

Promises: originals are never deleted. Raises nothing for a single copy: it is left for the next time. Logs what could
not be unsubscribed (warning), and what these modules log.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.errors import LonError
from common.resource_directory import directory, root_of
from common.resource_path import COPY, IN_TRANSFER, ResourcePath
from common.transfer_file import begin_transfer, end_transfer
from lonnet.deadline import Deadline, limit
from lonnet.dropping import drop, is_unused
from lonnet.homes import Net
from lonnet.renewal import Renewals

log = logging.getLogger(__name__)

LEFTOVER_SECONDS = 86400.0


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep did.

    :param kept: copies that are in use.
    :param deleted: copies that went.
    :param failed: copies that should have gone, with the reason why they did not.
    :param leftovers: incomplete files and empty directories that went.
    """

    kept: int
    deleted: tuple[str, ...]
    failed: dict[str, str]
    leftovers: int


def sweep(net: Net) -> Sweep:
    """See the module."""
    root, renewals = root_of(net.site.config), Renewals(net)
    kept, deleted, failed, leftovers = 0, [], {}, 0
    for file in _files(root):
        if file.name.startswith(".") or file.name.endswith(IN_TRANSFER):
            leftovers += _is_leftover_removed(root, file)
        if not file.name.endswith(COPY):
            continue
        try:
            path = ResourcePath.parse(str(file.relative_to(root)).removesuffix(COPY))
            if _is_dropped(net, path):
                deleted.append(str(path))
            else:
                kept += 1
                renewals.look_after(path)
        except (LonError, OSError, ValueError) as error:
            log.warning("copy %s stays: %s", file, error)
            failed[str(file.relative_to(root))] = str(error)
    return Sweep(kept, tuple(deleted), failed, leftovers + _remove_empty_directories(root))


def _is_dropped(net: Net, path: ResourcePath) -> bool:
    """Whether a copy was unused, and is gone."""
    config = net.site.config
    with directory(root_of(config), path) as at:
        if not is_unused(at, path, config.expire):
            return False
    drop(net, path, Deadline(limit(None, config.critical_timeout)), unused_for=config.expire)
    return True


def _files(root: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(root):
        for name in sorted(names):
            yield Path(parent, name)


def _remove_empty_directories(root: Path) -> int:
    removed = 0
    for parent in [Path(name) for name, _, _ in os.walk(root, topdown=False)]:
        if parent == root:
            continue
        with suppress(OSError):  # something is in it, or somebody else was quicker
            if time.time() - parent.lstat().st_mtime >= LEFTOVER_SECONDS:
                parent.rmdir()
                removed += 1
    return removed


def _is_leftover_removed(root: Path, file: Path) -> bool:
    with suppress(OSError, ValueError):
        if time.time() - file.lstat().st_mtime < LEFTOVER_SECONDS:
            return False
        if file.name.startswith("."):
            if not file.name.endswith(".new"):  # a .next is healed by who opens its resource
                return False
            file.unlink()
            return True
        path = ResourcePath.parse(str(file.relative_to(root)).removesuffix(IN_TRANSFER))
        with directory(root, path) as at:
            fd = begin_transfer(at, path)
            if fd is not None:
                end_transfer(at, path, fd)
                os.close(fd)
                return True
    return False
