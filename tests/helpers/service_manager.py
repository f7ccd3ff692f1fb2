"""What a service manager does, as far as the daemons notice: a notify socket, and the lines of an installed unit."""

from __future__ import annotations

import os
import re
import shlex
import socket
import struct
import subprocess
from pathlib import Path

from tests.helpers.daemons import ENDS


class ServiceManager:
    """A notify socket that knows who wrote to it."""

    def __init__(self, path: Path) -> None:
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.channel.settimeout(ENDS)
        self.channel.bind(str(path))

    def message(self) -> tuple[int, list[str]]:
        """The next message: the sender's pid and the lines."""
        message, control, _, _ = self.channel.recvmsg(4096, socket.CMSG_SPACE(12))
        pid: int = struct.unpack("3i", control[0][2])[0]
        return pid, message.decode().split("\n")

    def heard(self) -> tuple[int, list[str]]:
        """The next message that says more than STATUS or WATCHDOG: the sender's pid and the other lines."""
        while True:
            pid, lines = self.message()
            if rest := [line for line in lines if not line.startswith(("STATUS=", "WATCHDOG="))]:
                return pid, rest

    def wait_for_line(self, pattern: str) -> int:
        """Wait for a line; its sender's pid."""
        while True:
            pid, lines = self.message()
            if any(re.fullmatch(pattern, line) for line in lines):
                return pid


class Unit:
    """An installed service of Type=notify, whose lines are run as systemd runs them.

    :param notify: path of the socket that it is to tell how it is.
    """

    def __init__(self, file: Path, notify: Path) -> None:
        service = file.read_text().partition("[Service]\n")[2].partition("\n[")[0]
        self._lines = [line.partition("=") for line in service.splitlines() if line and not line.startswith("#")]
        assert self.values("Type") == ["notify"]
        seconds = int(self.values("WatchdogSec")[0])
        self._environment = {"PATH": os.environ["PATH"], **self._from_file()}
        self._of_main = {"NOTIFY_SOCKET": str(notify), "WATCHDOG_USEC": str(seconds * 1_000_000)}

    def values(self, name: str) -> list[str]:
        """What is assigned to a name, in order."""
        return [value for key, _, value in self._lines if key == name]

    def _from_file(self) -> dict[str, str]:
        [path] = self.values("EnvironmentFile")
        lines = [line for line in Path(path.lstrip("-")).read_text().splitlines() if line and line[0] != "#"]
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def start(self) -> subprocess.Popen[bytes]:
        """The main process; its log is in its file, what it says beside goes nowhere."""
        [line] = self.values("ExecStart")
        environment = self._environment | self._of_main
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            shlex.split(line), env=environment, cwd="/", stdout=quiet, stderr=quiet, start_new_session=True
        )

    def reload(self, main: subprocess.Popen[bytes]) -> int:
        """The lines of ExecReload up to the first that fails; its exit code."""
        for line in self.values("ExecReload"):
            words = shlex.split(line.replace("$MAINPID", str(main.pid)))
            code = subprocess.run(words, env=self._environment, cwd="/", capture_output=True, timeout=60).returncode
            if code:
                return code
        return 0

    def starts_again_after(self, code: int) -> bool:
        """Whether Restart=on-failure would try again."""
        return code != 0 and str(code) not in " ".join(self.values("RestartPreventExitStatus")).split()
