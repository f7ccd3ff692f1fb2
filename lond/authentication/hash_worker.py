"""A worker: hashes passwords, or asks others for them, on behalf of all lond children of this machine.

All workers of one kind accept on one UNIX socket. A worker takes one connection at a time, so that the system's queue
spreads the jobs over those that are free. Between two jobs it listens to its parent.

A job that takes longer than londHashTimeout ends its worker, by the system's timer: whatever it hangs in (a module of
PAM, say), nothing else could get it out. The parent forks another one.

Logs: a warning when somebody who was asked gave no answer (type and reason, no user), an error for a bug. What can't
be checked on this machine it tells its parent, who logs it once. Nothing of a job gets into a log, a title or a file.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable

from common.loop import READ, Loop
from common.population import Birth
from common.scoreboard import Slot
from common.title import set_title
from lond.authentication.hashing import MAX_LINE_BYTES, Job, Outcome, Verdict
from lond.authentication.silence import Silences

log = logging.getLogger(__name__)

TICK = 1.0  # seconds between updates of the scoreboard
PATIENCE = 5.0  # seconds for a client's line to come, and for its answer to be taken
UNAVAILABLE, ASKING = b"unavailable", b"asking"  # the first words of what the parent is told

SILENT = "it did not answer lately"

Perform = Callable[[Job], Outcome]


class Worker:
    """See the module.

    :param name: what it is called in titles and on the scoreboard.
    :param listener: the socket of the workers of its kind.
    :param timeout: seconds that one job may take.
    :param perform: does the work.
    :param silences: who does not answer.
    """

    def __init__(
        self, name: str, listener: socket.socket, birth: Birth, timeout: float, perform: Perform, silences: Silences
    ) -> None:
        self.loop = Loop()
        self._name, self._listener, self._birth = name, listener, birth
        self._timeout, self._perform, self._silences = timeout, perform, silences
        self._asked = ""  # whom the parent believes that we ask
        self._slot = Slot(os.getpid(), birth.generation, name, time.time(), started=time.time())

    def live(self) -> int:
        """Work until the parent asks to end or is gone; the exit code."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # its default, the end of the process, is what is wanted
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            self.loop.on_signal(number, lambda: None)
        self.loop.on_signal(signal.SIGTERM, self.loop.stop)
        self.loop.on_signal(signal.SIGUSR1, lambda: log.info("lond: %s, %d jobs", self._name, self._slot.requests))
        self._birth.lifeline.watch(self.loop, lambda _message: None, self.loop.stop)
        self.loop.watch(self._listener, READ, self._accept)
        set_title(f"lond: {self._name}")
        self._publish()
        self.loop.every(TICK, self._publish)
        self.loop.run()
        return 0

    def _publish(self) -> None:
        self._slot.heartbeat = time.monotonic()
        self._birth.board.write(self._birth.slot, self._slot)

    def _accept(self, _mask: int) -> None:
        try:
            channel, _ = self._listener.accept()
        except OSError:  # another worker was quicker
            return
        with channel:
            channel.settimeout(PATIENCE)
            try:
                self._serve(channel)
            except OSError:  # the client has gone, or does not read
                return

    def _serve(self, channel: socket.socket) -> None:
        line = _read_line(channel)
        if line is None or _is_closed(channel):  # nobody waits for it any more
            return
        try:
            job = Job.decode(line)
        except ValueError:
            log.error("a client sent a line that is not a job")
            return
        self._slot.requests += 1
        self._publish()
        outcome = self._asked_for(job) if job.asks else self._performed(job)
        self._note(job, outcome)
        channel.sendall(outcome.encode())
        self._slot.replies += 1

    def _asked_for(self, job: Job) -> Outcome:
        """The outcome of a job that needs another's answer; told to the parent, which sees it if we die of waiting."""
        assert job.account is not None
        who = hashlib.blake2b(job.account.asked.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        if not self._silences.may_ask(who):
            return Outcome(Verdict.FAILED, reason=SILENT)
        if who != self._asked:
            self._asked = who
            self._birth.lifeline.tell(b"%b %b" % (ASKING, f"{who} {job.account.shown}".encode()))
        outcome = self._performed(job)
        self._silences.answered(who)
        return outcome

    def _performed(self, job: Job) -> Outcome:
        signal.setitimer(signal.ITIMER_REAL, self._timeout)
        try:
            return self._perform(job)
        except Exception as error:
            # Neither the exception's text nor a traceback with it: they could hold the password.
            frame = traceback.extract_tb(error.__traceback__)[-1]
            log.error("internal error in a job: %s at %s:%s", type(error).__name__, frame.filename, frame.lineno)
            return Outcome(Verdict.FAILED, reason="internal error")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _note(self, job: Job, outcome: Outcome) -> None:
        kind = job.account.type if job.account else ""
        if outcome.verdict is Verdict.FAILED and outcome.reason != SILENT:
            log.warning("%s: a password could not be checked: %s", kind, outcome.reason)
        elif outcome.verdict is Verdict.UNAVAILABLE:
            self._birth.lifeline.tell(b"%b %b: %b" % (UNAVAILABLE, kind.encode(), outcome.reason.encode()))


def _read_line(channel: socket.socket) -> bytes | None:
    """The client's line without its LF, None if it is gone or too long."""
    data = b""
    while b"\n" not in data:
        part = channel.recv(MAX_LINE_BYTES)
        if not part or len(data) + len(part) > MAX_LINE_BYTES:
            return None
        data += part
    return data.partition(b"\n")[0]


def _is_closed(channel: socket.socket) -> bool:
    channel.setblocking(False)
    try:
        return channel.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    finally:
        channel.settimeout(PATIENCE)
