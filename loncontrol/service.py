"""The commands of an init script: start, stop, reload, status.

`status` exits with 0 if both daemons run, 1 if one is dead with its pid file left, 3 if it is stopped, 4 if that is not
known: one hangs, or nobody knows where the pid files are.
"""

from __future__ import annotations

import argparse
import signal
import time

from common.errors import ConfigError
from common.hosts_table import parse_hosts
from common.pauses import Pause, pauses
from common.site import load_files, load_site
from common.text_file import read_text
from loncontrol.control import (
    FAILED,
    NOT_ALLOWED,
    NOT_CONFIGURED,
    NOT_RUNNING,
    OK,
    Control,
    Daemons,
    command,
    command_of_daemons,
    complain,
    say,
)
from lonstatus.daemons import Daemon, State
from lonstatus.services import BEGIN, is_service
from lonstatus.text import duration

STATUS_DEAD, STATUS_STOPPED, STATUS_UNKNOWN = 1, 3, 4
OF_SYSTEMD = f"systemd looks after the daemons, and must start them itself: {BEGIN} (or restart), as root"
GOES_ON = "what runs goes on with what it has read"
_Options = argparse.Namespace


@command_of_daemons("start", "start what does not run; have a running lonc try its lost links again")
def start(control: Daemons, _options: _Options) -> int:
    """Start lond, then lonc.

    :raises ConfigError: what does not run could not be started: nothing was begun.
    """
    if any(daemon.state is not State.RUNNING for daemon in control.daemons):
        load_site(control.conf)
        if is_service(control.conf):
            return complain(OF_SYSTEMD, NOT_ALLOWED)
    for daemon in control.daemons:
        if daemon.state is State.RUNNING:
            say(f"{daemon.name} runs already, pid {daemon.pid}")
            if daemon is control.lonc:
                daemon.signal(signal.SIGUSR1)
            continue
        code, words = daemon.start()
        if code or words:
            complain(words or f"{daemon.name} ended with {code}")
        if code:
            return FAILED
        say(f"{daemon.name} started, pid {daemon.pid}")
    return OK


@command_of_daemons("stop", "end what runs, lonc first")
def stop(control: Daemons, _options: _Options) -> int:
    """End lonc, then lond."""
    _tell_fault(control)
    for daemon in reversed(control.daemons):
        if daemon.state is not State.RUNNING:
            say(f"{daemon.name} does not run")
        elif daemon.stop():
            say(f"{daemon.name} stopped")
        else:
            return complain(f"{daemon.name} did not stop, see its log; if it hangs: kill -9 {daemon.pid}")
    return OK


@command_of_daemons("restart", "stop, then start")
def restart(control: Daemons, options: _Options) -> int:
    """Stop, then start.

    :raises ConfigError: what would be stopped could not be started again: nothing was begun.
    """
    load_site(control.conf)
    if is_service(control.conf):
        return complain(OF_SYSTEMD, NOT_ALLOWED)
    return stop(control, options) or start(control, options)


@command_of_daemons("try-restart", "restart if anything runs")
def try_restart(control: Daemons, options: _Options) -> int:
    """Restart if anything runs."""
    running = any(daemon.state is State.RUNNING for daemon in control.daemons)
    return restart(control, options) if running else OK


@command("reload", "check the configuration; if it is good, have both daemons read it again")
def reload(control: Control, options: _Options) -> int:
    """HUP to both, once the configuration is known to be good."""
    if code := configtest(control, options):
        return code
    missing = [daemon.name for daemon in control.daemons if not daemon.signal(signal.SIGHUP)]
    for name in missing:
        complain(f"{name} does not run, and reads nothing; to start it: loncontrol start")
    return NOT_RUNNING if missing else OK


command("force-reload", "as reload: no change needs more than that")(reload)


@command("configtest", "say what is wrong with configuration and tables")
def configtest(control: Control, _options: _Options) -> int:
    """Have both daemons check what they would read."""
    for daemon in control.daemons:
        code, words = daemon.check()
        if code:
            return complain(words, NOT_CONFIGURED)
    for warning in control.site.warnings:
        complain(f"warning: {warning}")
    say(f"configuration of {control.site.own.id} is good: {len(control.site.table.hosts)} hosts")
    return OK


@command_of_daemons("status", "say which daemons run", unknown=STATUS_UNKNOWN)
def status(control: Daemons, _options: _Options) -> int:
    """One line per daemon; the exit code is the answer."""
    _tell_fault(control)
    states = [daemon.state for daemon in control.daemons]
    for daemon, state in zip(control.daemons, states, strict=True):
        say(f"{daemon.name}: {_shown(daemon, state)}")
    for host, pause in _paused(control).items():
        say(f"{host} is paused since {time.ctime(pause.when)} {pause}")
    if all(state is State.RUNNING for state in states):
        return STATUS_UNKNOWN if any(daemon.hangs_for for daemon in control.daemons) else OK
    return STATUS_DEAD if State.DEAD in states else STATUS_STOPPED


def _shown(daemon: Daemon, state: State) -> str:
    if state is not State.RUNNING:
        return str(state.value)
    hung = daemon.hangs_for
    return f"{state.value}, pid {daemon.pid}" + (f", hangs since {duration(hung)}" if hung else "")


def _tell_fault(control: Daemons) -> None:
    try:
        load_files(control.conf)
    except ConfigError as error:
        complain(f"{error}; {GOES_ON}")


def _paused(control: Daemons) -> dict[str, Pause]:
    """The paused hosts of hosts.tab; if that can't be read, all that were ever paused."""
    try:
        paused = pauses(control.config.delayed_dir)
    except NotADirectoryError:  # _tell_fault has said it
        return {}
    table = control.config.tab_dir / "hosts.tab"
    try:
        known = parse_hosts(read_text(table), str(table))
    except ConfigError:  # as above
        return paused
    return {host: pause for host, pause in paused.items() if host in known}
