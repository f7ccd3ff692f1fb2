"""The one function that forks; every test forks from a child, which has no threads and whose signals are its own."""

from __future__ import annotations

import atexit
import errno
import gc
import io
import logging
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from common import fork as fork_module
from common.fork import EXIT_BUG, fork, prepare_for_children
from common.loop import OUR_SIGNALS, Loop
from tests.helpers.in_child import Barrier, in_child, read_all, read_some


def nothing() -> None:
    """Release nothing."""


def code_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def said_by_child(say: Callable[[], object], release: Callable[[], None] = nothing) -> str:
    """Fork; what the child says of itself."""
    with Barrier() as pipe:

        def body() -> int:
            os.write(pipe.write_end, repr(say()).encode())
            return 0

        pid = fork(release, body)
        os.close(pipe.write_end)
        said = read_all(pipe.read_end).decode()
        assert code_of(pid) == 0
        return said


@pytest.mark.parametrize("code", [0, 1, 78])
def test_the_code_of_the_body_is_the_exit_code(code: int) -> None:
    assert in_child(lambda: code_of(fork(nothing, lambda: code))) == code


def raise_(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(0), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_happens_the_child_ends_there(error: BaseException) -> None:
    """F4: no exception leads into the parent's frames, not even SystemExit."""
    assert in_child(lambda: code_of(fork(nothing, lambda: raise_(error)))) == EXIT_BUG


def test_a_bug_in_release_ends_the_child_too() -> None:
    def fail() -> None:
        raise OSError("x")

    def body() -> int:
        return code_of(fork(fail, lambda: 0))

    assert in_child(body) == EXIT_BUG


def test_an_unexpected_error_is_logged_with_its_traceback() -> None:
    with Barrier() as pipe:

        def body() -> int:
            stream = io.TextIOWrapper(os.fdopen(pipe.write_end, "wb"))
            fork_module.log.addHandler(logging.StreamHandler(stream))
            code = code_of(fork(nothing, lambda: 1 // 0))
            fork_module.log.handlers.clear()
            stream.close()
            return code

        assert in_child(body) == EXIT_BUG
        os.close(pipe.write_end)
        text = read_all(pipe.read_end).decode()
    assert text.count("unexpected error") == 1 and "ZeroDivisionError" in text


def test_what_the_parent_has_not_flushed_appears_once() -> None:
    """F4: neither exit handlers nor finally blocks nor buffers of the parent run or leave in the child."""
    with Barrier() as pipe:

        def body() -> None:
            sys.stdout = os.fdopen(pipe.write_end, "w", buffering=10_000)
            atexit.register(lambda: os.write(pipe.write_end, b"[exit handler]"))
            try:
                print("unflushed;", end="")
                code_of(fork(nothing, lambda: 0))
                code_of(fork(nothing, lambda: raise_(SystemExit(1))))
            finally:
                print("finally;", end="")
            sys.stdout.flush()

        in_child(body)
        os.close(pipe.write_end)
        assert read_all(pipe.read_end) == b"unflushed;finally;"


def test_no_fork_with_threads() -> None:
    """F1: a lock that another thread holds would stay locked in the child for ever."""

    def body() -> str:
        done = threading.Event()
        thread = threading.Thread(target=done.wait)
        thread.start()
        try:
            code_of(fork(nothing, lambda: 0))
        except RuntimeError as error:
            return str(error)
        finally:
            done.set()
            thread.join()
        return "forked"

    assert "no threads" in in_child(body)


# --- signals ----------------------------------------------------------------------------------------------


def signals_of(pid: int) -> dict[str, set[int]]:
    """Which signals a process blocks, ignores, and has waiting for it."""
    return signal_masks(Path(f"/proc/{pid}/status").read_text())


def signal_masks(status: str) -> dict[str, set[int]]:
    masks = {}
    for line in status.splitlines():
        name, _, value = line.partition(":\t")
        if name in ("SigBlk", "SigIgn", "ShdPnd"):
            masks[name] = {bit + 1 for bit in range(64) if int(value, 16) >> bit & 1}
    return masks


def loop_until_term() -> int:
    """A child's life: 7 if TERM was delivered by its own loop."""
    loop, codes = Loop(), [0]

    def terminate() -> None:
        codes[0] = 7
        loop.stop()

    loop.on_signal(signal.SIGTERM, terminate)
    loop.run()
    loop.close()
    return codes[0]


@pytest.mark.parametrize("hook", ["after fork", "in release", "in body"])
def test_a_signal_before_the_childs_loop_runs_is_not_lost(hook: str) -> None:
    """S4: the child is stopped at a hook, TERM is sent, and only then it goes on."""
    with Barrier() as reached, Barrier() as go:

        def pause(at: str) -> None:
            if at == hook:
                reached.open()
                go.wait()

        def body() -> tuple[int, list[str]]:
            parents: list[str] = []
            loop = Loop()
            loop.on_signal(signal.SIGTERM, lambda: parents.append("eaten by the parent"))
            real_fork = os.fork

            def paused_fork() -> int:
                pid = real_fork()
                if pid == 0:
                    pause("after fork")
                return pid

            os.fork = paused_fork

            def life() -> int:
                pause("in body")
                return loop_until_term()

            pid = fork(lambda: pause("in release"), life)
            reached.wait()
            assert signals_of(pid)["SigBlk"] >= OUR_SIGNALS
            os.kill(pid, signal.SIGTERM)
            assert signal.SIGTERM in signals_of(pid)["ShdPnd"]
            go.open()
            code = code_of(pid)
            loop.call_later(0, lambda: None)
            loop.turn()
            loop.close()
            return code, parents

        assert in_child(body) == (7, [])


@pytest.mark.parametrize("blocked", [set(), {signal.SIGUSR1}, set(OUR_SIGNALS)])
@pytest.mark.parametrize("fails", [False, True])
def test_the_parents_mask_is_as_it_was(blocked: set[signal.Signals], fails: bool) -> None:
    def body() -> bool:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if fails:
            os.fork = lambda: raise_(OSError(errno.EAGAIN, "no more processes"))
            with pytest.raises(OSError, match="no more processes"):
                fork(nothing, lambda: 0)
        else:
            code_of(fork(nothing, lambda: 0))
        return signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked

    assert in_child(body)


def test_the_child_begins_with_default_handlers_and_all_our_signals_blocked() -> None:
    def body() -> str:
        loop = Loop()
        for number in OUR_SIGNALS:
            loop.on_signal(number, lambda: None)

        def say() -> tuple[bool, bool, int]:
            default = all(signal.getsignal(number) is signal.SIG_DFL for number in OUR_SIGNALS)
            return default, signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= OUR_SIGNALS, signal.set_wakeup_fd(-1)

        return said_by_child(say)

    assert in_child(body) == "(True, True, -1)"


def test_what_a_child_executes_can_be_stopped() -> None:
    """S6: a program that a child starts from its loop has none of our signals blocked or ignored."""
    with Barrier() as pipe:

        def life() -> int:
            loop, codes = Loop(), [1]

            def run_program() -> None:
                actions = [(os.POSIX_SPAWN_DUP2, pipe.write_end, 1)]
                pid = os.posix_spawn("/bin/cat", ["cat", "/proc/self/status"], {}, file_actions=actions)
                codes[0] = code_of(pid)
                loop.stop()

            loop.call_later(0, run_program)
            loop.run()
            return codes[0]

        assert in_child(lambda: code_of(fork(nothing, life))) == 0
        os.close(pipe.write_end)
        status = read_all(pipe.read_end).decode()
    masks = signal_masks(status)
    assert masks["SigBlk"] == set() and not masks["SigIgn"] & OUR_SIGNALS


# --- what is inherited ------------------------------------------------------------------------------------


def test_release_comes_first_and_in_the_child_alone() -> None:
    """F2: a sibling's peer reads its end of file at once, though this child lives."""
    with Barrier() as go:

        def body() -> tuple[int, bytes]:
            ours, peer = socket.socketpair()

            def life() -> int:
                go.wait()
                return 0

            pid = fork(ours.close, life)
            ours.send(b"still ours")
            ours.close()
            said = read_some(peer.fileno()) + read_some(peer.fileno())
            peer.close()
            go.open()
            return code_of(pid), said

        assert in_child(body) == (0, b"still ours")


def test_the_descriptors_of_a_child_are_exactly_those_it_owns() -> None:
    """F2: no descriptor more than there were, less what `release` closed."""

    def numbers() -> set[int]:
        return {int(entry.name) for entry in Path("/proc/self/fd").iterdir() if os.path.exists(entry)}

    def body() -> bool:
        loop = Loop()
        ours, theirs = socket.socketpair()
        before = numbers()

        def release() -> None:
            loop.close()
            ours.close()

        gone = {ours.fileno(), loop._wakeup_read, loop._wakeup_write, loop._selector.fileno()}
        pid_file_pipe = Barrier()
        mine = {pid_file_pipe.read_end, pid_file_pipe.write_end}

        def life() -> int:
            os.write(pid_file_pipe.write_end, b"%d" % (numbers() == before - gone | mine))
            return 0

        pid = fork(release, life)
        said = pid_file_pipe.wait()
        code_of(pid)
        theirs.close()
        return said == b"1"

    assert in_child(body)


def test_two_children_draw_different_random_numbers() -> None:
    """F8: a copy of the parent's generator would draw the same."""

    def body() -> tuple[str, str, float]:
        random.seed(4711)
        return said_by_child(random.random), said_by_child(random.random), random.Random(4711).random()

    first, second, parents = in_child(body)
    assert len({first, second, repr(parents)}) == 3


def test_preparing_freezes_what_exists() -> None:
    def body() -> bool:
        before = gc.get_freeze_count()
        prepare_for_children()
        return gc.get_freeze_count() > before and gc.isenabled()

    assert in_child(body)
