"""How long a call may take: the limit it was given, or the configuration's, over all requests that it makes.

Promises: every limit is a finite number of seconds. Raises ValueError and TypeError for what is not a time. Logs
nothing.

Known limit: a request that must still be sent after the end gets :data:`SHORTEST`, so that a critical message is
stored, not dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

ALLOWANCE = 2.0  # seconds that lonc's own answer at its time limit may take to get here
LONGEST_TIMEOUT = 86400.0  # seconds that a caller may ask for
SHORTEST = 0.01  # seconds for a request after the end


def limit(timeout: float | None, default: float) -> float:
    """The seconds that a call may take.

    :param timeout: as the caller gave it; None: `default`, and a little more for lonc's own answer.
    :raises ValueError: not more than 0, or more than :data:`LONGEST_TIMEOUT`.
    :raises TypeError: not a number.
    """
    if timeout is None:
        return default + ALLOWANCE
    if not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds, not {type(timeout).__name__}")
    if not 0 < timeout <= LONGEST_TIMEOUT:
        raise ValueError(f"timeout of {timeout} s, must be more than 0 and at most {LONGEST_TIMEOUT:.0f}")
    return timeout


class Deadline:
    """The end of a call that makes several requests.

    :param seconds: from now, as :func:`limit` gives them.
    :param clock: monotonic seconds.
    """

    __slots__ = ("_clock", "_end")

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    @property
    def passed(self) -> bool:
        """Whether the end has come."""
        return self._clock() >= self._end

    def left(self) -> float:
        """Seconds until the end, at least :data:`SHORTEST`."""
        return max(self._end - self._clock(), SHORTEST)

    def share(self, among: int) -> float:
        """An equal share of the seconds left, for one of `among` requests in a row: a silent host can't use up all."""
        return max((self._end - self._clock()) / among, SHORTEST)
