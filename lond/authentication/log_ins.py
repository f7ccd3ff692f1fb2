"""Log-ins, as commands see them: throttled, checked by the workers, counted and logged.

Promises: the process goes on meanwhile; `on_done` is called once for each call, from the loop, or at once when too many
log-ins of that user wait already. Only wrong passwords (and users that don't exist) count as failures, not those that
could not be checked.

Logs: one warning for each failed log-in with user and asking host, never with the password. Raises nothing.

Known limits: who is asked for a log-in that is then refused by the throttle is not logged, because a flood of those
would fill the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from common.loop import Loop
from lond.authentication.hashing import Job, Outcome, Verdict
from lond.authentication.throttle import Limits, Record, failed, reserve
from lond.authentication.throttle_table import ThrottleTable

_log = logging.getLogger(__name__)

OnDone = Callable[[Outcome], None]


class Client(Protocol):
    """The way to the workers of one kind; see :class:`lond.authentication.hash_client.HashClient`."""

    def submit(self, job: Job, on_done: OnDone) -> None:
        """Have a job done."""


class LogIns:
    """See the module.

    :param hashing: the way to the workers that hash.
    :param asking: the way to those that ask others.
    :param table: the records of failed log-ins, shared by all children.
    """

    def __init__(self, loop: Loop, hashing: Client, asking: Client, table: ThrottleTable, limits: Limits) -> None:
        self._loop, self._hashing, self._asking = loop, hashing, asking
        self._table, self._limits = table, limits

    def check(self, job: Job, host: str, on_done: OnDone) -> None:
        """Check a password, after the wait that failed log-ins have brought.

        :param host: the id of the host that asks, by its address.
        :param on_done: gets the outcome; BUSY: try again.
        """
        now = self._loop.clock()
        wait = self._table.change(job.domain, job.user, host, lambda record: reserve(record, now, self._limits))
        if wait is None:
            on_done(Outcome(Verdict.BUSY))
        elif wait > 0:
            self._loop.call_later(wait, lambda: self._start(job, host, on_done))
        else:
            self._start(job, host, on_done)

    def hash(self, domain: bytes, user: bytes, password: bytes, on_done: OnDone) -> None:
        """Hash a new password; RIGHT with the hash, or FAILED or BUSY."""
        self._hashing.submit(Job(domain, user, None, None, password), on_done)

    def _start(self, job: Job, host: str, on_done: OnDone) -> None:
        def done(outcome: Outcome) -> None:
            self._remember(job, host, outcome.verdict)
            on_done(outcome)

        (self._asking if job.asks else self._hashing).submit(job, done)

    def _remember(self, job: Job, host: str, verdict: Verdict) -> None:
        if verdict is Verdict.RIGHT:
            self._table.change(job.domain, job.user, host, lambda _record: (Record(), None))
        elif verdict is Verdict.WRONG:
            self._count(job, host)

    def _count(self, job: Job, host: str) -> None:
        now = self._loop.clock()

        def change(record: Record) -> tuple[Record, int]:
            new = failed(record, now, self._limits)
            return new, new.failures

        failures = self._table.change(job.domain, job.user, host, change)
        self._table.count()
        domain, user = job.domain.decode("ascii"), job.user.decode("ascii")
        _log.warning("failed log-in of %s:%s from %s, number %d in a row", domain, user, host, failures)
