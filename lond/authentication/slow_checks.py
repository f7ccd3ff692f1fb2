"""Checks that take longer than a link should wait: their callers are sent away, and come again for the outcome.

On a classic link replies leave in order. A password about which somebody else is asked (PAM, Kerberos, a local
function) may take seconds, and guesses at a few such users would hold up everything that an access server asks for. So
a caller that comes again by itself, as :mod:`lonnet.users` does, waits for a short while and then hears UNDER_WAY. The
check goes on. Who comes again with the same password joins it, or gets its outcome. For some time after somebody was
sent away nobody waits any more, or else one slow check after the other would hold up the link.

Promises: each call has one outcome. Who waits for a check gets its outcome; if somebody was sent away it is kept for
:data:`KEPT` seconds, and given once more. It counts for the same account, lane and password only. No password is kept:
a check is found by a keyed hash. There are never more than :data:`MOST` checks.

Raises and logs nothing.

Known limits: the outcomes are lost with the process, that is with the link; a new check begins then. Checks that are a
little quicker than a caller's patience hold up the link like those that hash.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Protocol

from lond.authentication.hashing import Outcome, Verdict

KEPT = 10.0  # seconds; longer than lonnet, or a person who is told to try again, takes to come again
HURRY = 10.0  # seconds for which nobody waits, after somebody has waited in vain
MOST = 4096  # checks of one link that are under way or whose outcome is kept

OnDone = Callable[[Outcome], None]


class Timers(Protocol):
    """The loop, as far as it is used here."""

    def call_later(self, seconds: float, call: Callable[[], None], /) -> object:
        """Call once, `seconds` from now."""


class _Check:
    """One check: those who wait for it, whether others were sent away, then its outcome."""

    def __init__(self) -> None:
        self.waiting: list[OnDone] = []
        self.is_left = False
        self.outcome: Outcome | None = None


class SlowChecks:
    """The checks of one link.

    :param clock: monotonic seconds.
    :param patience: seconds for which a caller, and with it the link, waits.
    """

    def __init__(self, clock: Callable[[], float], timers: Timers, patience: float) -> None:
        self._clock, self._timers, self._patience = clock, timers, patience
        self._secret = os.urandom(32)
        self._checks: dict[bytes, _Check] = {}
        self._nobody_waits_until = clock()

    def join(self, name: bytes, begin: Callable[[OnDone], None], on_done: OnDone) -> None:
        """Have a check made, unless the same one is under way or its outcome still waits.

        :param name: all that makes it the same: account, lane and password.
        :param begin: begins it; what it is given is called once with the outcome, perhaps at once.
        :param on_done: gets the outcome; UNDER_WAY: come again; BUSY: try again.
        """
        key = hashlib.blake2b(name, key=self._secret, digest_size=32).digest()
        check = self._checks.get(key)
        if check is None:
            if len(self._checks) >= MOST:
                on_done(Outcome(Verdict.BUSY))
                return
            check = self._checks[key] = _Check()
            begin(lambda outcome: self._finish(key, outcome))
        if check.outcome is not None:
            del self._checks[key]
            on_done(check.outcome)
        elif self._clock() < self._nobody_waits_until:
            _send_away(check, on_done)
        else:
            check.waiting.append(on_done)
            self._timers.call_later(self._patience, lambda: self._lose_patience(check, on_done))

    def _lose_patience(self, check: _Check, on_done: OnDone) -> None:
        if on_done in check.waiting:
            check.waiting.remove(on_done)
            self._nobody_waits_until = self._clock() + HURRY
            _send_away(check, on_done)

    def _finish(self, key: bytes, outcome: Outcome) -> None:
        check = self._checks[key]
        check.outcome = outcome
        if check.is_left:
            self._timers.call_later(KEPT, lambda: self._forget(key, check))
        elif check.waiting:
            del self._checks[key]
        waiting, check.waiting = check.waiting, []
        for on_done in waiting:
            on_done(outcome)

    def _forget(self, key: bytes, check: _Check) -> None:
        if self._checks.get(key) is check:
            del self._checks[key]


def _send_away(check: _Check, on_done: OnDone) -> None:
    check.is_left = True
    on_done(Outcome(Verdict.UNDER_WAY))
