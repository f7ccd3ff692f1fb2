"""The pid file: the lock decides, the number informs, and nobody else's process is signalled."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from common import pidfile
from common.pidfile import AlreadyRunning, PidFile, running_pid, signal_daemon
from tests.helpers.in_child import Barrier, Child, in_child, read_some

# What an earlier life may have left in the file (D1).
LEFT_BEHIND = [b"", b"1\n", b"%d\n" % os.getpid(), b"garbage\n", b"99999999999999999999999999999999\n", b"\0" * 4096]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lonc.pid"


def be_a_stranger(ready: Barrier) -> None:
    """A process that has nothing to do with the daemon."""
    ready.open()
    signal.pause()


def hold(path: Path, ready: Barrier) -> None:
    """A daemon's life: own the pid file, say so, wait for the end."""
    PidFile(path)
    ready.open()
    signal.pause()


def test_the_file_holds_the_pid_of_its_owner(path: Path) -> None:
    mine = PidFile(path)
    assert path.read_bytes().splitlines()[0] == b"%d" % os.getpid()
    assert running_pid(path) == os.getpid()
    mine.remove()
    assert not path.exists() and running_pid(path) is None


@pytest.mark.parametrize("content", LEFT_BEHIND, ids=repr)
def test_what_an_earlier_life_left_is_no_obstacle(path: Path, content: bytes) -> None:
    """D1: without a lock the number means nothing, whoever has it now."""
    path.write_bytes(content)
    assert running_pid(path) is None
    assert not signal_daemon(path, signal.SIGKILL)
    mine = PidFile(path)
    assert path.read_bytes().splitlines()[0] == b"%d" % os.getpid()
    mine.remove()


def test_a_second_start_is_told_who_runs(path: Path) -> None:
    with Barrier() as ready, Child(lambda: hold(path, ready)) as child:
        ready.wait()
        with pytest.raises(AlreadyRunning, match=f"already running with pid {child.pid} ") as caught:
            PidFile(path)
        assert (caught.value.pid, caught.value.path) == (child.pid, path)
        assert running_pid(path) == child.pid
        assert path.read_bytes().splitlines()[0] == b"%d" % child.pid


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"12\n34\n", b"-5\n"], ids=repr)
def test_a_lock_without_a_number(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(AlreadyRunning, match=f"with pid {os.getpid()} "):
            PidFile(path)
        assert running_pid(path) == os.getpid(), "the kernel knows who holds the lock"


@pytest.mark.parametrize("locks", ["", "1: FLOCK  ADVISORY  WRITE 1 00:00:0 0 EOF\n", None], ids=repr)
def test_a_lock_whose_holder_is_not_known(path: Path, monkeypatch: pytest.MonkeyPatch, locks: str | None) -> None:
    monkeypatch.setattr(pidfile, "LOCKS", path.with_name("locks"))
    if locks is not None:
        path.with_name("locks").write_text(locks)
    path.write_bytes(b"12\n34\n")
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(AlreadyRunning, match="pid unknown"):
            PidFile(path)
        assert running_pid(path) is None
        assert not signal_daemon(path, signal.SIGKILL)


def test_a_full_disk_does_not_keep_the_number_of_the_owner_from_others(path: Path) -> None:
    with Barrier() as ready:

        def hold_without_number() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # stands for a full disk
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            ready.open(PidFile(path).fault.encode())
            signal.pause()

        with Child(hold_without_number) as child:
            assert (
                ready.wait() == f"{path} can't be written: File too large; it is locked, but holds no number".encode()
            )
            assert path.read_bytes() == b"" and running_pid(path) == child.pid
            with pytest.raises(AlreadyRunning, match=f"with pid {child.pid} "):
                PidFile(path)
            assert signal_daemon(path, signal.SIGUSR1)
            assert child.wait() == -signal.SIGUSR1
            assert running_pid(path) is None


def test_a_number_that_no_process_can_have(path: Path) -> None:
    path.write_bytes(b"99999999999999999999\n")
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert running_pid(path) == os.getpid()


def test_a_file_that_can_not_be_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PidFile(tmp_path / "missing" / "lonc.pid")
    assert running_pid(tmp_path / "missing" / "lonc.pid") is None


# --- locks and forks --------------------------------------------------------------------------------------


def test_after_kill_9_the_next_start_succeeds(path: Path) -> None:
    with Barrier() as ready, Child(lambda: hold(path, ready)) as child:
        ready.wait()
        child.kill()
        child.wait()
        assert path.exists() and running_pid(path) is None
        PidFile(path).remove()


def test_a_slow_child_of_a_killed_parent_does_not_hold_the_lock(path: Path) -> None:
    """D2: flock is shared over fork, so children close the descriptor, which leaves their parent's lock in force."""
    with Barrier() as ready, Barrier() as go:

        def daemon() -> None:
            mine = PidFile(path)
            if os.fork() == 0:
                mine.release()
                ready.open()
                with suppress(AssertionError):
                    read_some(go.read_end)
                os._exit(0)
            signal.pause()

        with Child(daemon) as parent:
            ready.wait()
            assert running_pid(path) == parent.pid, "the child's close must not unlock"
            parent.kill()
            parent.wait()
            PidFile(path).remove()
            go.open()


def test_the_end_of_a_child_leaves_the_file(path: Path) -> None:
    """D3: only the owner removes it."""
    mine = PidFile(path)
    in_child(mine.release)
    assert running_pid(path) == os.getpid()
    mine.remove()


def test_a_file_that_is_not_ours_any_more_is_left_alone(path: Path) -> None:
    """D3: somebody deleted our file, and another daemon made its own."""
    mine = PidFile(path)
    path.unlink()
    with Barrier() as ready, Child(lambda: hold(path, ready)) as child:
        ready.wait()
        mine.remove()
        assert running_pid(path) == child.pid


def test_removing_a_file_that_is_gone(path: Path) -> None:
    mine = PidFile(path)
    path.unlink()
    mine.remove()


def test_readers_see_the_whole_number_or_none(path: Path) -> None:
    """D3: over and over again, never a part of a number, and never another one."""
    with Barrier() as ready:

        def restart() -> None:
            ready.open()
            while True:
                PidFile(path).remove()

        with Child(restart) as child:
            ready.wait()
            seen = {running_pid(path) for _ in range(3000)}
            assert seen <= {None, child.pid}


def test_two_starters_at_once(path: Path) -> None:
    """D5: exactly one has it, over a file that a crash left."""
    for _ in range(50):
        path.write_bytes(b"4711\n")
        with Barrier() as go, Barrier() as said, Barrier() as end:

            def start(go: Barrier = go, said: Barrier = said, end: Barrier = end) -> None:
                os.close(go.write_end)
                os.close(end.write_end)
                go.wait()
                try:
                    PidFile(path)
                except AlreadyRunning:
                    said.open(b"0")
                else:
                    said.open(b"1")
                end.wait()

            with Child(start) as one, Child(start) as two:
                os.close(go.write_end)  # both pass at the end of file
                assert sorted(read_some(said.read_end, 1) for _ in range(2)) == [b"0", b"1"]
                assert running_pid(path) in (one.pid, two.pid)
                os.close(end.write_end)
                one.result(), two.result()
        assert running_pid(path) is None


def test_a_file_that_was_deleted_between_open_and_lock_is_nobodys_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D5: its owner's end came in between; a lock on the deleted file would keep nobody out."""
    path.write_bytes(b"4711\n")
    real_flock = fcntl.flock
    locked: list[int] = []

    def flock(fd: int, operation: int) -> None:
        if not locked:
            path.unlink()
        locked.append(fd)
        real_flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    mine = PidFile(path)
    monkeypatch.undo()
    assert running_pid(path) == os.getpid()
    mine.remove()


def test_of_many_starters_one_holds_the_lock_at_a_time(path: Path) -> None:
    """D5: each winner makes a file that must not exist yet, and deletes it before it gives the lock back."""
    exclusive = path.with_name("exclusive")

    def start_often() -> int:
        wins = 0
        for _ in range(50):
            try:
                mine = PidFile(path)
            except AlreadyRunning:
                continue
            os.close(os.open(exclusive, os.O_CREAT | os.O_EXCL))
            exclusive.unlink()
            mine.remove()
            wins += 1
        return wins

    with Child(start_often) as one, Child(start_often) as two, Child(start_often) as three:
        assert one.result() + two.result() + three.result() > 0


def test_a_look_at_the_file_does_not_keep_a_daemon_from_starting(path: Path) -> None:
    """running_pid holds a shared lock for a moment; a starter must not take it for a running daemon."""
    PidFile(path).release()
    with Barrier() as ready:

        def look() -> None:
            ready.open()
            while True:
                running_pid(path)

        with Child(look):
            ready.wait()
            for _ in range(300):
                PidFile(path).release()


def test_who_looks_and_is_held_up_is_no_daemon(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PidFile(path).release()
    fd = os.open(path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 100:
            os.close(fd)

    monkeypatch.setattr(time, "sleep", sleep)
    PidFile(path).release()
    assert len(looks) == 100


# --- signals ----------------------------------------------------------------------------------------------


def test_a_daemon_is_signalled_while_it_holds_the_lock(path: Path) -> None:
    with Barrier() as ready, Child(lambda: hold(path, ready)) as child:
        ready.wait()
        assert signal_daemon(path, signal.SIGUSR1)
        assert child.wait() == -signal.SIGUSR1
        assert not signal_daemon(path, signal.SIGUSR1)


def test_nobody_is_signalled_without_a_file(path: Path) -> None:
    assert not signal_daemon(path, signal.SIGKILL)


def test_nobody_is_signalled_whose_number_changed_hands_meanwhile(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon ends between the first look and the pin: the pinned process is a stranger."""
    with Barrier() as ready, Child(lambda: be_a_stranger(ready)) as stranger:
        ready.wait()
        mine, real_open = PidFile(path), os.pidfd_open

        def ends_meanwhile(_pid: int) -> int:
            mine.remove()
            return real_open(stranger.pid)

        monkeypatch.setattr(os, "pidfd_open", ends_meanwhile)
        assert not signal_daemon(path, signal.SIGKILL)
        monkeypatch.undo()
        stranger.kill(signal.SIGCONT)  # it is still there


def test_a_starter_that_has_not_written_its_number_yet_is_not_taken_for_an_earlier_life(path: Path) -> None:
    """After a crash the file names a pid that a stranger may have by now; the new daemon is stopped after its lock."""
    with Barrier() as ready, Barrier() as locked, Child(lambda: be_a_stranger(ready)) as stranger:
        ready.wait()
        path.write_bytes(b"%d\n" % stranger.pid)

        def start_slowly() -> None:
            write = os.write

            def paused(*_: object) -> int:
                write(locked.write_end, b"!")
                signal.pause()
                return 0

            for name in ("pwrite", "write", "ftruncate", "replace", "rename", "link"):
                setattr(os, name, paused)
            PidFile(path)

        with Child(start_slowly) as starter:
            locked.wait()
            assert running_pid(path) == starter.pid
            assert signal_daemon(path, signal.SIGUSR1)
            assert starter.wait() == -signal.SIGUSR1
            stranger.kill(signal.SIGCONT)  # it is still there
