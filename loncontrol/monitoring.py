"""The command for monitoring systems that understand Nagios plugins: one line, an exit code, performance data."""

from __future__ import annotations

import argparse
from pathlib import Path

from common.errors import ConfigError
from common.owner import why_not_allowed
from common.site import load_site
from loncontrol.control import USAGE, Control, argument, command_without_site, complain, say, seconds
from lonstatus.daemons import Daemon, State
from lonstatus.peers import Peer, peers
from lonstatus.text import counted, duration

OK, WARNING, CRITICAL, UNKNOWN = range(4)
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
DOWN = ("down", "connecting")
LOST = ("given up", "hung", "stopped")
_AGE = seconds(0, 366 * 86400)


@command_without_site(
    "check",
    "one line for a monitoring system, with Nagios' exit codes",
    argument("--warn", type=_AGE, default=300.0, metavar="SECONDS", help="age of a delayed message (300)"),
    argument("--crit", type=_AGE, default=3600.0, metavar="SECONDS", help="age of a delayed message (3600)"),
    description="Exit code 0: all is well. 1: a peer is down, messages are held or failed, or the oldest delayed "
    "message is older than --warn. 2: a daemon does not run or hangs, a peer is given up, its process is missing or "
    "hangs, its FIFO can't be read, or a message is older than --crit. 3: the configuration is wrong, or this user may "
    "not look. A paused peer is at most a warning.",
)
def check(conf: Path, options: argparse.Namespace) -> int:
    """The worst of all that is found decides."""
    if options.warn > options.crit:
        return complain(f"--warn ({options.warn:g}) is above --crit ({options.crit:g}); give both", USAGE)
    try:
        return _check(Control(load_site(conf), conf), options)
    except ConfigError as error:
        reason = str(error)
    except PermissionError as error:
        reason = why_not_allowed(error)
    say(f"LONCAPA UNKNOWN - {reason}")
    return UNKNOWN


def _check(control: Control, options: argparse.Namespace) -> int:
    lonc_runs = control.lonc.state is State.RUNNING
    found = list(peers(control.site, lonc_runs))
    troubles = [(CRITICAL, text) for daemon in control.daemons if (text := _trouble_of(daemon))]
    if not lonc_runs:
        found = [peer for peer in found if peer.oldest is not None or peer.held or peer.failed or peer.unreadable]
    troubles += [trouble for peer in found for trouble in troubles_of(peer, options.warn, options.crit, lonc_runs)]
    worst = max((level for level, _ in troubles), default=OK)
    if worst == OK:
        troubles.insert(0, (OK, f"{counted(sum(peer.state != 'paused' for peer in found), 'peer')} up"))
    words = ", ".join(text for _, text in sorted(troubles, key=lambda trouble: -trouble[0]))
    say(f"LONCAPA {WORDS[worst]} - {words} | {_performance(found, options)}")
    return worst


def _trouble_of(daemon: Daemon) -> str:
    if daemon.state is not State.RUNNING:
        return f"{daemon.name} does not run"
    hung = daemon.hangs_for
    return f"{daemon.name} hangs since {duration(hung)}" if hung else ""


def troubles_of(peer: Peer, warn: float, crit: float, lonc_runs: bool = True) -> list[tuple[int, str]]:
    """What is to be said of a peer, each with its level; a pause alone is nothing wrong.

    :param warn: seconds that its oldest delayed message may be old.
    :param crit: seconds.
    :param lonc_runs: if it does not, that no peer has a link is no news of each.
    """
    found = [(CRITICAL, f"{peer.host}: {peer.last_error}")] if peer.unreadable else []
    if peer.trouble:
        found.append((WARNING, f"{peer.host}: {peer.trouble}"))
    if peer.state in DOWN:
        found.append((WARNING, f"{peer.host} {peer.state} ({peer.why or 'not tried yet'})"))
    elif peer.state in LOST and lonc_runs:
        found.append((CRITICAL, f"{peer.host} {peer.state} ({peer.why})"))
    if peer.oldest is not None and peer.oldest > warn:
        critical = peer.oldest > crit and peer.state != "paused"
        words = f"{peer.host} {'paused, ' if peer.state == 'paused' else ''}behind by {duration(peer.oldest)}"
        found.append((CRITICAL if critical else WARNING, f"{words} ({counted(peer.delayed, 'message')})"))
    elif peer.state == "paused":
        found.append((OK, f"{peer.host} paused"))
    found += [
        (WARNING, f"{peer.host} has {counted(number, f'{state} message')}")
        for state, number in (("held", peer.held), ("failed", peer.failed))
        if number
    ]
    return found


def _performance(found: list[Peer], options: argparse.Namespace) -> str:
    """``'LABEL'=VALUE[UNIT];WARN;CRIT;MIN``; a label is a host id, which holds no quote."""
    down = sum(peer.state in (*DOWN, *LOST) for peer in found)
    sums = f"down={down};;;0 delayed={sum(p.delayed for p in found)};;;0 held={sum(p.held for p in found)};;;0"
    ages = [f"'{p.host}_oldest'={p.oldest or 0:.0f}s;{options.warn:g};{options.crit:g};0" for p in found]
    return " ".join([sums, f"failed={sum(p.failed for p in found)};;;0", *ages])
