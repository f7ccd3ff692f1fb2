"""The world outside, as the commands of one lond child need it: load, clock, sessions, our own lonc.

:func:`prepare` ties storage, dispatcher and these together; it is called in the child, when its link is open.
"""

from __future__ import annotations

import os
import time

from common.site import Site
from lond.child import Prepare
from lond.dispatcher import Dispatcher, Session
from lond.link import Execute
from lond.storage import Storage
from lonnet import Lonnet


class Outside:
    """The services of one host, for one process."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._net: Lonnet | None = None

    def load_average(self) -> float:
        """The load average over one minute."""
        return os.getloadavg()[0]

    def sessions(self) -> int:
        """The number of active sessions: files in lonIDsDir that were touched within lonExpire seconds."""
        oldest = time.time() - self._site.config.expire
        try:
            with os.scandir(self._site.config.ids_dir) as entries:
                return sum(entry.is_file() and entry.stat().st_mtime >= oldest for entry in entries)
        except OSError:
            return 0

    def now(self) -> int:
        """UNIX time in seconds."""
        return int(time.time())

    def ping_back(self, host_id: str) -> str:
        """The reply of our machine's lonc to a ping of a host, or ``con_lost``."""
        if self._net is None:
            self._net = Lonnet(self._site)
        return self._net.reply("ping", host_id, self._site.config.pong_timeout)


def prepare(site: Site) -> Prepare:
    """What makes, for a session, the function that executes its requests."""

    def for_session(session: Session) -> Execute:
        return Dispatcher(site, Storage(site), session, Outside(site)).execute

    return for_session
