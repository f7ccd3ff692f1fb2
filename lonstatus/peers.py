"""What lonc knows of each peer, from its scoreboard and the FIFOs: why is a peer behind, since when, by how much.

Nothing is asked of a child, so that a hung one shows as what it is. Reading needs no daemon: without one, every peer is
`stopped`, and its messages are counted all the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from common.backlog import BY_HAND, Backlog
from common.delayed import FAILED, HELD, WAITING, Row
from common.errors import SpoolError
from common.pauses import Pause, pauses
from common.scoreboard import Scoreboard, Slot, scoreboard_path
from common.site import Site
from lonstatus.versions import PeerVersion, read_versions

HUNG_SECONDS = 10.0  # without a heartbeat (one a second) a child counts as hung
SUCCESSION_SECONDS = 0.2  # in which a child is forked in the place of one that has ended
STANDS = ("up", "delivering")  # states of a peer whose link is there, and stays
NO_LONC, NO_CHILD = "lonc does not run", "lonc has no child for it: see its log"
COLUMNS = (
    ("HOST", "host id"),
    (
        "STATE",
        "up; idle (up, and nobody is connected to it); delivering (link stands, delayed messages first); connecting; "
        "down; given up (tried now and then only); paused (by `loncontrol pause`); hung (its process does not answer); "
        "draining (ends, answers what it has read); stopped (lonc does not run, or has no child for it)",
    ),
    ("SINCE", "how long it has been in that state"),
    ("REQUESTS", "sent over this link since it came up"),
    ("WAITING", "requests that wait for room on the link or for a reply"),
    ("DELAYED", "critical messages that wait to be delivered"),
    ("OLDEST", "age of the oldest of them: how far behind the peer is"),
    ("HELD", "critical messages that are passed over until somebody decides: `loncontrol queue ls HOST`"),
    ("FAILED", "critical messages that the peer refused when nobody waited any more: `loncontrol queue ls HOST`"),
    ("NEXT TRY", "when a link that is down is tried again; `loncontrol retry HOST` tries now"),
    (
        "LAST ERROR",
        "why there is no link, in words; of a link that is up, why messages wait or can't be recorded, why one is held "
        "or failed, or, after `before:`, what ended the link before this one",
    ),
)


@dataclass(frozen=True, slots=True)
class Peer:
    """One line of the table; times are seconds, None where there is nothing to tell.

    :param idle: the link is up, and no caller is connected to it at the moment.
    :param why: the reason of a state that is not `up`, in words.
    :param trouble: why critical messages don't go on although the link is up, in words.
    :param last_error: the last error there was, also of a link that is up.
    :param version: what it told of its software; "": it does not tell; None: it was not asked yet.
    :param version_asked: when, UNIX time.
    :param pid: the process that keeps its link.
    """

    host: str
    state: str
    since: float | None = None
    requests: int = 0
    waiting: int = 0
    delayed: int = 0
    oldest: float | None = None
    next_try: float | None = None
    why: str = ""
    trouble: str = ""
    idle: bool = False
    held: int = 0
    failed: int = 0
    last_error: str = ""
    unreadable: bool = False  # its FIFO: the numbers of messages are not known
    version: str | None = None
    version_asked: float | None = None
    pid: int | None = None

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Messages:
    """What stands in the FIFO of a host.

    :param oldest: age of the oldest waiting message in seconds.
    :param stuck: why the first of those that are held or failed is so.
    :param trouble: why nothing is known.
    """

    waiting: int = 0
    oldest: float | None = None
    held: int = 0
    failed: int = 0
    stuck: str = ""
    trouble: str = ""


def peers(site: Site, running: bool) -> Iterator[Peer]:
    """Every host of the table.

    :param running: whether lonc runs; else the scoreboard is of the past.
    """
    slots = _settled_slots(site) if running else {}
    paused = pauses(site.config.delayed_dir)
    versions = read_versions(site.config)
    for host in site.table.hosts:
        found = messages(site, host)
        missing = NO_CHILD if running else NO_LONC
        peer = _peer(host, slots.get(host), paused.get(host), found, site.config.max_attempts, missing)
        yield _with_version(peer, versions.get(host))


def _settled_slots(site: Site) -> dict[str, Slot]:
    """By host; where a child has just ended, as after each failed try, its successor has a moment to show up."""
    end = time.monotonic() + SUCCESSION_SECONDS
    while not site.table.hosts.keys() <= (found := _slots(site)).keys() and time.monotonic() < end:
        time.sleep(SUCCESSION_SECONDS / 20)
    return found


def _slots(site: Site) -> dict[str, Slot]:
    try:
        board = Scoreboard.open(scoreboard_path(site.config.sock_dir, "lonc"))
    except (OSError, ValueError):
        return {}
    try:
        # During a rolling restart or a pause a host has two children; the one that serves or stays tells more.
        ranked = sorted(board.all(), key=lambda slot: (slot.state == "up", slot.state != "draining"))
        return {slot.host: slot for slot in ranked}
    finally:
        board.close()


def messages(site: Site, host: str) -> Messages:
    """What stands in the FIFO of a host."""
    if not (site.config.delayed_dir / f"{host}.db").exists():
        return Messages()
    try:
        backlog = Backlog(site.config.delayed_dir, host)
    except SpoolError as error:
        return Messages(trouble=f"its FIFO can't be read: {error}")
    try:
        return _read(backlog)
    except SpoolError as error:
        return Messages(trouble=f"its FIFO can't be read: {error}")
    finally:
        backlog.close()


def _read(backlog: Backlog) -> Messages:
    created, count = backlog.oldest(), backlog.count()
    held, failed = count.get(HELD, 0), count.get(FAILED, 0)
    stuck = backlog.rows((HELD, FAILED), limit=1) if held or failed else []
    return Messages(
        waiting=count.get(WAITING, 0),
        oldest=None if created is None else max(0.0, time.time() - created),
        held=held,
        failed=failed,
        stuck=_stuck(stuck[0]) if stuck else "",
    )


def _stuck(row: Row) -> str:
    if row.state == FAILED:
        return f"a message was refused: {(row.reply or b'')[:100].decode('ascii', 'replace')}"
    return f"a message is {'' if row.last_error.startswith(BY_HAND) else 'held: '}{row.last_error}"


def _peer(host: str, slot: Slot | None, pause: Pause | None, found: Messages, max_attempts: int, missing: str) -> Peer:
    now = time.time()
    state = _state(slot, max_attempts)
    why = _why(slot, pause, state, missing)
    trouble = slot.trouble if slot and state not in ("down", "given up") else ""
    return Peer(
        host=host,
        state=state,
        since=max(0.0, now - slot.since) if slot and slot.since else None,
        requests=slot.requests if slot else 0,
        waiting=slot.waiting + slot.outstanding if slot else 0,
        delayed=found.waiting,
        oldest=found.oldest,
        next_try=max(0.0, slot.next_try - now) if slot and slot.next_try else None,
        why=why,
        trouble=trouble,
        idle=slot is not None and state == "up" and not slot.connections + slot.waiting + slot.outstanding,
        held=found.held,
        failed=found.failed,
        last_error=found.trouble or why or trouble or found.stuck or (slot.text if slot else ""),
        unreadable=bool(found.trouble),
        pid=slot.pid if slot else None,
    )


def _with_version(peer: Peer, known: PeerVersion | None) -> Peer:
    return peer if known is None else replace(peer, version=known.text, version_asked=known.asked)


def _state(slot: Slot | None, max_attempts: int) -> str:
    if slot is None:
        return "stopped"
    if time.monotonic() - slot.heartbeat > HUNG_SECONDS:
        return "hung"
    if slot.state == "waiting":
        return "given up" if slot.attempts >= max_attempts else "down"
    return slot.state


def _why(slot: Slot | None, pause: Pause | None, state: str, missing: str) -> str:
    if slot is None:
        return missing + (f"; paused {pause}" if pause else "")
    if state == "hung":
        silent = time.monotonic() - slot.heartbeat
        return f"process {slot.pid} ({slot.state}) has given no sign of life for {silent:.0f} s"
    return "" if state == "up" else slot.text
