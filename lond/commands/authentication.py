"""Commands on accounts: auth, passwd, makeuser, changeuserauth, currentauth.

Passwords are checked and hashed by the workers, so most replies come later. What is then written is written in a turn
of its own, outside the dispatcher's batch; the reply leaves when it is on disk all the same.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Callable

from common.escape import unescape
from common.login_lanes import LoginLane
from lond.authentication.accounts import (
    INTERNAL,
    KERBEROS,
    LOCALAUTH,
    TYPES,
    Account,
    AccountError,
    create_account,
    read_account,
    replace_account,
)
from lond.authentication.hashing import Job, Outcome, Verdict
from lond.authentication.passwords import MAX_PASSWORD_BYTES, is_usable
from lond.commands.arguments import DOMAIN, USER
from lond.commands.homes import is_home
from lond.commands.registry import Argument, Context, Pending, Reply, RequestError, Trust, command
from lond.records.faults import Fault
from lond.records.moving import is_moving

UNKNOWN_USER = b"unknown_user"
NOT_AUTHORIZED = b"non_authorized"
MODE_ERROR = b"auth_mode_error"
WRONG_DOMAIN = b"not_right_domain"
EXISTS = b"already_exists"
CHANGE_FAILURE = b"pwchange_failure"

_LANES = {lane.value.encode("ascii"): lane for lane in LoginLane}
_REALM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ENTRY_POINT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(:.*)?")

_NOBODYS = b"\0"  # a password that is always wrong, for which the work is done all the same

_BUSY = b"error: %d too many log-ins at once, try again" % errno.EAGAIN
_UNDER_WAY = b"error: %d the password is being checked, come again for the result" % errno.EINPROGRESS
_FAILED = b"error: %d the password can not be checked now" % errno.EIO

_log = logging.getLogger(__name__)


def _claimed(field: bytes) -> bytes:
    """A password to check: one that is too long is wrong, and nothing must tell whose."""
    password = unescape(field)
    return password if len(password) <= MAX_PASSWORD_BYTES else _NOBODYS


def _password(field: bytes) -> bytes:
    password = unescape(field)
    if len(password) > MAX_PASSWORD_BYTES:
        raise RequestError(f"a password of more than {MAX_PASSWORD_BYTES} bytes")
    return password


def _lane(field: bytes) -> LoginLane | None:
    """What others send in this place means nothing here, and is no reason to refuse a log-in."""
    return _LANES.get(field)


def _type(field: bytes) -> str:
    return field.decode("ascii", "replace")


PASSWORD = Argument("pass(esc)", _claimed)
OLD = Argument("old(esc)", _claimed)
NEW = Argument("new(esc)", unescape)
LANE = Argument("lane", _lane, is_rest=True)
TYPE = Argument("type", _type)
PASSWORD_OR_ARGUMENT = Argument("pass-or-arg(esc)", _password)


@command(
    "auth",
    DOMAIN,
    USER,
    PASSWORD,
    LANE,
    optional=1,
    trust=Trust.AUTH,
    encrypted=True,
    replies="`authorized`, `non_authorized`, `unknown_user`, `auth_mode_error` (its type can't be checked here), "
    "`error: 11 ...` (too many have failed in this lane, or wait already: try again), `error: 115 ...` (it takes "
    "long: send the same again for its outcome); lane: `known` (this user has logged in at the asking host with this "
    "browser before), `fresh` (few have failed as this user from where this browser is), `strangers`; none, or what "
    "is no lane: strangers who wait for the outcome, and the link with them, however long it takes",
)
def auth(context: Context, domain: bytes, user: bytes, password: bytes, lane: LoginLane | None = None) -> Reply:
    account = _account(context, domain, user)
    reply = Pending()

    def done(outcome: Outcome) -> None:
        if outcome.verdict is Verdict.RIGHT:
            _replace_outdated_hash(context, domain, user, account, outcome.hash)
            reply.settle(b"authorized")
        else:
            reply.settle(_denied(account, outcome.verdict))

    context.services.log_ins.check(Job(domain, user, account, password), context.session.peer.id, done, lane)
    return reply


@command(
    "passwd",
    DOMAIN,
    USER,
    OLD,
    NEW,
    LANE,
    optional=1,
    trust=Trust.AUTH,
    encrypted=True,
    writes=True,
    replies="`ok`, `non_authorized`, `unknown_user`, `auth_mode_error` (not an internal account), `pwchange_failure`, "
    "`error: 11 ...`; lane as for `auth`",
)
def passwd(
    context: Context, domain: bytes, user: bytes, old: bytes, new: bytes, lane: LoginLane | None = None
) -> Reply:
    account = _account(context, domain, user)
    if account is not None and account.type != INTERNAL:
        return MODE_ERROR
    if not is_usable(new):
        return CHANGE_FAILURE
    reply = Pending()

    def done(outcome: Outcome) -> None:
        if outcome.verdict is Verdict.RIGHT:
            changed = _replaced(context, domain, user, account, outcome.hash)
            reply.settle(b"ok" if changed else CHANGE_FAILURE)
        else:
            reply.settle(_denied(account, outcome.verdict))

    context.services.log_ins.check(Job(domain, user, account, old, new), context.session.peer.id, done, lane)
    return reply


@command(
    "makeuser",
    DOMAIN,
    USER,
    TYPE,
    PASSWORD_OR_ARGUMENT,
    trust=Trust.AUTH,
    encrypted=True,
    writes=True,
    replies="`ok`, `already_exists`, `not_right_domain`, `auth_mode_error` (no such type), `error: ...`",
)
def makeuser(context: Context, domain: bytes, user: bytes, type_: str, argument: bytes) -> Reply:
    if domain != _own_domain(context):
        return WRONG_DOMAIN
    if type_ not in TYPES:
        return MODE_ERROR
    if is_home(context, domain, user):
        return EXISTS

    def create(account: Account) -> bytes:
        return b"ok" if create_account(context.site.config.users_dir, domain, user, account) else EXISTS

    return _with_account(context, domain, user, type_, argument, create)


@command(
    "changeuserauth",
    DOMAIN,
    USER,
    TYPE,
    PASSWORD_OR_ARGUMENT,
    trust=Trust.AUTH,
    encrypted=True,
    writes=True,
    replies="`ok`, `not_right_domain`, `unknown_user`, `auth_mode_error` (no such type), `error: ...`",
)
def changeuserauth(context: Context, domain: bytes, user: bytes, type_: str, argument: bytes) -> Reply:
    if domain != _own_domain(context):
        return WRONG_DOMAIN
    if not is_home(context, domain, user):
        return UNKNOWN_USER
    if type_ not in TYPES:
        return MODE_ERROR

    def change(account: Account) -> bytes:
        if replace_account(context.storage.user_directory(domain, user), account):
            return b"ok"
        raise AccountError(errno.EAGAIN, "the account is being changed, try again")

    return _with_account(context, domain, user, type_, argument, change)


@command(
    "currentauth",
    DOMAIN,
    USER,
    trust=Trust.AUTH,
    encrypted=True,
    replies="`TYPE:INFO` (INFO is shown for Kerberos only), `unknown_user`",
)
def currentauth(context: Context, domain: bytes, user: bytes) -> bytes:
    account = _account(context, domain, user)
    if account is None:
        return UNKNOWN_USER
    info = account.info if account.type in KERBEROS else ""
    return f"{account.type}:{info}".encode("utf-8", "surrogateescape")


def _own_domain(context: Context) -> bytes:
    return context.site.own.domain.encode("ascii")


def _account(context: Context, domain: bytes, user: bytes) -> Account | None:
    directory = context.storage.user_directory(domain, user)
    try:
        account = read_account(directory)
    except AccountError as error:
        context.services.log_ins.complain(domain, user, error.text)
        raise RequestError(error.text, error.number) from None
    if account is None and is_moving(directory):
        raise Fault.MOVING.error()
    return account


def _denied(account: Account | None, verdict: Verdict) -> bytes:
    """The reply to a password that was not found right."""
    if verdict is Verdict.WRONG:
        return UNKNOWN_USER if account is None else NOT_AUTHORIZED
    if verdict in (Verdict.UNAVAILABLE, Verdict.UNUSABLE):
        return MODE_ERROR
    return {Verdict.BUSY: _BUSY, Verdict.UNDER_WAY: _UNDER_WAY}.get(verdict, _FAILED)


def _replace_outdated_hash(
    context: Context, domain: bytes, user: bytes, account: Account | None, new_hash: str | None
) -> None:
    """Puts the new hash of a right password in the place of a migrated one; the log-in is good without it, too."""
    if new_hash is not None and _replaced(context, domain, user, account, new_hash):
        _log.info("%s:%s has a new kind of hash", domain.decode("ascii"), user.decode("ascii"))


def _replaced(context: Context, domain: bytes, user: bytes, old: Account | None, new_hash: str | None) -> bool:
    """Whether the new hash has replaced the old account, if that is still there."""
    if new_hash is None or old is None:
        return False
    try:
        return replace_account(context.storage.user_directory(domain, user), Account(INTERNAL, new_hash), old)
    except AccountError as error:
        _log.error("passwd of %s:%s not changed: %s", domain.decode("ascii"), user.decode("ascii"), error)
        return False


def _with_account(
    context: Context, domain: bytes, user: bytes, type_: str, argument: bytes, store: Callable[[Account], bytes]
) -> Reply:
    """Stores the account that type and argument describe; the reply of `store`, now or when its password is hashed.

    :param store: may raise AccountError.
    """
    if type_ != INTERNAL:
        return _stored(lambda: store(Account(type_, _info(type_, argument))))
    if not is_usable(argument):
        raise RequestError("an empty password, or one with a NUL")
    reply = Pending()

    def done(outcome: Outcome) -> None:
        new_hash = outcome.hash
        if outcome.verdict is Verdict.RIGHT and new_hash is not None:
            reply.settle(_stored(lambda: store(Account(INTERNAL, new_hash))))
        else:
            reply.settle(_denied(None, outcome.verdict))

    context.services.log_ins.hash(domain, user, argument, done)
    return reply


def _stored(store: Callable[[], bytes]) -> bytes:
    try:
        return store()
    except AccountError as error:
        return b"error: %d %b" % (error.number, error.text.encode("ascii", "replace"))


def _info(type_: str, argument: bytes) -> str:
    """The INFO of an account that is not internal.

    :raises RequestError: the type can't have this argument.
    """
    text = argument.decode("utf-8", "surrogateescape")
    if type_ in KERBEROS:
        if not _REALM.fullmatch(text):
            raise RequestError("not a Kerberos realm")
        return text
    if type_ == LOCALAUTH:
        if not _ENTRY_POINT.fullmatch(text):
            raise RequestError("not NAME or NAME:REST of a localauth function")
        return text
    return ""
