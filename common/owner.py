"""Whether root may work here: what root writes among the daemons' files, the daemons' user can't open any more.

A lonDelayedDir made by root is one that no critical message can be stored in. Raises nothing, logs nothing.
"""

from __future__ import annotations

import os
import pwd

from common.config import Config


def why_not_root(config: Config) -> str:
    """Why this process must not go on, and what to type instead; empty if it may.

    It must not if it is root's and lonDaemons is there and belongs to somebody else.
    """
    if os.geteuid() != 0:
        return ""
    try:
        owner = config.daemons_dir.stat().st_uid
    except OSError:
        return ""
    if owner == 0:
        return ""
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"
    return (
        f"{config.daemons_dir} belongs to {name}, who could not open what root writes there; use the command in "
        f"/usr/local/sbin, or runuser -u {name} -- ..."
    )
