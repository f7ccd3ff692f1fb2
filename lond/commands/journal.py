"""journal: what this lond executed for the host that asks; also tells our clock.

It is how `loncontrol trace --peer` and `loncontrol doctor` ask the other end; other servers answer `unknown_cmd`.
"""

from __future__ import annotations

import re

from lond.commands.registry import Argument, Context, RequestError, Trust, command
from lond.journal import executions, journal_path

MOST = 100  # executions in a reply, the latest

_WORD = re.compile(rb"[a-z]{1,32}|")
_DIGEST = re.compile(rb"[0-9a-f]{32}|-")


def _matching(pattern: re.Pattern[bytes], kind: str, field: bytes) -> bytes:
    if not pattern.fullmatch(field):
        raise RequestError(f"not a {kind}")
    return field


WORD = Argument("word", lambda field: _matching(_WORD, "command", field))
DIGEST = Argument("digest", lambda field: _matching(_DIGEST, "digest", field))


@command(
    "journal",
    WORD,
    DIGEST,
    optional=2,
    trust=Trust.NONE,
    replies="`NOW:SINCE:TIME=REPLY&...`: our clock, the time of the journal's first line (empty: there is none), and "
    "when the asking host had the command with this digest executed",
)
def journal(context: Context, word: bytes = b"", digest: bytes = b"-") -> bytes:
    peer, path = context.session.peer.id, journal_path(context.site.config)
    since, found = executions(path, peer, word, digest, MOST)
    listed = b"&".join(b"%d=%b" % (execution.when, execution.reply) for execution in found)
    return b"%d:%b:%b" % (context.now(), b"" if since is None else b"%d" % since, listed)
