"""The pid file of a daemon: the lock on it decides who runs, the number in it only informs.

The lock is an flock that lives as long as the process; children close the descriptor. A pid read from the file is
believed only while somebody holds the lock, and only if the process began when the file's second line says, so that
nobody else's process is ever signalled. Where there is no such number, since a full disk did not take it, the kernel's
table of locks tells who holds the lock; known limit: not on file systems that show programs another device than the
kernel knows (btrfs), where the pid stays unknown.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from common.config import Config

# Who asks whether a daemon runs (:func:`running_pid`) shares the lock for microseconds, or for as long as it is held up
# just then; a starting daemon tries again.
PROBES = 500
PROBE_SECONDS = 0.01
PID_DIGITS = 9
LOCKS = Path("/proc/locks")


def pid_path(config: Config, name: str) -> Path:
    """Where the pid file of the daemon `name` lies."""
    return config.daemons_dir / "logs" / f"{name}.pid"


class AlreadyRunning(Exception):
    """Another process holds the lock; `pid` is 0 if it is not known."""

    def __init__(self, path: Path, pid: int) -> None:
        self.path, self.pid = path, pid
        super().__init__(f"already running with pid {pid or 'unknown'} ({path} is locked)")


class PidFile:
    """The lock on a pid file, taken by the constructor.

    `fault` says why our number could not be written, "" if it was: the lock is ours all the same.

    :raises AlreadyRunning: somebody else holds it.
    :raises OSError: the file can't be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = _lock(path)
        text = b"%d\n%d\n" % (os.getpid(), _start_time(os.getpid()))
        self.fault = ""
        try:
            os.pwrite(self._fd, text, 0)
            os.ftruncate(self._fd, len(text))
        except OSError as error:
            self.fault = f"{path} can't be written: {error.strerror}; it is locked, but holds no number"

    def remove(self) -> None:
        """Delete the file if it is still ours, then give up the lock."""
        with suppress(OSError):
            if _is_at(self._fd, self.path):
                self.path.unlink()
        self.release()

    def release(self) -> None:
        """Close the descriptor only; in a forked child the parent's lock stays in force."""
        os.close(self._fd)


def _lock(path: Path) -> int:
    for _ in range(PROBES):
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(fd, path):
                return fd
        except BlockingIOError:
            if _is_owned(fd):
                pid = _owner(fd)
                os.close(fd)
                raise AlreadyRunning(path, pid) from None
            time.sleep(PROBE_SECONDS)
        os.close(fd)
    raise AlreadyRunning(path, 0)


def _is_owned(fd: int) -> bool:
    """Whether a daemon has the lock, not only somebody who looks."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _is_at(fd: int, path: Path) -> bool:
    # The file may have been deleted by its owner's end between our open and our lock: then it is nobody's lock.
    try:
        there, ours = path.stat(), os.fstat(fd)
    except FileNotFoundError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def _owner(fd: int) -> int:
    return _number(fd) or _holder(fd)


def _number(fd: int) -> int:
    """The pid in the file; 0 if there is none, or if it stands for a process of before that has left its number."""
    pid, _, started = os.pread(fd, 64, 0).strip().partition(b"\n")
    if not (pid.isdigit() and len(pid) <= PID_DIGITS and started.isdigit()):
        return 0
    return int(pid) if int(started) == _start_time(int(pid)) else 0


def _holder(fd: int) -> int:
    """Who holds the lock as the kernel tells it, 0 if it does not."""
    file = os.fstat(fd)
    place = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    try:
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return 0
    found = (line.split() for line in lines)  # number, kind, mode, access, pid, place, range
    return next((int(fields[4]) for fields in found if fields[1:6:2] == ["FLOCK", "WRITE", place]), 0)


def _start_time(pid: int) -> int:
    """When a process started, in clock ticks since the machine did; 0 if there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError):
        return 0


def running_pid(path: Path) -> int | None:
    """The pid of the file's owner, who holds the lock; None if nobody does, or it is not known who."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _owner(fd) or None
    finally:
        os.close(fd)
    return None


def signal_daemon(path: Path, number: int) -> bool:
    """Send a signal to the daemon that holds the pid file; False if there is none.

    The process is pinned by a pidfd before the lock is looked at a second time, so that a number that was reused
    meanwhile is never hit.
    """
    pid = running_pid(path)
    if pid is None:
        return False
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if running_pid(path) != pid:
            return False
        signal.pidfd_send_signal(pidfd, number)
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True
