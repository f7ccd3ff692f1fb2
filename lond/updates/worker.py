"""A worker: works off what this host has to do about resources, and fetches uploaded files for lond's children.

One job at a time, in a thread, so that the worker goes on hearing its parent, shows that it lives, and renews its claim
on the job. What it was doing when it is killed is somebody else's job some seconds later. Asked to end, it gives its
job half of lonGrace. Between two jobs it looks at the queue: when a child says that there is something new, when
something is due, and every :data:`LOOK` seconds.

A connection on its socket brings one line: ``wake``, or a file to be fetched, answered ``ok`` or ``failed``. While it
works it accepts none: the system's queue gives them to another worker.

Logs: what :mod:`lond.updates.work` does; an uploaded file that could not be fetched (warning); a queue that can't be
read (error, once until it can be).
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from common.errors import LonError, SpoolError
from common.loop import READ, Loop, Timer
from common.population import Birth
from common.resource_jobs import CLAIM_SECONDS, Job, ResourceJobs, jobs_path
from common.scoreboard import Slot
from common.site import Site
from common.title import set_title
from common.wal import is_damaged
from lond.updates.recovery import recover
from lond.updates.userfiles import UserFile, fetch
from lond.updates.work import Outcome, perform
from lonnet import Lonnet

log = logging.getLogger(__name__)

Result = TypeVar("Result")

TICK = 1.0  # seconds between updates of the scoreboard, and of the claim
LOOK = 5.0  # seconds between two looks at the queue at most
REST = 0.2  # seconds between two looks at least: what is due may be more than its domain's share
BUSY_TICK = 0.02  # seconds between two looks at the thread that works
PATIENCE = 5.0  # seconds for a client's line to come
MAX_LINE = 8192  # bytes
WAKE, OK, FAILED = b"wake", b"ok\n", b"failed\n"

assert TICK < CLAIM_SECONDS / 2


class Worker:
    """See the module.

    :param listener: the workers' socket.
    """

    def __init__(self, name: str, listener: socket.socket, birth: Birth, site: Site) -> None:
        self.loop = Loop()
        self._site, self._net = site, Lonnet(site)
        self._listener, self._birth = listener, birth
        self._thread = ThreadPoolExecutor(1)
        self._job: Job | None = None
        self._future: Future[Outcome] | None = None
        self._next_look: Timer | None = None
        self._ending = self._troubled = False
        self._slot = Slot(os.getpid(), birth.generation, name, time.time(), started=time.time())

    def live(self) -> int:
        """Work until the parent asks to end or is gone; the exit code."""
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            self.loop.on_signal(number, lambda: None)
        self.loop.on_signal(signal.SIGTERM, self._end)
        self.loop.on_signal(signal.SIGUSR1, lambda: log.info("lond: updater, %d jobs", self._slot.requests))
        self._birth.lifeline.watch(self.loop, lambda _message: None, self.loop.stop)
        set_title(f"lond: {self._slot.state}")
        self._tick()
        self.loop.every(TICK, self._tick)
        self._be_free()
        self.loop.run()
        if self._job is not None:  # it ends with this process
            job = self._job
            self._with_queue(lambda jobs: jobs.release(job))
        return 0

    def _end(self) -> None:
        self._ending = True
        if self._future is None:
            self.loop.stop()
        else:
            self.loop.call_later(self._site.config.grace / 2, self.loop.stop)

    def _tick(self) -> None:
        self._slot.heartbeat = time.monotonic()
        self._birth.board.write(self._birth.slot, self._slot)
        job = self._job
        if job is not None:
            self._with_queue(lambda jobs: jobs.renew(job))

    def _be_free(self) -> None:
        """Between two jobs: take the next one, or wait for one. A file goes first, because somebody waits for it."""
        self.loop.forget(self._listener)
        if self._next_look is not None:
            self._next_look.cancel()
        if self._ending:
            self.loop.stop()
        elif not self._accept() and not self._look():
            self.loop.watch(self._listener, READ, lambda _mask: self._be_free())

    def _look(self) -> bool:
        """Begin with the job that is due, if one is; otherwise make sure that the queue is looked at in time."""
        found: tuple[Job | None, float | None] | None = None
        if jobs_path(self._site.config).exists():
            most = max(self._site.config.update_workers - 1, 1)  # one domain's servers can't hold all
            found = self._with_queue(lambda jobs: _next_of(jobs, most))
        job, pause = found or (None, None)
        if job is not None:
            self._job = job
            self._start(lambda: perform(self._net, job), self._on_performed)
            return True
        self._next_look = self.loop.call_later(LOOK if pause is None else min(max(pause, REST), LOOK), self._be_free)
        return False

    def _on_performed(self, outcome: Outcome) -> None:
        job, self._job = self._job, None
        assert job is not None
        if outcome.again_in is None:
            self._with_queue(lambda jobs: jobs.finish(job))
        else:
            self._with_queue(lambda jobs: jobs.postpone(job, outcome.again_in or 0.0))

    def _with_queue(self, act: Callable[[ResourceJobs], Result]) -> Result | None:
        """What `act` gives; None if the queue can't be used now. It is opened for each look, and is then nobody's."""
        try:
            jobs = ResourceJobs(jobs_path(self._site.config))
            try:
                result = act(jobs)
            finally:
                jobs.close()
        except SpoolError as error:
            self._on_trouble(error)
            return None
        self._troubled = False
        return result

    def _on_trouble(self, error: SpoolError) -> None:
        if not self._troubled:
            log.error("the queue of updates can't be used: %s", error)
        self._troubled = True
        if is_damaged(error):
            try:
                recover(self._site.config)
            except (SpoolError, OSError) as trouble:
                log.error("the queue of updates can't be made anew: %s", trouble)

    def _start(self, work: Callable[[], Outcome], done: Callable[[Outcome], None]) -> None:
        self._slot.requests += 1
        self._future = self._thread.submit(self._in_thread, work)
        self._wait(done)

    def _in_thread(self, work: Callable[[], Outcome]) -> Outcome:
        try:
            return work()
        finally:
            self._net.close_thread()

    def _wait(self, done: Callable[[Outcome], None]) -> None:
        assert self._future is not None
        if not self._future.done():
            self.loop.call_later(BUSY_TICK, lambda: self._wait(done))
            return
        future, self._future = self._future, None
        done(future.result())
        self._slot.replies += 1
        self._be_free()

    def _accept(self) -> bool:
        """Begin with a file that a client asks for; False: nobody does now."""
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:  # there is none, or another worker was quicker
                return False
            channel.settimeout(PATIENCE)
            line = _read_line(channel)
            if line is not None and line != WAKE:
                break
            channel.close()
        self._start(lambda: self._fetched(line, channel), lambda _outcome: channel.close())
        return True

    def _fetched(self, line: bytes, channel: socket.socket) -> Outcome:
        """Fetch an uploaded file and say what became of it."""
        try:
            wanted = UserFile.decode(line)
            fetch(self._site, wanted, self._site.config.fetch_timeout)
            answer = OK
        except (LonError, OSError, ValueError, KeyError, TypeError) as error:
            log.warning("an uploaded file could not be fetched: %s", error)
            answer = FAILED
        with suppress(OSError):  # nobody waits for it any more
            channel.sendall(answer)
        return Outcome()


def _next_of(jobs: ResourceJobs, most: int) -> tuple[Job | None, float | None]:
    """The job that is due, now ours; if none is, the seconds until one will be.

    :param most: jobs of one domain that all workers do at a time.
    """
    job = jobs.take(most)
    return job, None if job else jobs.seconds_until_due()


def _read_line(channel: socket.socket) -> bytes | None:
    """The client's line without its LF, None if it is gone or too long."""
    data = b""
    try:
        while b"\n" not in data:
            part = channel.recv(MAX_LINE)
            if not part or len(data) + len(part) > MAX_LINE:
                return None
            data += part
    except OSError:
        return None
    return data.partition(b"\n")[0]
