"""What lonc knows of each peer, from its scoreboard and the FIFOs: why is a peer behind, since when, by how much.

Nothing is asked of a child, so that a hung one shows as what it is. Reading needs no daemon: without one, every peer is
`stopped`, and its delayed messages are counted all the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from common.delayed import Fifo
from common.errors import SpoolError
from common.scoreboard import Scoreboard, Slot, scoreboard_path
from common.site import Site

HUNG_SECONDS = 10.0  # without a heartbeat (one a second) a child counts as hung
COLUMNS = (
    ("HOST", "host id"),
    (
        "STATE",
        "up; delivering (link stands, delayed messages first); connecting; down; given up; hung; draining; stopped",
    ),
    ("SINCE", "how long it has been in that state"),
    ("REQUESTS", "sent over this link since it came up"),
    ("WAITING", "requests that wait for room on the link or for a reply"),
    ("DELAYED", "critical messages that wait to be delivered"),
    ("OLDEST", "age of the oldest of them: how far behind the peer is"),
    ("NEXT TRY", "when a link that is down is tried again; `loncontrol retry` tries now"),
    ("WHY", "the last error in words"),
)


@dataclass(frozen=True, slots=True)
class Peer:
    """One line of the table; times are seconds, None where there is nothing to tell."""

    host: str
    state: str
    since: float | None = None
    requests: int = 0
    waiting: int = 0
    delayed: int = 0
    oldest: float | None = None
    next_try: float | None = None
    why: str = ""

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return asdict(self)


def peers(site: Site, running: bool) -> Iterator[Peer]:
    """Every host of the table.

    :param running: whether lonc runs; else the scoreboard is of the past.
    """
    slots = _slots(site) if running else {}
    for host in site.table.hosts:
        delayed, oldest = _delayed(site, host)
        yield _peer(host, slots.get(host), delayed, oldest, site.config.max_attempts)


def _slots(site: Site) -> dict[str, Slot]:
    try:
        board = Scoreboard.open(scoreboard_path(site.config.sock_dir, "lonc"))
    except (OSError, ValueError):
        return {}
    try:
        # During a rolling restart a host has two children; the one that serves tells more.
        return {slot.host: slot for slot in sorted(board.all(), key=lambda slot: slot.state == "up")}
    finally:
        board.close()


def _delayed(site: Site, host: str) -> tuple[int, float | None]:
    if not (site.config.delayed_dir / f"{host}.db").exists():
        return 0, None
    try:
        fifo = Fifo(site.config.delayed_dir, host)
    except SpoolError:
        return 0, None
    try:
        created = fifo.oldest()
        return fifo.waiting_count(), None if created is None else max(0.0, time.time() - created)
    except SpoolError:
        return 0, None
    finally:
        fifo.close()


def _peer(host: str, slot: Slot | None, delayed: int, oldest: float | None, max_attempts: int) -> Peer:
    if slot is None:
        return Peer(host, "stopped", delayed=delayed, oldest=oldest, why="lonc does not run, or has no child for it")
    now = time.time()
    return Peer(
        host=host,
        state=_state(slot, max_attempts),
        since=max(0.0, now - slot.since),
        requests=slot.requests,
        waiting=slot.waiting + slot.outstanding,
        delayed=delayed,
        oldest=oldest,
        next_try=max(0.0, slot.next_try - now) if slot.next_try else None,
        why=slot.text,
    )


def _state(slot: Slot, max_attempts: int) -> str:
    if time.monotonic() - slot.heartbeat > HUNG_SECONDS:
        return "hung"
    if slot.state == "waiting":
        return "given up" if slot.attempts >= max_attempts else "down"
    return slot.state
