"""What a lonc child shows of itself: its slot of the scoreboard, which says everything, and its title, in one line."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from common.population import Birth
from common.scoreboard import Slot
from common.title import set_title


class Display:
    """See the module.

    :param host: the peer.
    :param failures: tries in a row that failed.
    :param why: the reason of the last one; "": it was not tried yet.
    :param measure: puts the numbers of now into the slot.
    """

    def __init__(self, host: str, birth: Birth, failures: int, why: str, measure: Callable[[Slot], None]) -> None:
        self._board, self._number, self._measure, self._why = birth.board, birth.slot, measure, why
        self.slot = Slot(os.getpid(), birth.generation, host=host, started=time.time(), attempts=failures, text=why)

    @property
    def state(self) -> str:
        """The one shown last."""
        return self.slot.state

    def change(self, state: str, since: float = 0.0) -> None:
        """Show another state.

        :param since: UNIX time; 0: now.
        """
        self.slot.state, self.slot.since = state, since or time.time()
        self.refresh()

    def refresh(self) -> None:
        """Show the numbers of now; also the sign that this process is alive."""
        self._measure(self.slot)
        self.slot.heartbeat = time.monotonic()
        self._board.write(self._number, self.slot)
        set_title(f"lonc: {self.status()}")

    def status(self) -> str:
        """The peer and its state in words."""
        slot, now = self.slot, time.time()
        if slot.state == "waiting":
            return (
                f"{slot.host} down ({self._why or 'not tried yet'}), next try in {max(0.0, slot.next_try - now):.0f}s"
            )
        if slot.state == "paused":
            return f"{slot.host} paused {slot.text} q={slot.delayed}"
        lasts = f" {_duration(now - slot.since)}" if slot.state == "up" else ""
        return f"{slot.host} {slot.state}{lasts} q={slot.delayed}"


def _duration(seconds: float) -> str:
    minutes = max(0, int(seconds // 60))
    return f"{minutes // 1440}d {minutes // 60 % 24:02d}:{minutes % 60:02d}"
