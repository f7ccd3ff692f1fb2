"""The lanes that log-ins take at the user's home server; those of one do not hold up those of another.

Which one is for the access server to say, in the last field of auth and passwd (docs/authentication.md). Servers of the
original ignore that field, and send none; theirs are strangers', too.
"""

from __future__ import annotations

from enum import Enum


class LoginLane(Enum):
    """Whose log-ins they are; the value is what the field says."""

    KNOWN = "known"  # browsers with which this user has logged in at that host before
    FRESH = "fresh"  # others, from networks from which few have failed to log in as this user lately
    STRANGERS = "strangers"  # all others; whoever guesses is among them after a few guesses
