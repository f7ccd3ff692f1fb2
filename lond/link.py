"""The link as lond serves it: from the first byte of a peer to the last reply.

All requests that were readable at once are executed before one commit, then all their replies leave with one send;
if the replies are large, there are several batches, and none begins before the peer has taken most of the last one's.
A reply that is not ready yet holds back those behind it (:mod:`lond.replies`); execution goes on meanwhile. A peer that
does not read its replies is not read either.

An open link can move to another process of this machine at a moment when nothing is under way: :meth:`Link.pack`
gives what must travel beside the descriptor.
"""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Protocol

from common.config import Config
from common.crypto import LinkCipher, new_build_key, new_challenge
from common.hosts_table import Host
from common.link_states import Accepted, Departed, Event, Failed, Greeted, KeyBuilt, Refused, Requests, State
from common.loop import READ, WRITE, Loop
from common.outgoing import Outgoing
from common.protocol import LondConnection
from lond.dispatcher import Pending, Session
from lond.lingering import close_after_peer
from lond.replies import Replies

RECEIVE_BYTES = 65536  # larger buffers would be mapped and unmapped for each batch
UNSENT_BYTES = 1048576  # replies a peer may leave unread, or that wait behind a pending one, before requests wait
PACKED_BYTES = 8192  # of an unfinished request may travel with a link; of a longer one the end is awaited
BATCH = 1024  # requests executed before one commit, at most
BYE = b"bye"

KEEPALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 4))
USER_TIMEOUT_MS = 30_000  # unacknowledged bytes this old mean that the peer is gone

# Gives the replies to the first of the requests, to at least one of them.
Execute = Callable[[Sequence[tuple[bytes, bool]]], list[bytes | Pending]]


class Owner(Protocol):
    """Whoever serves links; it is told of every turn in a link's life."""

    def on_open(self) -> None:
        """The peer has answered the challenge."""

    def on_refused(self, reason: str) -> None:
        """The peer broke the rules, or was too slow; the link is closed."""

    def on_closed(self) -> None:
        """The link is over."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What travels with the descriptor of an open link."""

    host: str
    build_key: str
    unread: str
    version: str

    def encode(self) -> bytes:
        """One message on a lifeline."""
        return b"link " + json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, message: bytes) -> Packed:
        """The reverse of :meth:`encode`."""
        return cls(**json.loads(message.removeprefix(b"link ")))


class Link:
    """See the module.

    :param peer: the host whose address the connection came from.
    :param prepare: makes the function that executes requests, once the link is open.
    :param packed: the state of a link that was open already in another process.
    """

    def __init__(
        self,
        loop: Loop,
        config: Config,
        own: str,
        peer: Host,
        channel: socket.socket,
        owner: Owner,
        prepare: Callable[[Session], Execute],
        packed: Packed | None = None,
    ) -> None:
        self.peer = peer
        self.requests = 0
        self.session = Session(peer)
        self._loop, self._config, self._owner, self._prepare = loop, config, owner, prepare
        self._own, self._socket = own, channel
        self._build_key = ""
        self._execute: Execute | None = None
        self._events: deque[Event] = deque()  # each waits until the requests before it are executed
        self._commands: deque[tuple[bytes, bool]] = deque()
        self._replies = Replies()
        self._out = Outgoing()
        self._closing = self._leaving = False
        self._mask = READ
        self._protocol = self._resume(packed) if packed else self._begin()
        self._configure()
        loop.watch(channel, READ, self._on_ready)

    def _begin(self) -> LondConnection:
        self._loop.call_later(self._config.key_exchange_timeout, self._check_open)
        return LondConnection(self._own, self.peer.id, self._config.max_request, new_challenge(), new_build_key)

    def _resume(self, packed: Packed) -> LondConnection:
        self.session.version = packed.version
        self._execute = self._prepare(self.session)
        build_key = packed.build_key.encode("ascii")
        if build_key:
            self._take_key(build_key)
        return LondConnection.resumed(
            self._own, self.peer.id, self._config.max_request, new_build_key,
            build_key, packed.unread.encode("latin-1"),
        )  # fmt: skip

    def _configure(self) -> None:
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            self._socket.setsockopt(socket.IPPROTO_TCP, option, value)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)

    def _check_open(self) -> None:
        if self._execute is None and self._socket.fileno() >= 0:
            self._end(f"no answer to the challenge within {self._config.key_exchange_timeout:.0f} s")

    def _on_ready(self, mask: int) -> None:
        if mask & WRITE:
            self._write(b"")
            if not self._out.size:
                self._work()
        if mask & READ and not self._closing:
            self._receive()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end("" if self._execute else "it hung up before its answer to the challenge")
            return
        self._events.extend(self._protocol.receive(data))
        self._work()

    def _handle(self, event: Event) -> None:
        if type(event) is Requests:
            self._commands.extend(event.commands)
        elif isinstance(event, Greeted):
            self.session.version = event.version
            self._write(self._protocol.outgoing())
        elif isinstance(event, Accepted):
            self._write(self._protocol.outgoing())
            if self._socket.fileno() >= 0:  # else it hung up in the very moment in which it was accepted
                self._execute = self._prepare(self.session)
                self._owner.on_open()
        elif isinstance(event, KeyBuilt):
            self._take_key(event.build_key)
            self._replies.add([event.build_key])
        elif isinstance(event, Departed):
            self._finish(BYE)
        elif isinstance(event, Refused):
            self._write(self._protocol.outgoing())
            self._end(event.reason)
        elif isinstance(event, Failed):
            self._on_failed(event)

    def _take_key(self, build_key: bytes) -> None:
        # The protocol may have the next key already, while requests before that still wait.
        self._build_key = build_key.decode("ascii")
        self.session.frame = LinkCipher(self._own, self.peer.id, build_key).frame

    def _on_failed(self, event: Failed) -> None:
        if self._execute is None:
            self._end(str(event.error))
            return
        self._owner.on_refused(str(event.error))
        self._finish(b"error: " + str(event.error).encode("ascii", "replace"))

    def _finish(self, last_reply: bytes) -> None:
        self._replies.add([last_reply])
        self._closing = True

    def _run_batch(self) -> None:
        assert self._execute is not None
        replies = self._execute(list(islice(self._commands, BATCH)))
        self.requests += len(replies)
        self._replies.add(replies)
        for reply in replies:
            self._commands.popleft()
            if isinstance(reply, Pending):
                reply.on_settled(self._on_settled)

    def _on_settled(self, _reply: Pending) -> None:
        self._loop.call_later(0, self._work)  # in a turn of its own, as it may be settled while a batch runs

    def _work(self) -> None:
        """Execute and reply for as long as the peer takes the replies."""
        while self._socket.fileno() >= 0:
            self._send_replies()
            if self._full:
                break
            if self._commands and self._broken:
                self._end("")
            elif self._commands:
                self._run_batch()
            elif self._events:
                self._handle(self._events.popleft())
            else:
                break
        self._watch()

    @property
    def _broken(self) -> bool:
        """Whether the connection was reset, or timed out, though what came before that can still be read."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    @property
    def _full(self) -> bool:
        """Whether so many replies wait that no more are made."""
        return self._out.size > UNSENT_BYTES or self._replies.held > UNSENT_BYTES or len(self._replies) > BATCH

    def _send_replies(self) -> None:
        if data := self._replies.take_ready():
            self._write(data)
        if self._closing and not self._under_way:
            self._end_orderly()

    def _write(self, data: bytes) -> None:
        try:
            self._out.write(self._socket, data)
        except OSError:
            self._end("" if self._execute else "it hung up before its answer to the challenge")
            return
        self._watch()

    def _watch(self) -> None:
        """Watch the connection for what is of interest now."""
        if self._socket.fileno() < 0:
            return
        waiting = self._commands or self._events or self._out.size > UNSENT_BYTES
        enough = self._closing or self._leaving or waiting
        mask = (0 if enough else READ) | (WRITE if self._out.size else 0)
        if mask != self._mask:
            self._mask = mask
            self._loop.forget(self._socket)
            if mask:
                self._loop.watch(self._socket, mask, self._on_ready)

    def drain(self) -> None:
        """Answer what has been read, then close."""
        self._closing = True
        self._loop.call_later(0, self._work)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way on the open link."""
        open_still = self._execute is not None and not self._closing
        return open_still and not self._under_way and len(self._protocol.unread) <= PACKED_BYTES

    @property
    def _under_way(self) -> bool:
        return bool(self._events or self._commands or self._replies or self._out.size)

    def leave(self, wanted: bool) -> None:
        """Read nothing more (or read on), so that the link becomes idle; a request half read is read to its end."""
        self._leaving = wanted and len(self._protocol.unread) <= PACKED_BYTES
        self._watch()

    def pack(self) -> Packed:
        """The state of the idle link; its descriptor is :meth:`fileno`."""
        return Packed(
            self.peer.id, self._build_key, self._protocol.unread.decode("latin-1"),
            self.session.version,
        )  # fmt: skip

    def fileno(self) -> int:
        """The connection's descriptor."""
        return self._socket.fileno()

    @property
    def state(self) -> State:
        """How far the link is."""
        return self._protocol.state

    def _end_orderly(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.forget(self._socket)
            close_after_peer(self._loop, socket.socket(fileno=self._socket.detach()), self._owner.on_closed)

    def _end(self, reason: str) -> None:
        if self._socket.fileno() < 0:
            return
        self.close()
        if reason:
            self._owner.on_refused(reason)
        self._owner.on_closed()

    def close(self) -> None:
        """Close the connection; nothing is reported."""
        if self._socket.fileno() >= 0:
            self._loop.forget(self._socket)
            self._socket.close()
