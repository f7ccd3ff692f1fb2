"""The kinds of arguments that commands have, each with its check.

A command names them in its decorator; the dispatcher parses. Lists keep their escaped form, in canonical spelling:
so they are stored and sent back.

Promises: any bytes give a value or :class:`RequestError`; a name that passed is safe in a path.

Raises: RequestError, and Refused for writing to a namespace that has commands of its own. Logs nothing.
"""

from __future__ import annotations

import re

from common.errors import Refused
from common.escape import canonical, is_canonical, unescape
from lond.commands.registry import Argument, RequestError
from lond.records.paths import is_name

ROLES = b"roles"

_ID = re.compile(rb"[A-Za-z0-9_]{1,128}")
_RANGE = re.compile(rb"(?:([0-9]{1,9})-)?([0-9]{1,9})")
_SECONDS = re.compile(rb"[0-9]{0,15}")


def _domain(field: bytes) -> bytes:
    return _name(field, "domain")


def _user(field: bytes) -> bytes:
    return _name(field, "user")


def _namespace(field: bytes) -> bytes:
    return _name(field.replace(b"/", b"_"), "namespace")


def _writable_namespace(field: bytes) -> bytes:
    namespace = _namespace(field)
    if namespace == ROLES:
        raise Refused("roles are written by rolesput and rolesdel")
    return namespace


def _name(field: bytes, kind: str) -> bytes:
    if not is_name(field):
        raise RequestError(f"not a {kind}")
    return field


def _keys(field: bytes) -> list[bytes]:
    if not field:
        return []
    keys = field.split(b"&")
    return keys if is_canonical(field, b"&") else [canonical(key) for key in keys]


def _items(field: bytes) -> list[tuple[bytes, bytes]]:
    clean = is_canonical(field, b"&=")
    items = []
    for item in field.split(b"&"):
        key, _, value = item.partition(b"=")
        if not clean:
            key = canonical(key)
        if not clean or b"=" in value:
            value = canonical(value)
        if key:
            items.append((key, value))
        elif item:
            raise RequestError("a value without a key")
    return items


def _pairs(field: bytes) -> dict[bytes, bytes]:
    return dict(_items(field))


def _course_pairs(field: bytes) -> dict[bytes, bytes]:
    """As pairs, but a value is a list of its own, joined by ``:``."""
    pairs = {}
    for item in field.split(b"&"):
        key, _, value = item.partition(b"=")
        if key:
            pairs[canonical(key)] = b":".join([canonical(part) for part in value.split(b":")])
        elif item:
            raise RequestError("a value without a key")
    return pairs


def _identifier(field: bytes) -> bytes:
    if not _ID.fullmatch(field):
        raise RequestError("not an id")
    return field


def _resource_id(field: bytes) -> bytes:
    if not field:
        raise RequestError("no resource id")
    return canonical(field)


def _range(field: bytes) -> tuple[int, int]:
    found = _RANGE.fullmatch(field)
    if found is None:
        raise RequestError("not a range START-END")
    return int(found[1] or 0), int(found[2])


def _seconds(field: bytes) -> int:
    if not _SECONDS.fullmatch(field):
        raise RequestError("not a time in seconds")
    return int(field or 0)


def _verbatim(field: bytes) -> bytes:
    return field


DOMAIN = Argument("udom", _domain, is_domain=True)
USER = Argument("uname", _user)
COURSE_DOMAIN = Argument("cdom", _domain, is_domain=True)
COURSE = Argument("cnum", _user)
EXECUTOR_DOMAIN = Argument("exedom", _domain)  # who changes a role, not whose role it is
EXECUTOR = Argument("exeuser", _user)
MEMBER_DOMAIN = Argument("udom", _domain)  # the user in somebody else's course
NAMESPACE = Argument("ns", _namespace)
WRITABLE_NAMESPACE = Argument("ns", _writable_namespace)
RESOURCE_ID = Argument("rid", _resource_id)
PAIRS = Argument("k=v&...", _pairs)
AMOUNTS = Argument("k=n&...", _items)  # not a mapping: a key that comes twice is added to twice
KEYS = Argument("k&k...", _keys)
ID_PAIRS = Argument("id=uname&...", _pairs)
IDS = Argument("id&id...", _keys)
COURSE_PAIRS = Argument("k=v&...", _course_pairs, is_rest=True)
ESCAPED = Argument("text(esc)", canonical)  # stays escaped
TEXT = Argument("text(esc)", unescape)  # the command gets what it stands for
POST = Argument("post(esc)", canonical)
EXPRESSION = Argument("regexp(esc)", unescape)
FILTER = Argument("filter", unescape)
RANGE = Argument("start-end", _range)
SINCE = Argument("since", _seconds)
ID = Argument("id", _identifier)
LINE = Argument("text", _verbatim, is_rest=True)
REPLY = Argument("reply", _verbatim, is_rest=True)
QUERY = Argument("query(esc):arg...", _verbatim, is_rest=True)
HOST_ID = Argument("HOSTID", _verbatim)
VERSION = Argument("TEXT", _verbatim, is_rest=True)
