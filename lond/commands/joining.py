"""Long replies, put together within lonMaxReply."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from lond.commands.registry import RequestError


def joined(parts: Iterable[bytes], separator: bytes, limit: int) -> bytes:
    """The parts as one reply; stops reading them as soon as they are too long.

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
    return separator.join(kept)


def joined_items(items: Iterable[tuple[bytes, bytes]], limit: int) -> bytes:
    """``KEY=VALUE&KEY=VALUE``, otherwise as :func:`joined`."""
    return joined((key + b"=" + value for key, value in items), b"&", limit)
