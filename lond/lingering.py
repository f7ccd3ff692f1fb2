"""The lingering close: the end of a link whose last replies must arrive.

A connection that is closed while bytes of its peer are unread is reset. That may have the last replies thrown away, in
the peer's kernel too, and the peer would send again what was executed. So the end is announced, and what still comes
is read and dropped, until the peer has closed too, :data:`LINGER` is over, or it was more than :data:`DROPPED_BYTES`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

from common.loop import READ, Loop

LINGER = 2.0  # seconds that the peer has to close; it needs one round trip
DROPPED_BYTES = 8388608  # twice what an honest peer has on its way, if its lonWindowBytes is the default
RECEIVE_BYTES = 65536


def close_after_peer(loop: Loop, channel: socket.socket, on_closed: Callable[[], None]) -> None:
    """Close a connection on which everything was written.

    :param channel: not blocking, watched by nobody; the caller gives it away.
    :param on_closed: called once, in a later turn, when it is closed.
    """
    left = DROPPED_BYTES

    def close() -> None:
        if channel.fileno() >= 0:
            loop.forget(channel)
            channel.close()
            on_closed()

    def drop(_mask: int) -> None:
        nonlocal left
        try:
            data = channel.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        left -= len(data)
        if not data or left < 0:
            close()

    with suppress(OSError):  # the peer may have gone already
        channel.shutdown(socket.SHUT_WR)
    loop.watch(channel, READ, drop)
    loop.call_later(LINGER, close)
