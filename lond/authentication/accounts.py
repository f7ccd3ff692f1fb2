"""The passwd file of a user: how the user is authenticated, and that this host is the user's home server.

One line ``TYPE:INFO`` in the user's directory (classic-protocol.md, section 5). Nothing but this module reads or
writes the line; :meth:`lond.storage.Storage.is_home` looks whether the file is there.

Promises: the file is there as a whole or not at all, whatever happens; when :func:`create_account` or
:func:`replace_account` has returned True, the new line is on disk. Of several processes that create at the same time
one wins; of several that replace, none overwrites what it has not seen if it names what it expects.

Raises: :class:`AccountError` with an errno value for what can't be read, understood or written. Logs nothing; an
account's INFO is not in its repr, because it may be a hash.

Known limits: what stands behind the first line is not read, and is gone with the next change, as in the original.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from common.durable import sync_directory
from common.errors import LonError
from lond.records.faults import system_error
from lond.records.paths import PASSWD, make_user_directory

INTERNAL, UNIX, KRB4, KRB5, LOCALAUTH, NONE = "internal", "unix", "krb4", "krb5", "localauth", "none"
TYPES = (INTERNAL, UNIX, KRB4, KRB5, LOCALAUTH, NONE)
KERBEROS = (KRB4, KRB5)

_MAX_BYTES = 4096  # of the file
_MODE = 0o600


class AccountError(LonError):
    """A passwd file can't be read, understood or written: ``error: NUMBER TEXT``.

    :param number: an errno value.
    :param text: one line of ASCII without anything from the file.
    """

    def __init__(self, number: int, text: str) -> None:
        self.number, self.text = number, text
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Account:
    """How a user is authenticated.

    :param type: one of :data:`TYPES`.
    :param info: the hash (internal), the realm (Kerberos), the argument (localauth), else empty. Bytes that are not
        UTF-8 are kept as surrogates.
    :raises AccountError: 22 for another type, or an `info` that does not fit into the line.
    """

    type: str
    info: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise AccountError(errno.EINVAL, "not a type of authentication")
        if any(character < " " or character == "\x7f" for character in self.info):
            raise AccountError(errno.EINVAL, "a control character in the argument")
        if len(self.line()) > _MAX_BYTES:
            raise AccountError(errno.EINVAL, "the argument is too long")

    def line(self) -> bytes:
        """The line of the passwd file, with its LF."""
        return f"{self.type}:{self.info}\n".encode("utf-8", "surrogateescape")

    @property
    def asked(self) -> str:
        """What tells those whom lond asks about passwords from each other; nobody is to read it, see :attr:`shown`."""
        return self.type if self.type == UNIX else f"{self.type}:{self.info}"

    @property
    def shown(self) -> str:
        """The type, with the realm or the name of the function, which is who is asked about a password.

        That is all that people, logs and other processes are told: what a function gets may be as secret as a hash.
        """
        told = self.info if self.type in KERBEROS else ""
        if self.type == LOCALAUTH:
            told = self.info.partition(":")[0]
        text = f"{self.type}:{told}" if told else self.type
        return "".join(character if character.isprintable() else "?" for character in text)


def parse_account(data: bytes) -> Account:
    """The account of a passwd file's content; whatever `data` is, an Account or AccountError 5."""
    first, _, _ = data.partition(b"\n")
    name, _, info = first.removesuffix(b"\r").decode("utf-8", "surrogateescape").partition(":")
    try:
        return Account(name, info)
    except AccountError:
        raise AccountError(errno.EIO, "the passwd file can not be understood, an administrator must act") from None


def read_account(directory: Path) -> Account | None:
    """The account of the user whose directory this is; None if this host is not the user's home server.

    :raises AccountError: 5 the content makes no sense; else the system's number.
    """
    try:
        # A FIFO in this place must not keep anybody waiting.
        descriptor = os.open(directory / PASSWD, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _system_error(error) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise AccountError(errno.EIO, "the passwd file is not a regular file")
        return parse_account(os.read(descriptor, _MAX_BYTES + 1))
    except OSError as error:
        raise _system_error(error) from error
    finally:
        os.close(descriptor)


def create_account(users_dir: Path, domain: bytes, user: bytes, account: Account) -> bool:
    """Makes this host the user's home server; False if it is that already.

    :raises AccountError: the system's number; the user is not created.
    """
    try:
        directory = make_user_directory(users_dir, domain, user)
        new = _written(directory, account)
        try:
            os.link(new, directory / PASSWD)  # unlike a rename it fails if somebody was quicker
        except FileExistsError:
            return False
        finally:
            new.unlink()
        sync_directory(directory)
    except OSError as error:
        raise _system_error(error) from error
    return True


def replace_account(directory: Path, account: Account, expected: Account | None = None) -> bool:
    """Changes an account that is there.

    :param expected: what the file must still say; None: anything, even what makes no sense.
    :returns: False if it says something else by now, is gone, or is being changed at this moment.
    :raises AccountError: the file could not be read or written; the old line stays.
    """
    try:
        with _locked(directory) as locked:
            if not locked or not (directory / PASSWD).is_file():
                return False
            if expected is not None and read_account(directory) != expected:
                return False
            new = _written(directory, account)
            try:
                new.replace(directory / PASSWD)
            except OSError:
                new.unlink()
                raise
            sync_directory(directory)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _system_error(error) from error
    return True


def _written(directory: Path, account: Account) -> Path:
    """A durable file with the account's line beside the passwd file."""
    path = directory / f".{PASSWD}.{os.getpid()}"
    path.unlink(missing_ok=True)  # of an earlier process with our number
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        with open(descriptor, "wb") as file:
            file.write(account.line())
            file.flush()
            os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
    return path


@contextmanager
def _locked(directory: Path) -> Iterator[bool]:
    """Holds the lock on a user's account; False if somebody else does (nobody waits, and nobody holds it for long)."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)


def _system_error(error: OSError) -> AccountError:
    refusal = system_error(error)
    return AccountError(refusal.number, refusal.text)
