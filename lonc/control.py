"""What an administrator may ask of a running lonc beside signals, which can't name a host.

The parent reads lines from a named pipe, ``.lonc.control`` in lonSockDir, mode 0600. ``retry HOST``: try this host now.
``look``: the paused hosts have changed. A signal to a child by the pid on the scoreboard could hit a stranger; and what
is known of failures is with the parent.

Promises: a line is written whole or not at all (it is far shorter than PIPE_BUF); nobody waits, neither writer nor
reader; without a lonc there is nobody to read, and the writer is told so. Garbage in the pipe is ignored.

Raises OSError. Logs nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

NAME = ".lonc.control"  # no host id begins with a dot
READ_BYTES = 65536
RETRY, LOOK = "retry", "look"


class ControlPipe:
    """The parent's end; made while lonc's pid file is locked, so that there is one reader.

    :param directory: lonSockDir.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / NAME
        with suppress(FileNotFoundError):
            if not stat.S_ISFIFO(path.lstat().st_mode):
                path.unlink()
        with suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        path.chmod(0o600)
        # For writing too: else the end of file that the last writer leaves would be readable for ever.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """For the loop."""
        return self._descriptor

    def read(self) -> list[tuple[str, str]]:
        """What was asked since the last time: word and host, "" where none was named."""
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return []
        lines = data.decode("ascii", "replace").splitlines()
        return [(word, host) for word, _, host in (line.partition(" ") for line in lines)]

    def close(self) -> None:
        """Close this end; the pipe stays in the directory for the next lonc."""
        os.close(self._descriptor)


def ask(directory: Path, word: str, host: str = "") -> bool:
    """Ask the lonc whose lonSockDir this is; False if none runs.

    :raises OSError: the pipe may not be opened, or lonc hangs and it is full.
    """
    try:
        descriptor = os.open(directory / NAME, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            return False
        raise
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return False
        os.write(descriptor, f"{word} {host}".strip().encode("ascii") + b"\n")
    finally:
        os.close(descriptor)
    return True
