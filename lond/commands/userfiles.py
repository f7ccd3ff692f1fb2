"""Commands about files that users upload: fetchuserfile on the user's home server, tokenauthuserfile where one is."""

from __future__ import annotations

from common.escape import unescape
from common.hosts_table import DOMAIN as NAME
from lond.commands.homes import is_home
from lond.commands.registry import Argument, Context, Pending, Reply, RequestError, Trust, command
from lond.updates.userfiles import UserFile
from lonnet.sessions import Sessions


def _user_file(field: bytes) -> UserFile:
    try:
        wanted = UserFile.parse("", unescape(field).decode("utf-8"))
    except ValueError:
        raise RequestError("not DOMAIN/USER/FILE") from None
    if not NAME.fullmatch(wanted.domain) or not NAME.fullmatch(wanted.user):
        raise RequestError("not DOMAIN/USER/FILE")
    return wanted


def _text(field: bytes) -> str:
    return unescape(field).decode("utf-8", "surrogateescape")


USER_FILE = Argument("udom/uname/file(esc)", _user_file, is_domain=True)
FILE_NAME = Argument("fname(esc)", _text)
SESSION = Argument("session", _text)


@command(
    "fetchuserfile",
    USER_FILE,
    trust=Trust.RECORDS,
    writes=True,
    replies="`ok`: the file was fetched from the asking host's web server; `failed`, `not_home`",
)
def fetchuserfile(context: Context, wanted: UserFile) -> Reply:
    if not is_home(context, wanted.domain.encode("ascii"), wanted.user.encode("ascii")):
        return b"not_home"
    reply = Pending()
    from_asking = UserFile(context.session.peer.id, wanted.domain, wanted.user, wanted.parts)
    context.services.updates.fetch(from_asking, lambda fetched: reply.settle(b"ok" if fetched else b"failed"))
    return reply


@command(
    "tokenauthuserfile",
    FILE_NAME,
    SESSION,
    trust=Trust.RECORDS,
    replies="`ok`: the session has an entry `userfile.FNAME`; `non_auth`, `invalid_token` (no such session)",
)
def tokenauthuserfile(context: Context, name: str, session_id: str) -> bytes:
    session = Sessions(context.site.config).find(session_id)
    if session is None:
        return b"invalid_token"
    return b"ok" if name in session.userfiles else b"non_auth"
