"""Which host takes a log-in when this one has too much to do: ``spareserver``.

Only if our own load or user load is over 100 % are the hosts of spare.tab asked for both, all at once. The larger of
the two counts. The least loaded host that is below our own value is chosen: among the primaries, or among all if
every primary is at 100 % or more or does not answer. If there is none, the log-in stays here.

What the spares say is kept for :data:`KEPT_SECONDS` by who has a :class:`Told`: log-ins come in crowds, and a host that
has too much to do must not make more of it, here and at every spare, for each of them.

Promises: asks for lonBalanceTimeout seconds in all, however many hosts don't answer. With a Told one thread asks at a
time; the others wait for what it hears, twice as long at most. Raises nothing. Logs nothing.

Known limits: while it asks it has one thread for each spare, at most :data:`MAX_THREADS`. A process that is forked
while another thread asks inherits a Told that is never free: its log-ins go by what was told before.

Source: classic-protocol, section 7.
"""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Protocol

from common.hosts_table import Spare
from common.site import Site
from lonnet.deadline import Deadline
from lonnet.sessions import Sessions

FULL = 100.0  # percent
MAX_THREADS = 64
KEPT_SECONDS = 2.0  # loads are means over a minute: nobody chooses worse for it


class Net(Protocol):
    """What is needed of :class:`lonnet.client.Lonnet`."""

    @property
    def site(self) -> Site:
        """Configuration and tables."""

    def reply(self, command: str, host: str, timeout: float | None = None) -> str:
        """Send a request."""

    def close_thread(self) -> None:
        """Close the calling thread's connections."""


class Told:
    """What the spares have told a moment ago, for all threads of a process.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._asking = threading.Lock()
        self._known: tuple[Sequence[str], Mapping[str, float], float] = ((), {}, -math.inf)

    def percents(self, net: Net, hosts: Sequence[str]) -> Mapping[str, float]:
        """The percentages of the hosts that have told them, by host id."""
        free = self._asking.acquire(timeout=2 * net.site.config.balance_timeout)
        try:
            known_hosts, percents, end = self._known
            if free and (known_hosts != hosts or self._clock() >= end):
                percents = _ask(net, hosts)
                self._known = (hosts, percents, self._clock() + KEPT_SECONDS)
            return percents
        finally:
            if free:
                self._asking.release()


def own_percent(site: Site, load_average: Callable[[], tuple[float, float, float]] = os.getloadavg) -> float:
    """The larger of this host's load and user load, in percent of what its configuration calls full."""
    config = site.config
    load = 100 * load_average()[0] / config.load_lim
    return max(load, 100 * Sessions(config).count() / config.user_load_lim if config.user_load_lim else 0.0)


def spareserver(net: Net, own: float | None = None, told: Told | None = None) -> str | None:
    """The host id of the spare that a log-in should go to; None: it stays here.

    :param own: our own percentage, for those who know it; None: :func:`own_percent`.
    :param told: what the spares have told a moment ago; None: they are asked now.
    """
    percent = own_percent(net.site) if own is None else own
    spares = [spare for spare in net.site.table.spares if spare.host != net.site.own.id]
    if percent <= FULL or not spares:
        return None
    return choice(percent, spares, (told or Told()).percents(net, [spare.host for spare in spares]))


def choice(own: float, spares: Sequence[Spare], percents: Mapping[str, float]) -> str | None:
    """The spare to choose.

    :param own: our own percentage.
    :param percents: of those that have answered, by host id.
    """
    primaries = [spare.host for spare in spares if spare.kind == "primary"]
    free = any(percents.get(host, math.inf) < FULL for host in primaries)
    candidates = primaries if free else [spare.host for spare in spares]
    best = min(candidates, key=lambda host: percents.get(host, math.inf), default=None)
    return best if best is not None and percents.get(best, math.inf) < own else None


def page_url(site: Site, host: str) -> str:
    """Where a browser reaches the pages of another host, without a slash at the end: lonSpareURL filled in."""
    entry = site.table[host]
    address = f"[{entry.ip}]" if ":" in entry.ip else entry.ip
    words = {"HOSTNAME": entry.hostname, "IP": address}
    return re.sub("HOSTNAME|IP", lambda found: words[found[0]], site.config.spare_url)


def _ask(net: Net, hosts: Sequence[str]) -> dict[str, float]:
    """The percentages of the hosts that tell them in time."""
    deadline = Deadline(net.site.config.balance_timeout)
    with ThreadPoolExecutor(min(len(hosts), MAX_THREADS), "spareserver") as pool:
        answers = pool.map(lambda host: _ask_one(net, host, deadline), hosts)
        return {host: percent for host, percent in zip(hosts, answers, strict=True) if percent is not None}


def _ask_one(net: Net, host: str, deadline: Deadline) -> float | None:
    found = []
    try:
        for command in ("load", "userload"):
            if deadline.passed:
                return None
            found.append(_percent(net.reply(command, host, deadline.left())))
    finally:
        net.close_thread()
    return None if None in found else max(percent for percent in found if percent is not None)


def _percent(reply: str) -> float | None:
    try:
        value = float(reply)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
