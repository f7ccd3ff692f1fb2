"""Log-ins, as commands see them: throttled, checked by the workers, counted and logged.

Passwords of accounts about which somebody else is asked have workers of their own, those of known browsers others
again: however many guesses keep the former waiting, a known browser's log-in is checked.

Promises: the process goes on meanwhile; `on_done` is called once for each call, from the loop, or at once when the
password is not to be checked now. Only wrong passwords (and users that don't exist) count as failures, not those that
could not be checked.

Logs: one warning for each failed log-in with user, asking host and lane, never with the password; nor with the name of
who is no user, for some type their password where the name belongs. What is wrong with an account
(:mod:`lond.authentication.complaints`). Raises nothing.

Known limits: who is asked for a log-in that is then refused by the throttle is not logged, because a flood of those
would fill the log.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from common.counters import Tally
from common.login_lanes import LoginLane
from lond.authentication.complaints import Complaints
from lond.authentication.hashing import Job, Outcome, Verdict
from lond.authentication.slow_checks import SlowChecks
from lond.authentication.throttle import Lane, Limits, Record, admitted, failed
from lond.authentication.throttle_table import ThrottleTable

_log = logging.getLogger(__name__)

OnDone = Callable[[Outcome], None]
# Who waits for the log-in before is looked at when that has ended, which may take londHashTimeout, and is not checked
# any more after so many seconds: where callers don't come again, others' replies have waited as long.
LONGEST_QUEUE = 3.0
QUEUE = 64  # log-ins of one lane that wait for those before them, in this process


class Client(Protocol):
    """The way to the workers of one kind; see :class:`lond.authentication.hash_client.HashClient`."""

    def submit(self, job: Job, on_done: OnDone) -> None:
        """Have a job done."""


@dataclass(frozen=True, slots=True)
class Clients:
    """The ways to the workers.

    :param hashing: to those that hash.
    :param asking: to those that ask others.
    :param asking_for_known: to those that ask others for known browsers.
    """

    hashing: Client
    asking: Client
    asking_for_known: Client

    def of(self, job: Job, kind: LoginLane) -> Client:
        """The way for a log-in in a lane."""
        if not job.asks:
            return self.hashing
        return self.asking_for_known if kind is LoginLane.KNOWN else self.asking


class LogIns:
    """See the module.

    :param clock: monotonic seconds.
    :param table: the records of failed log-ins, shared by all children.
    :param limits: of each lane.
    :param slow: the checks whose callers come again.
    :param tally: where failed log-ins are counted.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        clients: Clients,
        table: ThrottleTable,
        limits: Mapping[LoginLane, Limits],
        slow: SlowChecks,
        tally: Tally,
    ) -> None:
        self._clock, self._clients, self._slow, self._tally = clock, clients, slow, tally
        self._table, self._limits = table, limits
        self._complaints = Complaints(table, clock)
        self._queues: dict[Lane, deque[tuple[Job, OnDone, float]]] = {}

    def check(self, job: Job, host: str, on_done: OnDone, kind: LoginLane | None = None) -> None:
        """Check a password, unless failed log-ins in its lane forbid it for the moment.

        :param host: the id of the host that asks, by its address.
        :param on_done: gets the outcome; BUSY: try again; UNDER_WAY: come again.
        :param kind: of the lane, as that host says (see :class:`lond.authentication.throttle.Lane`); None: it says
            nothing, so it does not come again either, and waits for as long as it takes.
        """
        lane = Lane(job.domain, job.user, host, kind or LoginLane.STRANGERS)
        if kind and job.asks:
            self._slow.join(lane.name + b"\0" + job.encode(), lambda done: self._queue(job, lane, done), on_done)
        else:
            self._queue(job, lane, on_done)

    def _queue(self, job: Job, lane: Lane, on_done: OnDone) -> None:
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
        return self._table.change(lane.name, lambda record: admitted(record, now, self._limits[lane.kind]))

    def hash(self, domain: bytes, user: bytes, password: bytes, on_done: OnDone) -> None:
        """Hash a new password; RIGHT with the hash, or FAILED or BUSY."""
        self._clients.hashing.submit(Job(domain, user, None, None, password), on_done)

    def complain(self, domain: bytes, user: bytes, reason: str) -> None:
        """Have it logged that a user's account can't be used; see :meth:`Complaints.add`."""
        self._complaints.add(domain, user, reason)

    def _start(self, job: Job, lane: Lane, on_done: OnDone) -> None:
        def done(outcome: Outcome) -> None:
            self._remember(job, lane, outcome)
            on_done(outcome)
            self._next(lane)

        self._clients.of(job, lane.kind).submit(job, done)

    def _remember(self, job: Job, lane: Lane, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.RIGHT:
            self._table.change(lane.name, lambda _record: (Record(), None))
        elif outcome.verdict is Verdict.WRONG:
            self._count(job, lane)
        elif outcome.verdict is Verdict.UNUSABLE:
            self.complain(job.domain, job.user, outcome.reason)

    def _count(self, job: Job, lane: Lane) -> None:
        now = self._clock()

        def change(record: Record) -> tuple[Record, int]:
            new = failed(record, now, self._limits[lane.kind])
            return new, new.failures

        failures = self._table.change(lane.name, change)
        self._tally.add("log_ins_failed", lane.kind.value)
        domain, user = lane.domain.decode("ascii"), lane.user.decode("ascii")
        who = f"{domain}:{user}" if job.account else f"an unknown user of {domain}"
        kind = lane.kind.name.lower()
        _log.warning("failed log-in of %s from %s, number %d in a row in lane %s", who, lane.host, failures, kind)
