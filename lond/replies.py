"""The replies of a link that have not left yet, in the order of their requests.

A classic link knows replies by their order alone, so one that is not ready (a password is being checked) holds back
those behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from lond.dispatcher import Pending


class Replies:
    """See the module.

    :ivar held: bytes of replies that wait behind a pending one, or for :meth:`take_ready`.
    """

    def __init__(self) -> None:
        self.held = 0
        self._queue: deque[bytes | Pending] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, replies: Iterable[bytes | Pending]) -> None:
        """Those of the next requests."""
        for reply in replies:
            self._queue.append(reply)
            if isinstance(reply, bytes):
                self.held += len(reply)

    def take_ready(self) -> bytes:
        """What may leave now, with its line ends."""
        queue = self._queue
        lines: list[bytes] = []
        while queue:
            head = queue[0]
            line = head if isinstance(head, bytes) else head.reply
            if line is None:
                break
            lines.append(line)
            queue.popleft()
        self.held = sum(len(reply) for reply in queue if isinstance(reply, bytes))
        return b"\n".join([*lines, b""])
