"""Thousands of callers on one machine: each is a connection with one request outstanding, many to a process.

A web server with thousands of processes does not fit on a small machine, but their connections do. Such a caller does
not use lonnet, which waits for its one reply; it writes the same request line to the same socket.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from array import array
from pathlib import Path

from tests.bench.crowd import Prepare, Run

RECEIVE_BYTES = 4096
CONNECT_SECONDS = 30
IDLE_SECONDS = 30.0


def multiplexed(path: Path, connections: int, request: bytes, reply: bytes) -> Prepare:
    """A process that is so many callers of a socket at once.

    :param path: of the socket.
    :param request: the line, with its LF.
    :param reply: the line that must come each time, with its LF.
    """

    def prepare() -> Run:
        channels = {channel.fileno(): channel for channel in (_connected(path) for _ in range(connections))}
        return lambda begin, end: _Callers(channels, request, reply).run(begin, end)

    return prepare


def _connected(path: Path) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A time-out of Python's own would not wait for room in the backlog, the kernel's does.
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", CONNECT_SECONDS, 0))
    channel.connect(str(path))
    return channel


class _Callers:
    def __init__(self, channels: dict[int, socket.socket], request: bytes, reply: bytes) -> None:
        self._channels, self._request, self._reply = channels, request, reply
        self._asked = dict.fromkeys(channels, 0)
        self._latencies = array("Q")
        self._poller = select.epoll()
        for number in channels:
            self._poller.register(number, select.EPOLLIN)

    def run(self, begin: int, end: int) -> array[int]:
        """The latencies of all answers that came between `begin` and `end`."""
        for number, channel in self._channels.items():
            self._asked[number] = time.monotonic_ns()
            channel.send(self._request)
        while (now := time.monotonic_ns()) <= end:
            ready = self._poller.poll(IDLE_SECONDS)
            if not ready:
                raise AssertionError(f"no answer within {IDLE_SECONDS:.0f} s")
            for number, _ in ready:
                self._turn(number, now >= begin)
        return self._latencies

    def _turn(self, number: int, counts: bool) -> None:
        channel = self._channels[number]
        if channel.recv(RECEIVE_BYTES) != self._reply:
            raise AssertionError("a caller was answered something else")
        now = time.monotonic_ns()
        if counts:
            self._latencies.append(now - self._asked[number])
        self._asked[number] = now
        channel.send(self._request)
