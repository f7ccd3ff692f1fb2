"""The workers as lond's parent keeps them: their sockets, their number, and the table of failed log-ins.

There are two kinds with a socket each, ``.lond.hash`` and ``.lond.ask`` in lonSockDir: those that hash passwords here,
and those that ask somebody else (PAM, Kerberos, local programs), so that a Kerberos server that does not answer keeps
nobody from logging in whose hash is here. Both are members of lond's population.

The pool is made before the first child is forked; children get at it by :meth:`HashPool.log_ins`.

Promises: the sockets are there before lond says that it is ready, mode 0600, and as long as it lives. A kind of which
a worker ends unexpectedly gets another one, after a pause if it had hardly begun.

Logs: once for each reason why a type of account can't be checked on this machine; who does not answer. Raises OSError
when it is made.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common.config import Config
from common.loop import Loop
from common.population import Birth, Member, Population
from common.site import Site
from lond.authentication import hash_worker, hashing
from lond.authentication.hash_client import HashClient
from lond.authentication.hash_worker import ASKING, UNAVAILABLE
from lond.authentication.log_ins import LogIns
from lond.authentication.silence import PAUSE, Silences
from lond.authentication.throttle import Limits
from lond.authentication.throttle_table import ThrottleTable

log = logging.getLogger(__name__)

HASHER, ASKER = "hasher", "asker"  # the keys in the population
BACKLOG = 1024
EARLY_END = 1.0  # seconds; a worker that lived no longer is replaced only after CRASH_PAUSE
CRASH_PAUSE = 1.0
MAX_REASONS = 100  # of "can't be checked" that are remembered and logged


@dataclass(slots=True)
class _Kind:
    """The workers of one kind."""

    path: Path
    listener: socket.socket
    wanted: Callable[[Config], int]
    identity: tuple[int, int]
    not_before: float = 0.0


class HashPool:
    """See the module.

    :param site: for lonSockDir.
    :param release: closes, in a worker, what else lond's children inherit.
    """

    def __init__(self, site: Site, release: Callable[[], None]) -> None:
        self.table = ThrottleTable.create()
        self._silences = Silences(self.table, time.monotonic)
        self._asked: dict[int, str] = {}  # generation of a worker -> whom it asks
        self._release = release
        self._reasons: set[str] = set()
        self._kinds: dict[str, _Kind] = {}
        for key, name, wanted in (
            (HASHER, ".lond.hash", lambda config: config.hash_workers),
            (ASKER, ".lond.ask", lambda config: config.ask_workers),
        ):
            path = site.config.sock_dir / name
            self._kinds[key] = _Kind(path, _listen(path), wanted, _identity(path))

    @staticmethod
    def slots(config: Config) -> int:
        """How many members of the population the workers are at most, those included that are being replaced."""
        return 2 * (config.hash_workers + config.ask_workers)

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
        timeout, hostname = site.config.hash_timeout, site.own.hostname

        def live(birth: Birth) -> int:
            self._release()
            self.close_listeners(except_of=key)
            perform = partial(hashing.perform, hostname=hostname)
            return hash_worker.Worker(key, kind.listener, birth, timeout, perform, self._silences).live()

        population.start(key, live)

    def on_end(self, member: Member, code: int, loop: Loop) -> bool:
        """Take note of a child's end; False if it was none of ours."""
        kind = self._kinds.get(member.key)
        if kind is None:
            return False
        asked = self._asked.pop(member.generation, None)
        if asked and code == -signal.SIGALRM and self._silences.silent(asked):
            log.error("%s does not answer; until it does it is asked every %.0f s only", asked, PAUSE)
        if code and loop.clock() - member.started < EARLY_END:
            kind.not_before = loop.clock() + CRASH_PAUSE
            loop.call_later(CRASH_PAUSE, lambda: None)  # a turn, in which the parent compares again
        return True

    def on_message(self, member: Member, word: bytes, text: str) -> None:
        """What a worker says; of other children's words nothing is taken."""
        if word == ASKING:
            self._asked[member.generation] = text
        elif word == UNAVAILABLE:
            self._on_unavailable(text)

    def _on_unavailable(self, reason: str) -> None:
        """A type of account can't be checked on this machine; logged once."""
        if reason not in self._reasons and len(self._reasons) < MAX_REASONS:
            self._reasons.add(reason)
            log.warning("log-ins get auth_mode_error: %s", reason)

    def log_ins(self, loop: Loop, site: Site) -> LogIns:
        """The way of one lond child to the workers; called in the child."""
        hashing_, asking = (
            HashClient(loop, self._kinds[key].path, site.config.hash_timeout) for key in (HASHER, ASKER)
        )
        return LogIns(loop, hashing_, asking, self.table, Limits.of(site.config))

    def close_listeners(self, except_of: str = "") -> None:
        """Close, in a child, the sockets that it does not serve."""
        for key, kind in self._kinds.items():
            if key != except_of:
                kind.listener.close()

    def close(self) -> None:
        """In the parent: remove the sockets, and give up the table."""
        for kind in self._kinds.values():
            with suppress(OSError):
                if _identity(kind.path) == kind.identity:
                    kind.path.unlink()
        self.close_listeners()
        self.table.close()


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
