"""Who is an author: a user with the role ``/DOMAIN/_au`` of the own domain, whose time has begun and is not over.

The value of a role is ``END_START`` in UNIX seconds, 0 or nothing for no limit (a word may stand before the numbers, as
the original's ``au_0_0``).

Raises what :mod:`lonnet.records` raises. Logs nothing.
"""

from __future__ import annotations

import re
import time

from lonnet.client import Lonnet
from lonnet.sessions import Session

_TIMES = re.compile("(?:[a-z]+_)?([0-9]{0,12})(?:_([0-9]{0,12}))?")


def author_role(domain: str) -> str:
    """The name of the role in an author's ``roles``."""
    return f"/{domain}/_au"


def is_author(net: Lonnet, session: Session) -> bool:
    """Whether the user is an author now."""
    role = author_role(session.domain)
    user = net.user(session.user, session.domain, home=session.home)
    return is_in_force(user.get("roles", role)[role], time.time())


def is_in_force(value: str, now: float) -> bool:
    """Whether a role with this value holds at a time; an empty one never does."""
    found = _TIMES.fullmatch(value) if value else None
    if found is None:
        return False
    end, start = int(found[1] or 0), int(found[2] or 0)
    return start <= now and (not end or now < end)
