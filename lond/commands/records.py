"""Commands on user records: hashes, versions of stored resources, roles, activity log."""

from __future__ import annotations

from lond.commands.arguments import (
    AMOUNTS,
    DOMAIN,
    ESCAPED,
    EXECUTOR,
    EXECUTOR_DOMAIN,
    EXPRESSION,
    KEYS,
    NAMESPACE,
    PAIRS,
    RANGE,
    RESOURCE_ID,
    ROLES,
    USER,
    WRITABLE_NAMESPACE,
)
from lond.commands.expression import selected
from lond.commands.joining import joined, joined_items, unmistakable
from lond.commands.registry import Context, Trust, command
from lond.records.user import Item, Pairs

_OK_OR_REFUSED = "`ok`, `error: ...`; ns roles: `refused`"


@command("log", DOMAIN, USER, ESCAPED, trust=Trust.RECORDS, writes=True, replies="`ok`, `error: ...`")
def log(context: Context, domain: bytes, user: bytes, text: bytes) -> bytes:
    records = context.storage.user(domain, user, write=True)
    records.log(context.session.peer.id.encode(), text, context.now())
    return b"ok"


@command("put", DOMAIN, USER, WRITABLE_NAMESPACE, PAIRS, trust=Trust.RECORDS, writes=True, replies=_OK_OR_REFUSED)
def put(context: Context, domain: bytes, user: bytes, namespace: bytes, pairs: Pairs) -> bytes:
    context.storage.user(domain, user, write=True).put(namespace, pairs, context.now())
    return b"ok"


@command(
    "newput",
    DOMAIN,
    USER,
    WRITABLE_NAMESPACE,
    PAIRS,
    trust=Trust.RECORDS,
    writes=True,
    replies="`ok`, `key_exists: KEY`, `error: ...`; all or nothing; ns roles: `refused`",
)
def newput(context: Context, domain: bytes, user: bytes, namespace: bytes, pairs: Pairs) -> bytes:
    taken = context.storage.user(domain, user, write=True).put_new(namespace, pairs, context.now())
    return b"ok" if taken is None else b"key_exists: " + taken


@command("inc", DOMAIN, USER, WRITABLE_NAMESPACE, AMOUNTS, trust=Trust.RECORDS, writes=True, replies=_OK_OR_REFUSED)
def inc(context: Context, domain: bytes, user: bytes, namespace: bytes, amounts: list[Item]) -> bytes:
    context.storage.user(domain, user, write=True).increment(namespace, amounts, context.now())
    return b"ok"


@command("del", DOMAIN, USER, WRITABLE_NAMESPACE, KEYS, trust=Trust.RECORDS, writes=True, replies=_OK_OR_REFUSED)
def delete(context: Context, domain: bytes, user: bytes, namespace: bytes, keys: list[bytes]) -> bytes:
    context.storage.user(domain, user, write=True).delete(namespace, keys, context.now())
    return b"ok"


@command(
    "get",
    DOMAIN,
    USER,
    NAMESPACE,
    KEYS,
    trust=Trust.RECORDS,
    replies="values joined by `&` in the order asked, empty for missing; `error: 2 ...` no such namespace",
)
def get(context: Context, domain: bytes, user: bytes, namespace: bytes, keys: list[bytes]) -> bytes:
    return _values(context, domain, user, namespace, keys)


@command(
    "eget",
    DOMAIN,
    USER,
    NAMESPACE,
    KEYS,
    trust=Trust.RECORDS,
    framed=True,
    replies="as `get`, framed `enc:LENGTH:HEX`; `error:no_key` without a key",
)
def eget(context: Context, domain: bytes, user: bytes, namespace: bytes, keys: list[bytes]) -> bytes:
    return _values(context, domain, user, namespace, keys)


def _values(context: Context, domain: bytes, user: bytes, namespace: bytes, keys: list[bytes]) -> bytes:
    return unmistakable(b"&".join(context.storage.user(domain, user).get(namespace, keys)))


@command("keys", DOMAIN, USER, NAMESPACE, trust=Trust.RECORDS, replies="`k&k...`, `error: 2 ...`")
def keys(context: Context, domain: bytes, user: bytes, namespace: bytes) -> bytes:
    items = context.storage.user(domain, user).dump(namespace)
    return joined((key for key, _ in items), b"&", context.site.config.max_reply)


@command(
    "dump",
    DOMAIN,
    USER,
    NAMESPACE,
    EXPRESSION,
    RANGE,
    optional=2,
    trust=Trust.RECORDS,
    replies="`k=v&...`, `error: 2 ...`; the expression is matched against the unescaped key, `.` = all; "
    "the range counts the matches from 0, its end is not included",
)
def dump(
    context: Context,
    domain: bytes,
    user: bytes,
    namespace: bytes,
    expression: bytes = b".",
    wanted: tuple[int, int] | None = None,
) -> bytes:
    items = selected(context.storage.user(domain, user).dump(namespace), expression, wanted)
    return joined_items(items, context.site.config.max_reply)


@command(
    "rolesput",
    EXECUTOR_DOMAIN,
    EXECUTOR,
    DOMAIN,
    USER,
    PAIRS,
    trust=Trust.ROLES,
    encrypted=True,
    writes=True,
    replies="`ok`, `error: ...`",
)
def rolesput(context: Context, exedom: bytes, exeuser: bytes, domain: bytes, user: bytes, pairs: Pairs) -> bytes:
    records = context.storage.user(domain, user, write=True)
    records.put(ROLES, pairs, context.now(), about=exedom + b":" + exeuser)
    return b"ok"


@command(
    "rolesdel",
    EXECUTOR_DOMAIN,
    EXECUTOR,
    DOMAIN,
    USER,
    KEYS,
    trust=Trust.ROLES,
    encrypted=True,
    writes=True,
    replies="`ok`, `error: ...`",
)
def rolesdel(context: Context, exedom: bytes, exeuser: bytes, domain: bytes, user: bytes, keys: list[bytes]) -> bytes:
    records = context.storage.user(domain, user, write=True)
    records.delete(ROLES, keys, context.now(), about=exedom + b":" + exeuser)
    return b"ok"


@command(
    "store",
    DOMAIN,
    USER,
    WRITABLE_NAMESPACE,
    RESOURCE_ID,
    PAIRS,
    trust=Trust.RECORDS,
    writes=True,
    replies="`ok`, `error: ...`; a new version of rid; ns roles: `refused`",
)
def store(context: Context, domain: bytes, user: bytes, namespace: bytes, rid: bytes, pairs: Pairs) -> bytes:
    context.storage.user(domain, user, write=True).store(namespace, rid, pairs, context.now())
    return b"ok"


@command(
    "restore",
    DOMAIN,
    USER,
    NAMESPACE,
    RESOURCE_ID,
    trust=Trust.RECORDS,
    replies="`version=N&1:keys=...&1:k=v&...`; `version=0` if nothing was stored; `error: 2 ...`",
)
def restore(context: Context, domain: bytes, user: bytes, namespace: bytes, rid: bytes) -> bytes:
    items = context.storage.user(domain, user).restore(namespace, rid)
    return joined_items(items, context.site.config.max_reply)


@command(
    "currentdump",
    DOMAIN,
    USER,
    NAMESPACE,
    trust=Trust.RECORDS,
    replies="latest values of everything stored: `rid:k=v&...`; `error: 2 ...`",
)
def currentdump(context: Context, domain: bytes, user: bytes, namespace: bytes) -> bytes:
    items = context.storage.user(domain, user).current(namespace)
    return joined_items(items, context.site.config.max_reply)
