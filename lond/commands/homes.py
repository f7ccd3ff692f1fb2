"""Whether this host is the home server of a user, as commands answer it."""

from __future__ import annotations

from lond.commands.registry import Context
from lond.records.faults import Fault
from lond.records.moving import is_moving


def is_home(context: Context, domain: bytes, user: bytes) -> bool:
    """Whether this host is the user's home server.

    :raises StorageError: 11, the user is on the way from here to another host.
    """
    if context.storage.is_home(domain, user):
        return True
    if is_moving(context.storage.user_directory(domain, user)):
        raise Fault.MOVING.error()
    return False
