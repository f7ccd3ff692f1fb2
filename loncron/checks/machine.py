"""Has this machine room and time left? Load, and the disks that hold something of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from common.config import Config
from loncron.visit import Visit
from lonstatus.findings import Finding, Level

TOO_MUCH = 2.0  # times lonLoadLim


def load(visit: Visit) -> Iterator[Finding]:
    """A notice when the load average is over lonLoadLim, a warning when it is twice that."""
    average = os.getloadavg()[1]  # over five minutes: what is short is no trouble
    part = average / visit.site.config.load_lim
    if part > 1:
        level = Level.WARNING if part > TOO_MUCH else Level.NOTICE
        text = f"the load average over five minutes is {average:.2f}, {100 * part:.0f} % of lonLoadLim"
        yield Finding(level, "load", "load", text)


def disks(visit: Visit) -> Iterator[Finding]:
    """A warning over lonDiskWarning, an error over lonDiskCritical; each disk once."""
    config = visit.site.config
    seen: dict[int, Path] = {}
    for directory in _directories(config):
        try:
            seen.setdefault(directory.stat().st_dev, directory)
        except OSError:
            continue  # not made yet
    for directory in seen.values():
        for what, used in _used(directory):
            if used >= config.disk_warning:
                level = Level.ERROR if used >= config.disk_critical else Level.WARNING
                text = f"{used:.0f} % of the {what} of the disk with {directory} are in use"
                yield Finding(level, "disk", f"{directory} {what}", text)


def _directories(config: Config) -> tuple[Path, ...]:
    return (
        config.daemons_dir,
        config.delayed_dir,
        config.users_dir,
        config.doc_root,
        config.ids_dir,
        config.sock_dir,
        config.construction_dir,
        config.tab_dir,
    )


def _used(directory: Path) -> Iterator[tuple[str, float]]:
    """Per cent of space and inodes in use, of what those who are not root may use."""
    status = os.statvfs(directory)
    for what, whole, free, ours in (
        ("space", status.f_blocks, status.f_bfree, status.f_bavail),
        ("inodes", status.f_files, status.f_ffree, status.f_favail),
    ):
        taken = whole - free
        if taken + ours > 0:
            yield what, 100 * taken / (taken + ours)
