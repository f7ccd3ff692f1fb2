"""Taking a user away from this host, in steps of which each is one rename.

The user's directory USER, with the archive for HOST inside, becomes ``.USER.moving-HOST`` by :func:`release`, and that
``.USER.moved-HOST-TIME`` by :func:`finish`, or USER again by :func:`take_back`.

Promises: from the first rename on this host answers `home`, log-ins, reads and writes with "try again", from the second
on as one that is not the user's home (:mod:`lond.records.moving`). The archive is written after the last write that
was answered `ok`: none is lost. After a crash at any point the same step can be repeated and goes on. No records are
ever removed.

Raises: :class:`NotPossible`, :class:`UnknownUser`, StorageError, AccountError, OSError. Logs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from common.durable import sync_directory
from lond.authentication.accounts import read_account
from lond.records.database import Database, Opening, Patience
from lond.records.databases import USER_DATABASE
from lond.records.faults import StorageError
from lond.records.fence import close_to_writers, open_to_writers
from lond.records.moving import moved_directory, moving_directory
from lond.records.paths import PASSWD, user_directory
from lond.records.schema import USER_STEPS
from lond.records.tables import Copy, storage_errors
from lonuser.archive import Head, save_archive
from lonuser.errors import NotPossible, UnknownUser

ARCHIVE_SUFFIX = ".loncapa-user"


@dataclass(frozen=True, slots=True)
class Moving:
    """A user who is on the way.

    :param directory: ``.USER.moving-HOST``.
    """

    domain: str
    user: str
    host: str
    directory: Path

    @property
    def archive(self) -> Path:
        """The file to bring to the new home server."""
        return self.directory / f"{self.domain}-{self.user}{ARCHIVE_SUFFIX}"


def find_moving(users_dir: Path, domain: str, user: str, hosts: Iterable[str]) -> Moving | None:
    """The user, if on the way to one of these hosts."""
    home = user_directory(users_dir, domain.encode("ascii"), user.encode("ascii"))
    for host in hosts:
        directory = moving_directory(home, host)
        if directory.is_dir():
            return Moving(domain, user, host, directory)
    return None


def release(users_dir: Path, head: Head, host: str, busy_timeout: float) -> Moving:
    """Takes a user out of service and writes the archive; goes on with what an earlier call began.

    :param head: of the archive; whose user it is.
    :param host: the new home server.
    :param busy_timeout: seconds to wait for a write that is under way.
    """
    home = user_directory(users_dir, head.domain.encode("ascii"), head.user.encode("ascii"))
    moving = Moving(head.domain, head.user, host, moving_directory(home, host))
    if not moving.directory.is_dir():
        if not (home / PASSWD).is_file():
            raise UnknownUser(f"{head.domain}:{head.user} is not at home on this host; run it on the home server")
        read_account(home)  # what can't be read can't be moved: see that before, not after
        _with_database(home, busy_timeout, lambda _: None)
        rename(home, moving.directory)
    _with_database(moving.directory, busy_timeout, close_to_writers)
    _with_database(moving.directory, busy_timeout, lambda database: _write_archive(moving, head, database))
    return moving


def finish(moving: Moving, now: int) -> Path:
    """Closes the move; the caller has made sure that the user is at home on the new host.

    :param now: UNIX seconds.
    :returns: where the old records are from now on.
    """
    kept = moved_directory(moving.directory.with_name(moving.user), moving.host, now)
    rename(moving.directory, kept)
    return kept


def take_back(users_dir: Path, moving: Moving, busy_timeout: float) -> None:
    """Puts a released user back; the caller has made sure that the user is not at home on the new host."""
    home = user_directory(users_dir, moving.domain.encode("ascii"), moving.user.encode("ascii"))
    if home.exists():
        raise NotPossible(f"{home} is there again; put it aside before {moving.directory.name} takes its place")
    moving.archive.unlink(missing_ok=True)  # it is out of date with the next write
    _with_database(moving.directory, busy_timeout, open_to_writers)
    rename(moving.directory, home)


def rename(old: Path, new: Path) -> None:
    """Renames a directory within its parent, durably."""
    os.rename(old, new)  # noqa: PTH104 (the seam at which tests crash)
    sync_directory(new.parent)


def _write_archive(moving: Moving, head: Head, database: Database) -> None:
    account = read_account(moving.directory)
    if account is None:
        raise NotPossible(f"{moving.directory / PASSWD} is gone; put it back, then repeat the command")
    with Copy.of(database) as records:
        save_archive(moving.archive, head, account, records, replace=True)


def _with_database(directory: Path, busy_timeout: float, action: Callable[[Database], None]) -> None:
    with storage_errors():
        # Made if it is not there: a writer who is about to make it finds it closed then.
        opened = Opening(Patience(busy_timeout)).open(directory / USER_DATABASE, USER_STEPS, create=True, check=True)
        if opened is None:
            raise StorageError(2, "no such database")
        try:
            action(opened)
        finally:
            opened.close()
