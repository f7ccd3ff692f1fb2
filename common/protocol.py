"""The wire of the classic link as state machines: bytes in, events out.

No socket, no clock, no host table is known here. A move that is not in the table (:mod:`common.link_states`) is
a violation. The owner of a connection feeds what it received to ``receive``, acts on the events in order, and writes
what ``outgoing`` holds. All requests (or replies) that became readable at once come as one event, so that the owner
can handle them as one batch. The first violation ends the machine: it is reported as one :class:`Failed` event after
the events before it, and further input is ignored.

Known limit: the reply to a command is one line, as the protocol has it; a reply can't be told from another one
but by its place in the order.
"""

from __future__ import annotations

import abc
from collections.abc import Callable

from common.crypto import LinkCipher
from common.errors import LocalProtocolError, PeerProtocolError
from common.frames import frame_length
from common.lines import Lines
from common.link_states import (
    TABLE,
    Accepted,
    Challenged,
    Departed,
    Echoed,
    Event,
    Failed,
    Greeted,
    Identified,
    KeyBuilt,
    Refused,
    Replies,
    Requests,
    State,
)

MAX_HANDSHAKE_LINE = 1024  # bytes; no line before the link is open is longer
MAX_CHALLENGE = 64
KEY_CHARACTERS = 32  # that both ids and the build key have at least, together


def unsendable(command: bytes, encrypt: bool, max_request: int) -> bytes:
    """What to answer instead of sending a command over a link that many callers share; b"" if it may be sent.

    The words that change the link itself are its owner's: one caller must not end it, or change its key, for all.
    """
    if command[:4].lower() in _OWNERS_BEGINNINGS and command.partition(b":")[0].strip().lower() in _OWNERS_WORDS:
        return b"refused"
    length = frame_length(len(command)) if encrypt else len(command)
    return b"error: request too long" if length > max_request else b""


class Connection(abc.ABC):
    """What both roles share: the state, the line buffer, the outgoing bytes."""

    def __init__(self, line_limit: int) -> None:
        self.state = State.START
        self.cipher: LinkCipher | None = None
        self._lines = Lines(line_limit)
        self._out: list[bytes] = []

    def receive(self, data: bytes) -> list[Event]:
        """Take received bytes; the events they complete, in order."""
        events: list[Event] = []
        if self.state is State.CLOSED:
            return events
        try:
            self._take(self._lines.feed(data), events)
            self._check_length()
        except PeerProtocolError as error:
            events.append(self._moved(Failed(error)))
        return events

    def _check_length(self) -> None:
        if self.state is State.CLOSED:
            return
        if self._lines.overflown:
            raise PeerProtocolError(f"line longer than {self._lines.limit} bytes")
        if self._in_set_up:
            _check_handshake_line(self._lines.partial_length)

    @property
    @abc.abstractmethod
    def _in_set_up(self) -> bool:
        """Whether lines are short and of our own asking."""

    def outgoing(self) -> bytes:
        """The bytes to be written now; they are handed over once."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    @abc.abstractmethod
    def _take(self, lines: list[bytes], events: list[Event]) -> None:
        """Turn lines into events; each role does it its own way."""

    def _decrypted(self, line: bytes) -> bytes:
        if self.cipher is None:
            raise PeerProtocolError("no key")
        clear = self.cipher.unframe(line)
        if b"\n" in clear:
            raise PeerProtocolError("encrypted line holds a line end")
        return clear

    def _moved(self, event: Event) -> Event:
        state = TABLE.get((self.state, type(event)))
        if state is None:
            raise LocalProtocolError(f"{type(event).__name__} has no place in state {self.state.value}")
        self.state = state
        return event

    def _send(self, line: bytes) -> None:
        self._out.append(line + b"\n")


class LoncConnection(Connection):
    """The side that connected: greets, answers the challenge, asks for id and key, then sends requests.

    :param own: our host id.
    :param max_reply: bytes a reply may have.
    """

    def __init__(self, own: str, max_reply: int) -> None:
        super().__init__(max_reply)
        self._own = own
        self._peer = ""
        self._outstanding = 0
        self._send(b"init")
        self._moved(Greeted(""))

    def request(self, command: bytes, encrypt: bool) -> bytes:
        """The line to be written for a command, LF included; its reply is expected from now on.

        :raises LocalProtocolError: the link has no key yet, or the command is not one line.
        """
        if self.state is not State.KEYED or self.cipher is None:
            raise LocalProtocolError(f"no request may be sent in state {self.state.value}")
        if b"\n" in command:
            raise LocalProtocolError("a request is one line")
        self._outstanding += 1
        return (self.cipher.frame(command) if encrypt else command) + b"\n"

    @property
    def _in_set_up(self) -> bool:
        return self.cipher is None

    def _take(self, lines: list[bytes], events: list[Event]) -> None:
        for number, line in enumerate(lines):
            if not self._in_set_up:
                self._take_replies(lines[number:] if number else lines, events)
                return
            _check_handshake_line(len(line))
            if not self._take_setup_line(line, events):
                return

    def _take_setup_line(self, line: bytes, events: list[Event]) -> bool:
        """Take one step of the dialogue; False if it was the last one."""
        if self.state is State.GREETED:
            self._take_challenge(line, events)
        elif self.state is State.ECHOED:
            self._take_verdict(line, events)
        elif not self._peer:
            self._take_identity(line, events)
        else:
            self._take_build_key(line, events)
        return self.state is not State.CLOSED

    def _take_challenge(self, line: bytes, events: list[Event]) -> None:
        if line == b"refused":
            events.append(self._moved(Refused("the other side does not accept our address")))
            return
        if not line.isdigit() or len(line) > MAX_CHALLENGE:
            raise PeerProtocolError("challenge is not a number")
        self._moved(Challenged())
        self._send(line)
        self._moved(Echoed())

    def _take_verdict(self, line: bytes, events: list[Event]) -> None:
        if line != b"ok":
            events.append(self._moved(Refused("the other side did not accept our answer to its challenge")))
            return
        events.append(self._moved(Accepted()))
        self._send(b"ping")

    def _take_identity(self, line: bytes, events: list[Event]) -> None:
        self._peer = line.decode("ascii", "replace").strip()
        if not self._peer or len(self._peer) > MAX_CHALLENGE:
            raise PeerProtocolError("the other side did not tell its host id")
        events.append(self._moved(Identified(self._peer)))
        self._send(b"ekey")

    def _take_build_key(self, line: bytes, events: list[Event]) -> None:
        usable = line.isascii() and line.decode().isprintable() and b" " not in line
        if not usable or len(self._peer) + len(self._own) + len(line) < KEY_CHARACTERS:
            raise PeerProtocolError("build key is too short or not printable")
        self.cipher = LinkCipher(self._peer, self._own, line)
        events.append(self._moved(KeyBuilt(line)))

    def _take_replies(self, lines: list[bytes], events: list[Event]) -> None:
        good: list[bytes] = []
        try:
            for line in lines:
                good.append(self._decrypted(line) if line.startswith(b"enc:") else line)
        finally:
            surplus = len(good) - self._outstanding
            good = good[: self._outstanding]
            self._outstanding -= len(good)
            if good:
                events.append(Replies(good))  # what stood before a violation counts all the same
        if surplus > 0:
            raise PeerProtocolError("a reply came that nobody asked for")


class LondConnection(Connection):
    """The side that accepted: challenges, then hands over requests; ``ekey``, ``exit`` and ``quit`` are handled here.

    :param own: our host id.
    :param peer: the host id that belongs to the source address.
    :param max_request: bytes a request may have.
    :param challenge: fresh decimal digits.
    :param build_key: makes a fresh build key for each ``ekey``.
    """

    def __init__(self, own: str, peer: str, max_request: int, challenge: bytes, build_key: Callable[[], bytes]) -> None:
        super().__init__(max_request)
        self._ids = (own, peer)
        self._challenge = challenge
        self._new_build_key = build_key

    @classmethod
    def resumed(
        cls, own: str, peer: str, max_request: int, build_key: Callable[[], bytes], key: bytes, unread: bytes
    ) -> LondConnection:
        """An open link that another process served before: its last build key (b"" if none) and its unread bytes."""
        connection = cls(own, peer, max_request, b"", build_key)
        connection.state = State.OPEN
        connection._lines = Lines(max_request)
        connection._lines.feed(unread)
        if key:
            connection.cipher = LinkCipher(own, peer, key)
            connection.state = State.KEYED
        return connection

    @property
    def _in_set_up(self) -> bool:
        return self.state not in (State.OPEN, State.KEYED)

    @property
    def unread(self) -> bytes:
        """The beginning of a request whose end has not come yet."""
        return self._lines.partial

    def _take(self, lines: list[bytes], events: list[Event]) -> None:
        for number, line in enumerate(lines):
            if self.state is State.START:
                self._take_greeting(line, events)
            elif self.state is State.CHALLENGED:
                self._take_echo(line, events)
            elif self.state is not State.CLOSED:
                self._take_requests(lines[number:] if number else lines, events)
                return

    def _take_greeting(self, line: bytes, events: list[Event]) -> None:
        _check_handshake_line(len(line))
        word, _, version = line.partition(b":")
        if word != b"init":
            self._refuse("first line is not init", events)
            return
        events.append(self._moved(Greeted(version.strip(b":").decode("ascii", "replace"))))
        self._send(self._challenge)
        self._moved(Challenged())

    def _take_echo(self, line: bytes, events: list[Event]) -> None:
        _check_handshake_line(len(line))
        if line != self._challenge:
            self._refuse("wrong answer to the challenge", events)
            return
        self._moved(Echoed())
        self._send(b"ok")
        events.append(self._moved(Accepted()))

    def _refuse(self, reason: str, events: list[Event]) -> None:
        self._send(b"refused")
        events.append(self._moved(Refused(reason)))

    def _take_requests(self, lines: list[bytes], events: list[Event]) -> None:
        batch: list[tuple[bytes, bool]] = []
        try:
            for line in lines:
                if line[:4] not in _LINK_WORDS:
                    batch.append((line, False))
                elif line.startswith(b"enc:"):
                    batch.append((self._decrypted(line), True))
                elif line in (b"ekey", b"exit", b"quit"):
                    batch = self._end_batch(batch, events)
                    events.append(self._link_command(line))
                    if line != b"ekey":
                        return
                else:
                    batch.append((line, False))
        finally:
            self._end_batch(batch, events)  # what stood before a violation is executed all the same

    def _end_batch(self, batch: list[tuple[bytes, bool]], events: list[Event]) -> list[tuple[bytes, bool]]:
        if batch:
            events.append(Requests(batch))
        return []

    def _link_command(self, line: bytes) -> Event:
        if line != b"ekey":
            return self._moved(Departed())
        key = self._new_build_key()
        self.cipher = LinkCipher(*self._ids, key)
        return self._moved(KeyBuilt(key))


def _check_handshake_line(length: int) -> None:
    if length > MAX_HANDSHAKE_LINE:
        raise PeerProtocolError(f"line longer than {MAX_HANDSHAKE_LINE} bytes before the link is open")


_OWNERS_WORDS = frozenset((b"", b"enc", b"ekey", b"exit", b"quit", b"init"))
_OWNERS_BEGINNINGS = _OWNERS_WORDS | {b"enc:"}  # a cheap look, as every request passes here
_LINK_WORDS = frozenset((b"enc:", b"ekey", b"exit", b"quit"))
