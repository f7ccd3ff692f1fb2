"""The workers as lond's parent keeps them: their sockets, their number, and the table of failed log-ins.

There are three kinds with a socket each in lonSockDir: those that hash passwords here (``.lond.hash``), and those that
ask somebody else (PAM, Kerberos, local programs), so that a Kerberos server that does not answer keeps nobody from
logging in whose hash is here. Of the latter some ask for known browsers alone (``.lond.ask-known``), so that nobody's
guesses keep these waiting, and some for all others (``.lond.ask``). All are members of lond's population.

The pool is made before the first child is forked; children get at it by :meth:`HashPool.log_ins`.

Promises: as :mod:`lond.workers`.

Logs: once for each reason why a type of account can't be checked on this machine; who does not answer. Raises OSError
when it is made.
"""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Callable, Collection
from functools import partial

from common.config import Config
from common.counters import Tally
from common.login_lanes import LoginLane
from common.loop import Loop
from common.population import Birth, Member, Population
from common.site import Site
from lond.authentication import hash_worker, hashing
from lond.authentication.hash_client import HashClient
from lond.authentication.hash_worker import ASKING, UNAVAILABLE
from lond.authentication.log_ins import Clients, LogIns
from lond.authentication.silence import PAUSE, Silences
from lond.authentication.slow_checks import SlowChecks
from lond.authentication.throttle import Limits
from lond.authentication.throttle_table import ThrottleTable
from lond.workers import Workers

log = logging.getLogger(__name__)

HASHER, ASKER, KNOWN_ASKER = "hasher", "asker", "asker-known"  # the keys in the population
MAX_REASONS = 100  # of "can't be checked" that are remembered and logged


class HashPool:
    """See the module.

    :param site: for lonSockDir.
    :param release: closes, in a worker, what else lond's children inherit.
    """

    def __init__(self, site: Site, release: Callable[[], None]) -> None:
        self.table = ThrottleTable.create()
        self._silences = Silences(self.table, time.monotonic)
        self._asked: dict[int, str] = {}  # generation of a worker -> whom it asks, as a digest and in words
        self._release = release
        self._reasons: set[str] = set()
        self._workers = Workers()
        for key, name, wanted in (
            (HASHER, ".lond.hash", lambda config: config.hash_workers),
            (ASKER, ".lond.ask", lambda config: config.ask_workers),
            (KNOWN_ASKER, ".lond.ask-known", lambda config: config.ask_workers),
        ):
            self._workers.add(key, site.config.sock_dir / name, wanted, partial(self._live, key))

    @staticmethod
    def slots(config: Config) -> int:
        """How many members of the population the workers are at most, those included that are being replaced."""
        return 2 * (config.hash_workers + 2 * config.ask_workers)

    def balance(self, population: Population, site: Site, now: float, outdated: Collection[int]) -> None:
        """Have as many workers as are wanted; see :meth:`lond.workers.Workers.balance`."""
        self._workers.balance(population, site, now, outdated)

    def _live(self, key: str, birth: Birth, listener: socket.socket, site: Site) -> int:
        self._release()
        perform = partial(hashing.perform, hostname=site.own.hostname)
        timeout = site.config.hash_timeout
        return hash_worker.Worker(key, listener, birth, timeout, perform, self._silences).live()

    def on_end(self, member: Member, code: int, loop: Loop) -> bool:
        """Take note of a child's end; False if it was none of ours."""
        if not self._workers.on_end(member, code, loop):
            return False
        digest, _, asked = self._asked.pop(member.generation, "").partition(" ")
        if asked and code == -signal.SIGALRM and self._silences.silent(digest):
            log.error("%s does not answer; until it does it is asked every %.0f s only", asked, PAUSE)
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

    def log_ins(self, loop: Loop, site: Site, tally: Tally) -> LogIns:
        """The way of one lond child to the workers; called in the child.

        :param tally: where failed log-ins are counted.
        """
        config = site.config
        hashing_, asking, asking_for_known = (
            HashClient(loop, self._workers.path(key), config.hash_timeout) for key in (HASHER, ASKER, KNOWN_ASKER)
        )
        clients = Clients(hashing_, asking, asking_for_known)
        limits = {kind: Limits.of(config, kind) for kind in LoginLane}
        return LogIns(loop.clock, clients, self.table, limits, SlowChecks(loop.clock, loop, config.ask_patience), tally)

    def close_listeners(self) -> None:
        """Close, in a child that serves links, the workers' sockets."""
        self._workers.close_listeners()

    def close(self) -> None:
        """In the parent: remove the sockets, and give up the table."""
        self._workers.close()
        self.table.close()
