"""The commands on single links: try one now, take one away for a while, bring it back."""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import time

from common.pauses import MAX_WHY, Pause, pause, pauses, resume
from lonc.control import LOOK, NAME, RETRY, ask
from loncontrol.control import (
    FAILED,
    NOT_RUNNING,
    OK,
    USAGE,
    Control,
    argument,
    command,
    complain,
    say,
)

_Options = argparse.Namespace


@command(
    "retry",
    "have lonc try lost links again now, also those that were given up",
    argument("host", nargs="?", metavar="HOST", help="only the link to this host"),
    argument("--all", action="store_true", help="every lost link, as without HOST"),
    description="A link that is up stays as it is; a paused host stays paused. "
    "Only asks: `loncontrol peers` tells what came of it.",
)
def retry(control: Control, options: _Options) -> int:
    """One host by the control pipe, all by USR1."""
    if options.host is None:
        return OK if control.lonc.signal(signal.SIGUSR1) else complain("lonc does not run", NOT_RUNNING)
    if options.all:
        return complain("HOST and --all exclude each other", USAGE)
    if not control.knows(options.host):
        return FAILED
    if found := pauses(control.site.config.delayed_dir).get(options.host):
        return complain(f"{options.host} is paused {found}; to have a link again: loncontrol resume {options.host}")
    return _retry(control, options.host)


def _retry(control: Control, host: str) -> int:
    try:
        return OK if _ask(control, RETRY, host) else complain("lonc does not run", NOT_RUNNING)
    except OSError as error:
        return complain(f"lonc can't be asked: {error}")


def _ask(control: Control, word: str, host: str = "") -> bool:
    """Ask lonc; False if it does not run.

    :raises OSError: it runs, but can't be asked.
    """
    directory = control.site.config.sock_dir
    if ask(directory, word, host):
        return True
    if control.lonc.pid is None:
        return False
    raise OSError(f"it runs, but does not read {directory / NAME}; restart lonc and lond if the directory was replaced")


@command(
    "pause",
    "close the link to a host and keep none, until resume",
    argument("host", metavar="HOST", help="the host"),
    argument("--why", required=True, metavar="TEXT", help="the reason; everybody who looks at the host will see it"),
    description="Outlives restarts. Callers hear con_lost at once; critical messages are delayed and stay, in order. "
    "What is on the link already is answered first (at most lonGrace seconds). The host's own link to us stays.",
)
def pause_host(control: Control, options: _Options) -> int:
    """Write the pause down, then have a running lonc look."""
    why = options.why.strip()
    if not why or len(why) > MAX_WHY or not why.isprintable():
        return complain(f"--why needs one line of 1 to {MAX_WHY} printable characters", USAGE)
    if not control.knows(options.host):
        return FAILED
    wanted = Pause(options.host, time.time(), administrator(), why)
    try:
        pause(control.site.config.delayed_dir, wanted)
    except PermissionError:
        raise
    except OSError as error:
        return complain(f"{options.host} is not paused: {error}")
    return _tell(control, f"{options.host} is paused {wanted}")


@command(
    "resume",
    "end the pause of a host: link, then delayed messages in order",
    argument("host", metavar="HOST", help="the host"),
)
def resume_host(control: Control, options: _Options) -> int:
    """Take the pause away, then have a running lonc look. A host that left the table can be resumed too."""
    try:
        if not resume(control.site.config.delayed_dir, options.host):
            return complain(f"{options.host} is not paused")
    except PermissionError:
        raise
    except OSError as error:
        return complain(f"{options.host} is still paused: {error}")
    return _tell(control, f"{options.host} is resumed")


def _tell(control: Control, done: str) -> int:
    try:
        running = _ask(control, LOOK)
    except OSError as error:
        return complain(f"{done}, but lonc can't be told ({error}); it will see it at its next reload or start")
    say(done if running else f"{done}; lonc does not run, it will see it when it starts")
    return OK


def administrator() -> str:
    """Who types: behind sudo the person, not root."""
    name = os.environ.get("SUDO_USER") or ""
    if not name.isprintable() or not name:
        try:
            name = getpass.getuser()
        except (KeyError, OSError):
            name = f"uid {os.getuid()}"
    return name[:64]
