"""Do both daemons run, and turn? What is missing is started.

Where systemd looks after the daemons it is only told: nothing is started that was stopped on purpose, or beside what
systemd starts; and what a unit of loncron starts would end with it.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator

from loncron.visit import Visit
from lonstatus.daemons import Daemon, State
from lonstatus.findings import Finding, Level
from lonstatus.services import BEGIN, is_service
from lonstatus.text import duration

log = logging.getLogger(__name__)

NAME = "daemons"


def check(visit: Visit) -> Iterator[Finding]:
    """An error for each daemon that died or hangs, a warning for one that nobody has started."""
    for daemon in visit.daemons():
        state = daemon.state
        if state is State.RUNNING:
            yield from _hanging(daemon)
            continue
        how = "is not running" if state is State.STOPPED else "is dead, its pid file is left"
        level = Level.WARNING if state is State.STOPPED else Level.ERROR
        key = f"{daemon.name} {_death(daemon)}"
        good, done = _help(visit, daemon)
        yield Finding(level if good else Level.ERROR, NAME, key, f"{daemon.name} {how}; {done}")


def _hanging(daemon: Daemon) -> Iterator[Finding]:
    if hung := daemon.hangs_for:
        text = (
            f"{daemon.name}, pid {daemon.pid}, has not turned its loop for {duration(hung)}: it starts no children any "
            "more. When you know why, end it with KILL; loncron starts it again"
        )
        yield Finding(Level.ERROR, NAME, f"{daemon.name} hangs", text)


def _death(daemon: Daemon) -> str:
    """Tells one death from another: a daemon that dies again and again is news each time."""
    try:
        return f"of {daemon.pid_file.stat().st_mtime:.0f}"
    except OSError:
        return "not started"


def _help(visit: Visit, daemon: Daemon) -> tuple[bool, str]:
    """Start it if that is ours to do; whether it is well now, and what was done, in words."""
    if is_service(visit.conf):
        return False, f"it is for the service manager to start it: {BEGIN}"
    if visit.dry:
        return True, "it would be started"
    try:
        code, words = daemon.start()
    except (OSError, subprocess.TimeoutExpired) as error:
        code, words = 1, str(error)
    if code:
        log.error("%s could not be started: %s", daemon.name, words)
        return False, f"it could not be started: {words or f'it ended with {code}'}"
    log.warning("%s was missing and runs again with pid %s", daemon.name, daemon.pid)
    return True, f"it was started and runs with pid {daemon.pid}"
