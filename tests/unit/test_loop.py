"""The selector loop: timers on a fake clock, descriptors that are forgotten and reused, signals that are not lost."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.loop import OUR_SIGNALS, READ, WRITE, Loop
from tests.conftest import FakeClock
from tests.helpers.in_child import Barrier, Child, in_child, read_all
from tests.helpers.waiting import eventually


@contextmanager
def a_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def turn_at_once(loop: Loop) -> None:
    """A turn that waits for nothing."""
    loop.call_later(0, lambda: None)
    loop.turn()


# --- timers -----------------------------------------------------------------------------------------------


def test_timers_run_in_the_order_of_their_times(loop: Loop, clock: FakeClock) -> None:
    ran: list[int] = []
    for seconds in (5, 1, 4, 2, 3):
        loop.call_later(seconds, partial(ran.append, seconds))
    clock.advance(3)
    loop.turn()
    assert ran == [1, 2, 3]
    clock.advance(2)
    loop.turn()
    assert ran == [1, 2, 3, 4, 5]


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=30))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_timer_runs_once_unless_cancelled(loop: Loop, clock: FakeClock, plan: list[tuple[int, bool]]) -> None:
    ran: list[int] = []
    for seconds, cancelled in plan:
        timer = loop.call_later(seconds, partial(ran.append, seconds))
        if cancelled:
            timer.cancel()
    for _ in range(51):
        turn_at_once(loop)
        clock.advance(1)
    assert ran == sorted(seconds for seconds, cancelled in plan if not cancelled)


def test_a_timer_is_not_early(loop: Loop, clock: FakeClock) -> None:
    ran: list[str] = []
    loop.call_later(1, lambda: ran.append("late"))
    clock.advance(0.999)
    turn_at_once(loop)
    assert ran == []
    clock.advance(0.001)
    loop.turn()
    assert ran == ["late"]


def test_a_timer_can_cancel_another_of_the_same_turn(loop: Loop, clock: FakeClock) -> None:
    ran: list[str] = []
    victim = loop.call_later(2, lambda: ran.append("victim"))
    loop.call_later(1, victim.cancel)
    clock.advance(3)
    loop.turn()
    assert ran == []
    victim.cancel()
    turn_at_once(loop)
    assert ran == []


def test_a_timer_can_be_made_by_a_timer(loop: Loop, clock: FakeClock) -> None:
    ran: list[str] = []

    def first() -> None:
        loop.call_later(1, lambda: ran.append("second"))

    loop.call_later(1, first)
    clock.advance(1)
    loop.turn()
    assert ran == []
    clock.advance(1)
    loop.turn()
    assert ran == ["second"]


def test_a_cancelled_timer_wakes_nobody(loop: Loop) -> None:
    loop.call_later(0, lambda: None).cancel()
    with a_pair() as (one, other):
        loop.watch(one, READ, lambda _mask: None)
        other.send(b"x")
        assert loop._until_next_timer() is None
        loop.turn()
        loop.forget(one)


def test_every_counts_from_the_end_of_the_last_call(loop: Loop, clock: FakeClock) -> None:
    ran: list[float] = []

    def slow() -> None:
        ran.append(clock.now)
        clock.advance(2)

    loop.every(10, slow)
    for _ in range(4):
        clock.advance(10)
        loop.turn()
    assert ran == [1010, 1022, 1034, 1046]


def test_the_clock_is_monotonic_by_itself() -> None:
    def body() -> str:
        loop = Loop()
        return str(getattr(loop.clock, "__name__", ""))

    assert in_child(body) == "monotonic"


# --- descriptors ------------------------------------------------------------------------------------------


def test_readiness_is_told_with_its_mask(loop: Loop) -> None:
    masks: list[int] = []
    with a_pair() as (one, other):
        loop.watch(one, READ | WRITE, masks.append)
        loop.turn()
        other.send(b"x")
        loop.turn()
        loop.change(one, READ)
        loop.turn()
        loop.forget(one)
    assert masks == [WRITE, READ | WRITE, READ]


def test_nothing_to_do_is_no_turn(loop: Loop, clock: FakeClock) -> None:
    read: list[bytes] = []
    with a_pair() as (one, other):
        loop.watch(one, READ, lambda _mask: read.append(one.recv(10)))
        other.send(b"x")
        for _ in range(3):
            turn_at_once(loop)
        assert (loop.turns, read) == (3, [b"x"])
        assert select.select([loop._selector], [], [], 0)[0] == []
        loop.forget(one)


def test_forgetting_counts_within_the_same_turn(loop: Loop) -> None:
    called: list[str] = []
    with a_pair() as (one, one_peer), a_pair() as (two, two_peer):

        def first_come(name: str, other: socket.socket) -> None:
            called.append(name)
            loop.forget(other)

        loop.watch(one, READ, lambda _mask: first_come("one", two))
        loop.watch(two, READ, lambda _mask: first_come("two", one))
        one_peer.send(b"x")
        two_peer.send(b"x")
        loop.turn()
        assert len(called) == 1
        loop.turn()
        assert called == called[:1] * 2
        loop.forget(one)
        loop.forget(two)


def test_forgetting_twice_or_what_was_never_watched_is_harmless(loop: Loop) -> None:
    with a_pair() as (one, other):
        loop.forget(one)
        loop.watch(one, READ, lambda _mask: None)
        loop.forget(one)
        loop.forget(one)
        other.send(b"x")
        turn_at_once(loop)


def test_a_reused_number_is_not_taken_for_its_former_owner(loop: Loop) -> None:
    """F3: a handler closes another ready channel and opens a new one, which gets the same number."""
    called: list[str] = []
    channels = {name: socket.socketpair() for name in ("one", "two")}

    def replace(name: str, other: str) -> None:
        called.append(name)
        loop.forget(channels[name][0])
        old, peer = channels[other]
        number = old.fileno()
        loop.forget(old)
        old.close()
        peer.close()
        channels[other] = fresh = socket.socketpair()
        assert number in (fresh[0].fileno(), fresh[1].fileno())
        for channel in fresh:
            loop.watch(channel, READ, lambda _mask: called.append("fresh"))

    loop.watch(channels["one"][0], READ, lambda _mask: replace("one", "two"))
    loop.watch(channels["two"][0], READ, lambda _mask: replace("two", "one"))
    for _, peer in channels.values():
        peer.send(b"x")
    loop.turn()
    turn_at_once(loop)
    assert len(called) == 1, called
    for pair in channels.values():
        for channel in pair:
            loop.forget(channel)
            channel.close()


@pytest.mark.parametrize("in_order", [True, False])
def test_a_channel_closed_while_watched_does_not_spin_the_loop(loop: Loop, in_order: bool) -> None:
    """F3: neither the old number nor the new owner of it keeps the selector awake."""
    with a_pair() as (one, _):
        loop.watch(one, READ | WRITE, lambda _mask: None)
        if in_order:
            loop.forget(one)
        one.close()
        if not in_order:
            loop.forget(one)
    assert select.select([loop._selector], [], [], 0)[0] == []
    with a_pair() as (new, peer):
        loop.watch(new, READ, lambda _mask: None)
        loop.watch(peer, READ, lambda _mask: None)
        assert select.select([loop._selector], [], [], 0)[0] == []
        loop.forget(new)
        loop.forget(peer)


def test_order_within_a_turn(loop: Loop, clock: FakeClock) -> None:
    order: list[str] = []
    with a_pair() as (one, other):
        loop.at_end_of_turn(lambda: order.append("end 1"))
        loop.at_end_of_turn(lambda: order.append("end 2"))
        loop.watch(one, READ, lambda _mask: order.append("ready"))
        loop.call_later(1, lambda: order.append("timer"))
        other.send(b"x")
        clock.advance(1)
        loop.turn()
        loop.forget(one)
    assert order == ["timer", "ready", "end 1", "end 2"]


def test_stop_finishes_the_turn(loop: Loop) -> None:
    order: list[str] = []
    loop.at_end_of_turn(lambda: order.append("end"))
    loop.call_later(0, loop.stop)
    loop.run()
    assert (order, loop.turns) == (["end"], 1)
    loop.call_later(0, loop.stop)
    loop.run()
    assert loop.turns == 2


def test_an_exception_leaves_the_loop(loop: Loop) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    loop.call_later(0, fail)
    with pytest.raises(ZeroDivisionError):
        loop.run()


def test_close_frees_every_descriptor() -> None:
    def body() -> bool:
        before = set(Path("/proc/self/fd").iterdir())
        Loop().close()
        return before == set(Path("/proc/self/fd").iterdir()) and signal.set_wakeup_fd(-1) == -1

    assert in_child(body)


# --- signals ----------------------------------------------------------------------------------------------


def test_a_signal_is_delivered_in_the_next_turn(loop: Loop) -> None:
    came: list[str] = []
    loop.on_signal(signal.SIGUSR1, lambda: came.append("usr1"))
    loop.on_signal(signal.SIGUSR2, lambda: came.append("usr2"))
    signal.raise_signal(signal.SIGUSR2)
    assert came == []
    loop.turn()
    assert came == ["usr2"]
    signal.raise_signal(signal.SIGUSR1)
    loop.turn()
    assert came == ["usr2", "usr1"]


def test_the_table_of_signals_covers_all_that_are_ours(loop: Loop) -> None:
    """S10: numbers, not names, are what is dispatched on."""
    came: list[int] = []
    for number in OUR_SIGNALS:
        loop.on_signal(number, partial(came.append, number))
    for number in OUR_SIGNALS:
        signal.raise_signal(number)
    loop.turn()
    assert came == sorted(OUR_SIGNALS)
    assert set(came) == {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGCHLD,
    }


def test_many_of_one_kind_do_not_displace_another(loop: Loop) -> None:
    """S7: fifty times CHLD and one TERM."""
    came: list[str] = []
    loop.on_signal(signal.SIGCHLD, lambda: came.append("chld"))
    loop.on_signal(signal.SIGTERM, lambda: came.append("term"))
    for _ in range(50):
        signal.raise_signal(signal.SIGCHLD)
    signal.raise_signal(signal.SIGTERM)
    loop.turn()
    assert sorted(came) == ["chld", "term"]
    turn_at_once(loop)
    assert len(came) == 2


def test_a_full_wakeup_pipe_neither_warns_nor_jams(loop: Loop, capfd: pytest.CaptureFixture[str]) -> None:
    """S12: what does not fit is dropped in silence; once the pipe is read, signals come again."""
    came: list[str] = []
    loop.on_signal(signal.SIGUSR1, lambda: came.append("usr1"))
    loop.on_signal(signal.SIGUSR2, lambda: came.append("usr2"))
    with pytest.raises(BlockingIOError):
        while True:
            os.write(loop._wakeup_write, bytes([signal.SIGUSR1]) * 4096)
    signal.raise_signal(signal.SIGUSR1)
    loop.turn()
    assert came == ["usr1"]
    assert select.select([loop._wakeup_read], [], [], 0)[0] == []
    signal.raise_signal(signal.SIGUSR2)
    loop.turn()
    assert came == ["usr1", "usr2"]
    assert capfd.readouterr().err == ""


def test_a_signal_that_came_before_run_is_delivered_by_it() -> None:
    def body() -> list[str]:
        came: list[str] = []
        signal.pthread_sigmask(signal.SIG_BLOCK, OUR_SIGNALS)
        loop = Loop()

        def terminate() -> None:
            came.append("term")
            loop.stop()

        loop.on_signal(signal.SIGTERM, terminate)
        os.kill(os.getpid(), signal.SIGTERM)
        assert came == [] and signal.SIGTERM in signal.sigpending()
        loop.run()
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & OUR_SIGNALS
        return came

    assert in_child(body) == ["term"]


def is_asleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_a_signal_ends_a_long_wait_at_once() -> None:
    """S3: the wait of ten minutes is longer than any patience; the child can only end by being woken."""
    with Barrier() as ready:

        def body() -> int:
            loop = Loop()
            loop.call_later(600, lambda: None)
            loop.on_signal(signal.SIGTERM, loop.stop)
            ready.open()
            loop.run()
            return loop.turns

        with Child(body) as child:
            ready.wait()
            eventually(lambda: is_asleep(child.pid))
            child.kill(signal.SIGTERM)
            assert child.result() == 1


def test_deaths_that_coalesce_are_all_reaped() -> None:
    """S8: twenty children, however few calls."""

    def body() -> tuple[int, bool]:
        loop, reaped, calls = Loop(), 0, 0

        def reap() -> None:
            nonlocal reaped, calls
            calls += 1
            while reaped < 20 and os.waitpid(-1, os.WNOHANG)[0]:
                reaped += 1
            if reaped == 20:
                loop.stop()

        loop.on_signal(signal.SIGCHLD, reap)
        signal.pthread_sigmask(signal.SIG_BLOCK, OUR_SIGNALS)
        for _ in range(20):
            if os.fork() == 0:
                os._exit(0)
        loop.run()
        loop.close()
        return reaped, calls <= 20

    assert in_child(body) == (20, True)


def test_a_child_keeps_nothing_of_its_parents_loop(loop: Loop) -> None:
    """S5: a signal to a child that closed the inherited loop stays in the child."""
    came: list[str] = []
    loop.on_signal(signal.SIGUSR1, lambda: came.append("parent"))
    with Barrier() as ready, Barrier() as go, a_pair() as (one, other):
        loop.watch(one, READ, lambda _mask: came.append("ready"))

        def body() -> list[str]:
            loop.close()
            own, mine = Loop(), []
            own.on_signal(signal.SIGUSR1, lambda: mine.append("child"))
            own.watch(_Number(go.read_end), READ, lambda _mask: own.stop())
            ready.open()
            own.run()
            return mine

        with Child(body) as child:
            ready.wait()
            child.kill(signal.SIGUSR1)
            eventually(lambda: is_asleep(child.pid))
            go.open()
            assert child.result() == ["child"]
        assert select.select([loop._wakeup_read], [], [], 0)[0] == []
        other.send(b"x")
        loop.turn()
        loop.forget(one)
    assert came == ["ready"], "the child's close must not touch the parent's registrations"


class _Number:
    def __init__(self, fd: int) -> None:
        self.fd = fd

    def fileno(self) -> int:
        return self.fd


def test_a_storm_of_signals_while_the_log_is_stuck() -> None:
    """S1: a thousand signals while a handler logs to a full pipe: no traceback, no deadlock, no turn without cause."""
    with Barrier() as ready, Barrier() as log_pipe:

        def body() -> tuple[int, int]:
            os.close(log_pipe.read_end)
            with os.fdopen(os.dup(log_pipe.write_end), "w") as stream:
                os.close(log_pipe.write_end)
                logger = logging.Logger("storm")
                logger.addHandler(logging.StreamHandler(stream))
                loop, lines = Loop(), 0

                def write() -> None:
                    nonlocal lines
                    lines += 1
                    logger.info("%s", "x" * 8000)

                loop.on_signal(signal.SIGUSR1, write)
                loop.on_signal(signal.SIGTERM, loop.stop)
                ready.open()
                loop.run()
                return lines, loop.turns

        with Child(body) as child:
            os.close(log_pipe.write_end)
            ready.wait()
            for _ in range(1000):
                child.kill(signal.SIGUSR1)
            child.kill(signal.SIGTERM)
            text = read_all(log_pipe.read_end)
            lines, turns = child.result()
        assert text == (b"x" * 8000 + b"\n") * lines
        assert 1 <= lines <= turns <= 1001
