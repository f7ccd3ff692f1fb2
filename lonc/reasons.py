"""Why a link ended, as one word of the few that are counted (:data:`common.metrics.LINK_ENDS`).

People get the reason in full, in the log and on the scoreboard; a number per reason needs a bounded set. Pure.
"""

from __future__ import annotations

from common.metrics import OTHER

_KINDS = (
    ("connection refused", "connection_refused"),
    ("no route to host", "unreachable"),
    ("network is unreachable", "unreachable"),
    ("host is down", "unreachable"),
    ("connection timed out", "timeout"),
    ("no key exchange within", "timeout"),
    ("wrong host", "wrong_host"),
    ("refused", "refused"),
    ("protocol violated", "protocol"),
    ("the other side closed", "closed"),
    ("connection reset by peer", "closed"),
    ("broken pipe", "closed"),
    ("nothing received", "silent"),
)


def kind_of(reason: str) -> str:
    """The kind of a reason that :class:`lonc.link.Link` gives."""
    return next((kind for beginning, kind in _KINDS if reason.startswith(beginning)), OTHER)
