"""A forked process that works for the benchmark until it is told to end, or until the benchmark itself is gone."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from types import TracebackType


class Process:
    """One process.

    :param body: its work; returns soon after the descriptor it is given becomes readable. Sockets that it is to serve
        are bound before, so that nobody has to wait until it is ready.
    """

    def __init__(self, body: Callable[[int], None]) -> None:
        stop, self._stop = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._stop)
            _live(body, stop)
        os.close(stop)

    def close(self) -> None:
        """Tell it to end, and wait for it; harmless afterwards."""
        if self._stop < 0:
            return
        os.write(self._stop, b"x")  # closing alone would not do: processes forked later hold copies of this end
        os.close(self._stop)
        self._stop = -1
        os.waitpid(self._pid, 0)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _live(body: Callable[[int], None], stop: int) -> None:
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the benchmark, which then ends us
        body(stop)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
