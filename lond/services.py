"""The world outside, as the commands of one lond child need it: load, clock, sessions, our own lonc.

:func:`prepare` ties storage, dispatcher and these together; it is called in the child, when its link is open.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from common.counters import Tally
from common.loop import Loop
from common.site import Site
from lond.authentication.hash_pool import HashPool
from lond.authentication.log_ins import LogIns
from lond.child import Prepare
from lond.dispatcher import Dispatcher, Pending, Session
from lond.journal import Journal, journal_path
from lond.journal_lines import journal_lines
from lond.link import Execute
from lond.storage import Storage
from lond.trust import TrustPolicy
from lond.updates.client import Updates
from lond.updates.pool import UpdatePool
from lonnet import Lonnet
from lonnet.sessions import Sessions

PONG_SECONDS = 10.0


class Outside:
    """The services of one host, for one process."""

    def __init__(self, site: Site, log_ins: LogIns, updates: Updates) -> None:
        self._site = site
        self.log_ins, self.updates = log_ins, updates
        self._net: Lonnet | None = None
        self._pongs: dict[str, tuple[float, str]] = {}

    def load_average(self) -> float:
        """The load average over one minute."""
        return os.getloadavg()[0]

    def sessions(self) -> int:
        """The number of active sessions on this host."""
        return Sessions(self._site.config).count()

    def now(self) -> int:
        """UNIX time in seconds."""
        return int(time.time())

    def ping_back(self, host_id: str) -> str:
        """The reply of our machine's lonc to a ping of a host, or ``con_lost``; remembered for :data:`PONG_SECONDS`.

        Asking takes time that the link which asked has to wait; many requests at once must not add it up.
        """
        known = self._pongs.get(host_id)
        if known is None or time.monotonic() >= known[0]:
            if self._net is None:
                self._net = Lonnet(self._site)
            reply = self._net.reply("ping", host_id, self._site.config.pong_timeout)
            known = self._pongs[host_id] = (time.monotonic() + PONG_SECONDS, reply)
        return known[1]


def prepare(
    site: Site, hashers: HashPool, updaters: UpdatePool, claim: Callable[[str], Tally]
) -> Callable[[Loop], Prepare]:
    """What makes, for a child's loop and then for a session, the function that executes its requests.

    :param claim: gives the child's own counters, once it is known which host it serves.
    """

    def for_loop(loop: Loop) -> Prepare:
        updates = updaters.updates(loop, site)
        journal = Journal(journal_path(site.config), site.config.journal_bytes)

        def for_session(session: Session) -> Execute:
            tally = claim(session.peer.id)
            storage, policy = Storage(site, tally=tally), TrustPolicy(site, tally)
            outside = Outside(site, hashers.log_ins(loop, site, tally), updates)
            execute = Dispatcher(site, storage, session, outside, policy).execute

            def counted(requests: Sequence[tuple[bytes, bool]]) -> list[bytes | Pending]:
                replies = execute(requests)
                tally.add("requests", number=len(replies))
                journal.append(journal_lines(session.peer.id, requests[: len(replies)], replies))
                return replies

            return counted

        return for_session

    return for_loop
