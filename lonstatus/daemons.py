"""The two daemons as an init script sees them: start, stop, reload, status.

A daemon runs exactly if its pid file is locked. lond is started before lonc and stopped after it, so that a host never
asks others for what it can't answer itself. Every wait has an end; a daemon that does not stop within its grace and
:data:`STOP_ALLOWANCE` is reported, not killed.
"""

from __future__ import annotations

import enum
import errno
import signal
import subprocess
import sys
import time
from pathlib import Path

from common.config import Config
from common.counters import Counters, counters_path
from common.metrics import STORED
from common.pidfile import pid_path, running_pid, signal_daemon
from common.site import Site

ORDER = ("lond", "lonc")  # of starting
STOP_ALLOWANCE = 10.0  # seconds beyond the children's grace
LOOK_SECONDS = 0.05  # between two looks whether a daemon has gone
START_ALLOWANCE = 15.0  # seconds beyond lonStartTimeout


class State(enum.Enum):
    """What the pid file says of a daemon."""

    RUNNING = "running"
    DEAD = "dead, its pid file is left"
    STOPPED = "stopped"


class Daemon:
    """One daemon of this host.

    :param name: ``lonc`` or ``lond``.
    :param conf: the file that `config` was read from.
    """

    def __init__(self, name: str, config: Config, conf: Path) -> None:
        self.name = name
        self._config, self._conf = config, conf
        self.pid_file = pid_path(config, name)

    @property
    def pid(self) -> int | None:
        """Its parent's pid while it runs."""
        return running_pid(self.pid_file)

    @property
    def state(self) -> State:
        """See :class:`State`.

        :raises OSError: this user may not look.
        """
        if self.pid is not None:
            return State.RUNNING
        try:
            self.pid_file.stat()
        except (FileNotFoundError, NotADirectoryError):
            return State.STOPPED
        return State.DEAD

    @property
    def hangs_for(self) -> float:
        """If it runs: for how many seconds its parent has not turned its loop.

        0.0 until they are more than lonHungAfter, and if nothing is known of that.
        """
        try:
            counted = Counters.read(counters_path(self._config.sock_dir, self.name), STORED[self.name])
            turned = counted[""].latest("turned")
        except (OSError, ValueError, KeyError):
            return 0.0
        silent = time.time() - turned
        return silent if turned and silent > self._config.hung_after else 0.0

    def start(self) -> tuple[int, str]:
        """Start it in the background; its exit code and its words. Returns when it serves or has failed."""
        return self._run()

    def check(self) -> tuple[int, str]:
        """Have it check configuration and tables; its exit code and its words."""
        return self._run("--check")

    def _run(self, *options: str) -> tuple[int, str]:
        result = subprocess.run(
            [sys.executable, "-m", self.name, "--conf", str(self._conf), *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=self._config.start_timeout + START_ALLOWANCE,
            check=False,
        )
        return result.returncode, (result.stderr or result.stdout).strip()

    def signal(self, number: int) -> bool:
        """Send a signal; False if it does not run.

        :raises PermissionError: this user may not look whether it does, or may not signal it.
        """
        if signal_daemon(self.pid_file, number):
            return True
        if self.state is State.RUNNING:
            raise PermissionError(errno.EPERM, f"{self.name} belongs to another user", str(self.pid_file))
        return False

    def stop(self) -> bool:
        """Ask it to end and wait until it has; False if it is still there when the time is over."""
        if not self.signal(signal.SIGTERM):
            return self.pid is None
        end = time.monotonic() + self._config.grace + STOP_ALLOWANCE
        while self.pid is not None:
            if time.monotonic() >= end:
                return False
            time.sleep(LOOK_SECONDS)
        return True


def is_running(site: Site, name: str) -> bool:
    """Whether a daemon of this host runs."""
    return running_pid(pid_path(site.config, name)) is not None
