"""When a log-in is checked after failed ones: the policy alone, per lane (user, asking host, and what that host
says of the browser).

The first failures are free. After that, log-ins in this lane are let through one at a time, with a gap that doubles
with every failure up to `longest`. Who comes after the gap is checked at once; who comes earlier is to try again, which
:mod:`lonnet.users` does by itself. Nobody waits here: on a classic link all other replies would wait as well, and who
guesses passwords could stop a whole access server. Another lane has a record of its own and does not notice.

So a flood of guesses fills the strangers' lane, and the user comes in by another one (:mod:`common.login_lanes`), or
at another host. The gaps of the fresh lane are shorter: who guesses there needs a new network for every few guesses,
and the longer its gaps, the fewer networks fill it. Which lane is a browser's only the asking host can tell; one that
lies gets two lanes more for its guesses.

Promises: pure; a record never grows. Guessing is limited to one password per longest gap for each lane. Raises and
logs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from common.config import Config
from common.login_lanes import LoginLane

FIRST_GAP = 0.25  # seconds after the first failure that is not free
_MAX_FAILURES = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Limits:
    """What the policy goes by.

    :param after: failures that are free.
    :param longest: seconds between two log-ins at most; 0: no throttling.
    :param forget: seconds after the last failure until all are forgotten.
    """

    after: int
    longest: float
    forget: float

    @classmethod
    def of(cls, config: Config, kind: LoginLane) -> Limits:
        """The limits of a lane in the configuration."""
        longest = config.throttle_max
        if kind is LoginLane.FRESH:
            longest = min(longest, config.throttle_fresh)
        return cls(config.throttle_after, longest, config.throttle_forget)


@dataclass(frozen=True, slots=True)
class Lane:
    """Whose log-ins share a record and come one after the other.

    :param host: the id of the host that asks, by its address.
    :param kind: what that host says of the browsers.
    """

    domain: bytes
    user: bytes
    host: str
    kind: LoginLane

    @property
    def name(self) -> bytes:
        """What tells it from all other lanes."""
        host = self.host.encode("utf-8", "surrogateescape")
        return b"\0".join((self.domain, self.user, host, self.kind.value.encode("ascii")))


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of one lane.

    :param failures: failed log-ins in a row.
    :param failed_at: when the last one failed, in seconds on the monotonic clock.
    :param free_at: when the next one may be checked.
    """

    failures: int = 0
    failed_at: float = 0.0
    free_at: float = 0.0


def admitted(record: Record, now: float, limits: Limits) -> tuple[Record, bool]:
    """The record from now on, and whether one log-in is checked now."""
    record = _remembered(record, now, limits)
    gap = _gap(record.failures, limits)
    if gap == 0:  # as it was: who has not failed takes no place in the table
        return record, True
    if now < record.free_at:
        return record, False
    return replace(record, free_at=now + gap), True


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
