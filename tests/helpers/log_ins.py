"""Log-ins without processes: a clock moved by hand, and workers that do each job in this process."""

from __future__ import annotations

from collections.abc import Callable

from lond.authentication.hashing import Job, Outcome, perform
from lond.authentication.log_ins import LogIns, OnDone
from lond.authentication.throttle import Limits
from lond.authentication.throttle_table import ThrottleTable

LIMITS = Limits(after=3, longest=3.0, forget=900.0)


class Clockwork:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class Workers:
    """Workers that do each job at once, or not before :meth:`work`; or that have an outcome of their own."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.outcome: Outcome | None = None
        self.holding = False
        self._held: list[Callable[[], None]] = []

    def submit(self, job: Job, on_done: OnDone) -> None:
        self.jobs.append(job)
        if self.holding:
            self._held.append(lambda: on_done(self._done(job)))
        else:
            on_done(self._done(job))

    def _done(self, job: Job) -> Outcome:
        return self.outcome or perform(job, "msul1.test")

    def work(self) -> None:
        """Do the jobs that are held."""
        held, self._held = self._held, []
        for call in held:
            call()


class LogInsInProcess(LogIns):
    """The log-ins of one lond child; `close` it."""

    def __init__(self) -> None:
        self.clock, self.hashing, self.asking, self.table = Clockwork(), Workers(), Workers(), ThrottleTable.create()
        super().__init__(self.clock, self.hashing, self.asking, self.table, LIMITS)

    def close(self) -> None:
        """Give back the table."""
        self.table.close()
