"""The registry of commands: what each one is called, takes, requires and answers.

A command is a function with the decorator :func:`command`; its module need only be imported by
``lond/commands/__init__.py``. The dispatcher checks everything that the decorator states, once and in one place,
before the function runs; docs/commands.md is made from the same statements (commands/table.py).

    @command("get", DOMAIN, USER, NAMESPACE, KEYS, trust=Trust.RECORDS, replies="...")
    def get(context: Context, domain: bytes, user: bytes, namespace: bytes, keys: list[bytes]) -> bytes: ...

The function gets the checked arguments and returns the reply without its LF, or a :class:`Pending` if the reply
comes later. It raises :class:`RequestError` or StorageError (``error: NUMBER TEXT``), or Refused (``refused``).

Promises: pure. Raises ValueError, at import, for a name that is given twice. Logs nothing.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from common.errors import LonError
from common.hosts_table import Host
from common.site import Site
from lond.authentication.log_ins import LogIns
from lond.storage import Storage
from lond.updates.client import Updates


class RequestError(LonError):
    """A request that can't be carried out, or is wrong in itself: ``error: NUMBER TEXT``.

    :param text: one line of ASCII, nothing that came from the wire.
    :param number: an errno value.
    """

    def __init__(self, text: str, number: int = errno.EINVAL) -> None:
        self.number, self.text = number, text
        super().__init__(text)


class Trust(enum.Enum):
    """The classes of commands that a domain can grant to others or not."""

    AUTH = "auth"
    RECORDS = "records"
    ROLES = "roles"
    RESOURCES = "resources"
    NONE = "none"  # open to every member of the network


class Policy(Protocol):
    """Who may use which class of commands on whose data."""

    def allows(self, trust_class: str, asking: Host, domain: bytes) -> bool:
        """Whether `asking` may use commands of a class (the value of a :class:`Trust`) on users of `domain`."""


class EveryMember:
    """The policy of the original: every member of the network may."""

    def allows(self, trust_class: str, asking: Host, domain: bytes) -> bool:  # noqa: ARG002 (it is Policy's)
        """Yes."""
        return True


@dataclass(slots=True)
class Session:
    """Who asks on a link, for as long as it stands.

    :param peer: the host of the source address.
    :param version: what the other side calls itself.
    :param frame: clear text to ``enc:LENGTH:HEX``; None while the link has no key.
    """

    peer: Host
    version: str = ""
    frame: Callable[[bytes], bytes] | None = None


class Services(Protocol):
    """The world outside, as far as commands need it."""

    def load_average(self) -> float:
        """The load average over one minute."""

    def sessions(self) -> int:
        """The number of active sessions on this host."""

    def now(self) -> int:
        """UNIX time in seconds."""

    def ping_back(self, host_id: str) -> str:
        """What our machine's lonc got for `ping` to a host, or ``con_lost``; within londPongTimeout."""

    @property
    def log_ins(self) -> LogIns:
        """Checks and hashes passwords, while this process goes on."""

    @property
    def updates(self) -> Updates:
        """Notes jobs about resources and fetches uploaded files, while this process goes on."""


class Pending:
    """A reply that comes later, while the link goes on with other requests.

    The command keeps the object and calls :meth:`settle`; who writes the replies asks to be told by :meth:`on_settled`
    and finds the reply in `reply`, None until then.
    """

    __slots__ = ("_callback", "reply")

    def __init__(self) -> None:
        self.reply: bytes | None = None
        self._callback: Callable[[Pending], None] | None = None

    def settle(self, reply: bytes) -> None:
        """Gives the reply, without LF; a second one is ignored (a time limit and the answer may cross)."""
        if self.reply is None:
            self.reply = reply
            if self._callback is not None:
                self._callback(self)

    def on_settled(self, callback: Callable[[Pending], None]) -> None:
        """Has `callback` called once, with this object, when the reply is there; at once if it is there already."""
        self._callback = callback
        if self.reply is not None:
            callback(self)


@dataclass(frozen=True, slots=True)
class Context:
    """What a command may use besides its arguments."""

    site: Site
    storage: Storage
    session: Session
    services: Services

    def now(self) -> int:
        """UNIX time in seconds."""
        return self.services.now()


@dataclass(frozen=True, slots=True)
class Argument:
    """One field of a request.

    :param name: how the table of commands calls it.
    :param parse: bytes of the field to the value that the command gets; raises RequestError or Refused.
    :param is_domain: the domain whose data the command touches.
    :param is_rest: takes all that is left of the line, ``:`` included; only as the last one.
    """

    name: str
    parse: Callable[[bytes], Any]
    is_domain: bool = False
    is_rest: bool = False


Reply = bytes | Pending
Handler = Callable[..., Reply]


@dataclass(frozen=True, slots=True)
class Command:
    """One entry of the registry.

    :param optional: how many of the last arguments may be missing; the handler has defaults for them.
    :param encrypted: whether it is refused when it comes in clear.
    :param framed: whether its reply is sent as a frame; the handler gives it in clear.
    :param writes: whether it changes what is stored.
    :param handler: None: the protocol layer answers it, before it gets to the dispatcher.
    :param replies: for the table, in Markdown.
    """

    name: bytes
    arguments: tuple[Argument, ...]
    optional: int
    encrypted: bool
    framed: bool
    writes: bool
    trust: Trust
    handler: Handler | None
    replies: str
    domain_at: int | None = field(init=False)
    splits: int = field(init=False)

    def __post_init__(self) -> None:
        domains = [at for at, argument in enumerate(self.arguments) if argument.is_domain]
        object.__setattr__(self, "domain_at", domains[0] if domains else None)
        is_rest = bool(self.arguments) and self.arguments[-1].is_rest
        object.__setattr__(self, "splits", len(self.arguments) - 1 if is_rest else -1)


REGISTRY: dict[bytes, Command] = {}


def command(
    name: str,
    *arguments: Argument,
    trust: Trust,
    replies: str,
    optional: int = 0,
    encrypted: bool = False,
    framed: bool = False,
    writes: bool = False,
) -> Callable[[Handler], Handler]:
    """Registers the decorated function as the command `name`; see :class:`Command` for the parameters.

    :raises ValueError: there is one of that name.
    """

    def register(handler: Handler) -> Handler:
        _add(Command(name.encode(), arguments, optional, encrypted, framed, writes, trust, handler, replies))
        return handler

    return register


def link_command(name: str, *arguments: Argument, replies: str) -> None:
    """Notes a command that the protocol layer answers, for the table."""
    _add(Command(name.encode(), arguments, 0, False, False, False, Trust.NONE, None, replies))


def _add(entry: Command) -> None:
    if entry.name in REGISTRY:
        raise ValueError(f"two commands {entry.name.decode()}")
    REGISTRY[entry.name] = entry
