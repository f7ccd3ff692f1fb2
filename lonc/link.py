"""The link: one TCP connection to a peer's lond, from connect to its end.

Requests go out in the order of :meth:`Link.submit`, many of them before the first reply; one send per turn of the
loop carries all that was submitted, one recv takes all replies that have come. A window bounds what is outstanding.
Whoever submits a request is told its reply by ``answered``.

A link has no second life: when it ends, for whatever reason, `on_lost` is called once, and the child dies. What was
written to it and has not left this machine then is thrown away. Only received bytes count as life: after `ping_after`
seconds without any a ping is sent, after `dead_after` it is over. Replies that came before the end are handed out.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Protocol

from common.config import Config
from common.hosts_table import Host
from common.link_states import Event, Failed, Identified, KeyBuilt, Refused, Replies, State
from common.loop import READ, WRITE, Loop
from common.outgoing import Outgoing
from common.protocol import LoncConnection
from lonc.latency import Latencies

RECEIVE_BYTES = 65536  # larger buffers would be mapped and unmapped for each reply
# Closed, also by the death of this process, a link is reset. The kernel would otherwise go on sending what was written
# to it, and when the network is back, lond would execute old messages behind newer ones that came over the next link.
RESET = struct.pack("ii", 1, 0)
# What lond does to strangers, and to a host with too many connections that did not answer their challenge.
REFUSED_SILENTLY = "refused without a word: our address is probably not in its hosts.tab"


class Request(Protocol):
    """Something that is sent over the link and waits for its reply."""

    command: bytes
    encrypt: bool
    size: int

    def answered(self, reply: bytes) -> None:
        """The reply has come."""


class Ping:
    """The liveness request; any reply will do, as any byte has done already."""

    __slots__ = ("command", "encrypt", "size")

    def __init__(self) -> None:
        self.command, self.encrypt, self.size = b"ping", False, 0

    def answered(self, reply: bytes) -> None:
        """Nothing is left to do."""


class Link:
    """See the module.

    :param own: our host id.
    :param options: of the peer in links.tab.
    :param bind: the address to connect from, "" for any.
    :param on_up: the key exchange is done.
    :param on_lost: (reason, whether what was on the link may have caused it) the link is over.
    :param latencies: is told when requests are sent and answered.
    """

    def __init__(
        self,
        loop: Loop,
        config: Config,
        own: str,
        peer: Host,
        options: frozenset[str],
        bind: str,
        on_up: Callable[[], None],
        on_lost: Callable[[str, bool], None],
        latencies: Latencies | None = None,
    ) -> None:
        self.loop, self.peer = loop, peer
        self.pending: deque[Request] = deque()
        self.pending_bytes = 0
        self.last_received = loop.clock()
        self.replies = 0
        self._config, self._bind = config, bind
        self._alias = "alias" in options
        self._window = 1 if "classic-serial" in options else config.window
        self._on_up, self._on_lost = on_up, on_lost
        self._latencies = latencies or Latencies()
        self._protocol = LoncConnection(own, config.max_reply)
        self._socket: socket.socket | None = None
        self._lines: list[bytes] = []
        self._out = Outgoing()
        self._pinged = False
        self.up = False

    def connect(self) -> None:
        """Begin to connect; `on_up` or `on_lost` will follow within `key_exchange_timeout`."""
        family = socket.AF_INET6 if ":" in self.peer.ip else socket.AF_INET
        self._socket = channel = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.loop.call_later(self._config.key_exchange_timeout, self._check_up)
        try:
            if self._bind:
                channel.bind((self._bind, 0))
            channel.connect((self.peer.ip, self._config.lond_port))
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(_reason(error), False)
            return
        self.loop.watch(channel, WRITE, self._on_connected)

    def _check_up(self) -> None:
        if not self.up and self._socket is not None:
            self._lose(f"no key exchange within {self._config.key_exchange_timeout:.0f} s", False)

    def _on_connected(self, _mask: int) -> None:
        assert self._socket is not None
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._lose(os.strerror(error).lower(), False)
            return
        self.loop.forget(self._socket)
        self.loop.watch(self._socket, READ, self._on_ready)
        self._send(self._protocol.outgoing())

    @property
    def room(self) -> bool:
        """Whether another request may be submitted now."""
        return len(self.pending) < self._window and self.pending_bytes < self._config.window_bytes

    def submit(self, request: Request) -> None:
        """Send a request with the next :meth:`flush`; the caller has looked whether there is room."""
        line = self._protocol.request(request.command, request.encrypt)
        request.size = len(line)
        self._lines.append(line)
        self.pending.append(request)
        self.pending_bytes += len(line)

    def flush(self) -> None:
        """Write what was submitted in this turn, with one send."""
        if self._lines and self._socket is not None:
            data = b"".join(self._lines)
            self._latencies.sent(len(self._lines), self.loop.clock())
            self._lines.clear()
            self._send(data)

    def _send(self, data: bytes) -> None:
        assert self._socket is not None
        waited = self._out.size
        try:
            self._out.write(self._socket, data)
        except OSError as error:
            self._receive_the_rest()
            self._lose_connection(_reason(error))
            return
        if bool(self._out.size) != bool(waited):
            self.loop.change(self._socket, READ | WRITE if self._out.size else READ)

    def _on_ready(self, mask: int) -> None:
        if mask & WRITE:
            self._send(b"")
        if mask & READ:
            self._receive()

    def _receive_the_rest(self) -> None:
        # A connection that is not used any more may still hold replies: what they answer was executed, and must not
        # be sent again.
        while self._receive():
            pass

    def _receive(self) -> bool:
        """Take what has come; False if that was nothing, or the end."""
        if self._socket is None:
            return False
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            self._lose_connection(_reason(error))
            return False
        if not data:
            self._lose_connection("the other side closed the link")
            return False
        self.last_received = self.loop.clock()
        self._pinged = False
        was_up = self.up
        for event in self._protocol.receive(data):
            self._handle(event)
        if not was_up and self._socket is not None:
            self._send(self._protocol.outgoing())
        return True

    def _handle(self, event: Event) -> None:
        if type(event) is Replies:
            self._settle(event.lines)
        elif self._socket is None:
            return
        elif isinstance(event, Failed):
            self._lose(f"protocol violated: {event.error}", True)
        elif isinstance(event, Refused):
            self._lose(f"refused: {event.reason}", True)
        elif isinstance(event, Identified) and event.host != self.peer.id and not self._alias:
            self._lose(f"wrong host: {self.peer.ip} answers as {event.host}", False)
        elif isinstance(event, KeyBuilt):
            self.up = True
            self._on_up()

    def _settle(self, lines: list[bytes]) -> None:
        pending = self.pending
        self.replies += len(lines)
        self._latencies.answered(len(lines), self.last_received)
        for line in lines:
            request = pending.popleft()
            self.pending_bytes -= request.size
            request.answered(line)

    def check_alive(self) -> None:
        """To be called about every second while the link is up."""
        silent = self.loop.clock() - self.last_received
        if silent >= self._config.dead_after:
            if not self._receive():  # if this process was stopped, its kernel went on receiving
                self._lose(f"nothing received for {silent:.0f} s", True)
        elif silent >= self._config.ping_after and not self._pinged:
            self._pinged = True
            if not self.pending:  # with requests outstanding, their replies are the signs of life
                self.submit(Ping())

    def _lose_connection(self, reason: str) -> None:
        self._lose(REFUSED_SILENTLY if self._protocol.state is State.GREETED else reason, True)

    def _lose(self, reason: str, suspicious: bool) -> None:
        if self._socket is not None:
            self._shut()
            self._on_lost(reason, suspicious)

    def close(self) -> None:
        """Close the connection, after the replies that have come were handed out; its end is not reported."""
        self._on_lost = lambda _reason, _suspicious: None
        if self.up:
            self._receive_the_rest()
        self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            self.loop.forget(self._socket)
            self._socket.close()
            self._socket = None
            self.up = False


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
