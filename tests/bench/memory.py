"""What a process really costs: its proportional set size, in which a page shared by ten counts a tenth for each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import mean

from tests.helpers.federation import Daemon


def proportional_kib(pid: int) -> int:
    """PSS of a process in KiB.

    :raises OSError: there is no such process, or the kernel does not say.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise OSError(f"no Pss in /proc/{pid}/smaps_rollup")


def children_kib(daemons: Sequence[Daemon]) -> tuple[int, float]:
    """How many children these daemons have, and the mean of their PSS in KiB."""
    sizes = []
    for daemon in daemons:
        for pid in daemon.session():
            if pid != daemon.pid:
                with suppress(FileNotFoundError, ProcessLookupError):  # a spare may end meanwhile
                    sizes.append(proportional_kib(pid))
    return len(sizes), mean(sizes)


def available_mib() -> float:
    """Memory that is free or can be made so, in MiB."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20
