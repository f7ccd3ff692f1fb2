"""A lond child's way to the workers: many jobs under way, none of them waited for.

Each job has a connection of its own, so that the system's queue on the workers' socket spreads them; only a few of one
child stand in that queue at a time, so that a child with very many log-ins does not keep the others' waiting. The rest
waits here, up to a limit.

Promises: `on_done` is called once for each job, from the loop, within the time limit. A job whose worker died is tried
once more. Jobs are started in the order in which they were submitted; they may finish in any.

Raises and logs nothing: every failure is an outcome (FAILED: no worker, BUSY: too much to do or out of time).
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

from common.loop import READ, Loop, Timer
from lond.authentication.hashing import MAX_LINE_BYTES, Job, Outcome, Verdict

UNDER_WAY = 4  # jobs of one child that stand in the workers' queue
WAITING = 4096  # jobs of one child that wait for that
TRIES = 2
QUEUE_PAUSE = 0.05  # seconds before the next try when the workers' queue is full

OnDone = Callable[[Outcome], None]


class _Errand:
    """One job on its way."""

    __slots__ = ("answer", "channel", "job", "on_done", "timer", "tries")

    def __init__(self, job: Job, on_done: OnDone) -> None:
        self.job, self.on_done = job, on_done
        self.channel: socket.socket | None = None
        self.timer: Timer | None = None
        self.answer = b""
        self.tries = 0


class HashClient:
    """See the module.

    :param path: the workers' socket.
    :param timeout: seconds from submission to outcome at most.
    """

    def __init__(self, loop: Loop, path: Path, timeout: float) -> None:
        self._loop, self._path, self._timeout = loop, path, timeout
        self._waiting: deque[_Errand] = deque()
        self._under_way: set[_Errand] = set()

    def submit(self, job: Job, on_done: OnDone) -> None:
        """Have a job done; `on_done` gets its outcome in a later turn of the loop."""
        errand = _Errand(job, on_done)
        if len(self._waiting) >= WAITING:
            self._loop.call_later(0, lambda: on_done(Outcome(Verdict.BUSY)))
            return
        errand.timer = self._loop.call_later(self._timeout, lambda: self._finish(errand, Outcome(Verdict.BUSY)))
        self._waiting.append(errand)
        self._loop.call_later(0, self._start_some)

    def close(self) -> None:
        """Drop all jobs; nothing more is heard of them."""
        for errand in (*self._under_way, *self._waiting):
            self._let_go(errand)
        self._under_way.clear()
        self._waiting.clear()

    def _start_some(self) -> None:
        while self._waiting and len(self._under_way) < UNDER_WAY:
            errand = self._waiting.popleft()
            self._under_way.add(errand)
            self._start(errand)

    def _start(self, errand: _Errand) -> None:
        if errand not in self._under_way:
            return
        errand.answer = b""
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        line = errand.job.encode()
        try:
            channel.connect(str(self._path))
            if channel.send(line) != len(line):  # it always fits into a fresh socket's buffer
                raise ConnectionError("the workers' socket takes too little")
        except BlockingIOError:
            channel.close()
            self._loop.call_later(QUEUE_PAUSE, lambda: self._start(errand))
            return
        except OSError:
            channel.close()
            self._finish(errand, Outcome(Verdict.FAILED, reason="no worker"))
            return
        errand.tries += 1
        errand.channel = channel
        self._loop.watch(channel, READ, lambda _mask: self._receive(errand))

    def _receive(self, errand: _Errand) -> None:
        assert errand.channel is not None
        try:
            data = errand.channel.recv(MAX_LINE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        errand.answer += data
        if b"\n" in data:
            self._finish(errand, _outcome(errand.answer))
        elif not data or len(errand.answer) > MAX_LINE_BYTES:
            self._try_again(errand)

    def _try_again(self, errand: _Errand) -> None:
        """Its worker has died."""
        self._hang_up(errand)
        if errand.tries < TRIES:
            self._start(errand)
        else:
            self._finish(errand, Outcome(Verdict.FAILED, reason="the worker died"))

    def _finish(self, errand: _Errand, outcome: Outcome) -> None:
        self._let_go(errand)
        if errand in self._under_way:
            self._under_way.discard(errand)
            self._loop.call_later(0, self._start_some)
        elif errand in self._waiting:
            self._waiting.remove(errand)
        else:
            return
        self._loop.call_later(0, lambda: errand.on_done(outcome))

    def _let_go(self, errand: _Errand) -> None:
        self._hang_up(errand)
        if errand.timer is not None:
            errand.timer.cancel()

    def _hang_up(self, errand: _Errand) -> None:
        if errand.channel is not None:
            self._loop.forget(errand.channel)
            errand.channel.close()
            errand.channel = None


def _outcome(line: bytes) -> Outcome:
    try:
        return Outcome.decode(line)
    except ValueError:
        return Outcome(Verdict.FAILED, reason="a worker answered nonsense")
