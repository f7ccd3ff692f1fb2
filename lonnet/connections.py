"""The connections that one thread of one process keeps open, one per host at most.

A connection is *taken* for an exchange and *kept* again after it. So it is never in two hands: not in a second call's
that a signal handler makes during the first, and not in those of whoever closes this object from another thread.

Promises: at most :data:`KEPT_PER_THREAD` are kept, the least recently used goes first; the end of the thread closes
them (its threading.local drops the last reference), and so does the end of the thread's copy in a forked child.
Raises and logs nothing.

Known limit: a connection that another thread uses at the moment of a fork stays open in the child, unused, until the
child ends; it belongs to a stack frame that never returns there.
"""

from __future__ import annotations

import os

from lonnet.connection import Connection

KEPT_PER_THREAD = 32  # 15 threads then stay within half of the usual 1024 descriptors of a process


class Connections:
    """The idle connections of the thread and process that made this object."""

    __slots__ = ("__weakref__", "_idle", "pid")

    def __init__(self) -> None:
        self._idle: dict[str, Connection] = {}  # in the order of last use
        self.pid = os.getpid()

    def take(self, host: str) -> Connection | None:
        """The connection to `host`, now the caller's alone; None if none is open."""
        return self._idle.pop(host, None)

    def keep(self, host: str, connection: Connection) -> None:
        """Keep `connection` for the next call."""
        if host in self._idle:  # a call from a signal handler made a second one meanwhile
            self._idle.pop(host).close()
        self._idle[host] = connection
        if len(self._idle) > KEPT_PER_THREAD:
            self._idle.pop(next(iter(self._idle))).close()

    def close(self) -> None:
        """Close all idle connections; from any thread. One in use is closed when this object is dropped."""
        while self._idle:
            try:
                _, connection = self._idle.popitem()
            except KeyError:  # its thread took the last one meanwhile
                break
            connection.close()

    def __del__(self) -> None:
        self.close()
