"""The end of one copy: deleted here, then ``unsub:PATH`` to its home server as a critical message.

Until that is done or on disk nobody fetches the resource again.

Promises: originals are never deleted: what is not marked as a copy is none, and a copy whose author has moved
to this host becomes an original.

Raises: as :mod:`lonnet.replication`, and what else a critical message can (:mod:`lonnet.replies`). Logs each copy
that goes (info).

Known limits: a home server that can't take the message for the moment (``error: 5``, ``11``, ``28``) gets it again
later, and a new subscription may come before it; :mod:`lonnet.renewal` mends that.
"""

from __future__ import annotations

import logging
import os
import time

from common.errors import PeerUnavailable
from common.resource_directory import directory, locked, prune, root_of
from common.resource_files import exists, remove
from common.resource_path import COPY, ResourcePath
from common.resource_tree import remove_copy
from common.transfer_file import begin_transfer, end_transfer
from lonnet.copies import last_access, present
from lonnet.deadline import Deadline
from lonnet.errors import ResourceNotFound, TransferUnderWay, UnexpectedReply
from lonnet.homes import Net
from lonnet.replication import home_of
from lonnet.replies import Delivery, checked

log = logging.getLogger(__name__)

_NOT_MORE = ("ok", "not_subscribed", "not_found")


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
