"""Who may send a host's delayed messages.

Raises SpoolError if the lease's file can't be opened. Logs nothing.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from common.errors import SpoolError


class Lease:
    """The right to send a host's delayed messages: a lock on ``HOST.lease`` that ends with its holder's life.

    During a rolling restart two children of one host stand side by side; this keeps them from sending the same
    message, or two messages in the wrong order.
    """

    def __init__(self, directory: Path, host: str) -> None:
        self._path = directory / f"{host}.lease"
        self._fd = -1
        self.held = False

    def try_take(self) -> bool:
        """Take the lease if nobody holds it; never waits.

        :raises SpoolError: its file can't be opened.
        """
        if self._fd < 0:
            self._open()
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self.held = True
        return True

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise SpoolError(f"{self._path}: {error}") from error

    def close(self) -> None:
        """Give the lease back."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self.held = -1, False
