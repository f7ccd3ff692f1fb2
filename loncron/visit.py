"""What every check of loncron works on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common.site import Site
from loncron.memory import Memory
from lonstatus.daemons import ORDER, Daemon, is_running
from lonstatus.peers import Peer, peers


@dataclass(slots=True)
class Visit:
    """One run of loncron.

    :param conf: the file that `site` was read from.
    :param now: UNIX time at which it began.
    :param dry: look, but change nothing.
    :param memory: what the last run left, and what this one leaves to the next.
    :param fault: what is wrong with the tables; the site has no hosts then, and this host is not known by them.
    """

    site: Site
    conf: Path
    now: float
    dry: bool = False
    memory: Memory = field(default_factory=Memory)
    fault: str = ""

    def daemons(self) -> Iterator[Daemon]:
        """Both, in the order of starting."""
        return (Daemon(name, self.site.config, self.conf) for name in ORDER)

    def peers(self) -> list[Peer]:
        """As they are now."""
        return list(peers(self.site, is_running(self.site, "lonc")))
