"""What can happen on a classic link, and in which order: the events and the one table of states, for both roles.

Nothing here knows which side "we" are; :mod:`common.protocol` makes the events of bytes. The steps that the events name
are those of docs/protocol.md, "Setting up a link".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from common.errors import PeerProtocolError


class State(enum.Enum):
    """How far a link is, the same on both sides."""

    START = "start"
    GREETED = "greeted"
    CHALLENGED = "challenged"
    ECHOED = "echoed"
    OPEN = "open"
    KEYED = "keyed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Greeted:
    """lonc said ``init``; `version` is what followed it, "" from an old one (step 1)."""

    version: str


@dataclass(frozen=True, slots=True)
class Challenged:
    """lond sent its challenge (step 2)."""


@dataclass(frozen=True, slots=True)
class Echoed:
    """lonc sent the challenge back (step 3)."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The right echo came; the link is open (step 4)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """lond refused the other side; `reason` is for the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class Identified:
    """lond told its host id (step 6)."""

    host: str


@dataclass(frozen=True, slots=True)
class KeyBuilt:
    """The build key was sent or received; from here on lines may be encrypted (step 8)."""

    build_key: bytes


@dataclass(frozen=True, slots=True)
class Requests:
    """Commands that became readable at once: (line without LF, whether it came encrypted)."""

    commands: list[tuple[bytes, bool]]


@dataclass(frozen=True, slots=True)
class Replies:
    """Replies that became readable at once, decrypted, in the order of their requests."""

    lines: list[bytes]


@dataclass(frozen=True, slots=True)
class Departed:
    """lonc said ``exit`` or ``quit``."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The other side broke the rules; the link is of no further use."""

    error: PeerProtocolError


Event = (
    Greeted | Challenged | Echoed | Accepted | Refused | Identified | KeyBuilt | Requests | Replies | Departed | Failed
)

# The only place that knows which event may follow which. It does not know which side "we" are.
TABLE: dict[tuple[State, type[Event]], State] = {
    (State.START, Greeted): State.GREETED,
    (State.GREETED, Challenged): State.CHALLENGED,
    (State.CHALLENGED, Echoed): State.ECHOED,
    (State.ECHOED, Accepted): State.OPEN,
    (State.OPEN, Identified): State.OPEN,
    (State.OPEN, Requests): State.OPEN,
    (State.OPEN, KeyBuilt): State.KEYED,
    (State.KEYED, KeyBuilt): State.KEYED,
    (State.KEYED, Requests): State.KEYED,
    (State.KEYED, Replies): State.KEYED,
    (State.OPEN, Departed): State.CLOSED,
    (State.KEYED, Departed): State.CLOSED,
    **{(state, Refused): State.CLOSED for state in (State.START, State.GREETED, State.CHALLENGED, State.ECHOED)},
    **{(state, Failed): State.CLOSED for state in State if state is not State.CLOSED},
}
