"""Requests and critical messages to a user's home server, wherever that is.

Promises: a reply that may mean "this user is not here (any more)" is not believed before the host has confirmed it; if
the user has moved, the new home server gets the same request. What comes back is then final. All requests of a call
end together, at its limit. A password for a name that no user has is checked like any other, and found wrong.

Raises: what :mod:`lonnet.homes` and :mod:`lonnet.replies` say. Logs nothing.

Known limits: the confirmation costs a short request whenever something does not exist. A critical message
that was delayed goes to the host that was the home server when it was sent.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from random import uniform
from time import sleep
from typing import TypeVar

from common.login_lanes import LoginLane
from lonnet.deadline import Deadline, limit
from lonnet.homes import Net, UserName, checking_server, home_server, is_home, search
from lonnet.replies import Delivery, command_of, delivered, nothing_there, parsed

UNKNOWN_USER, NO_SUCH_HOST = "unknown_user", "no_such_host"
TRY_AGAIN, COME_AGAIN = f"error: {errno.EAGAIN} ", f"error: {errno.EINPROGRESS} "
_DONE = ("authorized", "ok")
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0  # seconds between two requests of one call, half of it more or less

Result = TypeVar("Result")
_Send = Callable[[str, str, float], str]
_Find = Callable[[Net, UserName, Deadline], str]
# Process and lane of each; no lock, for one that is held during a fork would stay so in the child.
_waiting: list[tuple[int, LoginLane]] = []


class HomeCalls:
    """What one user's home server is asked and told.

    :param net: carries the requests.
    :param user: whose home server.
    """

    __slots__ = ("net", "user")

    def __init__(self, net: Net, user: UserName) -> None:
        self.net, self.user = net, user

    def home(self, timeout: float | None) -> str:
        """The host id of the home server."""
        return home_server(self.net, self.user, self.deadline(timeout))

    def reply(self, line: str, timeout: float | None) -> tuple[str, str]:
        """The host that answered last, and its reply as it is.

        :param line: the request.
        :param timeout: seconds in all; None: lonRequestTimeout.
        """
        return self._sent(self.net.reply, line, self.deadline(timeout))

    def reply_when_ready(self, line: str, lane: LoginLane, timeout: float | None) -> tuple[str, str]:
        """As :meth:`reply`, from the :func:`lonnet.homes.checking_server`; while it says that the reply is not there
        yet, it is asked again.

        For lonLoginWait if it says ``error: 11``, try again; to the end of the time limit if it says ``error: 115``:
        the check is under way there, and its outcome waits for who comes again.

        Where lonLoginsWaiting calls of this process and lane wait so already, that reply is returned at once: the
        process has other threads to keep free for other people, and those who guess must not take all places.
        """
        config, deadline = self.net.site.config, self.deadline(timeout)
        patience = Deadline(config.login_wait)
        host, reply = self._checked(line, deadline)
        if not reply.startswith((TRY_AGAIN, COME_AGAIN)) or not _may_wait(lane, config.logins_waiting):
            return host, reply
        try:
            pause = FIRST_PAUSE
            while reply.startswith((TRY_AGAIN, COME_AGAIN)):
                pause_now = pause * uniform(0.5, 1.5)  # many that wait must not all come at the same moment again
                left = deadline.left() if reply.startswith(COME_AGAIN) else min(patience.left(), deadline.left())
                if left < pause_now:
                    break
                sleep(pause_now)
                host, reply = self._checked(line, deadline)
                pause = min(2 * pause, LONGEST_PAUSE)
            return host, reply
        finally:
            _waiting.remove((os.getpid(), lane))

    def read(self, line: str, parse: Callable[[str], Result], timeout: float | None) -> Result | None:
        """What `parse` makes of the reply to a request for records; None: nothing was ever written there."""
        host, reply = self.reply(line, timeout)
        return None if nothing_there(reply) else parsed(host, line, reply, parse)

    def tell(self, line: str, timeout: float | None) -> Delivery:
        """Send a critical message.

        :param timeout: seconds in all; None: lonCriticalTimeout.
        """
        seconds = limit(timeout, self.net.site.config.critical_timeout)
        host, reply = self._sent(self.net.critical, line, Deadline(seconds))
        return delivered(host, command_of(line), reply)

    def deadline(self, timeout: float | None) -> Deadline:
        """The end of a call that may take `timeout` seconds; None: lonRequestTimeout."""
        return Deadline(limit(timeout, self.net.site.config.request_timeout))

    def _checked(self, line: str, deadline: Deadline) -> tuple[str, str]:
        host, reply = self._sent(self.net.reply, line, deadline, checking_server)
        known = self.net.homes.recall(self.user)
        if reply in _DONE and known is not None and known.host is None:
            self.net.homes.forget(self.user)  # made there since the search
        return host, reply

    def _sent(self, send: _Send, line: str, deadline: Deadline, find: _Find = home_server) -> tuple[str, str]:
        known = self.net.homes.recall(self.user)
        host = find(self.net, self.user, deadline)
        reply = send(line, host, deadline.left())
        remembered = known is not None and known.current and known.host is not None
        if not remembered or not _may_be_gone(reply) or not self._has_moved(host, reply, deadline):
            return host, reply
        host = search(self.net, self.user, deadline)
        return host, send(line, host, deadline.left())

    def _has_moved(self, host: str, reply: str, deadline: Deadline) -> bool:
        """Whether `host` is the home server no more; what is remembered is forgotten then."""
        # If the host does not say, nothing is known, and the caller hears that.
        if reply != NO_SUCH_HOST and is_home(self.net, self.user, host, deadline.left()):
            return False
        self.net.homes.forget(self.user)
        return True


def _may_wait(lane: LoginLane, most: int) -> bool:
    """Whether one call more of this process and lane may wait; it then counts."""
    one = (os.getpid(), lane)
    _waiting.append(one)
    if _waiting.count(one) <= most:
        return True
    _waiting.remove(one)
    return False


def _may_be_gone(reply: str) -> bool:
    return reply in (UNKNOWN_USER, NO_SUCH_HOST) or nothing_there(reply)
