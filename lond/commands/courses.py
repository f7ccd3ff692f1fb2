"""Commands on the list of a domain's courses. A course's value is ``DESCRIPTION:FURTHER:...``, each part escaped."""

from __future__ import annotations

from common.escape import unescape
from lond.commands.arguments import COURSE_PAIRS, DOMAIN, FILTER, SINCE
from lond.commands.joining import joined_items
from lond.commands.registry import Context, Trust, command
from lond.records.user import Pairs

ALL = b"."


@command("courseidput", DOMAIN, COURSE_PAIRS, trust=Trust.RECORDS, writes=True, replies="`ok`, `error: ...`")
def courseidput(context: Context, domain: bytes, pairs: Pairs) -> bytes:
    context.storage.domain(domain, write=True).put_courses(pairs.items(), context.now())
    return b"ok"


@command(
    "courseiddump",
    DOMAIN,
    SINCE,
    FILTER,
    optional=2,
    trust=Trust.RECORDS,
    replies="`k=v&...`: courses put at `since` (UNIX time) or later whose description holds `filter` (no expression; "
    "case does not matter; `.` = all); `error: 2 ...`",
)
def courseiddump(context: Context, domain: bytes, since: int = 0, wanted: bytes = ALL) -> bytes:
    items = context.storage.domain(domain).courses(since)
    if wanted not in (ALL, b""):
        needle = wanted.lower()
        items = (item for item in items if needle in unescape(item[1].partition(b":")[0]).lower())
    return joined_items(items, context.site.config.max_reply)
