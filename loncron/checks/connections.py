"""Can every host be reached? Those whose link is up are; the others are tried, all at once.

A host that answers though our link to it is down has lonc try again at once.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence

from common.errors import ConfigError
from common.pidfile import pid_path, signal_daemon
from loncron.reach import Answer, reach
from loncron.visit import Visit
from lonstatus.findings import Finding, Level
from lonstatus.peers import STANDS, Peer

NAME = "connections"
_ON_PURPOSE = "paused"


def check(visit: Visit) -> Iterator[Finding]:
    """A warning for each host that can't be reached, an error if that is this host itself."""
    peers = visit.peers()
    yield from _seen(peers)
    down = [peer for peer in peers if peer.state not in (*STANDS, _ON_PURPOSE)]
    try:
        answers = reach(visit.site, [peer.host for peer in down])
    except ConfigError as error:
        yield Finding(Level.ERROR, NAME, "bind address", str(error))
        return
    yield from (_unreached(visit, answers[peer.host]) for peer in down if not answers[peer.host].reached)
    yield from _try_again(visit, [peer for peer in down if answers[peer.host].reached])


def _seen(peers: Sequence[Peer]) -> Iterator[Finding]:
    """What the states of links tell without a try."""
    for peer in peers:
        if peer.state == _ON_PURPOSE:
            text = f"{peer.host} is paused {peer.why}".rstrip()
            yield Finding(Level.NOTICE, NAME, f"{peer.host} paused", text)
        elif peer.state == "hung":
            text = f"the link to {peer.host}: {peer.why}; to end it, for lonc to make another: kill -9 {peer.pid}"
            yield Finding(Level.ERROR, NAME, f"{peer.host} hung", text)


def _unreached(visit: Visit, answer: Answer) -> Finding:
    own = answer.host == visit.site.own.id
    place = f"{answer.host} ({visit.site.table[answer.host].ip} port {visit.site.config.lond_port})"
    text = f"{'this host itself, ' if own else ''}{place}{',' if own else ''} can't be reached: {answer.why}"
    return Finding(Level.ERROR if own else Level.WARNING, NAME, f"{answer.host} unreached", text)


def _try_again(visit: Visit, awake: Sequence[Peer]) -> Iterator[Finding]:
    """These hosts answer, so lonc's tries will succeed; a notice for those that it had given up."""
    if awake and not visit.dry:
        signal_daemon(pid_path(visit.site.config, "lonc"), signal.SIGUSR1)
    for peer in awake:
        if peer.state == "given up":
            text = f"{peer.host} answers, but its link was given up ({peer.why}); lonc was told to try again"
            yield Finding(Level.NOTICE, NAME, f"{peer.host} given up", text)
