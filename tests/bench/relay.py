"""A TCP relay that makes a link on this machine as long as one to another town.

Each direction is delayed by the same time and not slowed otherwise: whatever has arrived is read at once and waits
with the time at which it is due. The relay connects onwards *from* the address of whoever connected to it, so
that lond knows its peer as if there were no relay. The time limit of the wait has microseconds, hence select(2), which
knows no descriptor beyond 1023.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Mapping

from tests.bench.process import Process

RECEIVE_BYTES = 262144
BACKLOG = 128


class DelayLine:
    """What is under way in one direction.

    :param delay: seconds.
    """

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._chunks: deque[tuple[float, bytes]] = deque()

    def put(self, now: float, chunk: bytes) -> None:
        """Something arrived; b"" stands for the end."""
        self._chunks.append((now + self._delay, chunk))

    @property
    def next_due(self) -> float | None:
        """When the oldest chunk is due; None: nothing is under way."""
        return self._chunks[0][0] if self._chunks else None

    def take_due(self, now: float) -> list[bytes]:
        """What is due, in order."""
        due = []
        while self._chunks and self._chunks[0][0] <= now:
            due.append(self._chunks.popleft()[1])
        return due


class Direction:
    """One direction of one connection.

    :param source: is read; must not block.
    :param sink: is written to; must not block.
    :param delay: seconds.
    """

    def __init__(self, source: socket.socket, sink: socket.socket, delay: float) -> None:
        self.source, self.sink = source, sink
        self.line = DelayLine(delay)
        self.reading = True
        self.ended = False
        self._unsent = b""
        self._last_came = False

    def receive(self, now: float) -> None:
        """Take what the source has."""
        chunk = self.source.recv(RECEIVE_BYTES)
        self.line.put(now, chunk)
        self.reading = bool(chunk)

    @property
    def blocked(self) -> bool:
        """Whether the sink did not take everything that was due."""
        return bool(self._unsent)

    def forward(self, now: float) -> None:
        """Pass on what is due, and the end when all before it has gone."""
        chunks = self.line.take_due(now)
        self._last_came = self._last_came or (bool(chunks) and chunks[-1] == b"")
        data = self._unsent + b"".join(chunks)
        if data:
            try:
                sent = self.sink.send(data)
            except BlockingIOError:
                sent = 0
            self._unsent = data[sent:]
        if self._last_came and not self._unsent:
            self.ended = True
            self.sink.shutdown(socket.SHUT_WR)


class Relay:
    """The relay's process: one selector, any number of connections.

    :param listeners: bound sockets and where each one leads.
    :param delay: seconds one way.
    """

    def __init__(self, listeners: Mapping[socket.socket, tuple[str, int]], delay: float) -> None:
        self._listeners, self._delay = listeners, delay
        self._pairs: list[tuple[Direction, Direction]] = []

    def serve(self, stop: int) -> None:
        """Relay until `stop` is readable."""
        while True:
            directions = [direction for pair in self._pairs for direction in pair if not direction.ended]
            readers = [direction.source for direction in directions if direction.reading]
            writers = [direction.sink for direction in directions if direction.blocked]
            watched: list[socket.socket | int] = [stop, *self._listeners, *readers]
            ready, _, _ = select.select(watched, writers, [], self._wait(directions))
            if stop in ready:
                return
            for listener in self._listeners.keys() & {*ready}:
                self._accept(listener)
            for pair in list(self._pairs):
                self._move(pair, {*ready})

    def _wait(self, directions: list[Direction]) -> float | None:
        due = [direction.line.next_due for direction in directions if direction.line.next_due is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _accept(self, listener: socket.socket) -> None:
        near, (address, _) = listener.accept()
        far = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        far.bind((address, 0))
        try:
            far.connect(self._listeners[listener])
        except OSError:
            near.close()
            far.close()
            return
        for channel in (near, far):
            channel.setblocking(False)
            channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs.append((Direction(near, far, self._delay), Direction(far, near, self._delay)))

    def _move(self, pair: tuple[Direction, Direction], ready: set[object]) -> None:
        try:
            for direction in pair:
                now = time.monotonic()
                if direction.reading and direction.source in ready:
                    direction.receive(now)
                if not direction.ended:
                    direction.forward(now)
            over = all(direction.ended for direction in pair)
        except OSError:
            over = True
        if over:
            self._pairs.remove(pair)
            pair[0].source.close()
            pair[0].sink.close()


def start_relay(routes: Mapping[str, str], port: int, delay: float) -> Process:
    """Start a relay process.

    :param routes: addresses to listen on, and the addresses they stand for; the port is the same.
    :param delay: seconds one way.
    """
    listeners: dict[socket.socket, tuple[str, int]] = {}
    try:
        for ip, real in routes.items():
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listeners[listener] = (real, port)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((ip, port))
            listener.listen(BACKLOG)
        return Process(Relay(listeners, delay).serve)
    finally:
        for listener in listeners:
            listener.close()
