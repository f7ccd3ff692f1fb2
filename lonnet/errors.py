"""What lonnet's typed calls raise: one tree by cause, all below :class:`common.errors.LonError`.

``Lonnet.reply`` and ``Lonnet.critical`` answer with the classic strings instead and raise none of these, except
that a caller of theirs finds ValueError for a command that may not be sent at all.
"""

from __future__ import annotations

import re

from common.errors import LonError, PeerUnavailable, Refused

__all__ = [
    "AccessDenied",
    "AuthModeError",
    "Delayed",
    "DeliveryFailed",
    "HostUnreachable",
    "KeyExists",
    "NoSuchDomain",
    "NoSuchHost",
    "NoSuchUser",
    "NotAuthorized",
    "NotHomeServer",
    "NotRightDomain",
    "PasswordChangeFailed",
    "Refused",
    "RemoteError",
    "ResourceNotFound",
    "TransferFailed",
    "TransferUnderWay",
    "UnexpectedReply",
    "UserExists",
]

_SHOWN = re.compile("[a-z_]{1,32}|[0-9]+ characters")


class _AboutHost(LonError):
    text = "{}"

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(self.text.format(host))

    def __reduce__(self) -> tuple[type[_AboutHost], tuple[str]]:
        return type(self), (self.host,)


class HostUnreachable(_AboutHost, PeerUnavailable):
    """No reply (``con_lost``): whether the request was executed is not known.

    :param host: the host id that was asked.
    """

    text = "{}: no reply (con_lost)"


class Delayed(_AboutHost):
    """Not a failure: the critical message is on disk and will be delivered (``con_delayed``).

    Typed calls return ``Delivery.DELAYED`` instead; :func:`lonnet.replies.checked` raises this for who sends critical
    messages by ``Lonnet.critical``.

    :param host: the host id that it is for.
    """

    text = "{}: stored, and delivered later (con_delayed)"


class DeliveryFailed(_AboutHost):
    """The critical message could be neither delivered nor stored (``con_failed``): it is lost unless sent again.

    :param host: the host id that it was for.
    """

    text = "{}: neither delivered nor stored (con_failed)"


class NoSuchHost(_AboutHost):
    """The host id is not in hosts.tab (``no_such_host``); nothing was sent.

    :param host: the id as it was given.
    """

    text = "{!r}: not in hosts.tab (no_such_host)"


class _AboutUser(LonError):
    text = "{}:{}"

    def __init__(self, user: str, domain: str) -> None:
        self.user, self.domain = user, domain
        super().__init__(self.text.format(user, domain))

    def __reduce__(self) -> tuple[type[_AboutUser], tuple[str, str]]:
        return type(self), (self.user, self.domain)


class NoSuchUser(_AboutUser):
    """No server of the domain is this user's home server.

    :param user: user name.
    :param domain: domain that was searched.
    """

    text = "{}:{}: no such user"


class NoSuchDomain(NoSuchUser):
    """The domain has no library server in hosts.tab, and so no users."""

    text = "{0}:{1}: no library server of {1} is in hosts.tab"


class UserExists(_AboutUser, Refused):
    """The user has a home server already (``already_exists``); nothing was changed."""

    text = "{}:{}: exists already"


class NotAuthorized(_AboutUser, Refused):
    """The old password is wrong (``non_authorized``); nothing was changed."""

    text = "{}:{}: wrong password (non_authorized)"


class AuthModeError(_AboutUser, Refused):
    """The user's type of authentication can't do this there, or is none (``auth_mode_error``)."""

    text = "{}:{}: not with this type of authentication (auth_mode_error)"


class PasswordChangeFailed(_AboutUser):
    """The new password could not be set (``pwchange_failure``); the old one stays."""

    text = "{}:{}: the password was not changed (pwchange_failure)"


class NotRightDomain(_AboutUser, Refused):
    """The host that was asked is not of the user's domain (``not_right_domain``)."""

    text = "{}:{}: not on a host of another domain (not_right_domain)"


class KeyExists(Refused):
    """A key that should be new is there already (``key_exists``); none of the values was stored.

    :param key: the first such key, as text.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"key {key!r} exists already")

    def __reduce__(self) -> tuple[type[KeyExists], tuple[str]]:
        return KeyExists, (self.key,)


class RemoteError(LonError):
    """The other side answered ``error: NUMBER TEXT``.

    :param number: the errno of the other side; 2 = no such file or namespace; 0: it gave none.
    :param text: its explanation, unverified.
    """

    def __init__(self, number: int, text: str) -> None:
        self.number, self.text = number, text
        super().__init__(f"error {number}: {text}")

    def __reduce__(self) -> tuple[type[RemoteError], tuple[int, str]]:
        return RemoteError, (self.number, self.text)


class UnexpectedReply(LonError):
    """The reply is not one that the command can have: the other side is broken, or not what it seems.

    :param host: the host id that was asked.
    :param command: the first word of the request.
    :param reply: what came; shown if it is a single short word, otherwise only its length is kept, as it may hold
        somebody's data.
    """

    def __init__(self, host: str, command: str, reply: str) -> None:
        self.host, self.command = host, command
        self.reply = reply if _SHOWN.fullmatch(reply) else f"{len(reply)} characters"
        super().__init__(f"{host}: {command} can't have this reply: {self.reply}")

    def __reduce__(self) -> tuple[type[UnexpectedReply], tuple[str, str, str]]:
        return UnexpectedReply, (self.host, self.command, self.reply)


class _AboutResource(LonError):
    text = "{}"

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(self.text.format(path))

    def __reduce__(self) -> tuple[type[_AboutResource], tuple[str]]:
        return type(self), (self.path,)


class ResourceNotFound(_AboutResource):
    """There is no such resource, on its author's home server or anywhere.

    :param path: ``DOMAIN/AUTHOR/REST``.
    """

    text = "{}: file not found"


class AccessDenied(_AboutResource, Refused):
    """The resource is there, but not for who asks: its metadata or trust.tab says so, or there is no subscription."""

    text = "{}: access denied"


class TransferUnderWay(_AboutResource, PeerUnavailable):
    """Another process fetches the resource, and was not ready within lonTransferWait."""

    text = "{}: service currently not available"


class TransferFailed(PeerUnavailable):
    """The content could not be fetched, or was not what it should be; nothing was changed here.

    :param host: the host id that it should have come from.
    :param reason: what went wrong.
    """

    def __init__(self, host: str, reason: str) -> None:
        self.host, self.reason = host, reason
        super().__init__(f"{host}: transfer failed: {reason}")

    def __reduce__(self) -> tuple[type[TransferFailed], tuple[str, str]]:
        return TransferFailed, (self.host, self.reason)


class NotHomeServer(Refused):
    """This can be done on the author's home server only.

    :param path: of the resource.
    :param home: the host id of the home server.
    """

    def __init__(self, path: str, home: str) -> None:
        self.path, self.home = path, home
        super().__init__(f"{path}: its home server is {home}, not this host")

    def __reduce__(self) -> tuple[type[NotHomeServer], tuple[str, str]]:
        return NotHomeServer, (self.path, self.home)
