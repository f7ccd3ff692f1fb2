"""Checks that take longer than a link should wait: their callers are sent away, and come again for the outcome.

On a classic link replies leave in order. A password about which somebody else is asked (PAM, Kerberos, a local
function) may take seconds, and guesses at a few such users would hold up everything that an access server asks for. So
a caller that comes again by itself, as :mod:`lonnet.users` does, waits for a short while and then hears UNDER_WAY. The
check goes on. Who comes again with the same password joins it, or gets its outcome. While one check of the link is
overdue nobody waits for any other, or else one slow check after the other would hold up the link for a while.

Promises: each call has one outcome. An outcome is kept for :data:`KEPT` seconds and given once; it counts for the same
account, lane and password only. No password is kept: a check is found by a keyed hash.

Raises and logs nothing.

Known limits: the outcomes are lost with the process, that is with the link; a new check begins then.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Protocol

from lond.authentication.hashing import Outcome, Verdict

KEPT = 10.0  # seconds; longer than lonnet, or a person who is told to try again, takes to come again

OnDone = Callable[[Outcome], None]


class Timers(Protocol):
    """The loop, as far as it is used here."""

    def call_later(self, seconds: float, call: Callable[[], None], /) -> object:
        """Call once, `seconds` from now."""


class _Check:
    """One check: those who wait for it, then its outcome."""

    def __init__(self) -> None:
        self.waiting: list[OnDone] = []
        self.outcome: Outcome | None = None


class SlowChecks:
    """The checks of one link.

    :param patience: seconds for which a caller, and with it the link, waits.
    """

    def __init__(self, timers: Timers, patience: float) -> None:
        self._timers, self._patience = timers, patience
        self._secret = os.urandom(32)
        self._checks: dict[bytes, _Check] = {}
        self._overdue: set[bytes] = set()  # those under way from which somebody was sent away

    def join(self, name: bytes, begin: Callable[[OnDone], None], on_done: OnDone) -> None:
        """Have a check made, unless the same one is under way or its outcome still waits.

        :param name: all that makes it the same: account, lane and password.
        :param begin: begins it; what it is given is called once with the outcome, perhaps at once.
        :param on_done: gets the outcome; UNDER_WAY: come again.
        """
        key = hashlib.blake2b(name, key=self._secret, digest_size=32).digest()
        check = self._checks.get(key)
        if check is None:
            check = self._checks[key] = _Check()
            begin(lambda outcome: self._finish(key, outcome))
        if check.outcome is not None:
            del self._checks[key]
            on_done(check.outcome)
        elif self._overdue:
            self._send_away(key, on_done)
        else:
            check.waiting.append(on_done)
            self._timers.call_later(self._patience, lambda: self._lose_patience(key, check, on_done))

    def _lose_patience(self, key: bytes, check: _Check, on_done: OnDone) -> None:
        if on_done in check.waiting:
            check.waiting.remove(on_done)
            self._send_away(key, on_done)

    def _send_away(self, key: bytes, on_done: OnDone) -> None:
        self._overdue.add(key)
        on_done(Outcome(Verdict.UNDER_WAY))

    def _finish(self, key: bytes, outcome: Outcome) -> None:
        check = self._checks[key]
        check.outcome = outcome
        if key in self._overdue:
            self._overdue.remove(key)
            self._timers.call_later(KEPT, lambda: self._forget(key, check))
        elif check.waiting:
            del self._checks[key]
        waiting, check.waiting = check.waiting, []
        for on_done in waiting:
            on_done(outcome)

    def _forget(self, key: bytes, check: _Check) -> None:
        if self._checks.get(key) is check:
            del self._checks[key]
