"""A user as handlers see one: account, roles, and the records of :mod:`lonnet.records`.

    user = net.user("smith", "msu")
    if user.authenticate(password):
        user.put("environment", {"lang": "en"})

What touches accounts and roles travels encrypted. Roles are written by critical messages. Account requests are plain
ones: a critical message may wait on this host's disk, where a password has no business.

After failed log-ins the home server checks the next one after a gap only, and asks to try again until then. Account
requests do so by themselves, for lonLoginWait seconds. Where it has to ask somebody else it lets no other reply wait
for that, and asks to come again for the outcome; so they do. Where lonLoginsWaiting of the process and lane wait in one
of these ways already, the next one raises RemoteError 11 or 115 at once, so that people who guess passwords can't keep
all threads of a web server waiting.

Promises: a password is in no exception's text, no log and no file of this host. Where nobody has the name, one that is
to be checked takes as much work (:func:`lonnet.homes.checking_server`). Every call ends within `timeout` seconds
(None: lonRequestTimeout, for roles lonCriticalTimeout).

Raises: as :mod:`lonnet.records`; besides what the single calls say. Logs nothing.

Known limits: after HostUnreachable from a call that changes an account nobody knows whether it did.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from common.login_lanes import LoginLane
from lonnet.deadline import Deadline
from lonnet.errors import (
    AuthModeError,
    NoSuchUser,
    NotAuthorized,
    NotRightDomain,
    PasswordChangeFailed,
    UnexpectedReply,
    UserExists,
)
from lonnet.homes import Net, UserName, search
from lonnet.records import Records
from lonnet.replies import Delivery, checked
from lonnet.wire import RAW, TEXT, Text, key_list, pairs

AUTHENTICATION_TYPES = ("internal", "unix", "krb4", "krb5", "localauth", "none")

OK = ("ok",)

_ERRORS = {
    "unknown_user": NoSuchUser,
    "already_exists": UserExists,
    "non_authorized": NotAuthorized,
    "auth_mode_error": AuthModeError,
    "not_right_domain": NotRightDomain,
    "pwchange_failure": PasswordChangeFailed,
}


@dataclass(frozen=True, slots=True)
class Authentication:
    """How a user is authenticated.

    :param type: one of :data:`AUTHENTICATION_TYPES`.
    :param info: the realm (Kerberos); empty for the others, whatever the home server knows.
    """

    type: str
    info: str = ""


class UserRecords(Records[Text]):
    """A user's records with the roles, which have calls of their own to be written by."""

    def rolesput(self, roles: Mapping[Text, Text], by: User, *, timeout: float | None = None) -> Delivery:
        """Give the user roles; a critical message.

        :param roles: what each role says (``END_START``, ...) by its name, as in ``/msu/course1_st``.
        :param by: who gives them, for the history.
        """
        return self._change_roles("rolesput", by, pairs(self._codec, roles), timeout)

    def rolesdel(self, *roles: Text, by: User, timeout: float | None = None) -> Delivery:
        """Take roles away, as if they had never been given; a critical message."""
        return self._change_roles("rolesdel", by, key_list(self._codec, roles), timeout)

    def _change_roles(self, command: str, by: User, roles: str, timeout: float | None) -> Delivery:
        line = f"encrypt:{command}:{fields_of(by, 'by')}:{self._user.fields}:{roles}"
        return self._at_home.tell(line, timeout)


class User(UserRecords[str]):
    """One user; nothing is sent until a call is made.

    :param name: user name.
    :param domain: the user's domain.
    :param home: host id of what was the user's home server at some time, as of a log-in; it is used while the library
        servers of the domain can't say which one it is now.
    :raises ValueError: name or domain is not a name.
    """

    def __init__(self, net: Net, name: str, domain: str, home: str | None = None) -> None:
        super().__init__(net, UserName(name, domain), TEXT)
        self._net = net
        if home is not None:
            net.homes.suppose(self._user, home)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.domain!r})"

    @property
    def name(self) -> str:
        """User name."""
        return self._user.name

    @property
    def domain(self) -> str:
        """The user's domain."""
        return self._user.domain

    @property
    def raw(self) -> UserRecords[bytes]:
        """The same records and roles with keys and values as bytes."""
        return UserRecords(self._net, self._user, RAW)

    def home(self, *, timeout: float | None = None) -> str:
        """The host id of the home server."""
        return self._at_home.home(timeout)

    def authenticate(
        self, password: str | bytes, *, lane: LoginLane = LoginLane.STRANGERS, timeout: float | None = None
    ) -> bool:
        """Whether this is the user's password.

        :param password: str is sent as UTF-8.
        :param lane: in which it stands, as the caller has checked: the home server lets those of known browsers, and
            those from networks where nobody guesses, pass by those of strangers (docs/authentication.md).
        :raises NoSuchUser: who tries to log in should not be told the difference to a wrong password.
        :raises AuthModeError: the user's type of authentication can't be checked on the home server.

        Source: classic-protocol, section 4, as for all calls here.
        """
        expected = ("authorized", "non_authorized")
        fields = (_secret(password), lane.value)
        reply = self._account("auth", *fields, lane=lane, expected=expected, timeout=timeout)
        return reply == "authorized"

    def change_password(
        self,
        old: str | bytes,
        new: str | bytes,
        *,
        lane: LoginLane = LoginLane.STRANGERS,
        timeout: float | None = None,
    ) -> None:
        """Set a new password of an internal account.

        :param lane: as for :meth:`authenticate`.
        :raises NotAuthorized: the old one is wrong.
        :raises AuthModeError: the password is kept elsewhere (Kerberos, ...).
        :raises PasswordChangeFailed: the new one is empty, or could not be written.
        """
        self._account("passwd", _secret(old), _secret(new), lane.value, lane=lane, timeout=timeout)

    def change_authentication(self, kind: str, argument: str | bytes = "", *, timeout: float | None = None) -> None:
        """Set how the user is authenticated, without the old password.

        :param kind: one of :data:`AUTHENTICATION_TYPES`.
        :param argument: the password (internal), the realm (Kerberos), the argument (localauth).
        """
        self._account("changeuserauth", _checked_type(kind), _secret(argument), timeout=timeout)

    def authentication_type(self, *, timeout: float | None = None) -> Authentication:
        """How the user is authenticated."""
        host, reply = self._at_home.reply(f"encrypt:currentauth:{self._user.fields}", timeout)
        kind, colon, info = checked(host, reply).partition(":")
        if not colon:
            self._judged(host, "currentauth", reply, ())
        return Authentication(kind, info)

    def create(
        self, kind: str, argument: str | bytes = "", *, host: str | None = None, timeout: float | None = None
    ) -> str:
        """Make the user.

        :param kind: one of :data:`AUTHENTICATION_TYPES`.
        :param argument: as for :meth:`change_authentication`.
        :param host: the home server, a library server of the domain; None: this host.
        :returns: the home server's host id.
        :raises UserExists: there, or on another library server of the domain.
        :raises HostUnreachable: `host`, or another library server of the domain: it may have this user already.
        :raises ValueError: `host` is no library server of the domain.
        """
        fields = f"{self._user.fields}:{_checked_type(kind)}:{_secret(argument)}"
        home = self._checked_home(host if host is not None else self._net.site.own.id)
        deadline = self._at_home.deadline(timeout)
        self._check_is_new(deadline)
        self._net.homes.forget(self._user)
        reply = self._net.reply(f"encrypt:makeuser:{fields}", home, deadline.left())
        self._judged(home, "makeuser", reply, OK)
        self._net.homes.remember(self._user, home)
        return home

    def _account(
        self,
        command: str,
        *fields: str,
        lane: LoginLane = LoginLane.STRANGERS,
        expected: Collection[str] = OK,
        timeout: float | None,
    ) -> str:
        line = ":".join(("encrypt", command, self._user.fields, *fields))
        host, reply = self._at_home.reply_when_ready(line, lane, timeout)
        return self._judged(host, command, reply, expected)

    def _judged(self, host: str, command: str, reply: str, expected: Collection[str]) -> str:
        if reply in expected:
            return reply
        error = _ERRORS.get(checked(host, reply))
        raise error(self.name, self.domain) if error else UnexpectedReply(host, command, reply)

    def _checked_home(self, host: str) -> str:
        libraries = [library.id for library in self._net.site.table.in_domain(self.domain, "library")]
        if host not in libraries:
            known = ", ".join(libraries) or "none"
            raise ValueError(f"{host!r} is no library server of {self.domain}; those are: {known}")
        return host

    def _check_is_new(self, deadline: Deadline) -> None:
        try:
            search(self._net, self._user, deadline)
        except NoSuchUser:
            return
        raise UserExists(self.name, self.domain)


def fields_of(user: User, what: str) -> str:
    """The two fields of a request, ``DOMAIN:USER``, for a user who was given to a call.

    :param what: which argument it is, for the error.
    :raises TypeError: it is no :class:`User`.
    """
    if not isinstance(user, User):
        raise TypeError(f"{what} must be a user, as net.user(NAME, DOMAIN) is one, not {type(user).__name__}")
    return f"{user.domain}:{user.name}"


def _checked_type(kind: str) -> str:
    if kind not in AUTHENTICATION_TYPES:
        raise ValueError(f"{kind!r} is not a type of authentication: {', '.join(AUTHENTICATION_TYPES)}")
    return kind


def _secret(text: str | bytes) -> str:
    return RAW.field(text) if isinstance(text, bytes) else TEXT.field(text)
