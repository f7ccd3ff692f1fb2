"""The command loncontrol as an administrator of a test network types it."""

from __future__ import annotations

import contextlib
import os
import pty
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


def control_on_terminal(host: Host, *arguments: str, typed: bytes = b"") -> tuple[int, str]:
    """Run a command on a terminal at which somebody types; its exit code and what is on the screen."""
    ours, theirs = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        command_line(host, *arguments), stdin=theirs, stdout=theirs, stderr=theirs, env={**environ, "TERM": "xterm"}
    )
    os.close(theirs)
    os.write(ours, typed)
    screen = b""
    with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
        while data := os.read(ours, 65536):
            screen += data
    os.close(ours)
    return process.wait(30), screen.decode()
