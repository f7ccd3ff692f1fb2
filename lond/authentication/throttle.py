"""How long a log-in waits after failed ones: the policy alone, per user and asking host.

The first failures are free. After that, log-ins of this user from this host are let through one at a time, with a gap
that doubles with every failure up to `longest`. Nobody is locked out: who comes after the gap does not wait at all, who
comes earlier waits, at most `longest`, and is then checked; only when so many wait already that it would be longer does
:func:`reserve` say so at once. Another asking host has a record of its own and does not notice.

The wait is short on purpose: on a classic link the replies behind it wait too. It limits guessing to one password per
`longest` seconds for each user and host.

Promises: pure; a record never grows, and every wait lies between 0 and `longest`. Raises and logs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from common.config import Config

FIRST_GAP = 0.25  # seconds after the first failure that is not free
_MAX_FAILURES = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Limits:
    """What the policy goes by.

    :param after: failures that are free.
    :param longest: seconds between two log-ins at most, and that one waits at most; 0: no throttling.
    :param forget: seconds after the last failure until all are forgotten.
    """

    after: int
    longest: float
    forget: float

    @classmethod
    def of(cls, config: Config) -> Limits:
        """The limits of the configuration."""
        return cls(config.throttle_after, config.throttle_max, config.throttle_forget)


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of one user and asking host.

    :param failures: failed log-ins in a row.
    :param failed_at: when the last one failed, in seconds on the monotonic clock.
    :param free_at: when the next one may be checked.
    """

    failures: int = 0
    failed_at: float = 0.0
    free_at: float = 0.0


def reserve(record: Record, now: float, limits: Limits) -> tuple[Record, float | None]:
    """Lets one log-in in: the record from now on, and the seconds it has to wait; None: too many wait already."""
    record = _remembered(record, now, limits)
    gap = _gap(record.failures, limits)
    if gap == 0:
        return record, 0.0
    start = max(now, record.free_at)
    if start - now > limits.longest:
        return record, None
    return replace(record, free_at=start + gap), start - now


def failed(record: Record, now: float, limits: Limits) -> Record:
    """The record after a failed log-in."""
    failures = min(_remembered(record, now, limits).failures + 1, _MAX_FAILURES)
    return Record(failures, now, max(record.free_at, now + _gap(failures, limits)))


def _remembered(record: Record, now: float, limits: Limits) -> Record:
    return record if now - record.failed_at < limits.forget else Record()


def _gap(failures: int, limits: Limits) -> float:
    beyond = failures - limits.after
    if beyond < 0:
        return 0.0
    doubled: float = FIRST_GAP * 2 ** min(beyond, 32)
    return min(limits.longest, doubled)
