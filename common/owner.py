"""Who may work among the daemons' files. Not root: what root writes there, the daemons' user can't open any more.

A log made by root stays empty, a pid file keeps the daemon from starting, a FIFO can hold no critical message. So each
command that writes there asks this first, and refuses; the commands that loncontrol install has put in place become
the daemons' user before. Raises nothing, logs nothing.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from common.config import Config


def why_not_allowed(error: PermissionError) -> str:
    """What keeps this user from the daemons' files, and what to do about it."""
    return f"{error}; run it as the daemons' user, or as root by the installed command"


def why_not_root(config: Config, program: str) -> str:
    """Why this process must not go on, and what to type instead; empty if it may.

    It must not if it is root's and a directory of the daemons' is there and belongs to somebody else.

    :param program: the command that is asking.
    """
    if os.geteuid() != 0:
        return ""
    for directory in (config.daemons_dir, config.sock_dir, config.delayed_dir, config.users_dir):
        try:
            status = directory.stat()
        except OSError:
            continue
        if status.st_uid != 0:
            return _refusal(directory, status, program)
    return ""


def _refusal(directory: Path, status: os.stat_result, program: str) -> str:
    try:
        name = pwd.getpwuid(status.st_uid).pw_name
        become = f"runuser -u {name}"
    except KeyError:  # runuser and su take names only
        name = f"user number {status.st_uid}"
        become = f"setpriv --reuid {status.st_uid} --regid {status.st_gid} --clear-groups"
    return (
        f"{directory} belongs to {name}, who could not open what root writes there; become that user, as the commands "
        f"in /usr/local/sbin do by themselves: {become} -- {program} ..."
    )
