"""A daemon whose children are profiled: ``python -m tests.bench.profiled lonc|lond DIRECTORY ARGUMENTS...``.

The daemon itself knows nothing of it: the functions in which its children live are wrapped before its parent starts, in
this process alone. What is measured is processor time, not the time that passed: neither waiting nor other processes
count. A child that lives to its proper end leaves ``NAME-PID.prof`` in the directory.
"""

from __future__ import annotations

import cProfile
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import lonc.child
import lonc.parent
import lond.child
import lond.parent

P = ParamSpec("P")
R = TypeVar("R")
NANOSECOND = 1e-9


def new_profile() -> cProfile.Profile:
    """A profiler by processor time."""
    return cProfile.Profile(time.process_time_ns, NANOSECOND)


def profiled(live: Callable[P, R], directory: Path, name: str) -> Callable[P, R]:
    """`live`, under the profiler; its result is written when it returns."""

    def wrapped(*arguments: P.args, **named: P.kwargs) -> R:
        profile = new_profile()
        try:
            return profile.runcall(live, *arguments, **named)
        finally:
            profile.dump_stats(directory / f"{name}-{os.getpid()}.prof")

    return wrapped


def main() -> int:
    """Run the daemon; its exit code."""
    name, directory, *arguments = sys.argv[1:]
    place = Path(directory)
    if name == "lonc":
        lonc.child.live = profiled(lonc.child.live, place, name)
        return lonc.parent.main(arguments)
    setattr(lond.child.Child, "live", profiled(lond.child.Child.live, place, name))  # noqa: B010 - mypy
    return lond.parent.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
