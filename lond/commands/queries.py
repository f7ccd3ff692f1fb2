"""Queries to other programs of a host (the original's metadata search), asked now and answered later.

querysend keeps the query and answers with its id. Who can answer it sends `queryreply` with that id to the host that
asked, where the reply is kept as a temporary text: the caller asks its own host for it by `tmpget`.

Known limits: nothing here answers queries yet; they are kept for lond.records.domain.TEMPORARY_KEPT.
"""

from __future__ import annotations

import secrets

from lond.commands.arguments import ID, QUERY, REPLY
from lond.commands.registry import Context, Trust, command
from lond.commands.temporary import own_domain


@command("querysend", QUERY, trust=Trust.RESOURCES, writes=True, replies="id, `error: ...`")
def querysend(context: Context, query: bytes) -> bytes:
    key = secrets.token_hex(16).encode()
    asking = context.session.peer.id.encode()
    own_domain(context, write=True).put_query(key, asking, query, context.now())
    return key


@command("queryreply", ID, REPLY, trust=Trust.RESOURCES, writes=True, replies="`ok`, `error: ...`")
def queryreply(context: Context, key: bytes, reply: bytes) -> bytes:
    own_domain(context, write=True).put_temporary(key, reply, context.now())
    return b"ok"
