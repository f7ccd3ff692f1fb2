"""A user without privileges for daemons of tests that root runs: mod_wsgi runs nothing as root."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "www-data"


@dataclass(frozen=True)
class Account:
    """Whom daemons run as.

    :param python: an interpreter that the user can run.
    """

    name: str
    uid: int
    gid: int
    python: str

    @property
    def popen(self) -> dict[str, Any]:
        """The arguments of Popen that make a process the user's."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    @property
    def environment(self) -> dict[str, str]:
        """What the interpreter must be told to find the same packages."""
        return {"PYTHONPATH": sysconfig.get_path("purelib"), "PYTHONDONTWRITEBYTECODE": "1"}


def unprivileged() -> Account | str:
    """The account; or why there is none."""
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        return f"there is no user {NAME}"
    reasons = []
    for python in (sys.executable, "/usr/bin/python3"):
        account = Account(NAME, entry.pw_uid, entry.pw_gid, python)
        reason = _why_not(account)
        if not reason:
            return account
        reasons.append(reason)
    return "; ".join(reasons)


def _why_not(account: Account) -> str:
    """Why the interpreter can't run the daemons as the user; empty if it can.

    Packages with compiled parts fit one minor version of Python alone.
    """
    command = [account.python, "-W", "error", "-c", "import lonc.parent, lond.parent"]
    environment = {**os.environ, **account.environment}
    try:
        tried = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, **account.popen)
    except OSError as error:
        return f"{NAME} can't run {account.python}: {error.strerror}"
    return "" if tried.returncode == 0 else f"{account.python} as {NAME}: {tried.stderr.strip().rpartition(chr(10))[2]}"
