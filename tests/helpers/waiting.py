"""The only wait loop of the tests, and what tests leave behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_PAUSE = threading.Event()  # never set


def eventually(attempt: Callable[[], T], timeout: float = 60.0, pause: float = 0.01) -> T:
    """Call until it raises no AssertionError and returns no False; the last error when the time is over.

    Only a test that fails waits so long. The last call begins after the end: a process that was held up itself has not
    looked often meanwhile.
    """
    deadline = time.monotonic() + timeout
    while True:
        over = time.monotonic() >= deadline
        try:
            result = attempt()
            if result is not False:
                return result
            error: AssertionError | None = None
        except AssertionError as caught:
            error = caught
        if over:
            raise error or AssertionError(f"not true within {timeout} s")
        _PAUSE.wait(pause)


def processes_in_session(session: int) -> list[int]:
    """The pids of a session, zombies included."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            found.append(int(entry.name))
    return found


def open_descriptors(pid: int | str = "self") -> dict[int, str]:
    """Descriptor to what it stands for."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[int(entry.name)] = os.readlink(entry)
        except OSError:
            continue
    return found
