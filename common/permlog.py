"""The perm log (lonnet.perm.log): what became of critical messages that could not be delivered at once.

One event is one line, ``UNIXTIME:D|S|F|R:HOST:COMMAND:LOCALTIME``: delayed, sent later, could not be stored, removed
from the FIFO by an administrator. Control characters and bytes outside ASCII are written as %xx. Of a command that
travels encrypted, or that carries a password, only the command word is written.

Promises: each line is one write to a descriptor opened for appending, so that the lines of many processes never
mix; the file is opened for each call, so that rotation needs no signal. Raises nothing: a log that can't be written
must not fail the message it speaks of. Logs one warning when writing begins to fail.

Known limit: a disk that fills up within a line leaves its beginning.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from common.config import Config

log = logging.getLogger(__name__)

ENCRYPT = b"encrypt:"
PASSWORD_WORDS = frozenset((b"auth", b"passwd", b"makeuser", b"changeuserauth"))

_NOT_PLAIN = re.compile(rb"[^\x20-\x7e]")


class Event(Enum):
    """What happened to a critical message."""

    DELAYED = "D"
    SENT = "S"
    FAILED = "F"
    REMOVED = "R"


def perm_log_line(event: Event, host: str, command: bytes, when: float) -> bytes:
    """The line of one event, with its LF.

    :param command: the request line, with its ``encrypt:`` prefix if it has one.
    :param when: UNIX time in seconds.
    """
    stamp, local = int(when), time.asctime(time.localtime(when))  # asctime knows no locale: always English
    return b"%d:%s:%s:%s:%s\n" % (
        stamp,
        event.value.encode("ascii"),
        _plain(host.encode("utf-8", "surrogateescape")),
        loggable(command),
        local.encode("ascii"),
    )


def carries_password(command: bytes) -> bool:
    """Whether a request line, with or without ``encrypt:``, brings a password: it has no business on a disk."""
    return _word(command) in PASSWORD_WORDS


def loggable(command: bytes) -> bytes:
    """What of a command may be written and shown: printable ASCII, of an encrypted one the word alone.

    :param command: as :func:`perm_log_line` takes it.
    """
    return _plain(_word(command) if command.startswith(ENCRYPT) or carries_password(command) else command)


def _word(command: bytes) -> bytes:
    return command.removeprefix(ENCRYPT).partition(b":")[0]


def _plain(text: bytes) -> bytes:
    return _NOT_PLAIN.sub(lambda found: b"%%%02x" % found[0][0], text)


class PermLog:
    """Writes events to one perm log.

    :param path: of the file; made (mode 0640) if missing, its directory not.
    :param now: UNIX time in seconds.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self._now = now
        self._failing = False

    def write(self, event: Event, host: str, *commands: bytes) -> None:
        """Append a line for each of `commands`; opens the file once."""
        try:
            self._append([perm_log_line(event, host, command, self._now()) for command in commands])
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.warning("perm log %s can't be written, events are missing from it: %s", self.path, error)
            self._failing = True

    def _append(self, lines: list[bytes]) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            for line in lines:
                if os.write(fd, line) < len(line):
                    raise OSError("only a part of the line was written")
        finally:
            os.close(fd)


def perm_log_path(config: Config) -> Path:
    """Where this host's perm log is."""
    return config.daemons_dir / "logs" / "lonnet.perm.log"
