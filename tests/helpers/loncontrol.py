"""The command loncontrol as an administrator of a test network types it."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.helpers.federation import ROOT, Host


def command_line(host: Host, *arguments: str) -> list[str]:
    """What is run."""
    return [sys.executable, str(ROOT / "scripts" / "loncontrol"), "--conf", str(host.conf), *arguments]


def control(host: Host, *arguments: str, typed: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command of loncontrol on a host; `typed` is its standard input."""
    return subprocess.run(
        command_line(host, *arguments),
        capture_output=True,
        text=True,
        timeout=90,
        input="" if typed is None else typed,
        cwd="/",
        env={**os.environ, **environ},
    )
