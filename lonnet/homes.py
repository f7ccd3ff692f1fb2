"""Home servers: which library server of a domain holds a user's records, asked once and remembered for a while.

The library servers of the domain are asked ``home:DOMAIN:USER``, one after the other: first the one that was the home
when we last knew, then this host, then the others in the order of hosts.tab.

Promises: "no such user" is said, and remembered, only if every library server of the domain has said so. An entry that
is too old is asked for again; if nobody can be asked then, what was known before is used, so that critical messages
to a server that is down have a destination. What a caller supposes (:meth:`HomeCache.suppose`) counts as too old from
the beginning. What is remembered is bounded in number and age. Who checks the password of a name that no user has
(:func:`checking_server`) is the same server each time.

Raises: NoSuchUser (NoSuchDomain, if there is nobody to ask); HostUnreachable, or what else a server answered, if one of
those that were asked could not say and no other is the home. Logs nothing.

Known limits: a user on the way to another host has no home: RemoteError 11 says so. One who was moved while the
records were left behind on the old server is found there until the entry is too old. A new user who was looked for
before stays unknown for :data:`NEGATIVE_SECONDS`.
The cache has no lock: one that is held while another thread forks would stay locked in the child. Every step is one
operation on a dict; two threads that search for the same user do it twice.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from common.errors import LonError
from common.site import Site
from lonnet.deadline import Deadline
from lonnet.errors import NoSuchDomain, NoSuchUser, UnexpectedReply
from lonnet.replies import failure
from lonnet.wire import checked_name

POSITIVE_SECONDS = 600.0  # that a home server is believed without asking
NEGATIVE_SECONDS = 15.0  # that a user is believed not to exist: users are made while somebody waits for them
MAX_ENTRIES = 10_000  # about 2 MB in each process


@dataclass(frozen=True, slots=True)
class UserName:
    """A user of a domain; a course is a user as well.

    :raises ValueError: one of them is not a name.
    """

    name: str
    domain: str

    def __post_init__(self) -> None:
        checked_name(self.name, "user name")
        checked_name(self.domain, "domain")

    def __str__(self) -> str:
        """``USER:DOMAIN``, as people write it; requests have it the other way round."""
        return f"{self.name}:{self.domain}"

    @property
    def fields(self) -> str:
        """The two fields of a request: ``DOMAIN:USER``."""
        return f"{self.domain}:{self.name}"


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was found out about a user.

    :param host: the home server; None: there is none.
    :param current: young enough to be believed without asking.
    """

    host: str | None
    current: bool


class HomeCache:
    """The home servers that one process knows of; for any number of threads.

    :param clock: monotonic seconds.
    :param max_entries: users at most; the one that was noted longest ago goes first.
    """

    def __init__(self, clock: Callable[[], float] = monotonic, max_entries: int = MAX_ENTRIES) -> None:
        self._clock, self._max_entries = clock, max_entries
        self._entries: dict[UserName, tuple[str | None, float]] = {}  # in the order in which they were noted

    def __len__(self) -> int:
        return len(self._entries)

    def recall(self, user: UserName) -> Remembered | None:
        """What is remembered of a user; None: nothing."""
        entry = self._entries.get(user)
        if entry is None:
            return None
        host, at = entry
        age_limit = NEGATIVE_SECONDS if host is None else POSITIVE_SECONDS
        return Remembered(host, self._clock() - at < age_limit)

    def remember(self, user: UserName, host: str | None) -> None:
        """Note the home server of a user, as found out now; None: no server is it."""
        self._note(user, host, self._clock())

    def suppose(self, user: UserName, host: str) -> None:
        """Note what was the home server of a user at some time, as too old to be believed; nothing, if one is known."""
        known = self.recall(user)
        if known is None or (known.host is None and not known.current):
            self._note(user, host, -math.inf)

    def forget(self, user: UserName) -> None:
        """Remember nothing of a user."""
        self._entries.pop(user, None)

    def _note(self, user: UserName, host: str | None, at: float) -> None:
        self._entries.pop(user, None)
        self._entries[user] = host, at
        while len(self._entries) > self._max_entries:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        try:
            self._entries.pop(next(iter(self._entries)), None)
        except (StopIteration, RuntimeError):  # another thread has changed the dict meanwhile
            return


class Net(Protocol):
    """What the typed calls need of :class:`lonnet.client.Lonnet`."""

    @property
    def site(self) -> Site:
        """Configuration and tables."""

    @property
    def homes(self) -> HomeCache:
        """The home servers that are known."""

    def reply(self, command: str, host: str, timeout: float | None = None) -> str:
        """Send a request."""

    def critical(self, command: str, host: str, timeout: float | None = None) -> str:
        """Send a critical message."""


def home_server(net: Net, user: UserName, deadline: Deadline) -> str:
    """The host id of a user's home server.

    :raises NoSuchUser: every library server of the domain has said so, now or within :data:`NEGATIVE_SECONDS`.
    :raises HostUnreachable: not all could be asked; or what else one answered.
    """
    known = net.homes.recall(user)
    if known is None or not known.current:
        return search(net, user, deadline)
    if known.host is None:
        raise NoSuchUser(user.name, user.domain)
    return known.host


def checking_server(net: Net, user: UserName, deadline: Deadline) -> str:
    """Who checks a user's password: the home server, or a library server of the domain that does the work for nobody.

    Without the latter, guesses at a name that nobody has would be answered at once and never meet a gap, and tell this
    name from a user's. For one name it is always the same server, as the gaps after failures are its own.

    :raises NoSuchDomain: nobody in this domain can be a user.
    :raises HostUnreachable: as :func:`home_server`.
    """
    try:
        return home_server(net, user, deadline)
    except NoSuchUser:
        hosts = sorted(host.id for host in net.site.table.in_domain(user.domain, "library"))
        if not hosts:
            raise
        return hosts[zlib.crc32(user.fields.encode()) % len(hosts)]


def search(net: Net, user: UserName, deadline: Deadline) -> str:
    """As :func:`home_server`, without believing what is remembered."""
    known = net.homes.recall(user)
    last = known.host if known else None
    hosts = _in_order(net.site, user.domain, last)
    if not hosts:
        raise NoSuchDomain(user.name, user.domain)
    problems: dict[str, LonError] = {}
    for at, host in enumerate(hosts):
        try:
            if is_home(net, user, host, deadline.share(len(hosts) - at)):
                net.homes.remember(user, host)
                return host
        except LonError as error:
            problems[host] = error
    if last in problems:
        assert last is not None
        return last
    if problems:
        raise next(iter(problems.values()))
    net.homes.remember(user, None)
    raise NoSuchUser(user.name, user.domain)


def is_home(net: Net, user: UserName, host: str, timeout: float) -> bool:
    """Ask one host whether it is the home server of a user.

    :raises LonError: it did not say.
    """
    reply = net.reply(f"home:{user.fields}", host, timeout)
    if reply in ("found", "not_found"):
        return reply == "found"
    raise failure(host, reply) or UnexpectedReply(host, "home", reply)


def _in_order(site: Site, domain: str, first: str | None) -> list[str]:
    hosts = [host.id for host in site.table.in_domain(domain, "library")]
    return sorted(hosts, key=lambda host: (host != first, host != site.own.id))
