"""A short-lived link of its own to a host, for examining it: one step after the other, each with its words of failure.

It speaks the protocol by :mod:`common.protocol`, as lonc does, but waits for each answer and says what did not come.

Promises: every wait ends. Raises :class:`ProbeFailed` only. Logs nothing.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from common.config import Config
from common.errors import LonError
from common.hosts_table import Host
from common.link_states import Accepted, Event, Failed, Identified, KeyBuilt, Refused, Replies, State
from common.protocol import LoncConnection

CONNECT_SECONDS = 5.0
RECEIVE_BYTES = 65536
BYE_SECONDS = 1.0


class ProbeFailed(LonError):
    """A step failed.

    :param kind: one word: refused, timeout, unreachable, local, silent, stranger, protocol, lost.
    """

    def __init__(self, kind: str, words: str) -> None:
        self.kind, self.words = kind, words
        super().__init__(words)


class Probe:
    """One link; call the steps in their order.

    :param own: our host id.
    :param bind: the address to connect from, "" for any.
    """

    def __init__(self, config: Config, own: str, peer: Host, bind: str) -> None:
        self._config, self._peer, self._bind = config, peer, bind
        self._protocol = LoncConnection(own, config.max_reply)
        self._family = socket.AF_INET6 if ":" in peer.ip else socket.AF_INET
        self._socket: socket.socket | None = None
        self._events: list[Event] = []
        self._deadline = 0.0
        self.source = ""  # the address that the other side sees, as far as we know

    def route(self) -> str:
        """The address that packets to the host leave from; none is sent."""
        with socket.socket(self._family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((self._bind, 0))
            except OSError as error:
                raise ProbeFailed("local", _words(error)) from error
            try:
                probe.connect((self._peer.ip, self._config.lond_port))
            except OSError as error:
                raise ProbeFailed("unreachable", _words(error)) from error
            return str(probe.getsockname()[0])

    def connect(self) -> None:
        """Open the connection."""
        self._socket = socket.socket(self._family, socket.SOCK_STREAM)
        self._socket.settimeout(CONNECT_SECONDS)
        try:
            if self._bind:
                self._socket.bind((self._bind, 0))
            self._socket.connect((self._peer.ip, self._config.lond_port))
        except TimeoutError as error:
            raise ProbeFailed("timeout", f"no answer within {CONNECT_SECONDS:.0f} s") from error
        except ConnectionRefusedError as error:
            raise ProbeFailed("refused", _words(error)) from error
        except OSError as error:
            raise ProbeFailed("unreachable", _words(error)) from error
        self._deadline = time.monotonic() + self._config.key_exchange_timeout
        self.source = str(self._socket.getsockname()[0])

    def greet(self) -> None:
        """Challenge and echo: the other side knows our address, or refuses us."""
        self._await(Accepted, "its challenge")

    def identify(self) -> str:
        """The host id that the other side tells."""
        event = self._await(Identified, "its host id")
        assert isinstance(event, Identified)
        return event.host

    def exchange_key(self) -> None:
        """The key of this link."""
        self._await(KeyBuilt, "its build key")

    def ask(self, command: str, seconds: float) -> str:
        """The reply to a request on the open link."""
        self._deadline = time.monotonic() + seconds
        self._send(self._protocol.request(command.encode(), False))
        event = self._await(Replies, f"a reply to {command.partition(':')[0]}")
        assert isinstance(event, Replies)
        return event.lines[0].decode("ascii", "replace")

    def _flush(self) -> None:
        self._send(self._protocol.outgoing())

    def _send(self, data: bytes) -> None:
        assert self._socket is not None
        with suppress(OSError):  # it has closed; what it said before is still to be read
            self._socket.sendall(data)

    def _await(self, wanted: type[Event], what: str) -> Event:
        while True:
            self._flush()
            for number, event in enumerate(self._events):
                if isinstance(event, Refused):
                    raise ProbeFailed("stranger", event.reason)
                if isinstance(event, Failed):
                    raise ProbeFailed("protocol", f"it breaks the rules of the link: {event.error}")
                if isinstance(event, wanted):
                    del self._events[: number + 1]
                    return event
            self._events = self._protocol.receive(self._receive(what))

    def _receive(self, what: str) -> bytes:
        assert self._socket is not None
        self._socket.settimeout(max(0.001, self._deadline - time.monotonic()))
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except TimeoutError as error:
            raise ProbeFailed("silent", f"it accepts connections, but {what} does not come") from error
        except OSError as error:
            raise self._closed() from error
        if not data:
            raise self._closed()
        return data

    def _closed(self) -> ProbeFailed:
        if self._protocol.state is State.GREETED:
            return ProbeFailed("stranger", "it closed the connection without a byte")
        return ProbeFailed("lost", "it closed the connection in the middle of the dialogue")

    def close(self) -> None:
        """Take leave if the link stands, and close."""
        if self._socket is None:
            return
        try:
            if self._protocol.cipher is not None:
                self.ask("exit", BYE_SECONDS)
        except ProbeFailed:
            pass
        finally:
            self._socket.close()
            self._socket = None


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
