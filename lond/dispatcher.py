"""Executes the requests of one link: from the line to the reply, a batch at a time.

For each request: find the command, check encryption, arguments and policy by what the registry states,
run it as one request of storage; then commit once, and only then hand out the replies. A batch ends early when its
replies are large, for they are all in memory.

Promises: one reply for each executed request, in the same order, without LF; `ok` to a write means that it is on disk.
What begins with ``enc:`` is a frame: lonc would take it for one, and end the link if it were none. (Replies that come
later are words of their commands.)
What goes wrong with one request touches no other, except that all requests of a batch on one user stand or fall with
that user's commit (reads behind a write too, since they saw what was not stored).

Logs: for an exception that is a bug an error with command word and place, but neither arguments nor the exception's
text (they could hold a password). Refusals are the policy's to log. Raises nothing of its own.

Known limits: a command that waits (pong, a lock) holds up the rest of its batch.
"""

from __future__ import annotations

import errno
import logging
import traceback
from collections.abc import Sequence
from typing import Any

import lond.commands  # noqa: F401 (fills the registry)
from common.errors import Refused
from common.frames import frame_length
from common.site import Site
from lond.commands.registry import (
    REGISTRY,
    Command,
    Context,
    EveryMember,
    Pending,
    Policy,
    Reply,
    RequestError,
    Services,
    Session,
    Trust,
)
from lond.records.faults import Fault, StorageError
from lond.storage import Storage, Token

__all__ = ["Dispatcher", "Pending", "Policy", "Services", "Session"]

UNKNOWN = b"unknown_cmd"
REFUSED = b"refused"
FRAME = b"enc:"
NO_KEY = b"error:no_key"
LARGE_BYTES = 1048576  # replies of a batch, after which it ends

_log = logging.getLogger(__name__)


class Dispatcher:
    """Executes the requests of one link.

    :param site: configuration and tables.
    :param storage: this process's storage; several dispatchers may share it, one batch after the other.
    :param session: who asks; commands change it, the protocol layer sets its key.
    :param services: the world outside.
    :param policy: who may do what; without one every member of the network may everything.
    """

    def __init__(
        self, site: Site, storage: Storage, session: Session, services: Services, policy: Policy | None = None
    ) -> None:
        self._site = site
        self._storage = storage
        self._session = session
        self._policy = policy or EveryMember()
        self._context = Context(site, storage, session, services)
        self._own_domain = site.own.domain.encode("ascii")
        self._max_reply, self._max_framed = site.config.max_reply, site.config.max_framed

    def execute(self, requests: Sequence[tuple[bytes, bool]]) -> list[Reply]:
        """Executes a batch in order and makes its writes durable with one commit per touched user.

        :param requests: each a line without its LF, and whether it came encrypted.
        :returns: for each request its reply without LF, or Pending if that comes later; fewer than requests, at least
            one, if they have :data:`LARGE_BYTES`: then the other requests were not executed.
        """
        replies: list[Reply] = []
        size = 0
        depending: list[tuple[int, Token]] = []
        for at, (line, encrypted) in enumerate(requests):
            reply, token = self._executed(line, encrypted)
            replies.append(reply)
            if token is not None:
                depending.append((at, token))
            size += len(reply) if isinstance(reply, bytes) else 0
            if size >= LARGE_BYTES:
                break
        failures = self._storage.commit()
        if failures:
            for at, token in depending:
                if token in failures:
                    replies[at] = _error(failures[token])
        return replies

    def _executed(self, line: bytes, encrypted: bool) -> tuple[Reply, Token | None]:
        word, _, rest = line.partition(b":")
        command = REGISTRY.get(word)
        if command is None or command.handler is None:
            return UNKNOWN, None
        if command.encrypted and not encrypted:
            return REFUSED, None
        if command.framed and self._session.frame is None:
            return NO_KEY, None
        try:
            arguments = _parsed(command, rest, len(line) > len(word))
            self._check_policy(command, arguments)
            handler, context = command.handler, self._context
            reply, token = self._storage.perform(lambda: handler(context, *arguments))
            return self._checked(command, reply), token
        except (RequestError, StorageError) as error:
            return _error(error), None
        except Refused:
            return REFUSED, None
        except Exception as error:
            _log.error("internal error in %s: %s", command.name.decode(), _place(error))
            return _error(Fault.BUG.error()), None

    def _check_policy(self, command: Command, arguments: list[Any]) -> None:
        if command.trust is Trust.NONE:
            return
        domain = self._own_domain if command.domain_at is None else arguments[command.domain_at]
        if not isinstance(domain, bytes):
            domain = domain.domain.encode() or self._own_domain  # a path begins with its domain
        if not self._policy.allows(command.trust.value, self._session.peer, domain):
            raise Refused("by policy")

    def _checked(self, command: Command, reply: Reply) -> Reply:
        if isinstance(reply, bytes):
            if b"\n" in reply:
                raise ValueError("a reply with a line feed")
            if command.framed or reply.startswith(FRAME):
                reply = self._framed(reply)
            if len(reply) > self._max_reply:
                raise RequestError("reply too long", errno.E2BIG)
        return reply

    def _framed(self, reply: bytes) -> bytes:
        frame = self._session.frame
        if frame is None:
            return NO_KEY
        if frame_length(len(reply)) > self._max_framed:
            raise RequestError("reply too long to be encrypted", errno.E2BIG)
        return frame(reply)


def _parsed(command: Command, rest: bytes, has_arguments: bool) -> list[Any]:
    """The checked arguments of a request.

    :raises RequestError: their number is wrong, or one of them.
    """
    if b"\n" in rest:  # a line can't hold one, but what was decrypted can
        raise RequestError("line feed in a request")
    kinds = command.arguments
    fields = rest.split(b":", command.splits) if has_arguments else []
    if not kinds and fields == [b""]:
        fields = []  # "ping:" means "ping"
    if not len(kinds) - command.optional <= len(fields) <= len(kinds):
        raise RequestError("wrong number of arguments")
    return [kind.parse(field) for kind, field in zip(kinds, fields, strict=False)]


def _error(error: RequestError | StorageError) -> bytes:
    return b"error: %d %b" % (error.number, error.text.encode("ascii", "replace"))


def _place(error: Exception) -> str:
    """The kind of an exception and where it came from, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    return f"{type(error).__name__} at {' < '.join(reversed(places))}"
