"""What a measurement brings: the number of answers in a window of time, and how long each one took."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

NANOSECONDS = 1_000_000_000


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` per cent of the values do not exceed (nearest rank).

    :param ordered: ascending; without values there is no percentile: NaN.
    :param percent: more than 0, at most 100.
    """
    if not 0 < percent <= 100:
        raise ValueError(f"percentile {percent}, must be more than 0 and at most 100")
    if not ordered:
        return math.nan
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


@dataclass(frozen=True, slots=True)
class Sample:
    """All answers of one window.

    :param seconds: how long the window was.
    :param latencies: nanoseconds of each answer that came within the window, ascending.
    """

    seconds: float
    latencies: array[int]

    @classmethod
    def of(cls, seconds: float, latencies: Iterable[array[int]]) -> Sample:
        """What several callers measured in the same window."""
        merged = array("Q")
        for one in latencies:
            merged.extend(one)
        return cls(seconds, array("Q", sorted(merged)))

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    @property
    def p50(self) -> float:
        """The median latency in seconds."""
        return percentile(self.latencies, 50) / NANOSECONDS

    @property
    def p99(self) -> float:
        """The latency in seconds that 99 of 100 answers stayed within."""
        return percentile(self.latencies, 99) / NANOSECONDS

    @property
    def max(self) -> float:
        """The longest latency in seconds."""
        return percentile(self.latencies, 100) / NANOSECONDS

    def cells(self, floor: Sample | None = None) -> dict[str, Any]:
        """The cells of a table row: rate and percentiles, and both as a ratio against the floor."""
        cells: dict[str, Any] = {"rate": self.rate, "p50": self.p50, "p99": self.p99}
        if floor is not None:
            cells |= {"rate_ratio": ratio(self.rate, floor.rate), "p50_ratio": ratio(self.p50, floor.p50)}
        return cells


def ratio(value: float, floor: float) -> float:
    """`value` as a multiple of `floor`; NaN if there is nothing to divide by."""
    return value / floor if floor else math.nan
