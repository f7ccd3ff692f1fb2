"""Log-ins without processes: a clock moved by hand, and workers that do each job in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from common.counters import Tally
from common.login_lanes import LoginLane
from common.metrics import LOND, Counter, Layout
from lond.authentication.hashing import Job, Outcome, perform
from lond.authentication.log_ins import Clients, LogIns, OnDone
from lond.authentication.slow_checks import SlowChecks
from lond.authentication.throttle import Limits
from lond.authentication.throttle_table import ThrottleTable

LIMITS = Limits(after=3, longest=3.0, forget=900.0)


PATIENCE = 0.5  # seconds


class Clockwork:
    """A clock that is moved by hand, with timers."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass; what is due then is called."""
        self.now += seconds
        due = [call for when, call in self._timers if when <= self.now]
        self._timers = [timer for timer in self._timers if timer[0] > self.now]
        for call in due:
            call()

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once, when so much time has passed."""
        self._timers.append((self.now + seconds, call))


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


def counted(tally: Tally, name: str) -> dict[str, float]:
    """What one of lond's counters says, without zeros."""
    [metric] = (metric for metric in LOND if isinstance(metric, Counter) and metric.name == name)
    return {value: number for value, number in tally.numbers().counter(metric).items() if number}


class LogInsInProcess(LogIns):
    """The log-ins of one lond child; `close` it."""

    def __init__(self) -> None:
        self.clock, self.table = Clockwork(), ThrottleTable.create()
        self.hashing, self.asking, self.asking_for_known = Workers(), Workers(), Workers()
        clients = Clients(self.hashing, self.asking, self.asking_for_known)
        limits = dict.fromkeys(LoginLane, LIMITS) | {LoginLane.FRESH: replace(LIMITS, longest=0.5)}
        self.tally = Tally(Layout(LOND))
        slow = SlowChecks(self.clock, self.clock, PATIENCE)
        super().__init__(self.clock, clients, self.table, limits, slow, self.tally)

    def failed(self) -> dict[str, float]:
        """How many log-ins have failed, by lane."""
        return counted(self.tally, "log_ins_failed")

    def close(self) -> None:
        """Give back the table."""
        self.table.close()
