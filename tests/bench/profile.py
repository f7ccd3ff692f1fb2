"""Where the time goes: ``python -m tests.bench.profile [--callers N] [--seconds S] [--critical]``.

The callers' load runs while the lonc child and the lond child at the two ends of one link are under cProfile, one after
the other: the profiler makes what it watches about half as fast, and the other end should not suffer from that. What it
prints are functions by their own processor time.

The profiler costs about the same for every call, which would make short functions that are called often look dear; what
it costs on this machine is measured and taken off. Known limit: taken off is a mean, so that tenths of a microsecond
say little.
"""

from __future__ import annotations

import argparse
import os
import pstats
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.bench.asking import replying
from tests.bench.crowd import Prepare, measure
from tests.bench.messages import sending
from tests.bench.profiled import new_profile
from tests.bench.subject import DEFAULTS, progress
from tests.bench.table import Column, Table, count, microseconds, words
from tests.helpers.federation import ROOT, Daemon, Federation

ASKING, PEER = "msua1", "msul1"
SHOWN = 15  # functions
CALIBRATION_CALLS = 300_000

COLUMNS = (
    words("function", "function"),
    count("calls", "calls"),
    Column("per_answer", "calls/answer", lambda value: f"{value:.3f}"),
    microseconds("own", "own us/answer"),
    Column("part", "part", lambda value: f"{value:.1%}"),
)


class ProfiledDaemon(Daemon):
    """A daemon that runs under :mod:`tests.bench.profiled`."""

    def launch(self) -> None:
        """Start without waiting."""
        notify_path = self.host.directory / f"{self.name}.notify"
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(notify_path))
        module = [sys.executable, "-m", "tests.bench.profiled", self.name, str(self.host.directory)]
        with (self.host.directory / f"{self.name}.stderr").open("ab") as stderr:
            self.process = subprocess.Popen(
                [*module, "--conf", str(self.host.conf), "--foreground"],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                start_new_session=True,
                cwd=ROOT,
                env={**os.environ, "NOTIFY_SOCKET": str(notify_path)},
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Profile both ends, print a table for each."""
    parser = argparse.ArgumentParser(prog="profile", description="Profile the children at both ends of a link.")
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--critical", action="store_true", help="critical messages instead of requests")
    options = parser.parse_args(argv)
    for name in ("lonc", "lond"):
        progress(f"profile: {name}, {options.callers} callers")
        print(f"\n{_profile(name, options.callers, options.seconds, options.critical).text()}", flush=True)
    return 0


def _profile(name: str, callers: int, seconds: float, critical: bool) -> Table:
    with tempfile.TemporaryDirectory(prefix="lon") as place:
        directory = Path(place)
        federation = Federation([ASKING, PEER], settings=DEFAULTS, directory=directory)
        host = federation.hosts[ASKING if name == "lonc" else PEER]
        setattr(host, name, ProfiledDaemon(host, name))
        try:
            federation.start()
            load = _load(federation, critical)
            sample = measure(lambda _number: load, callers, seconds)
        finally:
            federation.close()
        kind = "critical messages" if critical else "requests"
        title = f"The {name} child under {callers} callers ({kind}, {sample.rate:,.0f}/s under the profiler)"
        return _table(title, host.directory)


def _load(federation: Federation, critical: bool) -> Prepare:
    host = federation.hosts[ASKING]
    return sending(host, "ping", PEER) if critical else replying(host.conf, PEER, "ping", PEER)


def _table(title: str, directory: Path) -> Table:
    stats = max((read_stats(path) for path in directory.glob("*.prof")), key=_calls)
    answers = _answers(stats)
    own = without_profiler(stats, *profiler_cost())
    total = sum(own.values())
    table = Table(title, COLUMNS)
    for place in sorted(own, key=own.__getitem__, reverse=True)[:SHOWN]:
        calls = stats[place][1]
        table.add(
            function=_named(place), calls=calls, per_answer=calls / answers, own=own[place] / answers,
            part=own[place] / total,
        )  # fmt: skip
    seconds = sum(measured[2] for measured in stats.values())
    table.notes.append(
        f"{answers:,} answers in {total:.2f} s of processor time; the profiler took {seconds - total:.2f} s more, "
        "which are taken off"
    )
    return table


Place = tuple[str, int, str]  # file, line, function
Stats = dict[Place, tuple[int, int, float, float, dict[Place, tuple[int, int, float, float]]]]


def read_stats(path: Path) -> Stats:
    """What the profiler wrote: (primitive calls, calls, own time, time with callees, callers) of each function."""
    return pstats.Stats(str(path)).stats  # type: ignore[attr-defined, no-any-return]


def without_profiler(stats: Stats, callee_cost: float, caller_cost: float) -> dict[Place, float]:
    """The own time of each function in seconds, less what the profiler took.

    :param callee_cost: what it adds to the own time of a function for each time it is called.
    :param caller_cost: what it adds to the own time of a function for each call that it makes.
    """
    made: Counter[Place] = Counter()
    for _, _, _, _, callers in stats.values():
        for caller, (calls, *_) in callers.items():
            made[caller] += calls
    return {
        place: max(0.0, own - calls * callee_cost - made[place] * caller_cost)
        for place, (_, calls, own, _, _) in stats.items()
    }


def profiler_cost() -> tuple[float, float]:
    """What the profiler adds for each call to the callee's and to the caller's own time, in seconds."""
    begin = time.process_time()
    _call_often()
    plain = (time.process_time() - begin) / CALIBRATION_CALLS
    profile = new_profile()
    profile.runcall(_call_often)
    own = {entry.code if isinstance(entry.code, str) else "caller": entry.inlinetime for entry in profile.getstats()}
    callee = next(seconds for name, seconds in own.items() if "len" in name) / CALIBRATION_CALLS
    return callee, max(0.0, own["caller"] / CALIBRATION_CALLS - plain)


def _call_often() -> None:
    for _ in range(CALIBRATION_CALLS):
        len(())


def _calls(stats: Stats) -> int:
    return sum(calls for _, calls, _, _, _ in stats.values())


def _answers(stats: Stats) -> int:
    """How many requests went through: both ends have one function that is called once for each."""
    counted = [calls for (_, _, name), (_, calls, _, _, _) in stats.items() if name in ("answered", "_executed")]
    return max(counted, default=1)


def _named(place: Place) -> str:
    file, line, name = place
    if file == "~":
        return name.strip("<>")
    path = Path(file)
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) and ".venv" not in path.parts else path.name
    return f"{shown}:{line} {name}"


if __name__ == "__main__":
    sys.exit(main())
