"""The journal: which writing commands this lond executed, when, for whom, with what kind of reply.

A classic link carries no ids, so that what became of a critical message can only be told by what was executed.
``lond.journal`` in lonDaemons/logs has a line per writing command (:mod:`lond.journal_lines` makes them):
``UNIXTIME:HOST:WORD:DIGEST:REPLY``. DIGEST is the first half of the command's SHA-256, ``-`` for what travels encrypted
(a password could be guessed from its digest); REPLY is the first word of the reply, of an error with its number.
Commands and records are not in it.

Promises: one write per batch, after its commit, by each child to a descriptor opened for appending; at most two files
of about londJournalBytes, the older one with ``.1`` behind its name, are kept. Raises nothing: a journal that can't be
written must not fail the command it speaks of. Logs one warning when writing begins to fail.

Known limits: it is not synced, so that a power cut takes its end; a file may outgrow its limit by a batch per child.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from common.config import Config

log = logging.getLogger(__name__)

DIGEST_DIGITS = 32
NO_DIGEST = b"-"


class Execution(NamedTuple):
    """One line of the journal, as far as whoever asks needs it."""

    when: int
    reply: bytes


class Journal:
    """The journal as one child writes it; opened with the first line.

    :param path: of the file.
    :param limit: bytes of a file before the next one begins; 0: none is kept.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self._limit = path, limit
        self._descriptor = -1
        self._failing = False

    def append(self, lines: Sequence[bytes]) -> None:
        """Write whole lines, all at once."""
        if self._limit and lines:
            self._append(b"".join(lines))

    def _append(self, data: bytes) -> None:
        try:
            self._open_current()
            os.write(self._descriptor, data)
            if os.fstat(self._descriptor).st_size > self._limit:
                self._rotate()
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.warning("journal %s can't be written, executions are missing from it: %s", self.path, error)
            self._failing = True

    def _open_current(self) -> None:
        if self._descriptor >= 0 and _is_at(self._descriptor, self.path):
            return
        self.close()  # another child has begun the next file
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _rotate(self) -> None:
        # Of several children that find the file full at once, the lock lets one rename it; the others see it gone.
        with suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(self._descriptor, self.path):
                self.path.replace(older(self.path))

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def journal_path(config: Config) -> Path:
    """Where this host's journal is."""
    return config.daemons_dir / "logs" / "lond.journal"


def older(path: Path) -> Path:
    """The file before the current one."""
    return path.with_name(f"{path.name}.1")


def digest(command: bytes) -> bytes:
    """How the journal names a command.

    :param command: the request line as lond gets it, without LF and decrypted.
    """
    return sha256(command).hexdigest()[:DIGEST_DIGITS].encode()


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there, ours = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def executions(path: Path, host: str, word: bytes, told: bytes, most: int) -> tuple[int | None, list[Execution]]:
    """What the journal knows of a command.

    :param host: who had it executed.
    :param told: its :func:`digest`, or NO_DIGEST.
    :param most: the latest so many.
    :returns: UNIX time of the journal's first line (None: there is none), and the executions in order.
    """
    found: deque[Execution] = deque(maxlen=most)
    since: int | None = None
    needle = b":%b:%b:%b:" % (host.encode(), word, told)
    for file in (older(path), path):
        with (
            suppress(OSError, ValueError),  # it is missing or empty
            file.open("rb") as opened,
            mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            since = int(content[: content.find(b":")]) if since is None else since
            found.extend(_matching(content, needle))
    return since, list(found)


def _matching(content: mmap.mmap, needle: bytes) -> Iterator[Execution]:
    at = content.find(needle)
    while at >= 0:
        start, end = content.rfind(b"\n", 0, at) + 1, content.find(b"\n", at)
        when, reply = content[start:at], content[at + len(needle) : end if end >= 0 else len(content)]
        if when.isdigit():  # else the line was cut by a disk that ran full
            yield Execution(int(when), reply)
        at = content.find(needle, at + 1)
