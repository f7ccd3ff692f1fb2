"""What lonnet's typed calls raise: one tree by cause, all below :class:`common.errors.LonError`.

``Lonnet.reply`` and ``Lonnet.critical`` answer with the classic strings instead and raise none of these, except
that a caller of theirs finds ValueError for a command that may not be sent at all.
"""

from __future__ import annotations

from common.errors import LonError, PeerUnavailable, Refused

__all__ = [
    "Delayed",
    "DeliveryFailed",
    "HostUnreachable",
    "NoSuchHost",
    "NoSuchUser",
    "Refused",
    "RemoteError",
]


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


class NoSuchUser(LonError):
    """No server of the domain is this user's home server.

    :param user: user name.
    :param domain: domain that was searched.
    """

    def __init__(self, user: str, domain: str) -> None:
        self.user, self.domain = user, domain
        super().__init__(f"{user}:{domain}: no such user")

    def __reduce__(self) -> tuple[type[NoSuchUser], tuple[str, str]]:
        return NoSuchUser, (self.user, self.domain)


class RemoteError(LonError):
    """The other side answered ``error: NUMBER TEXT``.

    :param number: the errno of the other side; 2 = no such file or namespace.
    :param text: its explanation, unverified.
    """

    def __init__(self, number: int, text: str) -> None:
        self.number, self.text = number, text
        super().__init__(f"error {number}: {text}")

    def __reduce__(self) -> tuple[type[RemoteError], tuple[int, str]]:
        return RemoteError, (self.number, self.text)
