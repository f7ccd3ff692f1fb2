"""Hosts as an administrator makes them: loncontrol install and setup below a directory, started by the init script."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from common.pidfile import running_pid, signal_daemon
from common.site import load_site
from lonnet import Lonnet
from tests.helpers.federation import QUICK, ROOT
from tests.helpers.waiting import eventually, processes_in_session

Result = subprocess.CompletedProcess[str]


def run(*command: str | Path) -> Result:
    """A command to its end, without a terminal, in a directory of no importance."""
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL, cwd="/"
    )


class Installed:
    """An installation of its own.

    :param root: its directory; short, for the names of sockets.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.conf = root / "etc/loncapa/loncapa.conf"
        self._sessions: list[int] = []
        done = run(sys.executable, ROOT / "scripts" / "loncontrol", "install", "--root", root)
        assert done.returncode == 0, done.stderr

    def control(self, *arguments: str) -> Result:
        """loncontrol of this installation."""
        return run(self.root / "usr/local/sbin/loncontrol", *arguments)

    def init(self, *arguments: str) -> Result:
        """The init script."""
        return run(self.root / "etc/init.d/loncapa", *arguments)

    def good(self, *arguments: str) -> str:
        """loncontrol, which must succeed; its output."""
        done = self.control(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def be_quick(self) -> None:
        """The short waits of a test network."""
        lines = "".join(f"PerlSetVar {name} {value}\n" for name, value in QUICK.items())
        self.conf.write_text(self.conf.read_text() + lines)

    def pid(self, daemon: str) -> int | None:
        """The parent's pid while it runs."""
        return running_pid(self.root / f"var/lib/loncapa/logs/{daemon}.pid")

    def log(self, daemon: str) -> str:
        """A log so far."""
        path = self.root / f"var/lib/loncapa/logs/{daemon}.log"
        return path.read_text() if path.exists() else ""

    def links(self, *peers: str) -> None:
        """Wait until the links to these peers stand."""
        for peer in peers:
            eventually((self.root / "run/loncapa" / peer).exists, 40)

    def reply(self, command: str, peer: str) -> str:
        """What a handler on this host hears."""
        net = Lonnet(load_site(self.conf))
        try:
            return net.reply(command, peer)
        finally:
            net.close()

    def critical(self, command: str, peer: str) -> str:
        """What a handler on this host hears to a critical message."""
        net = Lonnet(load_site(self.conf))
        try:
            return net.critical(command, peer)
        finally:
            net.close()

    def end(self) -> None:
        """Ask both daemons to end."""
        self._sessions = [_session(pid) for name in ("lonc", "lond") if (pid := self.pid(name))]
        for name in ("lonc", "lond"):
            signal_daemon(self.root / f"var/lib/loncapa/logs/{name}.pid", signal.SIGTERM)

    def close(self) -> None:
        """End both daemons; nothing of them may be left."""
        if not self._sessions:
            self.end()
        while self._sessions:
            session = self._sessions.pop()
            eventually(partial(_is_over, session), 30)


def _is_over(session: int) -> bool:
    return not processes_in_session(session)


def _session(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3])
