"""A user who is taken from this host to another one (``lonuser move``), as requests see it.

Beside the place of the user's directory USER stands ``.USER.moving-HOST`` on the way, and then, until an administrator
removes it, ``.USER.moved-HOST-UNIXTIME``. No user can have such a name.

Promises: on the way nobody is told that there is no such user, which would be remembered, or that a write was refused
for good: the answer is to try again.

Raises OSError. Logs nothing.
"""

from __future__ import annotations

import errno
import re
from pathlib import Path

from lond.records.faults import Fault, StorageError


def moving_directory(home: Path, host: str) -> Path:
    """Where the directory `home` is while its user is on the way to a host."""
    return home.with_name(f".{home.name}.moving-{host}")


def moved_directory(home: Path, host: str, now: int) -> Path:
    """Where the directory `home` is kept when its user has moved to a host.

    :param now: UNIX seconds.
    """
    return home.with_name(f".{home.name}.moved-{host}-{now}")


def is_moving(home: Path) -> bool:
    """Whether the user of this directory is on the way to another host."""
    return any(home.parent.glob(f".{home.name}.moving-*"))


def absence(home: Path) -> StorageError:
    """What to answer a request on a user whose directory is not there."""
    if is_moving(home):
        return Fault.MOVING.error()
    host = _moved_to(home)
    return StorageError(errno.ENOENT, f"the user has moved to {host}" if host else "no such user or domain")


def _moved_to(home: Path) -> str:
    """The host to which the user has moved last; "" if to none."""
    name = re.compile(rf"\.{re.escape(home.name)}\.moved-(.+)-([0-9]+)")
    moves = [found for path in home.parent.glob(f".{home.name}.moved-*") if (found := name.fullmatch(path.name))]
    return max(moves, key=lambda found: int(found[2]))[1] if moves else ""
