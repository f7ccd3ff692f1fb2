"""One user as one file: account, all namespaces, stored versions, histories, activity log.

A gzip-compressed text of JSON values, one a line. Text stands for bytes one to one (Latin-1); names, keys and values
are in escaped form. The first line says what the file is, the last one what must have come before it:

    {"format": "loncapa-user", "version": 1, "domain": "msu", "user": "smith", "host": "msul1", "time": 1795355652}
    ["account", "krb5:MSU.EDU"]
    ["namespace", "grades"]
    ["entry", "grades", KEY, VALUE]
    ["version", "grades", RID, NUMBER, [[KEY, VALUE], ...]]
    ["history", "grades", TIME, "P", ABOUT, WHAT]
    ["activity", TIME, HOST, TEXT]
    {"lines": 6, "sha256": "..."}

Promises: of the same user in the same state come the same lines, but for the first one's time. :func:`read_archive`
returns a whole archive or raises; what it returns can be stored as it is.

Raises: :class:`BadData` for a file that is no archive, is damaged or cut off, with the line's number. Logs nothing.

Known limits: the account can hold a hash: whoever has the file can try passwords. The digest finds damage, not forgery.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from common.durable import sync_directory
from common.escape import is_canonical
from lond.authentication.accounts import Account, AccountError, parse_account
from lond.records.paths import is_name
from lond.records.tables import Activity, Copy, Event, Tables, Version
from lonuser.errors import BadData

FORMAT, FORMAT_VERSION = "loncapa-user", 1
MAX_LINE_BYTES = 64 * 1024 * 1024

_MAX_NUMBER = 2**62
_ACTION = re.compile(r"[A-Z]{1,8}")
_MORE_IN_NAMES = b".@-"  # that may stand unescaped in names of users and hosts


@dataclass(frozen=True, slots=True)
class Head:
    """The first line: whose records these are, where (host id) and when (UNIX seconds) they were copied."""

    domain: str
    user: str
    host: str
    time: int


@dataclass(frozen=True, slots=True)
class Archive:
    """What a file holds. Close `records`."""

    head: Head
    account: Account
    records: Copy


def write_archive(file: BinaryIO, head: Head, account: Account, records: Tables) -> None:
    """Writes one user. `file` stays open, and is not synced.

    :raises OSError: it could not be written.
    """
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=head.time) as packed:
        digest, lines = hashlib.sha256(), 0
        for line in _lines(head, account, records):
            packed.write(line)
            digest.update(line)
            lines += 1
        packed.write(_line({"lines": lines, "sha256": digest.hexdigest()}))


def save_archive(path: Path, head: Head, account: Account, records: Tables, *, replace: bool = False) -> None:
    """Writes one user to a file of mode 0600, which is there as a whole and durably, or not at all.

    :param replace: a file that is there may be replaced.
    :raises OSError: it could not be written, or is there (FileExistsError).
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)  # of an earlier process with our number
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            write_archive(file, head, account, records)
            file.flush()
            os.fsync(descriptor)
        if replace:
            part.replace(path)
        else:
            path.hardlink_to(part)  # unlike a rename it fails if there is something
    finally:
        part.unlink(missing_ok=True)
    sync_directory(path.parent)


def read_archive(file: BinaryIO, name: str) -> Archive:
    """Reads and checks one user.

    :param file: open for reading; only read forward, so that it can be a pipe.
    :param name: for messages.
    :raises BadData: see the module.
    :raises OSError: it can't be read.
    """
    loading = _Loading()
    try:
        with gzip.GzipFile(mode="rb", fileobj=file) as packed:
            return loading.load(packed)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        reason = "is cut off or damaged" if loading.line > 1 else "is not an archive of a user, or is damaged"
        raise BadData(f"{name} {reason} ({error}); export the user again") from None
    except _Wrong as error:
        raise BadData(f"{name}: line {loading.line}: {error}; export the user again") from None


def _lines(head: Head, account: Account, records: Tables) -> Iterator[bytes]:
    yield _line(
        {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "domain": head.domain,
            "user": head.user,
            "host": head.host,
            "time": head.time,
        }
    )
    yield _line(["account", _text(account.line().removesuffix(b"\n"))])
    for namespace in records.namespaces():
        name = _text(namespace)
        yield _line(["namespace", name])
        for key, value in records.entries(namespace):
            yield _line(["entry", name, _text(key), _text(value)])
        for version in records.versions(namespace):
            values = [[_text(key), _text(value)] for key, value in version.values]
            yield _line(["version", name, _text(version.rid), version.number, values])
        for event in records.history(namespace):
            yield _line(["history", name, event.time, event.action, _text(event.about), _text(event.what)])
    for activity in records.activity():
        yield _line(["activity", activity.time, _text(activity.host), _text(activity.text)])


class _Wrong(ValueError):
    """What is wrong with a line."""


class _Loading:
    """Reads lines into a Copy, in order."""

    def __init__(self) -> None:
        self.line = 0  # the number of the one at hand
        self._digest = hashlib.sha256()
        self._end: dict[str, object] = {}

    def load(self, file: gzip.GzipFile) -> Archive:
        """The whole archive, its end checked."""
        head, account = _head(self._next(file)), _account(self._next(file))
        records = Copy()
        try:
            while isinstance(record := self._next(file), list):
                _add(records, record)
            if record != self._end:
                raise _Wrong("neither a record nor the end of the lines that were written")
            if file.read(1):
                raise _Wrong("something comes behind it, but it is the end")
            return Archive(head, account, records)
        except BaseException:
            records.close()
            raise

    def _next(self, file: gzip.GzipFile) -> object:
        """The value of the next line."""
        self.line += 1
        self._end = {"lines": self.line - 1, "sha256": self._digest.hexdigest()}  # if this is the last one
        line = file.readline(MAX_LINE_BYTES + 1)
        if not line.endswith(b"\n"):
            raise _Wrong("too long" if len(line) > MAX_LINE_BYTES else "the end is missing")
        self._digest.update(line)
        try:
            record: object = json.loads(line)
        except (ValueError, RecursionError):
            raise _Wrong("not JSON") from None
        return record


def _head(record: object) -> Head:
    match record:
        case {"format": "loncapa-user", "version": int() as version} if version != FORMAT_VERSION:
            raise _Wrong(f"an archive of version {version}, this program knows {FORMAT_VERSION}")
        case {"format": "loncapa-user", "domain": str() as domain, "user": str() as user, "host": str() as host}:
            assert isinstance(record, dict)
            if not is_name(_bytes(domain)) or not is_name(_bytes(user)):
                raise _Wrong("not a domain and a user")
            return Head(domain, user, host, _number(record.get("time"), 0))
    raise _Wrong("not the first line of an archive of a user")


def _account(record: object) -> Account:
    match record:
        case ["account", str() as line]:
            try:
                return parse_account(_bytes(line))
            except AccountError:
                raise _Wrong("an account of unknown type") from None
    raise _Wrong("the account is missing")


def _add(records: Copy, record: list[object]) -> None:
    """Checks one record, and adds it."""
    match record:
        case ["namespace", str() as name]:
            new = is_name(_bytes(name)) and records.add_namespace(_bytes(name))
        case ["entry", str() as name, str() as key, str() as value]:
            new = records.add_entry(_known(records, name), _escaped(key), _escaped(value))
        case ["version", str() as name, str() as rid, number, [_, *_] as values]:
            version = Version(_escaped(rid), _number(number, 1), tuple(_item(value) for value in values))
            new = records.add_version(_known(records, name), version)
        case ["history", str() as name, time, str() as action, str() as about, str() as what]:
            if not _ACTION.fullmatch(action):
                raise _Wrong("unknown kind of history")
            event = Event(_number(time, 0), action, _escaped(about, b":" + _MORE_IN_NAMES), _escaped(what, b"&="))
            records.add_event(_known(records, name), event)
            new = True
        case ["activity", time, str() as host, str() as text]:
            records.add_activity(Activity(_number(time, 0), _escaped(host, _MORE_IN_NAMES), _escaped(text)))
            new = True
        case _:
            raise _Wrong("not a record of a user")
    if not new:
        raise _Wrong("not a namespace, or something that came before")


def _known(records: Copy, name: str) -> bytes:
    namespace = _bytes(name)
    if not records.has_namespace(namespace):
        raise _Wrong("a namespace that was not announced")
    return namespace


def _item(value: object) -> tuple[bytes, bytes]:
    match value:
        case [str() as key, str() as text]:
            return _escaped(key), _escaped(text)
    raise _Wrong("not a key and a value")


def _escaped(text: str, more: bytes = b"") -> bytes:
    data = _bytes(text)
    if not is_canonical(data, more):
        raise _Wrong("a text that is not in escaped form")
    return data


def _number(value: object, least: int) -> int:
    if type(value) is not int or not least <= value < _MAX_NUMBER:
        raise _Wrong("not a number that can stand here")
    return value


def _bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise _Wrong("a character that is not a byte") from None


def _text(data: bytes) -> str:
    return data.decode("latin-1")


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"
