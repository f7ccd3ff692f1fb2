"""Which software does each peer run? It is asked over the link that stands, once for each link.

A version changes with a daemon alone, and its links end with it: a link that is as old as the last answer need not be
asked again. Versions may differ for years; that is shown on the status page, and nothing to complain of.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from common.site import Site
from common.version import SOFTWARE
from loncron.visit import Visit
from lonnet import Lonnet
from lonnet.client import CON_LOST, NO_SUCH_HOST
from lonstatus.findings import Finding, Level
from lonstatus.peers import Peer
from lonstatus.versions import PeerVersion, read_versions, told, write_versions

NAME = "versions"
AT_ONCE = 128
NO_ANSWER = (CON_LOST, NO_SUCH_HOST)


def check(visit: Visit) -> Iterator[Finding]:
    """Ask where it is due; a warning if what was told can't be kept."""
    if visit.dry:
        return
    config, table = visit.site.config, visit.site.table
    known = read_versions(config)
    kept = {host: version for host, version in known.items() if host in table}
    kept |= _asked(visit.site, [peer.host for peer in visit.peers() if _is_due(peer, known.get(peer.host))])
    if kept != known:
        try:
            write_versions(config, kept)
        except OSError as error:
            yield Finding(Level.WARNING, NAME, "versions", f"the versions of peers can't be kept: {error}")


def _is_due(peer: Peer, known: PeerVersion | None) -> bool:
    if peer.state != "up" or peer.since is None:
        return False
    now = time.time()
    return known is None or not now - peer.since <= known.asked <= now


def _asked(site: Site, hosts: Sequence[str]) -> dict[str, PeerVersion]:
    """What each host answers within lonCheckTimeout; who does not is asked by the next run."""
    if not hosts:
        return {}
    net = Lonnet(site)

    def ask(host: str) -> str:
        try:
            return net.reply(f"version:{SOFTWARE}", host, site.config.check_timeout)
        finally:
            net.close_thread()

    try:
        with ThreadPoolExecutor(min(len(hosts), AT_ONCE)) as pool:
            replies = dict(zip(hosts, pool.map(ask, hosts), strict=True))
    finally:
        net.close()
    now = time.time()
    return {host: PeerVersion(told(reply), now) for host, reply in replies.items() if reply not in NO_ANSWER}
