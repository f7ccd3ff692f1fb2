"""Telling the service manager (sd_notify) how the daemon is: READY, RELOADING, STOPPING, STATUS.

The address is taken out of the environment once, at start, so that no child and no program started later speaks
in the daemon's name. Without an address nothing is sent; a manager that does not listen is no reason to fail.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress


class Notifier:
    """The daemon's line to its service manager.

    :param environ: the process's environment; NOTIFY_SOCKET is removed from it.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")

    def ready(self, status: str) -> None:
        """The daemon serves (again)."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read again; :meth:`ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon ends."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line on how things are."""
        self._send(f"STATUS={text}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            channel.sendto(message.encode(), address)
