"""Making this host the home server of a user whose records come from elsewhere.

The records go into the user's database in one transaction, the passwd file comes last: it is what makes this host the
home server. A crash before it leaves records that nobody asks for, and doing it again goes on from there.

Promises: a user who is here already is changed only if `merge` says so, and then only by what is added
(:mod:`lond.records.merge`); the account that is here stays. A dry run writes nothing below lonUsersDir.

Raises: StorageError, AccountError; :class:`NotPossible` for a user who is here and would be changed. Logs nothing.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from lond.authentication.accounts import Account, create_account
from lond.records.faults import StorageError
from lond.records.merge import Changes, merge
from lond.records.paths import make_user_directory
from lond.records.tables import Copy, Tables
from lond.storage import Storage
from lonuser.errors import NotPossible


@dataclass(frozen=True, slots=True)
class Arrival:
    """What an import did, or would do: what was added, and whether the account was."""

    changes: Changes
    is_new: bool


class UserImport:
    """Imports into the users' directory of this host.

    :param storage: of this host; no request of it may be under way.
    :param merge: change users who are here already.
    :param dry_run: write nothing, only say what would be done.
    """

    def __init__(self, storage: Storage, users_dir: Path, *, merge: bool = False, dry_run: bool = False) -> None:
        self._storage, self._users_dir = storage, users_dir
        self._merge, self.dry_run = merge, dry_run

    def is_settled(self, domain: bytes, user: bytes) -> bool:
        """Whether the user is here already and nothing may be added."""
        return self._storage.is_home(domain, user) and not self._merge

    def add(self, domain: bytes, user: bytes, account: Account, records: Copy) -> Arrival:
        """Imports one user; see the module."""
        is_new = not self._storage.is_home(domain, user)
        if self.dry_run or self.is_settled(domain, user):
            changes = self._preview(domain, user, records)
            if self.is_settled(domain, user) and (changes.added or changes.kept):
                raise _is_here(domain, user, changes)
            return Arrival(changes, is_new)
        make_user_directory(self._users_dir, domain, user)
        changes = self._merged(domain, user, records)
        return Arrival(changes, create_account(self._users_dir, domain, user, account))

    def _preview(self, domain: bytes, user: bytes, records: Copy) -> Changes:
        """What would be added, found out on a copy."""
        with copy_of_user(self._storage, domain, user) as here:
            return merge(records, here)

    def _merged(self, domain: bytes, user: bytes, records: Copy) -> Changes:
        def action() -> Changes:
            return merge(records, Tables(self._storage.user(domain, user, write=True).database))

        changes, token = self._storage.perform(action)
        failures = self._storage.commit()
        if token in failures:
            raise failures[token]
        return changes


def copy_of_user(storage: Storage, domain: bytes, user: bytes) -> Copy:
    """One state of all records of a user, empty if nothing was ever stored; the caller closes it."""
    try:
        copy, _ = storage.perform(lambda: Copy.of(storage.user(domain, user).database))
    except StorageError as error:
        if error.number != errno.ENOENT:
            raise
        return Copy()
    finally:
        storage.commit()  # ends reading
    return copy


def _is_here(domain: bytes, user: bytes, changes: Changes) -> NotPossible:
    name = f"{domain.decode('ascii')}:{user.decode('ascii')}"
    return NotPossible(
        f"{name} is here already and was not changed; with --merge these would be added: {changes}; "
        "look with --dry-run --merge first"
    )
