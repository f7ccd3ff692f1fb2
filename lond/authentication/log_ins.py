"""Log-ins, as commands see them: throttled, checked by the workers, counted and logged.

Promises: the process goes on meanwhile; `on_done` is called once for each call, from the loop, or at once when the
password is not to be checked now. Only wrong passwords (and users that don't exist) count as failures, not those that
could not be checked.

Logs: one warning for each failed log-in with user, asking host and lane, never with the password. Raises nothing.

Known limits: who is asked for a log-in that is then refused by the throttle is not logged, because a flood of those
would fill the log.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from common.login_lanes import LoginLane
from lond.authentication.hashing import Job, Outcome, Verdict
from lond.authentication.throttle import Lane, Limits, Record, admitted, failed
from lond.authentication.throttle_table import ThrottleTable

_log = logging.getLogger(__name__)

OnDone = Callable[[Outcome], None]
# Others' replies wait behind a log-in that waits for those before it. It is looked at when the one before it has ended,
# which may take londHashTimeout; then who has waited for more seconds than this is not checked any more.
LONGEST_QUEUE = 3.0
QUEUE = 64  # log-ins of one lane that wait for those before them, in this process


class Client(Protocol):
    """The way to the workers of one kind; see :class:`lond.authentication.hash_client.HashClient`."""

    def submit(self, job: Job, on_done: OnDone) -> None:
        """Have a job done."""


class LogIns:
    """See the module.

    :param clock: monotonic seconds.
    :param hashing: the way to the workers that hash.
    :param asking: the way to those that ask others.
    :param table: the records of failed log-ins, shared by all children.
    """

    def __init__(
        self, clock: Callable[[], float], hashing: Client, asking: Client, table: ThrottleTable, limits: Limits
    ) -> None:
        self._clock, self._hashing, self._asking = clock, hashing, asking
        self._table, self._limits = table, limits
        self._queues: dict[Lane, deque[tuple[Job, OnDone, float]]] = {}

    def check(self, job: Job, host: str, on_done: OnDone, kind: LoginLane = LoginLane.STRANGERS) -> None:
        """Check a password, unless failed log-ins in its lane forbid it for the moment.

        :param host: the id of the host that asks, by its address.
        :param on_done: gets the outcome; BUSY: try again.
        :param kind: of the lane, as that host says; see :class:`lond.authentication.throttle.Lane`.
        """
        lane = Lane(job.domain, job.user, host, kind)
        waiting = self._queues.get(lane)
        if waiting is None:
            self._queues[lane] = deque([(job, on_done, self._clock())])
            self._next(lane)
        elif len(waiting) < QUEUE:
            waiting.append((job, on_done, self._clock()))
        else:
            on_done(Outcome(Verdict.BUSY))

    def _next(self, lane: Lane) -> None:
        """One after the other, so that a burst of guesses meets the record of each before it."""
        queue = self._queues[lane]
        while queue:
            job, on_done, since = queue.popleft()
            if self._is_admitted(lane, since):
                self._start(job, lane, on_done)
                return
            on_done(Outcome(Verdict.BUSY))
        del self._queues[lane]

    def _is_admitted(self, lane: Lane, since: float) -> bool:
        now = self._clock()
        if now - since > LONGEST_QUEUE:
            return False
        return self._table.change(lane.name, lambda record: admitted(record, now, self._limits))

    def hash(self, domain: bytes, user: bytes, password: bytes, on_done: OnDone) -> None:
        """Hash a new password; RIGHT with the hash, or FAILED or BUSY."""
        self._hashing.submit(Job(domain, user, None, None, password), on_done)

    def _start(self, job: Job, lane: Lane, on_done: OnDone) -> None:
        def done(outcome: Outcome) -> None:
            self._remember(lane, outcome.verdict)
            on_done(outcome)
            self._next(lane)

        (self._asking if job.asks else self._hashing).submit(job, done)

    def _remember(self, lane: Lane, verdict: Verdict) -> None:
        if verdict is Verdict.RIGHT:
            self._table.change(lane.name, lambda _record: (Record(), None))
        elif verdict is Verdict.WRONG:
            self._count(lane)

    def _count(self, lane: Lane) -> None:
        now = self._clock()

        def change(record: Record) -> tuple[Record, int]:
            new = failed(record, now, self._limits)
            return new, new.failures

        failures = self._table.change(lane.name, change)
        self._table.count()
        domain, user = lane.domain.decode("ascii"), lane.user.decode("ascii")
        kind = lane.kind.name.lower()
        _log.warning(
            "failed log-in of %s:%s from %s, number %d in a row in lane %s", domain, user, lane.host, failures, kind
        )
