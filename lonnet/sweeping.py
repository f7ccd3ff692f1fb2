"""The end of copies that nobody uses, and of what killed processes have left in the tree.

A copy that was last used longer ago than lonExpire is deleted, then ``unsub:PATH`` goes to its home server as a
critical message; until that is done or on disk nobody fetches the resource again. Files that a publication or
a transfer left incomplete go when they are older than :data:`LEFTOVER_SECONDS` and nobody holds them; so do
directories that have been empty for as long.

Promises: originals are never deleted: what is not marked as a copy is none, and a copy whose author has moved
to this host becomes an original. Logs each copy that goes (info); what could not be unsubscribed (warning).

Raises: :func:`drop` as :mod:`lonnet.replication`, and what else a critical message can (:mod:`lonnet.replies`);
:func:`sweep` nothing for a single copy: it is left for the next time.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.errors import LonError, PeerUnavailable
from common.resource_directory import directory, locked, prune, root_of
from common.resource_files import exists, remove
from common.resource_path import COPY, IN_TRANSFER, ResourcePath
from common.resource_tree import remove_copy
from common.transfer_file import begin_transfer, end_transfer
from lonnet.copies import last_access, present
from lonnet.deadline import Deadline, limit
from lonnet.errors import ResourceNotFound, TransferUnderWay, UnexpectedReply
from lonnet.homes import Net
from lonnet.replication import home_of
from lonnet.replies import Delivery, checked

log = logging.getLogger(__name__)

LEFTOVER_SECONDS = 86400.0

_NOT_MORE = ("ok", "not_subscribed", "not_found")


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


def is_unused(at: int, path: ResourcePath, expire: float) -> bool:
    """Whether a copy was last used longer ago than `expire` seconds; False for what is no copy.

    :param at: its directory, open.
    """
    used = last_access(at, path)
    return used is not None and time.time() - used > expire


def drop(net: Net, path: ResourcePath, deadline: Deadline, *, unused_for: float | None = None) -> Delivery:
    """Delete this host's copy and unsubscribe.

    :param unused_for: only if it was not used for so many seconds.
    :returns: DONE if it is kept.
    """
    home = _home_of(net, path, deadline)
    root = root_of(net.site.config)
    try:
        with directory(root, path, create=True) as at:
            fd = begin_transfer(at, path)
            if fd is None:
                raise TransferUnderWay(str(path))
            try:
                # Held until the home server has heard of it or the message is on disk: whoever fetches the resource
                # again subscribes after that, and no late unsubscription ends the new subscription.
                if not _remove(net, path, at, home, unused_for) or not home:
                    return Delivery.DONE
                return _unsubscribe(net, path, home, deadline)
            finally:
                end_transfer(at, path, fd)
                os.close(fd)
    except FileNotFoundError:  # somebody removed a directory that was empty
        raise TransferUnderWay(str(path)) from None
    finally:
        prune(root, path)


def _unsubscribe(net: Net, path: ResourcePath, home: str, deadline: Deadline) -> Delivery:
    reply = net.critical(f"unsub:{path.wire}", home, deadline.left())
    if reply == "con_delayed":
        return Delivery.DELAYED
    if checked(home, reply) not in _NOT_MORE:
        raise UnexpectedReply(home, "unsub", reply)
    return Delivery.DONE


def _home_of(net: Net, path: ResourcePath, deadline: Deadline) -> str:
    """The home server; if nobody can be asked, the one that the copy came from; "": there is none any more."""
    try:
        return home_of(net, path, deadline)
    except ResourceNotFound:
        return ""
    except PeerUnavailable:
        copy = present(root_of(net.site.config), path)
        if copy is None or not copy.copy_of:
            raise
        return copy.copy_of if copy.copy_of in net.site.table else ""


def _remove(net: Net, path: ResourcePath, at: int, home: str, unused_for: float | None) -> bool:
    """Whether the home server is to be told that there is no copy."""
    with locked(at, exclusive=True):
        if home == net.site.own.id:
            remove(at, path.name + COPY)
            return False
        if unused_for is not None and not is_unused(at, path, unused_for):
            return False
        if exists(at, path.name + COPY):
            remove_copy(at, path)
            log.info("copy of %s deleted", path)
    return True


def sweep(net: Net) -> Sweep:
    """See the module."""
    root, expire = root_of(net.site.config), net.site.config.expire
    kept, deleted, failed, leftovers = 0, [], {}, 0
    for file in _files(root):
        if file.name.startswith(".") or file.name.endswith(IN_TRANSFER):
            leftovers += _is_leftover_removed(root, file)
        if not file.name.endswith(COPY):
            continue
        try:
            path = ResourcePath.parse(str(file.relative_to(root)).removesuffix(COPY))
            with directory(root, path) as at:
                if not is_unused(at, path, expire):
                    kept += 1
                    continue
            drop(net, path, Deadline(limit(None, net.site.config.critical_timeout)), unused_for=expire)
            deleted.append(str(path))
        except (LonError, OSError, ValueError) as error:
            log.warning("copy %s stays: %s", file, error)
            failed[str(file.relative_to(root))] = str(error)
    return Sweep(kept, tuple(deleted), failed, leftovers + _remove_empty_directories(root))


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
