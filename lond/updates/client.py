"""A lond child's way to the workers: jobs into the queue on disk, uploaded files while the link goes on.

Promises: a job is on disk when :meth:`Updates.add` returns, whether a worker lives or not. `on_done` of a file is
called once, from the loop, within londFetchTimeout.

Raises: SpoolError from :meth:`Updates.add`. Logs nothing: a file that can't be fetched is answered so.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from common.loop import READ, Loop
from common.resource_jobs import ResourceJobs, jobs_path
from common.site import Site
from lond.updates.userfiles import UserFile

UNDER_WAY = 64  # files that one child waits for at the same time
WAKE = b"wake\n"
MAX_ANSWER = 16  # bytes

OnDone = Callable[[bool], None]


class Updates:
    """See the module.

    :param path: the workers' socket.
    """

    def __init__(self, loop: Loop, path: Path, site: Site) -> None:
        self._loop, self._path, self._site = loop, path, site
        self._jobs: ResourceJobs | None = None
        self._inode = 0
        self._errands: set[_Errand] = set()

    def add(self, kind: str, path: str) -> None:
        """Put a job into the queue, durably, and wake a worker."""
        self._queue().add(kind, path)
        with suppress(OSError):  # they look at the queue now and then anyway
            self._connect(WAKE).close()

    def _queue(self) -> ResourceJobs:
        path = jobs_path(self._site.config)
        if self._jobs is None or self._inode != _inode(path):  # a worker may have replaced it
            if self._jobs is not None:
                self._jobs.close()
                self._jobs = None
            self._jobs = ResourceJobs(path)
            self._inode = _inode(path)
        return self._jobs

    def fetch(self, wanted: UserFile, on_done: OnDone) -> None:
        """Have a file fetched; `on_done` hears, in a later turn, whether it is here."""
        if len(self._errands) >= UNDER_WAY:
            self._loop.call_later(0, lambda: on_done(False))
            return
        try:
            channel = self._connect(wanted.encode())
        except OSError:
            self._loop.call_later(0, lambda: on_done(False))
            return
        errand = _Errand(self._loop, channel, self._site.config.fetch_timeout, on_done, self._errands.discard)
        self._errands.add(errand)

    def _connect(self, line: bytes) -> socket.socket:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            channel.connect(str(self._path))
            if channel.send(line) != len(line):  # it always fits into a fresh socket's buffer
                raise ConnectionError("the workers' socket takes too little")
        except OSError:
            channel.close()
            raise
        return channel


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


class _Errand:
    """One file on its way."""

    def __init__(
        self,
        loop: Loop,
        channel: socket.socket,
        timeout: float,
        on_done: OnDone,
        on_end: Callable[[_Errand], None],
    ) -> None:
        self._loop, self._channel, self._on_done, self._on_end = loop, channel, on_done, on_end
        self._timer = loop.call_later(timeout, lambda: self._finish(False))
        loop.watch(channel, READ, self._receive)

    def _receive(self, _mask: int) -> None:
        try:
            answer = self._channel.recv(MAX_ANSWER)
        except BlockingIOError:
            return
        except OSError:
            answer = b""
        self._finish(answer == b"ok\n")

    def _finish(self, fetched: bool) -> None:
        self._timer.cancel()
        self._loop.forget(self._channel)
        self._channel.close()
        self._on_end(self)
        self._on_done(fetched)
