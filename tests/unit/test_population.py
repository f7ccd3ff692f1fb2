"""The children of one parent: on a fake clock and a scripted system, then real forks for what only they show."""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from common.loop import OUR_SIGNALS, READ, Loop
from common.population import FORK_PAUSE, MESSAGE_BYTES, Birth, Lifeline, Member, Phase, Population, System
from common.scoreboard import Scoreboard, Slot
from tests.conftest import FakeClock
from tests.helpers.in_child import PATIENCE, Barrier, Child, in_child, read_some
from tests.helpers.waiting import eventually

GRACE = 10.0
SLOTS = 3


@dataclass
class FakeSystem(System):
    """A process table by script: what forks give, what kills meet, who has ended."""

    pids: list[int | OSError] = field(default_factory=lambda: list(range(501, 530)))
    ended: deque[tuple[int, int]] = field(default_factory=deque)
    killed: list[tuple[int, int]] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    lifelines: dict[int, socket.socket] = field(default_factory=dict)
    births: list[Birth] = field(default_factory=list)

    def fork(self, release: Callable[[], None], body: Callable[[], int]) -> int:
        """The next pid, or its error; the child's end of the lifeline is kept for the test."""
        result = self.pids.pop(0)
        if isinstance(result, OSError):
            raise result
        body()
        self.lifelines[result] = self.births[-1].lifeline._channel.dup()
        return result

    def live(self, birth: Birth) -> int:
        """The body of the children: only notes what they were born with."""
        self.births.append(birth)
        return 0

    def kill(self, pid: int, number: int) -> None:
        """Note the signal."""
        self.killed.append((pid, number))
        if pid in self.gone:
            raise ProcessLookupError(errno.ESRCH, "no such process")

    def reap(self) -> tuple[int, int] | None:
        """The next that ended."""
        return self.ended.popleft() if self.ended else None

    def end(self, pid: int, code: int) -> None:
        """A child ends: its end of the lifeline closes, and it can be reaped."""
        self.lifelines.pop(pid).close()
        self.ended.append((pid, code))


@dataclass
class Parent:
    """A population with everything around it, and what it told its owner."""

    loop: Loop
    board: Scoreboard
    system: FakeSystem
    messages: list[tuple[int, bytes, int]] = field(default_factory=list)
    ends: list[tuple[str, int, int]] = field(default_factory=list)
    react: Callable[[Member], None] = lambda _member: None

    def __post_init__(self) -> None:
        self.population = Population(
            self.loop, self.board, GRACE, self.on_message, self.on_end, lambda: None, self.system
        )

    def on_message(self, member: Member, message: bytes, descriptors: list[int]) -> None:
        self.messages.append((member.pid, message, len(descriptors)))
        for fd in descriptors:
            os.close(fd)
        self.react(member)

    def on_end(self, member: Member, code: int) -> None:
        self.ends.append((member.key, member.generation, code))

    def start(self, key: str = "msul1") -> Member:
        member = self.population.start(key, self.system.live)
        assert member is not None
        return member

    def child(self, member: Member) -> Lifeline:
        """The child's end of the lifeline."""
        return Lifeline(self.system.lifelines[member.pid])

    def turn(self) -> None:
        self.loop.call_later(0, lambda: None)
        self.loop.turn()

    def tidy(self) -> None:
        for pid in list(self.system.lifelines):
            self.system.end(pid, 0)
        self.react = lambda _member: None
        self.population.reap()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Scoreboard]:
    with closing(Scoreboard.create(tmp_path / "board", SLOTS)) as board:
        yield board


@pytest.fixture
def parent(loop: Loop, board: Scoreboard) -> Iterator[Parent]:
    parent = Parent(loop, board, FakeSystem())
    yield parent
    parent.tidy()


# --- who lives --------------------------------------------------------------------------------------------


def test_a_child_is_known_from_its_fork_to_its_reaping(parent: Parent) -> None:
    one, two, three = parent.start("a"), parent.start("b"), parent.start("a")
    assert (one.pid, one.generation, one.phase, one.started) == (501, 1, Phase.ALIVE, 1000.0)
    assert len({member.slot for member in (one, two, three)}) == 3
    assert list(parent.population.of("a")) == [one, three]
    assert parent.population.alive() == [one, two, three]
    parent.system.end(one.pid, 3)
    assert len(parent.population) == 3, "only reaping changes what is believed"
    parent.population.reap()
    assert parent.population.alive() == [two, three]
    assert parent.ends == [("a", 1, 3)]


def test_a_child_is_born_with_its_generation_slot_and_board(parent: Parent, board: Scoreboard) -> None:
    member = parent.start()
    birth = parent.system.births[0]
    assert (birth.generation, birth.slot, birth.board) == (member.generation, member.slot, board)


def test_all_that_ended_are_reaped_at_once(parent: Parent) -> None:
    members = [parent.start(key) for key in "abc"]
    for member in members:
        parent.system.end(member.pid, 0)
    parent.population.reap()
    assert [key for key, _, _ in parent.ends] == ["a", "b", "c"]
    parent.population.reap()
    assert len(parent.ends) == 3 and len(parent.population) == 0


def test_there_are_as_many_children_as_slots(parent: Parent, board: Scoreboard) -> None:
    members = [parent.start() for _ in range(SLOTS)]
    assert parent.population.start("x", parent.system.live) is None
    board.write(members[1].slot, Slot(pid=members[1].pid, state="up"))
    assert parent.population.slot(members[1]).state == "up"
    parent.system.end(members[1].pid, 0)
    parent.population.reap()
    assert list(board.all()) == []
    assert parent.start().slot == members[1].slot


def test_the_last_slot_is_kept_for_one(loop: Loop, board: Scoreboard) -> None:
    system = FakeSystem()
    population = Population(loop, board, GRACE, lambda *_: None, lambda *_: None, lambda: None, system, reserved="x")
    for number in range(SLOTS - 1):
        assert population.has_slot("a") and population.start(f"a{number}", system.live)
    assert not population.has_slot("a") and population.start("a", system.live) is None
    assert population.has_slot("x") and population.start("x", system.live)
    assert not population.has_slot("x")
    for pid in list(system.lifelines):
        system.end(pid, 0)
    population.reap()


def test_a_reused_pid_is_another_child(parent: Parent) -> None:
    """P3: the same number, a new generation; nothing that was meant for the first one reaches the second."""
    parent.system.pids[:0] = [600, 600]
    first = parent.start()
    parent.population.stop(first)
    parent.system.end(600, 0)
    parent.population.reap()
    second = parent.start()
    assert (second.pid, second.generation) == (600, first.generation + 1)
    parent.loop.clock.advance(GRACE * 2)  # type: ignore[attr-defined]
    parent.loop.turn()
    assert parent.system.killed == [(600, signal.SIGTERM)]
    assert parent.population.alive() == [second]


def test_unknown_processes_are_reaped_and_not_taken_for_ours(parent: Parent, caplog: pytest.LogCaptureFixture) -> None:
    """P1: orphans that fell to us neither end the reaping nor count as children."""
    caplog.set_level(logging.INFO)
    member = parent.start()
    parent.system.ended.append((4711, 70))
    parent.system.end(member.pid, 0)
    parent.population.reap()
    assert parent.ends == [("msul1", 1, 0)]
    assert caplog.records == []


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_when_no_process_can_be_had(
    parent: Parent, clock: FakeClock, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    parent.system.pids[:0] = [OSError(number, os.strerror(number))]
    assert parent.population.start("a", parent.system.live) is None
    assert parent.population.start("a", parent.system.live) is None, "no fork within the pause"
    assert len(parent.system.pids) == 29
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    turns = parent.loop.turns
    clock.advance(FORK_PAUSE)
    parent.loop.turn()  # the pause wakes the parent by itself
    assert parent.loop.turns == turns + 1
    assert parent.start("a").pid == 501


def test_a_storm_of_failing_forks_is_bounded(parent: Parent, clock: FakeClock) -> None:
    """P5: however often the parent compares, there is one try per pause."""
    parent.system.pids[:0] = [OSError(errno.EAGAIN, "no") for _ in range(100)]
    before = len(parent.system.pids)
    for _ in range(100):
        assert parent.population.start("a", parent.system.live) is None
        clock.advance(FORK_PAUSE / 10)
    assert before - len(parent.system.pids) <= 11


# --- the stop ladder --------------------------------------------------------------------------------------


def test_first_term_then_after_the_grace_kill(
    parent: Parent, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    member = parent.start()
    parent.population.stop(member)
    assert (member.phase, parent.system.killed) == (Phase.ENDING, [(501, signal.SIGTERM)])
    assert parent.population.alive() == [] and list(parent.population.of("msul1")) == []
    clock.advance(GRACE - 0.1)
    parent.turn()
    assert member.phase is Phase.ENDING
    clock.advance(0.2)
    parent.loop.turn()
    assert (member.phase, parent.system.killed[1:]) == (Phase.KILLED, [(501, signal.SIGKILL)])
    assert "501" in caplog.text
    clock.advance(GRACE * 5)
    parent.turn()
    parent.population.kill_overdue()
    assert len(parent.system.killed) == 2
    parent.system.end(501, -9)
    parent.population.reap()
    assert parent.ends == [("msul1", 1, -9)]


def test_a_child_that_ends_in_time_is_not_killed(parent: Parent, clock: FakeClock) -> None:
    parent.population.stop(parent.start())
    parent.system.end(501, 0)
    parent.population.reap()
    clock.advance(GRACE + 1)
    parent.loop.turn()
    assert parent.system.killed == [(501, signal.SIGTERM)]


def test_term_is_sent_once(parent: Parent, clock: FakeClock) -> None:
    """S9: a second TERM would hit the child in the middle of its orderly end."""
    one, _two = parent.start(), parent.start()
    for _ in range(3):
        parent.population.stop(one)
        parent.population.stop_all()
        clock.advance(1)
    assert parent.system.killed == [(501, signal.SIGTERM), (502, signal.SIGTERM)]


def test_each_child_has_its_own_grace(parent: Parent, clock: FakeClock) -> None:
    one, two = parent.start(), parent.start()
    parent.population.stop(one)
    clock.advance(GRACE / 2)
    parent.population.stop(two)
    clock.advance(GRACE / 2 + 0.1)
    parent.loop.turn()
    assert (one.phase, two.phase) == (Phase.KILLED, Phase.ENDING)


def test_a_kill_that_comes_too_late_changes_nothing(parent: Parent) -> None:
    member = parent.start()
    parent.system.gone.add(member.pid)
    parent.population.signal(signal.SIGUSR1)
    assert member.phase is Phase.ALIVE
    parent.population.stop(member)
    assert member.pid in parent.population.members


def test_signals_go_to_those_that_were_not_asked_to_end(parent: Parent) -> None:
    parent.population.stop(parent.start())
    parent.start()
    parent.population.signal(signal.SIGUSR1)
    assert parent.system.killed == [(501, signal.SIGTERM), (502, signal.SIGUSR1)]


@pytest.mark.parametrize("how", ["stop", "signal"])
def test_a_reaped_child_is_never_signalled(parent: Parent, how: str) -> None:
    """P3: its number may be somebody else's by now, even while its last messages are being read."""
    member = parent.start()
    population = parent.population
    parent.react = population.stop if how == "stop" else lambda _member: population.signal(signal.SIGUSR1)
    parent.child(member).tell(b"serving msul9")
    parent.system.end(member.pid, 0)
    population.reap()
    assert parent.messages == [(501, b"serving msul9", 0)]
    assert parent.system.killed == []


# --- messages ---------------------------------------------------------------------------------------------


def test_messages_go_both_ways_and_keep_their_borders(parent: Parent) -> None:
    member = parent.start()
    child = parent.child(member)
    told: list[bytes] = []
    child.watch(parent.loop, told.append, lambda: told.append(b"orphaned"))
    for text in (b"one", b"two\n", bytes(MESSAGE_BYTES)):
        child.tell(text)
    parent.population.tell(member, b"down")
    for _ in range(3):
        parent.turn()
    assert parent.messages == [(501, b"one", 0), (501, b"two\n", 0), (501, bytes(MESSAGE_BYTES), 0)]
    assert told == [b"down"]
    parent.loop.forget(child._channel)


def test_a_descriptor_travels_with_a_message(parent: Parent) -> None:
    member = parent.start()
    received: list[int] = []
    parent.react = lambda _member: None
    population_messages = parent.messages
    with Barrier() as pipe:
        parent.child(member).tell(b"link", (pipe.write_end,))
        original = parent.population._on_message

        def keep(member: Member, message: bytes, descriptors: list[int]) -> None:
            received.extend(os.dup(fd) for fd in descriptors)
            original(member, message, descriptors)

        parent.population._on_message = keep
        parent.turn()
        assert population_messages == [(501, b"link", 1)]
        os.write(received[0], b"through")
        assert pipe.wait() == b"through"
        os.close(received[0])


def test_messages_of_the_dead_are_read_before_their_end_is_told(parent: Parent) -> None:
    order: list[str] = []
    member = parent.start()
    parent.react = lambda _member: order.append("message")
    original = parent.population._on_end

    def on_end(member: Member, code: int) -> None:
        order.append("end")
        original(member, code)

    parent.population._on_end = on_end
    for number in range(5):
        parent.child(member).tell(b"last words %d" % number)
    parent.system.end(member.pid, 0)
    parent.population.reap()
    assert order == ["message"] * 5 + ["end"]
    assert [message for _, message, _ in parent.messages] == [b"last words %d" % n for n in range(5)]


def test_a_child_that_hung_up_is_not_asked_again_and_still_reaped(parent: Parent) -> None:
    member = parent.start()
    parent.child(member).close()
    turns = parent.loop.turns
    parent.turn()
    assert member.lifeline.fileno() < 0 and parent.population.alive() == [member]
    parent.population.tell(member, b"x")
    parent.turn()
    assert parent.loop.turns == turns + 2
    parent.system.end(member.pid, 0)
    parent.population.reap()
    assert parent.ends == [("msul1", 1, 0)]


def test_a_child_that_does_not_listen_is_no_reason_to_wait(parent: Parent) -> None:
    member = parent.start()
    for _ in range(2000):
        parent.population.tell(member, bytes(1000))
    assert member.phase is Phase.ALIVE


def test_a_parent_that_is_far_behind_is_no_reason_to_wait(parent: Parent) -> None:
    member = parent.start()

    def body() -> None:
        for _ in range(2000):
            parent.child(member).tell(bytes(1000))

    in_child(body)  # a child that waits gives no result


def test_a_long_message_is_sent_in_pieces(parent: Parent) -> None:
    member, text = parent.start(), os.urandom(300_000)

    def all_came() -> bool:
        parent.turn()
        return sum(len(message) for _, message, _ in parent.messages) == len(text)

    with Child(lambda: parent.child(member).tell_all(text)) as child:
        eventually(all_came)
        child.result()
    assert b"".join(message for _, message, _ in parent.messages) == text


def test_the_parents_end_is_told_once(parent: Parent) -> None:
    member = parent.start()
    child = parent.child(member)
    told: list[bytes] = []
    child.watch(parent.loop, told.append, lambda: told.append(b"orphaned"))
    parent.population.tell(member, b"last word")
    parent.population._hang_up(member)
    for _ in range(3):
        parent.turn()
    assert told == [b"last word", b"orphaned"]


def test_the_end_of_a_parent_that_had_not_read_all_is_told_too(parent: Parent) -> None:
    """P6: the kernel says ECONNRESET instead of end of file if the parent left messages unread."""
    member = parent.start()
    child = parent.child(member)
    told: list[bytes] = []
    child.watch(parent.loop, told.append, lambda: told.append(b"orphaned"))
    child.tell(b"unread")
    parent.population._hang_up(member)
    try:
        parent.turn()
    finally:
        parent.loop.forget(child._channel)
    assert told == [b"orphaned"]


# --- real processes ---------------------------------------------------------------------------------------


class RealParent:
    """A population over the real system; made in a child of the test, which has no threads."""

    def __init__(self, directory: Path, slots: int = 8, release: Callable[[], None] = lambda: None) -> None:
        self.loop = Loop()
        self.board = Scoreboard.create(directory / "board", slots)
        self.messages: list[bytes] = []
        self.ends: list[tuple[str, int]] = []
        self.population = Population(
            self.loop,
            self.board,
            GRACE,
            lambda _member, message, _fds: self.messages.append(message),
            lambda member, code: self.ends.append((member.key, code)),
            release,
        )
        self.loop.on_signal(signal.SIGCHLD, self.population.reap)
        self.loop.call_later(PATIENCE, self.give_up)

    def give_up(self) -> None:
        raise AssertionError(f"nothing came of it within {PATIENCE:.0f} s; messages {self.messages}, ends {self.ends}")

    def run_until(self, condition: Callable[[], bool]) -> None:
        self.loop.at_end_of_turn(lambda: self.loop.stop() if condition() else None)
        self.loop.run()
        self.loop._end_of_turn.clear()


def serve(birth: Birth) -> int:
    """A child's life: until TERM (0), or until its parent is gone (5); `exit N` ends it with N."""
    loop, codes = Loop(), [0]

    def end(code: int) -> None:
        codes[0] = code
        loop.stop()

    loop.on_signal(signal.SIGTERM, lambda: end(0))
    birth.lifeline.watch(loop, lambda message: end(int(message)), lambda: end(5))
    birth.lifeline.tell(b"ready %d" % birth.generation)
    loop.run()
    return codes[0]


def test_exit_codes_and_signals_are_told_apart(tmp_path: Path) -> None:
    """P4: exit 3, KILL, TERM by default, ABRT."""

    def body() -> list[tuple[str, int]]:
        parent = RealParent(tmp_path)
        parent.population.start("three", lambda _birth: 3)
        parent.population.start("zero", lambda _birth: 0)
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGABRT):
            parent.population.start(number.name, partial(end_by, number))
        parent.run_until(lambda: not parent.population)
        return sorted(parent.ends)

    assert in_child(body) == [("SIGABRT", -6), ("SIGKILL", -9), ("SIGTERM", -15), ("three", 3), ("zero", 0)]


def end_by(number: signal.Signals, _birth: Birth) -> int:
    faulthandler.disable()  # pytest's would print a traceback for ABRT
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OUR_SIGNALS)
    signal.raise_signal(number)
    return 0


def test_children_are_stopped_by_term_and_by_message(tmp_path: Path) -> None:
    def body() -> tuple[list[bytes], list[tuple[str, int]]]:
        parent = RealParent(tmp_path)
        asked, told = (parent.population.start(key, serve) for key in ("asked", "told"))
        assert asked and told
        parent.run_until(lambda: len(parent.messages) == 2)
        parent.population.stop(asked)
        parent.population.tell(told, b"42")
        parent.run_until(lambda: not parent.population)
        return sorted(parent.messages), sorted(parent.ends)

    assert in_child(body) == ([b"ready 1", b"ready 2"], [("asked", 0), ("told", 42)])


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """P6: kill -9 the parent; the pipe that its children hold open comes to its end."""
    with Barrier() as alive, Barrier() as ready:

        def body() -> None:
            parent = RealParent(tmp_path)
            for key in "abc":
                parent.population.start(key, serve)
            parent.run_until(lambda: len(parent.messages) == 3)
            ready.open()
            signal.pause()

        with Child(body) as child:
            ready.wait()
            os.close(alive.write_end)
            child.kill()
            child.wait()
            assert read_some(alive.read_end) == b""


def test_a_child_holds_no_lifeline_but_its_own(tmp_path: Path) -> None:
    """F2: neither the parent's loop nor a sibling's lifeline, so that each sees the end of its own at once."""
    with Barrier() as go:

        def life(birth: Birth) -> int:
            mine = {
                int(entry.name): os.readlink(entry)
                for entry in Path("/proc/self/fd").iterdir()
                if os.path.lexists(entry)
            }
            own = birth.lifeline._channel.fileno()
            foreign = [what for fd, what in mine.items() if what in watched and fd != own]
            birth.lifeline.tell(repr(foreign).encode())
            read_some(go.read_end, 1)
            return 0

        watched: set[str] = set()

        def body() -> list[bytes]:
            before = {os.readlink(f"/proc/self/fd/{fd}") for fd in range(256) if os.path.exists(f"/proc/self/fd/{fd}")}
            parent = RealParent(tmp_path)
            for key in "abc":
                watched.clear()
                for fd in range(256):
                    if os.path.lexists(path := f"/proc/self/fd/{fd}") and os.readlink(path) not in before:
                        watched.add(os.readlink(path))
                watched.discard(str(tmp_path / "board"))
                # One anonymous inode has many descriptors; epoll's is the only one made here.
                parent.population.start(key, life)
            parent.run_until(lambda: len(parent.messages) == 3)
            go.open(b"xxx")
            parent.run_until(lambda: not parent.population)
            return parent.messages

        assert in_child(body) == [b"[]"] * 3


def test_a_lifeline_that_is_closed_ends_its_child_though_younger_siblings_live(tmp_path: Path) -> None:
    def body() -> list[tuple[str, int]]:
        parent = RealParent(tmp_path)
        first = parent.population.start("first", serve)
        parent.population.start("second", serve)
        parent.run_until(lambda: len(parent.messages) == 2)
        assert first
        parent.population._hang_up(first)
        parent.run_until(lambda: bool(parent.ends))
        ends = list(parent.ends)
        parent.population.stop_all()
        parent.run_until(lambda: not parent.population)
        return ends

    assert in_child(body) == [("first", 5)]


def test_orphans_that_fall_to_the_parent_are_reaped_in_silence(tmp_path: Path) -> None:
    """P1: a subreaper inherits the children of its children."""

    def life(_birth: Birth) -> int:
        if os.fork() == 0:
            os._exit(9)
        return 0

    def body() -> tuple[list[tuple[str, int]], bool]:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
        parent = RealParent(tmp_path)
        parent.population.start("a", life)

        def alone() -> bool:
            parent.population.reap()
            try:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return True
            return False

        parent.run_until(alone)
        return parent.ends, alone()

    assert in_child(body) == ([("a", 0)], True)


def test_the_parents_own_things_are_released_in_each_child(tmp_path: Path) -> None:
    with Barrier() as mine, Barrier() as go:

        def life(_birth: Birth) -> int:
            go.wait()
            return 0

        def body() -> bytes:
            released = os.dup(mine.write_end)
            os.close(mine.write_end)
            parent = RealParent(tmp_path, release=lambda: os.close(released))
            parent.population.start("a", life)
            os.close(released)
            end_of_file = mine.wait()  # though the child lives
            go.open()
            parent.run_until(lambda: not parent.population)
            return end_of_file

        with Child(body) as child:
            os.close(mine.write_end)
            assert child.result() == b""


def test_a_message_of_the_parent_wakes_no_one_else(loop: Loop) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        told: list[bytes] = []
        Lifeline(theirs).watch(loop, told.append, lambda: told.append(b"orphaned"))
        loop.watch(ours, READ, lambda _mask: told.append(b"wrong side"))
        ours.send(b"x")
        loop.turn()
        loop.forget(ours)
        loop.forget(theirs)
    assert told == [b"x"]
