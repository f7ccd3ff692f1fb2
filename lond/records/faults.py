"""What can go wrong with a database, as the numbers that the wire knows.

An error of SQLite is one of four things: our bug (raised on, the dispatcher logs it), *busy* (another child holds
the lock), *full* (no room; the next request may succeed), or *damaged* (the file is not a sound database;
it is set aside). Everything else counts as an input/output error of this one request.

Promises: :func:`fault_of` is pure. Raises and logs nothing itself.

Known limits: before Python 3.11 SQLite's error codes are not visible, the message decides there.
"""

from __future__ import annotations

import enum
import errno
import os
import sqlite3

from common.errors import LonError


class StorageError(LonError):
    """A request could not be carried out; nothing of it was stored.

    :param number: an errno value, the NUMBER of ``error: NUMBER TEXT`` (classic-protocol.md, section 4).
    :param text: what was wrong; ASCII, one line, nothing that came from the wire unchecked.
    """

    def __init__(self, number: int, text: str) -> None:
        self.number, self.text = number, text
        super().__init__(f"{number} {text}")


# What may pass, by numbers after which a sender tries again; its own would fail a critical message for good.
_PASSING = {errno.EDQUOT: errno.ENOSPC, errno.EMFILE: errno.EAGAIN, errno.ENFILE: errno.EAGAIN}


def system_error(error: OSError) -> StorageError:
    """What the system has refused, under its own number unless that would pass for final when it is not."""
    number = error.errno or errno.EIO
    return StorageError(_PASSING.get(number, number), os.strerror(number).lower())


class Unusable(StorageError):
    """The database stays as it is, and unusable until an administrator acts.

    :param reason: for the log; "": as `text`.
    """

    def __init__(self, number: int, text: str, reason: str = "") -> None:
        super().__init__(number, text)
        self.reason = reason or text


class Fault(enum.Enum):
    """The kinds of failure, each with its number and text on the wire."""

    BUSY = (errno.EAGAIN, "database busy, try again")
    FULL = (errno.ENOSPC, "no space left on device")
    DAMAGED = (errno.EUCLEAN, "database damaged, an administrator must act")  # unlike IO, trying again is no use
    IO = (errno.EIO, "database can not be read or written")
    DENIED = (errno.EACCES, "permission denied")
    MOVING = (errno.EAGAIN, "the user is moving to another host, try again")
    BUG = (70, "internal error")

    def error(self) -> StorageError:
        """This fault as the error that the request gets."""
        return StorageError(*self.value)


MOVED_AWAY = "the user has moved away"  # what the triggers of records/fence.py say; no other constraint is violated

# Primary result codes of SQLite (sqlite.org/rescode.html); Python names them only since 3.11.
_PRIMARY = {
    3: Fault.DENIED,
    5: Fault.BUSY,
    6: Fault.BUSY,
    8: Fault.DENIED,
    10: Fault.IO,
    11: Fault.DAMAGED,
    13: Fault.FULL,
    14: Fault.IO,
    19: Fault.MOVING,
    26: Fault.DAMAGED,
}
_IOERR_WRITE, _IOERR_SHMSIZE = 778, 4874
_MESSAGES = {
    "is locked": Fault.BUSY,
    "is full": Fault.FULL,
    "malformed": Fault.DAMAGED,
    "not a database": Fault.DAMAGED,
    "disk I/O error": Fault.IO,
    "readonly": Fault.DENIED,
    "unable to open": Fault.IO,
    MOVED_AWAY: Fault.MOVING,
}


def fault_of(error: sqlite3.Error) -> Fault:
    """The kind of failure that an exception of the sqlite3 module tells of."""
    if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.ProgrammingError):
        return Fault.BUG
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:
        text = str(error)
        return next((fault for part, fault in _MESSAGES.items() if part in text), Fault.BUG)
    if code in (_IOERR_WRITE, _IOERR_SHMSIZE):
        return Fault.FULL
    return _PRIMARY.get(code & 0xFF, Fault.BUG)
