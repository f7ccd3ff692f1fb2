"""Do critical messages wait too long, or for a decision?"""

from __future__ import annotations

from collections.abc import Iterator

from loncron.visit import Visit
from lonstatus.findings import Finding, Level
from lonstatus.peers import Peer
from lonstatus.text import counted, duration

NAME = "queue"


def check(visit: Visit) -> Iterator[Finding]:
    """What is wrong with the FIFO of each host."""
    for peer in visit.peers():
        yield from _check(peer, visit.site.config.delayed_warning)


def _check(peer: Peer, patience: float) -> Iterator[Finding]:
    host = peer.host
    if peer.unreadable:
        yield Finding(Level.ERROR, NAME, f"{host} unreadable", f"{host}: {peer.last_error}")
    if peer.oldest is not None:
        level = Level.WARNING if peer.oldest >= patience else Level.NOTICE
        verb = "waits" if peer.delayed == 1 else "wait"
        text = f"{counted(peer.delayed, 'message')} to {host} {verb}, the oldest for {duration(peer.oldest)}"
        yield Finding(level, NAME, f"{host} waiting", text)
    for state, number, why in (
        ("held", peer.held, "by an administrator, or because the link ended under them again and again"),
        ("failed", peer.failed, "refused by the other side when nobody waited for the reply any more"),
    ):
        if number:
            text = f"{counted(number, 'message')} to {host} {state}, {why}: loncontrol queue ls {host}"
            yield Finding(Level.WARNING, NAME, f"{host} {state}", text)
