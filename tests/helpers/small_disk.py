"""A disk that runs full: a small tmpfs, which only root can mount."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.helpers.federation import Host


@contextmanager
def small_disk(host: Host, name: str, kib: int) -> Iterator[Path]:
    """The directory `name` of a host lies on a disk of its own; at the end its daemons are stopped."""
    directory = host.directory / name
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(directory)]
    tried = subprocess.run(mount, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"a small disk can't be mounted here: {tried.stderr.strip()}")
    try:
        yield directory
        host.stop()
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(disk: Path) -> Path:
    """Take all that is left; the file that has it."""
    path = disk / "other"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return path
