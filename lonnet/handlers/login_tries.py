"""What a try to log in costs, and which lane it takes at the home server.

A browser that is known as the user's own (:mod:`lonnet.handlers.known_browsers`) pays with a try of its token and
takes the known lane. Of any other, if there are tries as this user left in its network, it takes one of those and the
fresh lane; else it is a stranger. Either way it pays with a try of its address, which has tries for fresh log-ins
and others for strangers: so who guesses at one user uses up a few of the former only, and refuses nothing to those who
log in as other users from the same address.

So who guesses has left the fresh lane after lonFreshBurst guesses, and needs hundreds of networks to keep it full; the
user who comes from elsewhere stands in it alone. A network is a /24 or, with IPv6, a /48: who has one address often has
its neighbours.

Promises: tries are taken before the password is checked, so that many at once don't get more. Raises OSError when
lonIDsDir can't be used. Logs nothing.

Known limits: who guesses a user's password from the user's own network makes a stranger of everybody there who logs in
as that user without a known browser. Who guesses at very many users uses up all tries of the address.
"""

from __future__ import annotations

from collections.abc import Iterable

from common.config import Config
from common.login_lanes import LoginLane
from lonnet.handlers.throttle import Throttle, of_address, of_browser, of_network_and_user, of_strangers_at

Taken = tuple[Throttle, str]


class NoTries(Exception):
    """None is left.

    :ivar wait: seconds until there is one.
    """

    def __init__(self, wait: float) -> None:
        super().__init__(f"none for {wait:.0f} s")
        self.wait = wait


class LoginTry:
    """A try that was taken.

    :param taken: its tries, which come back when the password was right or nobody has looked at it.
    :param lost_if_busy: more of them, which don't come back when the home server asks to try or come again, as it does
        when guesses come too fast or take long.
    """

    def __init__(self, lane: LoginLane, taken: Iterable[Taken], lost_if_busy: Iterable[Taken] = ()) -> None:
        self.lane, self._taken, self._lost_if_busy = lane, tuple(taken), tuple(lost_if_busy)

    def give_back(self, *, was_busy: bool = False) -> None:
        """The password was right, or nobody has looked at it.

        :param was_busy: because the home server asks to try again.
        """
        for throttle, bucket in self._taken if was_busy else (*self._taken, *self._lost_if_busy):
            throttle.give_back(bucket)


class LoginTries:
    """The tries of one host, shared by all processes of its web server."""

    def __init__(self, config: Config) -> None:
        self._tries = Throttle(config.ids_dir / "throttle", config.login_burst, config.login_interval)
        self._fresh = Throttle(config.ids_dir / "fresh", config.fresh_burst, config.fresh_interval)

    def take(self, user: str, domain: str, address: str, nonce: bytes | None) -> LoginTry:
        """Take one.

        :param address: where the browser is.
        :param nonce: of the token by which it is known as this user's; None: it is not.
        :raises NoTries: too many have failed.
        """
        # A browser whose token has no tries left is like any other again.
        if nonce and not self._tries.take(of_browser(nonce)):
            return LoginTry(LoginLane.KNOWN, [(self._tries, of_browser(nonce))])
        near = of_network_and_user(address, user, domain)
        if self._fresh.take(near):
            return LoginTry(LoginLane.STRANGERS, [], [self._paid(of_strangers_at(address))])
        try:
            return LoginTry(LoginLane.FRESH, [(self._fresh, near)], [self._paid(of_address(address))])
        except NoTries:
            self._fresh.give_back(near)
            raise

    def _paid(self, bucket: str) -> Taken:
        if wait := self._tries.take(bucket):
            raise NoTries(wait)
        return self._tries, bucket

    def sweep(self) -> None:
        """Delete what is not needed any more."""
        self._tries.sweep()
        self._fresh.sweep()
