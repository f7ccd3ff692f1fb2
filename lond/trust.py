"""The policy of this host: trust.tab, asked for each command, with its refusals counted and logged.

Logs: one warning for the first refusal of a host and class, then their number once per londRefusalLogInterval, as far
as refusals go on. Raises nothing.

Known limits: each lond child counts by itself, so a host with several links shows up once for each.
"""

from __future__ import annotations

import logging
import time

from common.counters import Tally
from common.hosts_table import Host
from common.loop import Clock
from common.site import Site
from lond.refusals import Refusals

_log = logging.getLogger(__name__)


class TrustPolicy:
    """A :class:`lond.commands.registry.Policy` by trust.tab.

    :param site: for the table and the log interval.
    :param tally: where the refusals are counted.
    """

    def __init__(self, site: Site, tally: Tally, clock: Clock = time.monotonic) -> None:
        self._trust = site.trust
        self._tally, self._clock = tally, clock
        self._refusals = Refusals(site.config.refusal_log_interval)

    def allows(self, trust_class: str, asking: Host, domain: bytes) -> bool:
        """Whether `asking` may use commands of a class on users of `domain` (a checked name)."""
        if self._trust.allows(trust_class, asking.domain, domain.decode("ascii")):
            return True
        self._count(asking, trust_class, domain)
        return False

    def _count(self, asking: Host, trust_class: str, domain: bytes) -> None:
        self._tally.add("trust_refusals", trust_class)
        now = self._clock()
        for host, class_, number in self._refusals.due(now):
            _log.warning("trust.tab: %d more requests of %s in class %s were refused", number, host, class_)
        if self._refusals.add(asking.id, trust_class, now):
            name = domain.decode("ascii")
            _log.warning("trust.tab: %s may not use %s on the domain %s: refused", asking.id, trust_class, name)
