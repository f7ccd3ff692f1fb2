"""Who has a copy of a resource: NAME.subscription beside the original, one line ``HOST:IP:UNIXTIME`` a subscriber.

Promises: the file is replaced as a whole, under the lock of its directory, and is on disk when a call returns; two
servers that subscribe at the same moment are both in it, each host once.

Raises: OSError, Busy. Logs nothing: a line that is none (written by hand) is left out, and goes with the next change.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from common.hosts_table import HOST_ID
from common.resource_directory import locked
from common.resource_files import new_name, open_regular, remove, rename, write_synced
from common.resource_path import SUBSCRIPTION, ResourcePath

_LINE = re.compile(rf"({HOST_ID.pattern}):([0-9A-Fa-f.:]+):([0-9]{{1,15}})")


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A host that has a copy.

    :param host: host id.
    :param ip: its address when it subscribed.
    :param since: UNIX time of its last subscription.
    """

    host: str
    ip: str
    since: int


def subscribers(at: int, path: ResourcePath) -> list[Subscriber]:
    """The subscribers of a resource, in the order of their first subscription.

    :param at: the resource's directory, open.
    """
    try:
        with os.fdopen(open_regular(at, path.name + SUBSCRIPTION), "rb") as file:
            text = file.read().decode("ascii", "replace")
    except FileNotFoundError:
        return []
    found = (_LINE.fullmatch(line) for line in text.split("\n"))
    return [Subscriber(line[1], line[2], int(line[3])) for line in found if line]


def subscribe(at: int, path: ResourcePath, subscriber: Subscriber, seconds: float | None = None) -> None:
    """Note a subscriber, in place of what was noted of the same host, with a later time than that had.

    :param seconds: that the directory's lock is waited for, as in :func:`common.resource_directory.locked`.
    """

    def noted(known: list[Subscriber]) -> list[Subscriber]:
        before = [one.since for one in known if one.host == subscriber.host]
        if not before:
            return [*known, subscriber]
        later = replace(subscriber, since=max(subscriber.since, before[0] + 1))  # else nobody could tell the two apart
        return [later if one.host == subscriber.host else one for one in known]

    _change(at, path, noted, seconds)


def unsubscribe(at: int, path: ResourcePath, host: str, seconds: float | None = None) -> bool:
    """Forget a subscriber; False if the host was none. For `seconds` see :func:`subscribe`."""
    return _change(at, path, lambda known: [one for one in known if one.host != host], seconds)


def forget(at: int, path: ResourcePath, subscriber: Subscriber) -> bool:
    """Forget a subscription; False if it has ended, or the host has subscribed once more since."""
    return _change(at, path, lambda known: [one for one in known if one != subscriber], None)


def _change(
    at: int, path: ResourcePath, change: Callable[[list[Subscriber]], list[Subscriber]], seconds: float | None
) -> bool:
    with locked(at, exclusive=True, seconds=seconds):
        before = subscribers(at, path)
        after = change(before)
        if after == before:
            return False
        name = path.name + SUBSCRIPTION
        if after:
            unnamed = new_name(path)
            text = "".join(f"{one.host}:{one.ip}:{one.since}\n" for one in after)
            write_synced(at, unnamed, text.encode("ascii"))
            rename(at, unnamed, name)
        else:
            remove(at, name)
        os.fsync(at)
    return True
