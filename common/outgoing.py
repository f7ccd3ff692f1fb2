"""Bytes on their way out of a non-blocking socket.

What a send leaves over is kept as a view, not copied, so that a reply of many megabytes to a slow reader costs one
pass over it and not one per send.
"""

from __future__ import annotations

import socket
from collections import deque


class Outgoing:
    """See the module; `size` is how many bytes wait."""

    __slots__ = ("_parts", "size")

    def __init__(self) -> None:
        self._parts: deque[memoryview] = deque()
        self.size = 0

    def write(self, channel: socket.socket, data: bytes = b"") -> None:
        """Send what waits and then `data`, as far as the socket takes it.

        :raises OSError: the connection is broken.
        """
        if data and not self._parts:  # the usual case: everything goes at once
            data_sent = _send(channel, data)
            if data_sent == len(data):
                return
            self._keep(memoryview(data)[data_sent:])
            return
        if data:
            self._keep(memoryview(data))
        while self._parts:
            head = self._parts[0]
            sent = _send(channel, head)
            self.size -= sent
            if sent < len(head):
                self._parts[0] = head[sent:]
                return
            self._parts.popleft()

    def _keep(self, part: memoryview) -> None:
        self._parts.append(part)
        self.size += len(part)


def _send(channel: socket.socket, data: bytes | memoryview) -> int:
    try:
        return channel.send(data)
    except BlockingIOError:
        return 0
