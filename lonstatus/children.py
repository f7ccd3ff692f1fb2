"""The processes of this host's daemons: what each says of itself, and what the system says of it.

What a child does comes from the scoreboard, so that a hung one shows too; memory and processor time come from the
system, by way of psutil. A child that ends meanwhile is left out.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

from common.scoreboard import Scoreboard, Slot, scoreboard_path
from common.site import Site
from lonstatus.text import duration

COLUMNS = ("DAEMON", "PID", "STATE", "HOST", "AGE", "HEARTBEAT", "REQUESTS", "CPU S", "MEMORY MB")


@dataclass(frozen=True, slots=True)
class Child:
    """One child; times in seconds, memory (what would be free without it) in bytes."""

    daemon: str
    pid: int
    state: str
    host: str
    age: float
    heartbeat: float
    requests: int
    cpu: float
    memory: int

    def row(self) -> tuple[str, ...]:
        """The cells of :data:`COLUMNS`."""
        cpu, memory = f"{self.cpu:.1f}", f"{self.memory / 1e6:.1f}"
        age, heartbeat = duration(self.age), f"{duration(self.heartbeat)} ago"
        host, requests = self.host or "-", str(self.requests)
        return (self.daemon, str(self.pid), self.state, host, age, heartbeat, requests, cpu, memory)


def children(site: Site, daemon: str) -> list[Child]:
    """The children of a running daemon: by host, those of no host last."""
    try:
        board = Scoreboard.open(scoreboard_path(site.config.sock_dir, daemon))
    except (OSError, ValueError):
        return []
    try:
        slots = list(board.all())
    finally:
        board.close()
    found = []
    for slot in sorted(slots, key=lambda slot: (not slot.host, slot.host)):
        with suppress(psutil.Error):  # it has ended since
            found.append(_child(daemon, slot))
    return found


def _child(daemon: str, slot: Slot) -> Child:
    process = psutil.Process(slot.pid)
    with process.oneshot():
        times = process.cpu_times()
        return Child(
            daemon=daemon,
            pid=slot.pid,
            state=slot.state,
            host=slot.host,
            age=time.time() - process.create_time(),
            heartbeat=max(0.0, time.monotonic() - slot.heartbeat),
            requests=slot.requests,
            cpu=times.user + times.system,
            memory=process.memory_full_info().uss,
        )
