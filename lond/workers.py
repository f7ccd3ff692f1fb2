"""Workers that lond's parent keeps beside the children that serve links: their sockets and their number.

Workers of one kind accept on one UNIX socket in lonSockDir, so that the system's queue spreads the jobs. They are
members of lond's population. The sockets are made before the first child is forked.

Promises: the sockets are there before lond says that it is ready, mode 0600, and as long as it lives. A kind of which
a worker ends unexpectedly gets another one, after a pause if it had hardly begun; after a reload each is replaced.

Raises OSError when a socket is made. Logs nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.config import Config
from common.loop import Loop
from common.population import Birth, Member, Population
from common.site import Site

BACKLOG = 1024
EARLY_END = 1.0  # seconds; a worker that lived no longer is replaced only after CRASH_PAUSE
CRASH_PAUSE = 1.0

Live = Callable[[Birth, socket.socket, Site], int]


@dataclass(slots=True)
class _Kind:
    """The workers of one kind."""

    path: Path
    listener: socket.socket
    wanted: Callable[[Config], int]
    live: Live
    identity: tuple[int, int]
    not_before: float = 0.0


class Workers:
    """The kinds of workers of one pool; each kind by its key in the population."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}

    def add(self, key: str, path: Path, wanted: Callable[[Config], int], live: Live) -> None:
        """One more kind.

        :param path: of its socket.
        :param wanted: how many there should be.
        :param live: the life of one, in its own process: what else it inherits must be closed there.
        :raises OSError: the socket's directory is missing, or its path too long.
        """
        self._kinds[key] = _Kind(path, _listen(path), wanted, live, _identity(path))

    def path(self, key: str) -> Path:
        """Where the socket of a kind is."""
        return self._kinds[key].path

    def slots(self, config: Config) -> int:
        """How many members of the population they are at most, those included that are being replaced."""
        return 2 * sum(kind.wanted(config) for kind in self._kinds.values())

    def balance(self, population: Population, site: Site, now: float, outdated: Collection[int]) -> None:
        """Have as many workers as are wanted.

        :param outdated: generations to be replaced, because they know an old configuration.
        """
        for key, kind in self._kinds.items():
            members = list(population.of(key))
            fresh = [member for member in members if member.generation not in outdated]
            wanted = kind.wanted(site.config)
            if now >= kind.not_before:
                for _ in range(wanted - len(fresh)):
                    self._start(population, key, kind, site)
            for member in members:
                if member.generation in outdated or member in fresh[wanted:]:
                    population.stop(member)

    def _start(self, population: Population, key: str, kind: _Kind, site: Site) -> None:
        def live(birth: Birth) -> int:
            self.close_listeners(except_of=key)
            return kind.live(birth, kind.listener, site)

        population.start(key, live)

    def on_end(self, member: Member, code: int, loop: Loop) -> bool:
        """Take note of a child's end; False if it was none of ours."""
        kind = self._kinds.get(member.key)
        if kind is None:
            return False
        if code and loop.clock() - member.started < EARLY_END:
            kind.not_before = loop.clock() + CRASH_PAUSE
            loop.call_later(CRASH_PAUSE, lambda: None)  # a turn, in which the parent compares again
        return True

    def close_listeners(self, except_of: str = "") -> None:
        """Close, in a child, the sockets that it does not serve."""
        for key, kind in self._kinds.items():
            if key != except_of:
                kind.listener.close()

    def close(self) -> None:
        """In the parent: remove the sockets."""
        for kind in self._kinds.values():
            with suppress(OSError):
                if _identity(kind.path) == kind.identity:
                    kind.path.unlink()
        self.close_listeners()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _listen(path: Path) -> socket.socket:
    """Binds under a hidden name and renames into place, so that nobody meets a socket that is open to others.

    :raises OSError: the directory is missing or the path too long.
    """
    hidden = path.with_name(f"{path.name}.{os.getpid()}")
    hidden.unlink(missing_ok=True)  # of an earlier process with our number
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(str(hidden))
        hidden.chmod(0o600)
        listener.listen(BACKLOG)
        hidden.rename(path)
    except OSError:
        listener.close()
        raise
    return listener
