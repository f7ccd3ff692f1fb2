"""Commands on the ids by which an institution knows its users."""

from __future__ import annotations

from lond.commands.arguments import DOMAIN, ID_PAIRS, IDS
from lond.commands.joining import unmistakable
from lond.commands.registry import Context, Trust, command
from lond.records.user import Pairs


@command("idput", DOMAIN, ID_PAIRS, trust=Trust.RECORDS, writes=True, replies="`ok`, `error: ...`")
def idput(context: Context, domain: bytes, pairs: Pairs) -> bytes:
    context.storage.domain(domain, write=True).put_ids(pairs)
    return b"ok"


@command(
    "idget",
    DOMAIN,
    IDS,
    trust=Trust.RECORDS,
    replies="unames joined by `&`, empty for unknown ids; `error: 2 ...` nothing stored for this domain",
)
def idget(context: Context, domain: bytes, ids: list[bytes]) -> bytes:
    return unmistakable(b"&".join(context.storage.domain(domain).get_ids(ids)))
