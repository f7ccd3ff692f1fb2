"""The UNIX socket side of a lonc child: callers, their requests, their replies in order.

Everything that a caller wrote is read at once, everything that is ready for a caller is written at once at the end of
the turn. A caller whose requests don't fit the window is not read any further (it feels that as back-pressure); one
that does not read its replies is disconnected when `max_unread` bytes wait for it. When a child drains, it answers
everything it has read and closes; what it has not read, the kernel tells the caller by ECONNRESET.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

from common.config import Config
from common.lines import Lines
from common.loop import READ, WRITE, Loop
from common.outgoing import Outgoing
from lonc.listener import Listener

RECEIVE_BYTES = 65536
CON_LOST = b"con_lost"
TOO_LONG = b"error: request too long"


class CallerRequest:
    """One request line of one caller."""

    __slots__ = ("caller", "command", "deadline", "encrypt", "reply", "size")

    def __init__(self, caller: Caller, command: bytes, encrypt: bool, deadline: float) -> None:
        self.caller = caller
        self.command = command
        self.encrypt = encrypt
        self.deadline = deadline
        self.size = len(command)
        self.reply: bytes | None = None

    def answered(self, reply: bytes) -> None:
        """Take the reply, unless the caller has got one already (its time was over)."""
        if self.reply is None:
            self.reply = reply
            self.caller.settle()

    def failed(self) -> None:
        """No reply in time, or the link is lost."""
        self.answered(CON_LOST)


class Caller:
    """One connection to the UNIX socket."""

    __slots__ = (
        "_lines",
        "_out",
        "_ready",
        "_socket",
        "callers",
        "closing",
        "dirty",
        "hung_up",
        "outstanding",
        "paused",
    )

    def __init__(self, callers: Callers, channel: socket.socket) -> None:
        self.callers = callers
        self.outstanding: deque[CallerRequest] = deque()
        self.dirty = False
        self.paused = False
        self.closing = False  # to be closed as soon as everything is answered and written
        self._socket = channel
        self._lines = Lines(callers.config.max_request)
        self._ready: list[bytes] = []
        self._out = Outgoing()
        self.hung_up = False  # it will hear no answer, as far as we can know

    def on_ready(self, mask: int) -> None:
        """The connection is readable or writable."""
        if mask & WRITE:
            self._mark_dirty()
        if mask & READ:
            self._receive()

    def _receive(self) -> None:
        if self.paused or self.closing:
            self.watch()  # it was left under watch in the hope that the caller would wait for its replies
            return
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.hung_up = True
            self.drain()  # a caller that only closed its writing half still gets its replies
            return
        for line in self._lines.feed(data):
            self.callers.on_line(self, line)
        if self._lines.overflown:
            self._refuse_line()

    def _refuse_line(self) -> None:
        request = CallerRequest(self, b"", False, 0.0)
        self.outstanding.append(request)
        self.closing = True
        request.answered(TOO_LONG)

    def settle(self) -> None:
        """Pass on the replies whose turn it is."""
        outstanding = self.outstanding
        while outstanding and (reply := outstanding[0].reply) is not None:
            outstanding.popleft()
            self._ready.append(reply)
        self._mark_dirty()

    def _mark_dirty(self) -> None:
        if not self.dirty:
            self.dirty = True
            self.callers.dirty.append(self)

    def flush(self) -> None:
        """Write what is ready, with one send; at the end of the turn."""
        self.dirty = False
        if self.gone:
            return
        unread = self._out.size
        if unread > self.callers.config.max_unread and self._ready:
            self.close()  # it does not read what it asked for
            return
        try:
            self._out.write(self._socket, self._take_ready())
        except OSError:
            self.close()
            return
        if bool(self._out.size) != bool(unread) or self.settled:
            self.watch()

    def _take_ready(self) -> bytes:
        if not self._ready:
            return b""
        self._ready.append(b"")
        data = b"\n".join(self._ready)
        self._ready.clear()
        return data

    @property
    def gone(self) -> bool:
        """Whether the connection is closed: it can't even be told anything."""
        return self._socket.fileno() < 0

    @property
    def settled(self) -> bool:
        """Whether it is to be closed, and nothing keeps it open any more."""
        return self.closing and not self.busy

    @property
    def busy(self) -> bool:
        """Whether an answer is awaited or not written yet."""
        return bool(self.outstanding or self._ready or self._out.size)

    def watch(self) -> None:
        """Watch the connection for what is of interest now."""
        if self.gone:
            return
        if self.settled:
            self.close()
            return
        read = 0 if self.paused or self.closing else READ
        events = read | (WRITE if self._out.size else 0)
        loop = self.callers.loop
        loop.forget(self._socket)
        if events:
            loop.watch(self._socket, events, self.on_ready)

    def resume(self) -> None:
        """Its requests are on their way: read on."""
        if self.paused:
            self.paused = False
            self.watch()

    def drain(self) -> None:
        """Read nothing more; close when everything is answered."""
        self.closing = True
        self.watch()

    def close(self) -> None:
        """Close the connection; replies that still come for it are dropped."""
        self.hung_up = True
        if not self.gone:
            self.callers.loop.forget(self._socket)
            self._socket.close()
            self.callers.remove(self)


class Callers:
    """All callers of one host.

    :param path: lonSockDir/HOST, where they find the socket.
    :param on_line: (caller, request line) for each line that arrives; appends to ``caller.outstanding``.
    """

    def __init__(self, loop: Loop, config: Config, path: Path, on_line: Callable[[Caller, bytes], None]) -> None:
        self.loop, self.config, self.on_line = loop, config, on_line
        self.dirty: list[Caller] = []
        self.listener = Listener(loop, path, self._has_room, self._take)
        self._all: set[Caller] = set()

    def __len__(self) -> int:
        return len(self._all)

    def _has_room(self) -> bool:
        return len(self._all) < self.config.max_callers

    def _take(self, channel: socket.socket) -> None:
        caller = Caller(self, channel)
        self._all.add(caller)
        self.loop.watch(channel, READ, caller.on_ready)

    def remove(self, caller: Caller) -> None:
        """A caller is gone; another one may come."""
        self._all.discard(caller)
        if len(self._all) == self.config.max_callers - 1:
            self.listener.accept_again()

    def flush(self) -> None:
        """Write every caller's replies; at the end of the turn."""
        while self.dirty:
            batch, self.dirty = self.dirty, []
            for caller in batch:
                caller.flush()

    def expire(self, now: float) -> None:
        """Answer the requests whose time is over."""
        for caller in list(self._all):
            for request in list(caller.outstanding):
                if request.reply is None and request.deadline <= now:
                    request.failed()

    def give_up(self) -> None:
        """The link is lost: answer every caller, and close."""
        for caller in list(self._all):
            for request in list(caller.outstanding):
                request.failed()
            caller.closing = True
        self.flush()
        for caller in list(self._all):
            caller.close()

    def drain(self) -> None:
        """Accept and read nothing more."""
        self.listener.disappear()
        for caller in list(self._all):
            caller.drain()

    @property
    def busy(self) -> bool:
        """Whether a caller still waits for a reply."""
        return any(caller.busy for caller in self._all)
