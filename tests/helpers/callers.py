"""Callers for load: processes of their own that send through lonnet and report every answer.

Each is a plain forked process; it writes one line per answer to its result file and ends by ``os._exit``. A caller is
told to begin and to end over a pipe, so that nothing depends on time.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lonnet import Lonnet


@dataclass(slots=True)
class Caller:
    """A caller process and where its answers are."""

    pid: int
    result: Path
    stop_end: int

    def stop(self) -> None:
        """Tell it to come to an end after the request under way."""
        if self.stop_end >= 0:
            os.close(self.stop_end)
            self.stop_end = -1

    def join(self) -> list[str]:
        """Wait for its end; its answers."""
        _, status = os.waitpid(self.pid, 0)
        self.stop()
        lines = self.result.read_text().splitlines() if self.result.exists() else []
        assert status == 0, f"caller failed: {lines[-20:]}"
        return lines


def start_caller(
    conf: Path, result: Path, work: Callable[[Lonnet, Callable[[], bool], Callable[[str], None]], None]
) -> Caller:
    """Fork a caller that does `work(net, wanted, report)`; `wanted()` turns false after :meth:`Caller.stop`."""
    stop_read, stop_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(stop_write)
            os.set_blocking(stop_read, False)
            with result.open("w", buffering=1) as file:
                try:
                    work(Lonnet.from_conf(conf), lambda: _open(stop_read), lambda line: print(line, file=file))
                    code = 0
                except BaseException:
                    traceback.print_exc(file=file)
        finally:
            os._exit(code)
    os.close(stop_read)
    return Caller(pid, result, stop_write)


def _open(stop_read: int) -> bool:
    try:
        return os.read(stop_read, 1) != b""
    except BlockingIOError:
        return True


def numbered_messages(caller: int, count: int) -> Iterator[str]:
    """Critical messages whose execution leaves a trace in order: entries of one user's activity log."""
    return (f"log:msu:smith:{caller}_{number}" for number in range(count))
