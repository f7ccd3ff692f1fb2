"""Callers: forked processes that all ask at the same time, each as fast as it gets answers.

They connect first, then all are told the same window on the monotonic clock, which all processes share. They ask from
that moment on without a pause; what is answered before the window counts as warm-up, what is answered within
it is counted, whenever it was asked.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import time
import traceback
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress

from tests.bench.sample import NANOSECONDS, Sample

Run = Callable[[int, int], "array[int]"]  # (begin, end of the window) -> latencies, all in nanoseconds
Prepare = Callable[[], Run]  # called in the caller's process: connect, ask once

WARM_UP = 0.3  # seconds
_WINDOW = struct.Struct("qq")
_READY = b"ready"


class CallerFailed(Exception):
    """A caller got a wrong answer, or none; its own traceback stands on standard error."""


def closed_loop(operation: Callable[[], object], clock: Callable[[], int] = time.monotonic_ns) -> Run:
    """Ask again as soon as the answer is there."""

    def run(begin: int, end: int) -> array[int]:
        latencies = array("Q")
        append = latencies.append
        before = clock()
        while True:
            operation()
            now = clock()
            if now > end:
                return latencies
            if now >= begin:
                append(now - before)
            before = now

    return run


def measure(
    prepare: Callable[[int], Prepare],
    callers: int,
    seconds: float,
    warm_up: float = WARM_UP,
    at_edge: Callable[[], None] = lambda: None,
) -> Sample:
    """Let so many callers ask; `prepare` is given each one's number."""
    return Sample.of(seconds, measure_each([prepare(number) for number in range(callers)], seconds, warm_up, at_edge))


def measure_each(
    prepares: Sequence[Prepare],
    seconds: float,
    warm_up: float = WARM_UP,
    at_edge: Callable[[], None] = lambda: None,
) -> list[array[int]]:
    """The latencies of each caller in one common window.

    :param seconds: length of the window.
    :param warm_up: seconds before it; longer than the slowest answer, or only quick answers are seen.
    :param at_edge: called when the window begins and when it ends.
    :raises CallerFailed: one of them failed; the others are ended.
    """
    members: list[_Member] = []
    try:
        for prepare in prepares:
            members.append(_Member(prepare))
        for member in members:
            member.await_ready()
        begin = time.monotonic_ns() + int(warm_up * NANOSECONDS)
        end = begin + int(seconds * NANOSECONDS)
        for member in members:
            member.begin(begin, end)
        for edge in (begin, end):
            _wait_until(edge)
            at_edge()
        return [member.latencies() for member in members]
    finally:
        for member in members:
            member.close()


def _wait_until(moment: int) -> None:
    while (left := moment - time.monotonic_ns()) > 0:
        select.select([], [], [], left / NANOSECONDS)


class _Member:
    def __init__(self, prepare: Prepare) -> None:
        self._channel, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            self._channel.close()
            _live(prepare, theirs)
        theirs.close()

    def await_ready(self) -> None:
        if self._channel.recv(len(_READY)) != _READY:
            raise CallerFailed("a caller did not get as far as its first answer")

    def begin(self, begin: int, end: int) -> None:
        self._channel.send(_WINDOW.pack(begin, end))

    def latencies(self) -> array[int]:
        data = bytearray()
        while piece := self._channel.recv(1 << 20):
            data += piece
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        if status != 0:
            raise CallerFailed("a caller ended with an error")
        return array("Q", bytes(data))

    def close(self) -> None:
        self._channel.close()
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def _live(prepare: Prepare, channel: socket.socket) -> None:
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the benchmark, which then ends us
        run = prepare()
        channel.send(_READY)
        window = channel.recv(_WINDOW.size)
        if window:  # else the benchmark is gone
            channel.sendall(run(*_WINDOW.unpack(window)).tobytes())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
