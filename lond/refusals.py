"""How often refused connections are logged: once when they begin, then once per interval with their number.

Pure policy over (address, reason); a flood of addresses can't fill the log or the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from common.metrics import OTHER

MAX_KEYS = 1000  # addresses and reasons remembered; those beyond share one entry
OTHERS = ("others", "for various reasons")
_KINDS = (
    ("is not in hosts.tab", "unknown_address"),
    ("connections open that did not answer yet", "too_many"),
    ("no answer to the challenge within", "timeout"),
    ("it hung up before", "hung_up"),
    (OTHERS[1], OTHER),
)


@dataclass(slots=True)
class _Count:
    logged_at: float
    unreported: int = 0


class Refusals:
    """Counts refusals and tells which of them are to be logged.

    :param interval: seconds in which one address and reason is logged once.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._counts: dict[tuple[str, str], _Count] = {}
        self.total = 0

    def add(self, address: str, reason: str, now: float, number: int = 1) -> bool:
        """Count refusals; True if they begin a new series and are to be logged now."""
        self.total += number
        key = (address, reason)
        if key not in self._counts and len(self._counts) >= MAX_KEYS:
            key = OTHERS
        count = self._counts.get(key)
        if count is None:
            self._counts[key] = _Count(now, number - 1)
            return True
        count.unreported += number
        return False

    def due(self, now: float) -> Iterator[tuple[str, str, int]]:
        """(address, reason, how many since the last line) for each series whose interval is over."""
        for key, count in list(self._counts.items()):
            if now - count.logged_at < self._interval:
                continue
            if count.unreported:
                yield *key, count.unreported
                self._counts[key] = _Count(now)
            else:
                del self._counts[key]


def kind_of(reason: str) -> str:
    """The reason as one word of the few that are counted (:data:`common.metrics.REJECTIONS`)."""
    return next((kind for part, kind in _KINDS if part in reason), "protocol")
