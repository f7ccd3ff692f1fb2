"""Telling the service manager (sd_notify) how the daemon is: READY, RELOADING, STOPPING, STATUS, WATCHDOG.

The address and the watchdog's time are taken out of the environment once, at start, so that no child and no program
started later speaks in the daemon's name. Without an address nothing is sent; a manager that does not listen is no
reason to fail. What it must hear (READY, RELOADING) and could not take is said again with the next status.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

PINGS = 3  # in the time after which the manager believes that the daemon hangs; one may be late, one may be lost


class Notifier:
    """The daemon's line to its service manager.

    :param environ: the process's environment; NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are removed from it.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        self._status = self._unsaid = ""
        limit, watched = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        ours = self._address and watched in ("", str(os.getpid()))
        self.ping_seconds = int(limit) / 1e6 / PINGS if ours and limit.isdecimal() else 0.0
        """Seconds between two :meth:`alive`; 0: the manager keeps no watch."""

    def ready(self, status: str) -> None:
        """The daemon serves (again)."""
        self._status = status
        self._say(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read again; :meth:`ready` ends it."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon ends."""
        self._say("STOPPING=1")

    def status(self, text: str) -> None:
        """One line on how things are; said only if it is news. To be called now and then."""
        if self._unsaid:
            self._say(self._unsaid)
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def alive(self) -> None:
        """The daemon's loop turns."""
        self._send("WATCHDOG=1")

    def _say(self, message: str) -> None:
        self._unsaid = "" if self._send(message) else message

    def _send(self, message: str) -> bool:
        """False: it could not be taken now."""
        if not self._address:
            return True
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            channel.sendto(message.encode(), address)
            return True
        return False
