"""When to try a lost link again: pure policy, no clock and no process.

At once after a link that stood, then after `first` seconds, doubling to `maximum`, each with jitter so that a crowd of
servers does not return in step. After `give_up` failures in a row the host is given up: tried only every `maximum`
seconds, until somebody asks for it (:meth:`Retry.wake`).
"""

from __future__ import annotations

import random
from collections.abc import Callable

JITTER = 0.2  # the part of a delay that is random, up and down


class Retry:
    """The tries to reach one host.

    :param first: seconds before the second try.
    :param maximum: seconds between tries at most.
    :param stable: a link that stood this many seconds clears the record.
    :param give_up: failures in a row after which the host is given up.
    """

    def __init__(
        self,
        first: float,
        maximum: float,
        stable: float,
        give_up: int,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first, self._maximum, self._stable, self._give_up = first, maximum, stable, give_up
        self._uniform = uniform
        self.failures = 0

    @property
    def given_up(self) -> bool:
        """Whether this host is tried only now and then."""
        return self.failures >= self._give_up

    def failed(self, stood: float) -> float:
        """A try failed, or a link that stood for `stood` seconds broke: the seconds until the next try."""
        self.failures = 1 if stood >= self._stable else self.failures + 1
        if self.failures == 1:
            return 0.0
        exponent = min(self.failures - 2, 32)  # beyond that any maximum is long reached
        delay = self._maximum if self.given_up else min(self._first * 2**exponent, self._maximum)
        return delay * self._uniform(1 - JITTER, 1 + JITTER)

    def wake(self) -> None:
        """Somebody asks for the host, or it was heard of: the next tries come soon again."""
        self.failures = min(self.failures, 1)
