"""Copies in use are compared with their home servers now and then, so that none stays outdated without end.

What keeps a copy up to date is its subscription. It can be lost: the home server is restored from an old backup, or an
unsubscription that had to be repeated comes after a new subscription. So every lonRenew seconds a sweep subscribes a
copy that is in use once more, and fetches it again if the home server's metadata are not those of the copy. When that
was done last is the time of the copy's metadata file.

Promises: a home server that does not answer costs one try in a sweep, and no copy. What the home server has no more,
or does not give to this host any more, goes.

Logs: copies that go or can't be compared, and home servers that could not be asked (warning); transfers as
:mod:`lonnet.replication`.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress

from common.errors import LonError
from common.resource_directory import directory, root_of
from common.resource_path import META, ResourcePath
from lonnet.copies import present
from lonnet.deadline import Deadline, limit
from lonnet.dropping import drop
from lonnet.errors import AccessDenied, HostUnreachable, ResourceNotFound
from lonnet.homes import Net
from lonnet.replication import home_of, refresh

log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0  # that a sweep begins renewals; what is due then is the next one's


def bring_up_to_date(net: Net, path: ResourcePath) -> None:
    """Have the newest version of a copy, or no copy if this host gets none any more.

    :raises LonError: it can't be had now; the copy stays as it is.
    """
    try:
        refresh(net, path)
    except (ResourceNotFound, AccessDenied) as error:
        log.warning("copy deleted: %s", error)
        drop(net, path, Deadline(limit(None, net.site.config.critical_timeout)))


class Renewals:
    """Those of one sweep."""

    def __init__(self, net: Net) -> None:
        self._net, self._root = net, root_of(net.site.config)
        self._patience = Deadline(SWEEP_SECONDS)
        self._silent: set[str] = set()

    def look_after(self, path: ResourcePath) -> None:
        """Renew a copy that is in use, if that is due."""
        copy = present(self._root, path)
        if copy is None or copy.copy_of in self._silent or self._patience.passed or not self._is_due(path):
            return
        try:
            self._renew(path)
        except HostUnreachable as error:
            self._silent.add(copy.copy_of)
            log.warning("copies from %s are not compared with it now: %s", copy.copy_of, error)
            return
        except LonError as error:
            log.warning("copy of %s can't be compared with that on %s: %s", path, copy.copy_of, error)
        # What fails for a reason of its own is tried again after lonRenew as well.
        with suppress(FileNotFoundError), directory(self._root, path) as at:
            os.utime(path.name + META, dir_fd=at, follow_symlinks=False)

    def _is_due(self, path: ResourcePath) -> bool:
        with directory(self._root, path) as at:
            renewed = os.stat(path.name + META, dir_fd=at, follow_symlinks=False).st_mtime
        return time.time() - renewed > self._net.site.config.renew

    def _renew(self, path: ResourcePath) -> None:
        deadline = Deadline(self._net.site.config.request_timeout)
        if home_of(self._net, path, deadline) == self._net.site.own.id:
            drop(self._net, path, deadline)  # its author has moved here: it becomes an original
        else:
            bring_up_to_date(self._net, path)
