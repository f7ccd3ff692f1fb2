"""Can every host be reached? Those whose link is up are; the others are tried, all at once.

A host that answers though our link to it is down has lonc try again at once.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence

from common.errors import ConfigError
from loncron.reach import Answer, reach
from loncron.visit import Visit
from lonstatus.findings import Finding, Level
from lonstatus.peers import Peer
from lonstatus.text import duration

NAME = "connections"
_ON_PURPOSE = "paused"
_STANDS = ("up", "delivering")


def check(visit: Visit) -> Iterator[Finding]:
    """A warning for each host that can't be reached, an error if that is this host itself."""
    peers = visit.peers()
    yield from _hung(peers)
    down = [peer for peer in peers if peer.state not in (*_STANDS, _ON_PURPOSE)]
    for peer in peers:
        if peer.state == _ON_PURPOSE:
            text = f"{peer.host} is paused {peer.why}".rstrip()
            yield Finding(Level.NOTICE, NAME, f"{peer.host} paused", text)
    try:
        answers = reach(visit.site, [peer.host for peer in down])
    except ConfigError as error:
        yield Finding(Level.ERROR, NAME, "bind address", str(error))
        return
    yield from (_unreached(visit, peer, answers[peer.host]) for peer in down if not answers[peer.host].reached)
    awake = [peer for peer in down if answers[peer.host].reached]
    if awake and not visit.dry:
        for daemon in visit.daemons():
            if daemon.name == "lonc":
                daemon.signal(signal.SIGUSR1)
    for peer in awake:
        if peer.state == "given up":
            text = f"{peer.host} answers, but its link was given up ({peer.why}); lonc was told to try again"
            yield Finding(Level.NOTICE, NAME, f"{peer.host} given up", text)


def _hung(peers: Sequence[Peer]) -> Iterator[Finding]:
    for peer in peers:
        if peer.state == "hung":
            text = f"the link to {peer.host}: {peer.why}; look at it with loncontrol children, end it with TERM"
            yield Finding(Level.ERROR, NAME, f"{peer.host} hung", text)


def _unreached(visit: Visit, peer: Peer, answer: Answer) -> Finding:
    place = f"{peer.host} ({visit.site.table[peer.host].ip} port {visit.site.config.lond_port})"
    since = f", since {duration(peer.since)}" if peer.since is not None and peer.state == "given up" else ""
    if peer.host == visit.site.own.id:
        text = f"this host itself, {place}, can't be reached: {answer.why}{since}"
        return Finding(Level.ERROR, NAME, f"{peer.host} unreached", text)
    return Finding(Level.WARNING, NAME, f"{peer.host} unreached", f"{place} can't be reached: {answer.why}{since}")
