"""What the numbers were measured on: without it they say nothing."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
import time
from pathlib import Path


def description() -> dict[str, str]:
    """The machine, the moment, and how busy others kept it at that moment."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %z"),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        "files": f"{tempfile.gettempdir()} on {_file_system(Path(tempfile.gettempdir()).resolve())}",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(path: Path) -> str:
    """The type of the file system that holds `path`."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [(len(fields[1]), fields[2]) for fields in mounts if path.is_relative_to(fields[1])]
    return max(holding)[1] if holding else "an unknown file system"
