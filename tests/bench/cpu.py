"""What an answer costs in processor time, whoever else uses the processors meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.bench.sample import NANOSECONDS, Sample
from tests.helpers.federation import Federation


def children_of_link(federation: Federation, asking: str, peer: str) -> dict[str, int]:
    """The pids of the lonc child and the lond child at the two ends of a link that is up."""
    return {
        "lonc": federation.hosts[asking].lonc.slot(peer, "up").pid,
        "lond": federation.hosts[peer].lond.slot(asking, "serving").pid,
    }


class CpuMeter:
    """Read at both edges of a window.

    :param pids: of processes, by the name of the column they are shown in.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._readings: list[dict[str, int]] = []

    def read(self) -> None:
        """Take a reading."""
        self._readings.append({name: _run_time(pid) for name, pid in self._pids.items()})

    def per_answer(self, sample: Sample) -> dict[str, float]:
        """Seconds of processor time that each process used for one answer, between the first and the last reading."""
        answers = max(1, len(sample.latencies))
        first, last = self._readings[0], self._readings[-1]
        return {name: (last[name] - first[name]) / answers / NANOSECONDS for name in self._pids}


def _run_time(pid: int) -> int:
    """Nanoseconds that a process has run."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
