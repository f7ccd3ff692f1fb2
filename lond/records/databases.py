"""Where the databases of this host's users and domains lie, and how one process opens them.

Promises: a database is checked for damage when this process opens it for the first time. A user's directory is never
made here, a domain's only for the own domain.

Raises: :class:`StorageError`. Logs an error for each database that an administrator must see to, once in each process;
more through lond.records.damage and lond.records.trouble.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import stat
from pathlib import Path

from common.site import Site
from lond.records.database import Database, Opening, Patience
from lond.records.faults import StorageError, Unusable, system_error
from lond.records.moving import absence
from lond.records.paths import PASSWD, domain_directory, make_directory, user_directory
from lond.records.schema import DOMAIN_STEPS, USER_STEPS
from lond.records.trouble import trouble_with

USER_DATABASE = "records.db"
DOMAIN_DATABASE = "domain.db"

_log = logging.getLogger(__name__)

_REMEMBERED_MAX = 10_000  # keys

Key = tuple[bytes, bytes]  # domain, and user or b"" for the domain's own database


class Databases:
    """See the module.

    :param site: for lonUsersDir, londBusyTimeout and the own domain.
    :param opening: how files are opened; tests hand in one that makes them fail.
    """

    def __init__(self, site: Site, opening: Opening | None = None) -> None:
        self._users_dir = site.config.users_dir
        self._own_domain = site.own.domain.encode("ascii")
        self._opening = opening or Opening(Patience(site.config.busy_timeout))
        self._checked: set[Key] = set()
        self._unusable: set[Key] = set()

    def user_directory(self, domain: bytes, user: bytes) -> Path:
        """Where the user's directory is or would be."""
        return user_directory(self._users_dir, domain, user)

    def is_home(self, domain: bytes, user: bytes) -> bool:
        """Whether this host is the user's home server: the passwd file says so.

        :raises StorageError: the system does not let us see that.
        """
        path = self.user_directory(domain, user) / PASSWD
        with trouble_with(path):
            try:
                return stat.S_ISREG(path.stat().st_mode)
            except (FileNotFoundError, NotADirectoryError):
                return False

    def open(self, key: Key, *, write: bool) -> Database:
        """Opens a database, for `write` also one that is not there yet.

        :raises StorageError: 2 no such user, or nothing to read; 11 the user is on the way to another host; 28 no room;
            or as :meth:`Opening.open`.
        """
        path, steps = self._place(key)
        try:
            if write and key == (self._own_domain, b""):
                make_directory(path.parent)
            database = self._opening.open(path, steps, create=write, check=key not in self._checked)
            if database is None:
                raise StorageError(errno.ENOENT, "nothing stored yet")
        except (OSError, StorageError, sqlite3.Error) as error:
            # Whatever was found missing: `lonuser move` may have renamed the directory at any moment of the opening.
            if key[1] and not os.path.isdir(path.parent):  # noqa: PTH112 (Path.is_dir raises PermissionError)
                raise absence(path.parent) from error
            if isinstance(error, Unusable):
                self._complain(key, path, error.reason)
            if isinstance(error, OSError):
                raise system_error(error) from error
            raise
        _remember(self._checked, key)
        return database

    def failure(self, database: Database, error: sqlite3.Error) -> Exception:
        """As :meth:`Opening.failure`, for an open database."""
        return self._opening.failure(database.path, database.inode, error)

    def _place(self, key: Key) -> tuple[Path, tuple[str, ...]]:
        domain, user = key
        if user:
            return self.user_directory(domain, user) / USER_DATABASE, USER_STEPS
        return domain_directory(self._users_dir, domain) / DOMAIN_DATABASE, DOMAIN_STEPS

    def _complain(self, key: Key, path: Path, reason: str) -> None:
        if key not in self._unusable:
            _log.error("database %s can't be used: %s", path, reason)
            _remember(self._unusable, key)


def _remember(keys: set[Key], key: Key) -> None:
    if len(keys) >= _REMEMBERED_MAX:
        keys.clear()
    keys.add(key)
