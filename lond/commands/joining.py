"""Replies that are lists of what users have stored: within lonMaxReply, and taken for nothing else."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from lond.commands.registry import RequestError
from lonnet.replies import FAILURE_WORDS

_BEGINNINGS = (b"enc:", b"error:")
_WORDS = tuple(word.encode("ascii") for word in FAILURE_WORDS)  # no set, which would hash the whole of a long reply


def joined(parts: Iterable[bytes], separator: bytes, limit: int) -> bytes:
    """The parts as one unmistakable reply; stops reading them as soon as they are too long.

    :param parts: escaped fields, or such joined by other separators.
    :param limit: bytes.
    :raises RequestError: 7, longer than `limit`.
    """
    kept = []
    left = limit
    for part in parts:
        left -= len(part) + 1
        if left < -1:  # the last part has no separator behind it
            raise RequestError("reply too long", errno.E2BIG)
        kept.append(part)
    return unmistakable(separator.join(kept))


def joined_items(items: Iterable[tuple[bytes, bytes]], limit: int) -> bytes:
    """``KEY=VALUE&KEY=VALUE``, otherwise as :func:`joined`."""
    return joined((key + b"=" + value for key, value in items), b"&", limit)


def unmistakable(reply: bytes) -> bytes:
    """A list of escaped fields so that nobody takes it for a frame, an error or a failure.

    If need be its first byte is escaped, too: who unescapes the field reads the same, be it an original client.
    """
    if reply.startswith(_BEGINNINGS) or reply in _WORDS:
        return b"%%%02x%b" % (reply[0], reply[1:])
    return reply
