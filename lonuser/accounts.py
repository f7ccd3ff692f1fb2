"""The commands of lonuser that concern one account: add, passwd, auth, show.

Raises: the errors of :mod:`lonuser.errors`, AccountError, StorageError. Logs nothing.
"""

from __future__ import annotations

import errno
import re
from argparse import Namespace
from datetime import datetime, timezone

from lond.authentication.accounts import (
    INTERNAL,
    KRB5,
    LOCALAUTH,
    NONE,
    UNIX,
    Account,
    create_account,
    read_account,
    replace_account,
)
from lond.authentication.passwords import hash_password
from lond.records.databases import USER_DATABASE
from lond.records.faults import StorageError
from lond.records.paths import PASSWD
from lond.records.summary import Summary, summary
from lonuser.errors import NotPossible, WrongUse
from lonuser.session import Name, Session, checked_name

TYPES = "internal, unix, krb5:REALM, localauth:NAME[:ARGUMENT] or none"

# As the command makeuser has them.
REALM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
ENTRY_POINT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(:.*)?")


def add(session: Session, options: Namespace) -> None:
    """``add DOMAIN USER``: makes this host the home server of a new user."""
    name = checked_name(options.domain, options.user)
    kind, info = parse_type(options.type)
    if session.storage.is_home(*name.fields):
        raise NotPossible(f"{name} is here already; lonuser auth or passwd changes the account")
    session.newcomer(name)
    account = _account(session, name, kind, info, options.password_stdin)
    if not create_account(session.users_dir, *name.fields, account):
        raise NotPossible(f"{name} was made by somebody else at this moment; lonuser show tells how")
    session.terminal.say(f"{name} is at home on {session.site.own.id}, type {kind}")


def passwd(session: Session, options: Namespace) -> None:
    """``passwd DOMAIN USER``: gives an internal account a new password."""
    name = session.known(checked_name(options.domain, options.user))
    account = read_account(session.directory(name))
    if account is not None and account.type != INTERNAL:
        raise WrongUse(
            f"{name} has type {account.type}, whose password is not kept here; "
            f"lonuser auth {name.domain} {name.user} internal changes the type"
        )
    _replace(session, name, _account(session, name, INTERNAL, "", options.password_stdin))
    session.terminal.say(f"{name} has a new password")


def auth(session: Session, options: Namespace) -> None:
    """``auth DOMAIN USER TYPE``: changes how a user is authenticated."""
    name = session.known(checked_name(options.domain, options.user))
    kind, info = parse_type(options.type)
    _replace(session, name, _account(session, name, kind, info, options.password_stdin))
    session.terminal.say(f"{name} has type {kind}")


def show(session: Session, options: Namespace) -> None:
    """``show DOMAIN USER``: what there is of a user; nothing secret."""
    name = session.known(checked_name(options.domain, options.user))
    account = read_account(session.directory(name))
    if account is None:
        raise NotPossible(f"{session.directory(name) / PASSWD} is gone at this moment; try again")
    session.terminal.say(f"user           {name}")
    session.terminal.say(f"type           {account.shown}")
    session.terminal.say(f"home           {session.site.own.id}")
    session.terminal.say(f"directory      {session.directory(name)}")
    for line in _summary_lines(_summary(session, name), _database_size(session, name)):
        session.terminal.say(line)


def parse_type(text: str) -> tuple[str, str]:
    """Type and INFO of an account, as they are given on the command line; without a password.

    :raises WrongUse: there is no such type, or its argument is missing or can't be right.
    """
    kind, colon, info = text.partition(":")
    if kind in (INTERNAL, UNIX, NONE) and not colon:
        return kind, ""
    allowed = {KRB5: REALM, LOCALAUTH: ENTRY_POINT}.get(kind)
    if allowed is not None and allowed.fullmatch(info):
        return kind, info
    # Not shown: it could be a password in the wrong place.
    raise WrongUse(f"the type can not be understood; it is one of {TYPES}")


def _account(session: Session, name: Name, kind: str, info: str, from_input: bool) -> Account:
    if kind != INTERNAL:
        if from_input:
            raise WrongUse(f"--password-stdin makes no sense with type {kind}: its password is not kept here")
        return Account(kind, info)
    return Account(INTERNAL, hash_password(session.terminal.new_password(str(name), from_input)))


def _replace(session: Session, name: Name, account: Account) -> None:
    if not replace_account(session.directory(name), account):
        raise NotPossible(f"the account of {name} is being changed by somebody else at this moment; try again")


def _summary(session: Session, name: Name) -> Summary:
    try:
        found, _ = session.storage.perform(lambda: summary(session.storage.user(*name.fields).database))
    except StorageError as error:
        if error.number != errno.ENOENT:
            raise
        return Summary()
    finally:
        session.storage.commit()  # ends reading
    return found


def _summary_lines(found: Summary, size: int) -> list[str]:
    last = datetime.fromtimestamp(found.last, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC") if found.last else "never"
    lines = [
        f"last activity  {last}",
        f"activity log   {found.activity} lines",
        f"on disk        {size} bytes",
    ]
    if not found.namespaces:
        return [*lines, "namespaces     none"]
    width = max(len("namespace"), *(len(one.name) for one in found.namespaces))
    lines.append(f"{'namespace':{width}}  {'values':>8}  {'versions':>8}  {'history':>8}  {'bytes':>12}")
    for one in found.namespaces:
        name = one.name.decode("ascii", "backslashreplace")
        lines.append(f"{name:{width}}  {one.entries:8}  {one.versions:8}  {one.history:8}  {one.size:12}")
    return lines


def _database_size(session: Session, name: Name) -> int:
    paths = session.directory(name).glob(f"{USER_DATABASE}*")
    return sum(path.stat().st_size for path in paths if not path.name.endswith("-shm"))
