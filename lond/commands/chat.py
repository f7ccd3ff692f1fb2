"""Commands on the chat rooms of courses."""

from __future__ import annotations

from common.escape import escape
from lond.commands.arguments import COURSE, COURSE_DOMAIN, MEMBER_DOMAIN, POST, USER
from lond.commands.joining import joined
from lond.commands.registry import Context, Trust, command


@command("chatsend", COURSE_DOMAIN, COURSE, POST, trust=Trust.RECORDS, writes=True, replies="`ok`, `error: ...`")
def chatsend(context: Context, domain: bytes, course: bytes, post: bytes) -> bytes:
    context.storage.domain(domain, write=True).post(course, post, context.now())
    return b"ok"


@command(
    "chatretr",
    COURSE_DOMAIN,
    COURSE,
    MEMBER_DOMAIN,
    USER,
    trust=Trust.RECORDS,
    writes=True,
    replies="escaped lines joined by `:`: who is there (`active_participant:UNAME:UDOM`), then the posts of the last "
    "hour (`UNIXTIME_NUMBER:POST`)",
)
def chatretr(context: Context, domain: bytes, course: bytes, member_domain: bytes, member: bytes) -> bytes:
    records = context.storage.domain(domain, write=True)
    now = context.now()
    records.enter(course, member + b":" + member_domain, now)
    lines = [b"active_participant:" + user for user in records.present(course, now)]
    lines += [b"%d_%06d:%b" % (time, number, post) for number, time, post in records.posts(course, now)]
    return joined(map(escape, lines), b":", context.site.config.max_reply)
