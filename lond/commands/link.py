"""Commands about the link and the host: ping, pong, load, userload, version, sethost, home.

ekey, init, exit and quit change the state of the link itself; the protocol layer answers them.
"""

from __future__ import annotations

from common.version import SOFTWARE
from lond.commands.arguments import DOMAIN, HOST_ID, USER, VERSION
from lond.commands.homes import is_home
from lond.commands.registry import Context, Trust, command, link_command

OWN_VERSION = SOFTWARE.encode()

_MAX_VERSION = 200  # characters kept of what the other side says

link_command("init", replies="challenge")
link_command("ekey", replies="build key")
link_command("exit", replies="`bye`, and the link is closed")
link_command("quit", replies="as `exit`")


@command("ping", trust=Trust.NONE, replies="own host id")
def ping(context: Context) -> bytes:
    return context.site.own.id.encode()


@command("pong", trust=Trust.NONE, replies="`OWNID:REPLY`, REPLY = what our lonc got for `ping` to the caller")
def pong(context: Context) -> bytes:
    reply = context.services.ping_back(context.session.peer.id)
    return f"{context.site.own.id}:{reply}".encode()


@command("load", trust=Trust.NONE, replies="100 x 1-minute load average / lonLoadLim")
def load(context: Context) -> bytes:
    limit = context.site.config.load_lim
    percent = 100 * context.services.load_average() / limit if limit > 0 else 0.0
    return f"{percent:.12g}".encode()


@command("userload", trust=Trust.NONE, replies="100 x active sessions / lonUserLoadLim, two decimals; `0.00` if off")
def userload(context: Context) -> bytes:
    limit = context.site.config.user_load_lim
    percent = 100 * context.services.sessions() / limit if limit > 0 else 0.0
    return f"{percent:.2f}".encode()


@command("version", VERSION, optional=1, trust=Trust.NONE, replies="`version:TEXT`, our own")
def version(context: Context, text: bytes = b"") -> bytes:
    context.session.version = text.decode("ascii", "backslashreplace")[:_MAX_VERSION]
    return b"version:" + OWN_VERSION


@command("sethost", HOST_ID, trust=Trust.NONE, replies="`ok` for our own host id, else `unable_to_set`")
def sethost(context: Context, host_id: bytes) -> bytes:
    return b"ok" if host_id == context.site.own.id.encode() else b"unable_to_set"


@command("home", DOMAIN, USER, trust=Trust.NONE, replies="`found`, `not_found`, `error: 11 ...` (moving away)")
def home(context: Context, domain: bytes, user: bytes) -> bytes:
    return b"found" if is_home(context, domain, user) else b"not_found"
