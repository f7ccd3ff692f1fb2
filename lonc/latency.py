"""How long the peer takes to answer: measured for every request, at the price of one entry per turn of the loop.

All requests that one send carries have the same beginning, all replies that one recv brings the same end. The wait for
room on the link before a request is sent is not the peer's time and is not in it. Pure; the clock is the caller's.
"""

from __future__ import annotations

from collections import deque

from common.counters import Tally
from common.metrics import LONC, Layout


class Latencies:
    """The requests under way on one link, by the turn in which they were sent; replies come in their order.

    :param tally: takes the numbers.
    """

    def __init__(self, tally: Tally | None = None) -> None:
        self._tally = tally or Tally(Layout(LONC))
        self._sent: deque[tuple[int, float]] = deque()  # how many, and when

    def sent(self, number: int, now: float) -> None:
        """So many requests are on their way."""
        self._sent.append((number, now))
        self._tally.add("requests", number=number)

    def answered(self, number: int, now: float) -> None:
        """So many of them, the oldest, have been answered."""
        sent = self._sent
        while number and sent:
            size, when = sent.popleft()
            if size > number:
                sent.appendleft((size - number, when))
                size = number
            self._tally.observe("reply_seconds", now - when, size)
            number -= size
