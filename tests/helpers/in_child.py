"""Running a function of a test in a forked child.

A child that left by any other way than ``os._exit`` would run the rest of the suite a second time; so it never does.
Its result, or the exception that ended it, comes back over a pipe. Barriers between a test and its child are bytes and
ends of file on pipes that the test makes before (:class:`Barrier`).
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_HEADER = struct.Struct(">Q")  # the length of the answer
PATIENCE = 20.0  # seconds; only a test that fails waits so long


class ChildDied(AssertionError):
    """The child ended without a result; `code` is its exit code or negative signal number."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"the child ended with {code} and gave no result")


class ChildFailed(Exception):
    """The traceback of an error that was raised in the child."""


class Child(Generic[T]):
    """A forked child that lives in `body`; a context manager, at whose end it and all it has forked are gone.

    It leads a process group of its own, and stays a zombie until the end, so that its number names it and its group.
    """

    def __init__(self, body: Callable[[], T]) -> None:
        self._code: int | None = None
        self._result, write_end = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the thread of pytest-timeout only waits
            self.pid = os.fork()
        if self.pid == 0:
            os.setpgid(0, 0)
            os.close(self._result)
            _live(body, write_end)
        with suppress(PermissionError, ProcessLookupError):  # the child was faster
            os.setpgid(self.pid, self.pid)
        os.close(write_end)

    def result(self) -> T:
        """What `body` returned; raises what it raised, or ChildDied."""
        good, value, text = pickle.loads(self._answer())
        self.wait()
        if good:
            return value  # type: ignore[no-any-return]
        raise value from ChildFailed(text)

    def _answer(self) -> bytes:
        # Not until the end of file: a grandchild may hold the pipe.
        header = self._read(_HEADER.size)
        return self._read(_HEADER.unpack(header)[0])

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = read_some(self._result, size - len(data))
            if not part:
                raise ChildDied(self.wait())
            data += part
        return data

    def wait(self) -> int:
        """Wait for its end: its exit code or negative signal number."""
        if self._code is None:
            pidfd = os.pidfd_open(self.pid)
            try:
                if not select.select([pidfd], [], [], PATIENCE)[0]:
                    raise AssertionError(f"the child did not end within {PATIENCE:.0f} s")
            finally:
                os.close(pidfd)
            status = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            assert status is not None
            self._code = status.si_status if status.si_code == os.CLD_EXITED else -status.si_status
        return self._code

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def __enter__(self) -> Child[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._result)


def in_child(body: Callable[[], T]) -> T:
    """Run `body` in a forked child; its result, or its exception."""
    with Child(body) as child:
        return child.result()


def _live(body: Callable[[], Any], write_end: int) -> None:
    try:
        signal.set_wakeup_fd(-1)
        try:
            answer = pickle.dumps((True, body(), ""))
        except BaseException as error:
            answer = _failure(error)
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(_HEADER.pack(len(answer)) + answer)
    finally:
        os._exit(0)


def _failure(error: BaseException) -> bytes:
    text = "".join(traceback.format_exception(error))
    with suppress(Exception):
        answer = pickle.dumps((False, error, text))
        pickle.loads(answer)
        return answer
    return pickle.dumps((False, AssertionError(str(error)), text))  # some errors can't travel, pytest's own among them


def read_all(fd: int) -> bytes:
    """Everything until the end of file, each part within PATIENCE."""
    data = b""
    while part := read_some(fd):
        data += part
    return data


def read_some(fd: int, size: int = 65536) -> bytes:
    """What can be read, waiting at most PATIENCE; b"" at the end of file."""
    if not select.select([fd], [], [], PATIENCE)[0]:
        raise AssertionError(f"nothing came within {PATIENCE:.0f} s")
    return os.read(fd, size)


class Barrier:
    """A pipe on which one process waits for another; made before the fork."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()

    def open(self, message: bytes = b"!") -> None:
        """Let the other side pass."""
        os.write(self.write_end, message)

    def wait(self) -> bytes:
        """Wait for the other side to open, or to be gone (b"", if all have closed the write end)."""
        return read_some(self.read_end)

    def close(self) -> None:
        """Close both ends, as far as they are open."""
        for fd in (self.read_end, self.write_end):
            with suppress(OSError):
                os.close(fd)

    def __enter__(self) -> Barrier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Calls:
    """The system calls that change a directory; the process is killed at the n-th."""

    def __init__(self, kill_at: int) -> None:
        self.left = kill_at

    def count(self, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **keywords: object) -> object:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **keywords)

        return counted
