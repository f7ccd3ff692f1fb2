"""Reports with made-up data: a network in trouble, a quiet one, and one whose names are hostile."""

from __future__ import annotations

import math

from common.version import SOFTWARE
from lonstatus.children import Child
from lonstatus.findings import Finding, Level
from lonstatus.history import BOUNDS, Sample
from lonstatus.peers import Peer
from lonstatus.report import DaemonReport, Report

NOW = 1795370400.0
HOSTILE = '<script>alert("x")</script>&\'\x00\u202e'
EVERY = 300.0


def history(now: float = NOW, samples: int = 288) -> list[Sample]:
    """A day with a morning, a restart at noon and an hour without loncron."""
    found, sent, executed = [], 0.0, 0.0
    replies = [0.0] * (len(BOUNDS) + 1)
    for number in range(samples):
        at = now - (samples - 1 - number) * EVERY
        busy = 1.2 + math.sin(number / 40)
        if number == samples // 2:
            sent, replies = 0.0, [0.0] * len(replies)
        sent, executed = sent + 4000 * busy, executed + 2500 * busy
        for bucket in range(2, 8):
            replies[bucket] += 500 * busy / (bucket - 1)
        if not samples // 3 <= number < samples // 3 + 12:
            delayed = max(0, round(300 * math.sin(number / 30)))
            found.append(Sample(at, sent, executed, tuple(replies), delayed, 3.0 * delayed))
    return found


PEERS = [
    Peer("msul1", "up", 3 * 86400.0, 1234567, 3, version=SOFTWARE, version_asked=NOW - 3 * 86400.0),
    Peer("msul2", "up", 86400.0, 2345, idle=True, version="loncapa-net-0.0.9", version_asked=NOW - 86000.0),
    Peer("hubl1", "given up", 7300.0, delayed=1204, oldest=7250.0, next_try=120.0, why="connection refused"),
    Peer("ostl1", "down", 12.0, delayed=2, oldest=11.0, next_try=3.0, why="no key exchange within 10 s"),
    Peer("ostl2", "paused", 500.0, why="by root: its disk is being replaced", held=1, failed=2),
    Peer("msua1", "delivering", 2.0, 14, 1, delayed=33, oldest=60.0, version="2.11.4", version_asked=NOW - 9e5),
]
CHILDREN = [
    Child("lond", 4711, "serving", "hubl1", 4000.0, 0.4, 99887, 12.3, 9_400_000),
    Child("lond", 4712, "idle", "", 40.0, 0.2, 0, 0.1, 4_400_000),
    Child("lonc", 4721, "up", "msul1", 260000.0, 0.9, 1234567, 220.0, 5_100_000),
]
FINDINGS = [
    Finding(Level.NOTICE, "load", "load", "the load average is 2.4, which is 120 % of lonLoadLim"),
    Finding(Level.ERROR, "daemons", "lonc 815", "lonc was dead, its pid file left; it runs again with pid 4720"),
    Finding(Level.WARNING, "queue", "hubl1", "1204 messages to hubl1 wait, the oldest for 2h 00m"),
]


def report(**changes: object) -> Report:
    """A network in trouble, with some things changed."""
    values: dict[str, object] = {
        "host": "msul1",
        "domain": "msu",
        "role": "library",
        "hostname": "msul1.example.org",
        "at": NOW,
        "daemons": [DaemonReport("lond", "running", 4700), DaemonReport("lonc", "running", 4720)],
        "peers": PEERS,
        "children": CHILDREN,
        "findings": FINDINGS,
        "checked": NOW - 30,
        "history": history(),
        "version": "0.1.0",
        "python": "3.11.7",
        **changes,
    }
    return Report(**values)  # type: ignore[arg-type]


def quiet() -> Report:
    """Nothing is wrong, and nothing has happened yet."""
    peers = [Peer("msul1", "up", 10.0), Peer("msul2", "up", 10.0)]
    return report(peers=peers, children=[], findings=[], history=[], checked=None)


def hostile() -> Report:
    """Every text that can come from outside is markup."""
    return report(
        host=HOSTILE,
        domain=HOSTILE,
        role=HOSTILE,
        hostname=HOSTILE,
        daemons=[DaemonReport(HOSTILE, HOSTILE, None)],
        peers=[Peer(HOSTILE, HOSTILE, delayed=1, why=HOSTILE, last_error=HOSTILE, version=HOSTILE)],
        children=[Child(HOSTILE, 1, HOSTILE, HOSTILE, 0, 0, 0, 0, 0)],
        findings=[Finding(Level.ERROR, HOSTILE, HOSTILE, HOSTILE)],
        version=HOSTILE,
        python=HOSTILE,
    )
