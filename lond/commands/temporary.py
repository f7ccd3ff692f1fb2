"""Texts kept on this host for a while, under an id that only who was told it knows."""

from __future__ import annotations

import secrets

from lond.commands.arguments import ID, LINE
from lond.commands.registry import Context, Trust, command
from lond.records.domain import DomainRecords


def own_domain(context: Context, *, write: bool = False) -> DomainRecords:
    """The records of our own domain, where what belongs to this host alone is kept."""
    return context.storage.domain(context.site.own.domain.encode("ascii"), write=write)


@command("tmpput", LINE, trust=Trust.NONE, writes=True, replies="id, `error: ...`")
def tmpput(context: Context, text: bytes) -> bytes:
    key = secrets.token_hex(16).encode()
    own_domain(context, write=True).put_temporary(key, text, context.now())
    return key


@command("tmpget", ID, trust=Trust.NONE, replies="text, `error: 2 ...`")
def tmpget(context: Context, key: bytes) -> bytes:
    return own_domain(context).get_temporary(key)


@command("tmpdel", ID, trust=Trust.NONE, writes=True, replies="`ok`, `error: 2 ...`")
def tmpdel(context: Context, key: bytes) -> bytes:
    own_domain(context, write=True).delete_temporary(key)
    return b"ok"
