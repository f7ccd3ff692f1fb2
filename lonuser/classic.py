"""User directories of the original, as records of ours.

A classic user directory has a passwd file, a GDBM file NAME.db and a text NAME.hist for each namespace, and
activity.log (classic-protocol.md, section 5). What `store` has kept there under ``version:RID``, ``N:keys:RID``,
``N:RID:KEY`` and ``N:RID:timestamp`` becomes our versions; every other key is an entry. Names, keys and values are
brought into canonical form, as our commands would have done.

Promises: the classic directory is only read. What can't be understood is named in the notes, never dropped silently.

Raises: :class:`BadData` for a directory without a passwd file that makes sense or with a file that can't be read,
OSError. Logs nothing.

Known limits: files are read one after the other: copy a directory that is in use, or stop its server, first. Of the
keys of a stored version, those whose name holds a bare ``:`` are ambiguous; the original never wrote such.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common.escape import canonical, is_canonical
from lond.authentication.accounts import Account, AccountError, read_account
from lond.records.paths import PASSWD, is_name, user_directory
from lond.records.tables import Activity, Copy, Event, Version
from lond.records.user import TIMESTAMP
from lonuser.errors import BadData, UnknownUser, WrongUse
from lonuser.gdbm import Reader

ACTIVITY_LOG = "activity.log"
DATABASE, HISTORY = ".db", ".hist"

_SQLITE = b"SQLite format 3\0"
_EVENT = re.compile(rb"([A-Z]{1,8}):([0-9]{1,15}):(.*)", re.DOTALL)
_ACTIVITY = re.compile(rb"([0-9]{1,15}):([A-Za-z0-9_.@-]{1,64}):(.*)", re.DOTALL)
_COUNT = re.compile(rb"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class ClassicUser:
    """Whose directory this is. Domain and user have passed :func:`is_name`."""

    domain: bytes
    user: bytes
    directory: Path

    @property
    def name(self) -> str:
        """``DOMAIN:USER``, for messages."""
        return f"{self.domain.decode('ascii')}:{self.user.decode('ascii')}"


@dataclass(slots=True)
class Notes:
    """What an administrator must know of one directory.

    :param faults: what could not be understood, and is not in the records.
    :param left: names of files and directories that are no records.
    """

    faults: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def find_user(directory: Path, domain: bytes, user: bytes | None) -> ClassicUser:
    """One user: `directory` is the user's own, the domain's, or that of all domains.

    :param user: None: as the user's own directory is named.
    :raises WrongUse: no user is named, or not so that it can be one.
    :raises UnknownUser: there is no such directory.
    """
    if (directory / PASSWD).exists():
        user = os.fsencode(directory.resolve().name) if user is None else user
        if not is_name(user):
            raise WrongUse(f"{directory}: the user can't be named so; give the right name with --user")
        return ClassicUser(domain, user, directory)
    if user is None:
        raise WrongUse(f"{directory} has no passwd file, so it is not a user's; give --user or --all")
    found = _expected(_domain_root(directory, domain), user)
    if not (found / PASSWD).exists():
        raise UnknownUser(f"{found} has no passwd file; give the directory of all domains, of one, or of the user")
    return ClassicUser(domain, user, found)


def find_all_users(directory: Path, domain: bytes) -> list[ClassicUser]:
    """All users of a domain, by name: `directory` is the domain's, or that of all domains.

    :raises UnknownUser: there is none.
    :raises OSError: it can't be read.
    """
    root = _domain_root(directory, domain)
    found = []
    for place in _directories(root, depth=4):
        user = os.fsencode(place.name)
        if is_name(user) and _expected(root, user) == place and (place / PASSWD).exists():
            found.append(ClassicUser(domain, user, place))
    if not found:
        raise UnknownUser(
            f"no user of {domain.decode('ascii')} below {directory}; give the directory of all domains, or of one"
        )
    return sorted(found, key=lambda one: one.user)


def classic_account(one: ClassicUser) -> Account:
    """How the user is authenticated.

    :raises BadData: the passwd file makes no sense, or is not there any more.
    """
    try:
        account = read_account(one.directory)
    except AccountError as error:
        raise BadData(f"{one.directory / PASSWD}: {error}; correct it, then import {one.name} again") from None
    if account is None:
        raise BadData(f"{one.directory / PASSWD} is gone; import {one.name} again when it is there")
    return account


def read_records(one: ClassicUser, reader: Reader, records: Copy) -> Notes:
    """Adds all records of a directory to an empty copy.

    :raises BadData: a file can't be read.
    """
    notes = Notes()
    for path in sorted(one.directory.iterdir()):
        if path.name == PASSWD:
            continue
        if path.name == ACTIVITY_LOG and path.is_file():
            _read_activity(path, records, notes)
        elif path.suffix in (DATABASE, HISTORY) and path.is_file() and not _is_sqlite(path):
            _read_namespace(path, reader, records, notes)
        else:
            notes.left.append(path.name)
    return notes


def _domain_root(directory: Path, domain: bytes) -> Path:
    inner = directory / domain.decode("ascii")
    return inner if inner.is_dir() else directory


def _expected(root: Path, user: bytes) -> Path:
    return root / user_directory(Path(), b"_", user).relative_to("_")


def _directories(root: Path, depth: int) -> Iterator[Path]:
    """All directories down to a depth; links are not followed, a user's own directory is not entered."""
    for entry in sorted(root.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            yield entry
            if depth > 1 and not (entry / PASSWD).exists():
                yield from _directories(entry, depth - 1)


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _read_namespace(path: Path, reader: Reader, records: Copy, notes: Notes) -> None:
    namespace = os.fsencode(path.stem)
    if not is_name(namespace):
        notes.faults.append(f"{path.name}: not a name for a namespace")
        return
    records.add_namespace(namespace)
    if path.suffix == DATABASE:
        _read_hash(path, namespace, reader, records, notes)
    else:
        _read_history(path, namespace, records, notes)


def _read_hash(path: Path, namespace: bytes, reader: Reader, records: Copy, notes: Notes) -> None:
    stored = _Stored()
    for key, value in reader.read(path):
        if not key:
            notes.faults.append(f"{path.name}: a value without a key")
        elif not stored.take(key, value) and not records.add_entry(namespace, canonical(key), canonical(value)):
            notes.faults.append(f"{path.name}: {_shown(key)} is there in two spellings")
    for version in stored.versions():
        if not records.add_version(namespace, version):
            notes.faults.append(f"{path.name}: {_shown(version.rid)} is there in two spellings")


class _Stored:
    """Puts stored versions together from the keys of one hash, in whatever order they come."""

    def __init__(self) -> None:
        self._names: dict[tuple[bytes, int], list[bytes]] = {}
        self._values: dict[tuple[bytes, int], dict[bytes, bytes]] = {}

    def take(self, key: bytes, value: bytes) -> bool:
        """Whether the key belongs to a stored version."""
        parts = key.split(b":")
        if len(parts) == 2 and parts[0] == b"version" and parts[1]:
            return True  # the number follows from the versions themselves
        if len(parts) != 3 or not parts[2] or not _COUNT.fullmatch(parts[0]):
            return False
        number = int(parts[0])
        if parts[1] == b"keys":
            self._names[parts[2], number] = value.split(b":")
        elif parts[1]:
            self._values.setdefault((parts[1], number), {})[parts[2]] = value
        return bool(parts[1])

    def versions(self) -> Iterator[Version]:
        """All versions, with the names in the order that ``keys`` gives them, and what it forgot behind them."""
        for rid, number in sorted({*self._names, *self._values}):
            values = self._values.get((rid, number), {})
            listed = [name for name in self._names.get((rid, number), ()) if name]
            order = dict.fromkeys([*listed, *sorted(values)])
            order.pop(TIMESTAMP, None)
            items = {canonical(name): canonical(values.get(name, b"")) for name in order}
            items[TIMESTAMP] = canonical(values.get(TIMESTAMP, b"0"))
            yield Version(canonical(rid), number, tuple(items.items()))


def _read_history(path: Path, namespace: bytes, records: Copy, notes: Notes) -> None:
    for number, line in _lines(path):
        match = _EVENT.fullmatch(line)
        if match is None:
            notes.faults.append(f"{path.name}:{number}: not a line of history")
            continue
        action, time, rest = match.groups()
        about, _, what = rest.rpartition(b":")
        records.add_event(namespace, Event(int(time), action.decode("ascii"), _about(about), _what(what)))


def _read_activity(path: Path, records: Copy, notes: Notes) -> None:
    for number, line in _lines(path):
        match = _ACTIVITY.fullmatch(line)
        if match is None:
            notes.faults.append(f"{path.name}:{number}: not a line of activity")
            continue
        time, host, text = match.groups()
        records.add_activity(Activity(int(time), host, canonical(text)))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbers and texts of the lines that are not empty."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            text = line.removesuffix(b"\n").removesuffix(b"\r")
            if text:
                yield number, text


def _about(field: bytes) -> bytes:
    """A resource id, or EXEDOM:EXEUSER, where names stand as they are."""
    if is_canonical(field, b":.@-"):
        return field
    return b":".join([canonical(part) for part in field.split(b":")])


def _what(field: bytes) -> bytes:
    """``k=v&...`` or ``k&...``."""
    items = [item.partition(b"=") for item in field.split(b"&")]
    return b"&".join([canonical(key) + equals + canonical(value) for key, equals, value in items])


def _shown(key: bytes) -> str:
    return canonical(key).decode("ascii")
