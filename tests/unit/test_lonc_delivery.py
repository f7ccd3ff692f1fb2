"""Critical messages inside a lonc child: commits, order, limits, outcomes; without processes and sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from common.backlog import Backlog
from common.config import Config
from common.delayed import DONE, WAITING, Fifo, Message
from common.errors import SpoolError
from common.permlog import PermLog
from lonc.delivery import Delivery
from lonc.recorder import LOCKED_PATIENCE, LOCKED_PAUSE
from lonc.waiters import CON_DELAYED, CON_FAILED, CriticalRequest


class Caller:
    """A caller that nobody reads."""

    hung_up = gone = False

    def settle(self) -> None:
        pass


class Link:
    """Takes messages and answers when told to."""

    def __init__(self) -> None:
        self.up = True
        self.room = True
        self.sent: list[bytes] = []
        self.pending: deque[object] = deque()
        self.loop = self
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        pass

    def submit(self, request: object) -> None:
        self.sent.append(request.command)  # type: ignore[attr-defined]
        self.pending.append(request)

    def answer(self, *replies: bytes) -> None:
        for reply in replies:
            self.pending.popleft().answered(reply)  # type: ignore[attr-defined]


class World:
    """A delivery, its link and its directory."""

    def __init__(self, directory: Path) -> None:
        self.config = Config(host_id="msua1", delayed_dir=directory / "delayed")
        self.link = Link()
        self.perm_log = directory / "perm.log"
        self.ids = 0
        self.callers: list[Caller] = []
        self.delivery = self.make()

    def make(self) -> Delivery:
        return Delivery("msul1", self.config, self.link, PermLog(self.perm_log))  # type: ignore[arg-type]

    def start(self) -> None:
        assert self.delivery.lease.try_take()
        self.delivery.start()
        self.turn()

    def turn(self) -> None:
        self.delivery.record()
        self.delivery.send()

    def bring(self, command: bytes, id: str = "") -> CriticalRequest:
        self.ids += 1
        self.callers.append(Caller())
        request = CriticalRequest(self.callers[-1], self.delivery.waiters, id or f"{self.ids:032x}", command, 20.0)  # type: ignore[arg-type]
        self.delivery.accept(request)
        return request

    def store(self, *commands: bytes) -> None:
        """As lonnet does it."""
        fifo = Fifo(self.config.delayed_dir, "msul1")
        fifo.append([Message(f"f{self.ids + number:031x}", command) for number, command in enumerate(commands)])
        fifo.close()

    def is_full(self) -> bool:
        """Whether no caller that brings more is to be read."""
        return self.delivery.waiters.full

    def states(self) -> list[tuple[bytes, str]]:
        fifo = Fifo(self.config.delayed_dir, "msul1")
        rows = [(bytes(command), state) for command, state in fifo._db.execute("SELECT command, state FROM message")]
        fifo.close()
        return rows


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.delivery.close()


def opened(world: World) -> None:
    """Come to full speed: past the slow start, nothing behind."""
    world.start()
    for number in range(8):
        requests = [world.bring(b"warm%d" % number) for _ in range(2**number)]
        world.turn()
        world.link.answer(*[b"ok" for _ in requests])
        world.turn()
    world.link.sent.clear()


def test_a_host_without_messages_costs_no_database(world: World) -> None:
    world.start()
    assert world.delivery.look() == (0, 0.0)
    assert world.delivery.caught_up and world.delivery.idle
    assert not (world.config.delayed_dir / "msul1.db").exists()


def test_one_commit_for_all_messages_of_a_turn_and_one_for_all_outcomes(world: World) -> None:
    opened(world)
    statements: list[str] = []
    world.delivery._recorder.fifo()._db.set_trace_callback(statements.append)
    requests = [world.bring(b"m%d" % number) for number in range(50)]
    world.turn()
    assert statements.count("COMMIT") == 1
    assert world.link.sent == [b"m%d" % number for number in range(50)]
    assert all(request.reply is None for request in requests)
    world.link.answer(*[b"ok%d" % number for number in range(50)])
    assert all(request.reply is None for request in requests), "answered before the outcome is recorded"
    world.turn()
    assert statements.count("COMMIT") == 2
    assert [request.reply for request in requests] == [b"ok%d" % number for number in range(50)]


def test_nothing_is_sent_before_it_is_recorded(world: World) -> None:
    opened(world)
    world.bring(b"m")
    assert world.link.sent == []
    world.delivery.record()
    assert (b"m", "waiting") in world.states()
    assert world.link.sent == []
    world.delivery.send()
    assert world.link.sent == [b"m"]


def test_what_lonnet_stored_stands_before_what_came_later(world: World) -> None:
    opened(world)
    world.store(b"first", b"second")
    world.bring(b"third")
    world.turn()
    assert world.link.sent == [b"first", b"second", b"third"]


def test_messages_are_sent_one_by_one_at_first(world: World) -> None:
    world.store(*[b"m%d" % number for number in range(20)])
    world.start()
    counts = []
    while world.link.pending:
        counts.append(len(world.link.pending))
        world.link.answer(*[b"ok"] * len(world.link.pending))
        world.turn()
    assert counts == [1, 2, 4, 8, 5]
    assert world.link.sent == [b"m%d" % number for number in range(20)]
    assert world.delivery.caught_up


def test_without_the_lease_nothing_is_sent(world: World) -> None:
    heir = world.delivery
    elder = world.make()
    assert elder.lease.try_take() and not heir.lease.try_take()
    request = world.bring(b"m")
    world.turn()
    assert world.link.sent == [] and (b"m", "waiting") in world.states()
    elder.start()
    elder.record()
    elder.send()
    world.link.answer(b"done by the elder")
    elder.record()
    elder.close()
    assert heir.lease.try_take()
    heir.start()
    assert request.reply == b"done by the elder"
    world.turn()
    assert world.link.sent == [b"m"], "it was not sent a second time"


def test_the_same_id_again_gets_the_reply_and_is_not_sent(world: World) -> None:
    opened(world)
    first = world.bring(b"m", "ab" * 16)
    world.turn()
    again = world.bring(b"m", "ab" * 16)
    world.turn()
    world.link.answer(b"ok")
    world.turn()
    late = world.bring(b"m", "ab" * 16)
    world.turn()
    assert (first.reply, again.reply, late.reply) == (b"ok", b"ok", b"ok")
    assert world.link.sent == [b"m"]


def test_a_refusal_goes_to_the_caller_or_to_failed(world: World) -> None:
    opened(world)
    waits, left = world.bring(b"waits"), world.bring(b"left")
    world.turn()
    left.failed()
    world.link.answer(b"refused", b"unknown_cmd")
    world.turn()
    assert (waits.reply, left.reply) == (b"refused", CON_DELAYED)
    assert world.states()[-2:] == [(b"waits", "done"), (b"left", "failed")]


@pytest.mark.parametrize(("by_peer", "alone", "attempts"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_who_is_blamed_for_a_death(world: World, by_peer: bool, alone: bool, attempts: int) -> None:
    opened(world)
    for number in range(1 if alone else 2):
        world.bring(b"m%d" % number, f"{number + 5000:032x}")
    world.turn()
    world.delivery.on_link_lost("gone", by_peer)
    row = world.delivery._recorder.fifo().find(f"{5000:032x}")
    assert row is not None and row.attempts == attempts and row.state == "waiting"


def test_the_fifth_death_holds_the_message(world: World) -> None:
    world.store(b"poison", b"m")
    for _ in range(5):
        world.delivery.close()
        world.link = Link()
        world.delivery = world.make()
        world.start()
        assert world.link.sent == [b"poison"]
        world.delivery.on_link_lost("gone", True)
    world.delivery.close()
    world.link = Link()
    world.delivery = world.make()
    world.start()
    assert world.link.sent == [b"m"]
    assert world.states() == [(b"poison", "held"), (b"m", "waiting")]


def test_a_message_that_finds_no_room_there_is_sent_again_later_and_nothing_overtakes_it(world: World) -> None:
    opened(world)
    left = world.bring(b"left")
    world.turn()
    left.failed()
    world.link.answer(b"error: 28 no space left on device")
    world.turn()
    assert world.states()[-1] == (b"left", "waiting")
    assert world.delivery.caught_up, "plain requests need not wait for the other side's disk"
    late = world.bring(b"late")
    world.turn()
    assert late.reply == CON_DELAYED and world.link.sent == [b"left"]
    world.link.now += 31
    for _ in range(3):
        world.turn()
        world.link.answer(*[b"ok" for _ in world.link.pending])
    world.turn()
    assert world.link.sent == [b"left", b"left", b"late"]
    assert world.states()[-2:] == [(b"left", "done"), (b"late", "done")]


def test_with_others_in_flight_behind_it_a_message_fails_rather_than_be_overtaken(world: World) -> None:
    opened(world)
    for request in (world.bring(b"first"), world.bring(b"second")):
        world.turn()
        request.failed()
    assert world.link.sent == [b"first", b"second"]
    world.link.answer(b"error: 28 no space left on device", b"ok")
    world.turn()
    world.link.now += 31
    world.turn()
    assert world.states()[-2:] == [(b"first", "failed"), (b"second", "done")]
    assert world.link.sent == [b"first", b"second"]


FULL = b"error: 28 no space left on device"


def left_behind(world: World, *commands: bytes) -> None:
    """Messages on the link whose callers wait no longer."""
    for command in commands:
        request = world.bring(command)
        world.turn()
        request.failed()


def test_where_nothing_is_executed_nothing_is_overtaken_and_all_wait(world: World) -> None:
    opened(world)
    left_behind(world, b"one", b"two", b"three")
    world.link.answer(FULL, b"error: 11 busy", b"error: 22 no")
    world.turn()
    assert world.states()[-3:] == [(b"one", "waiting"), (b"two", "waiting"), (b"three", "failed")]
    assert world.delivery._recorder.fifo().waiting(0, 9)[0].last_error == FULL.decode()
    assert world.delivery.trouble == f"messages are postponed: it answers {FULL.decode()}"
    world.link.now += 31
    for _ in range(3):
        world.turn()
        world.link.answer(*[b"ok" for _ in world.link.pending])
    world.turn()
    assert world.link.sent == [b"one", b"two", b"three", b"one", b"two"]
    assert world.states()[-3:-1] == [(b"one", "done"), (b"two", "done")]
    assert world.delivery.trouble == ""


def test_nothing_more_is_sent_behind_what_was_refused_for_the_moment(world: World) -> None:
    opened(world)
    left_behind(world, b"one", b"two")
    world.link.answer(FULL)
    late = world.bring(b"late")
    world.turn()
    assert world.link.sent == [b"one", b"two"]
    world.link.answer(FULL)
    world.turn()
    assert late.reply == CON_DELAYED
    world.delivery.retry()
    for _ in range(4):
        world.turn()
        world.link.answer(*[b"ok" for _ in world.link.pending])
    world.turn()
    assert world.link.sent == [b"one", b"two", b"one", b"two", b"late"]


def test_who_waits_when_a_pause_begins_is_told(world: World) -> None:
    opened(world)
    left_behind(world, b"one", b"two")
    world.link.answer(FULL)
    late = world.bring(b"late")
    world.turn()
    heard = world.bring(b"heard")
    world.turn()
    world.link.answer(FULL)
    assert late.reply == heard.reply == CON_DELAYED
    world.turn()
    assert world.delivery.idle, "a child that ends has nothing to wait for"
    assert world.states()[-2:] == [(b"late", "waiting"), (b"heard", "waiting")]


def test_a_reply_of_the_same_turn_is_told_when_a_pause_begins(world: World) -> None:
    opened(world)
    first = world.bring(b"first")
    world.turn()
    left_behind(world, b"second")
    world.link.answer(b"ok", FULL)
    world.turn()
    assert first.reply == b"ok" and world.states()[-2:] == [(b"first", "done"), (b"second", "waiting")]


def test_nothing_is_postponed_when_nothing_waits(world: World) -> None:
    opened(world)
    left_behind(world, b"one")
    world.link.answer(FULL)
    world.turn()
    with closing(Backlog(world.config.delayed_dir, "msul1")) as backlog:
        backlog.delete([row.id for row in backlog.rows(["waiting"])])
    assert world.delivery.trouble
    world.delivery.look()
    assert world.delivery.trouble == ""


def test_one_message_that_is_refused_for_ever_does_not_hold_up_the_others_for_ever(world: World) -> None:
    opened(world)
    left_behind(world, b"broken")
    world.link.answer(FULL)
    world.store(b"next", b"last")
    for _ in range(20):
        world.link.now += 31
        world.delivery.look()
        world.turn()
        world.link.answer(*[FULL if command == b"broken" else b"ok" for command in on_link(world)])
    world.turn()
    assert world.states()[-3:] == [(b"broken", "failed"), (b"next", "done"), (b"last", "done")]


def on_link(world: World) -> list[bytes]:
    return world.link.sent[len(world.link.sent) - len(world.link.pending) :]


def test_who_waits_hears_that_there_is_no_room(world: World) -> None:
    opened(world)
    request = world.bring(b"m")
    world.turn()
    world.link.answer(b"error: 28 no space left on device")
    world.turn()
    assert request.reply == b"error: 28 no space left on device"


def test_a_disk_that_refuses(world: World) -> None:
    opened(world)
    sent = world.bring(b"sent")
    world.turn()
    world.delivery._recorder.fifo()._db.execute("PRAGMA query_only = ON")
    failed = world.bring(b"not stored")
    world.link.answer(b"ok")
    world.turn()
    assert (sent.reply, failed.reply) == (b"ok", CON_FAILED)
    assert b":F:msul1:not stored:" in world.perm_log.read_bytes()
    world.delivery._recorder.fifo()._db.execute("PRAGMA query_only = OFF")
    world.link.now += 2
    world.turn()
    assert world.states()[-1] == (b"sent", "done"), "the mark is made as soon as the disk takes it"
    world.bring(b"stored")
    world.turn()
    assert world.link.sent[-1] == b"stored"


def test_trouble_with_the_disk_is_told_until_it_is_over(world: World) -> None:
    opened(world)
    world.delivery._recorder.fifo()._db.execute("PRAGMA query_only = ON")
    world.bring(b"not stored")
    world.turn()
    world.delivery.look()
    assert "critical messages can't be recorded: " in world.delivery.trouble
    world.delivery._recorder.fifo()._db.execute("PRAGMA query_only = OFF")
    world.delivery.look()
    assert world.delivery.trouble == ""


def spoil(path: Path) -> None:
    """Overwrite all pages but the first three."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"x" * (size - 3 * 4096))


def backlog(world: World) -> Path:
    """A file with many messages and nothing beside it."""
    world.store(*[b"m" * 500] * 100)
    return world.config.delayed_dir / "msul1.db"


def damaged_files(world: World) -> list[Path]:
    return list(world.config.delayed_dir.glob("msul1.db.damaged-*"))


def test_a_file_that_was_opened_without_the_lease_is_checked_with_it(world: World) -> None:
    path = backlog(world)
    spoil(path)
    world.delivery.look()  # as a child does that waits for its link
    assert not world.delivery.damaged, "without the lease it is not ours to judge"
    world.start()
    assert len(damaged_files(world)) == 1
    request = world.bring(b"m")
    world.turn()
    world.link.answer(b"ok")
    world.turn()
    assert request.reply == b"ok" and not world.delivery.damaged


def test_damage_that_shows_later_moves_the_file_away_at_the_child_s_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.delayed_file.CHECK_BYTES", 0)  # as a file that is too large to be looked through
    spoil(backlog(world))
    world.start()
    assert world.delivery.damaged and damaged_files(world) == []
    world.delivery.close()
    assert len(damaged_files(world)) == 1
    world.link = Link()
    world.delivery = world.make()
    world.start()
    assert not world.delivery.damaged


def test_a_draining_child_leaves_the_rest_to_its_heir(world: World) -> None:
    opened(world)
    world.link.room = False
    request = world.bring(b"mine")
    world.turn()
    world.store(b"the heir's")
    world.delivery.drain()
    world.link.room = True
    world.delivery.look()
    world.turn()
    assert world.link.sent[0] == b"mine"
    world.link.answer(*[b"ok"] * len(world.link.pending))
    world.turn()
    assert request.reply == b"ok"
    world.store(b"later")
    world.delivery.look()
    world.turn()
    assert b"later" not in world.link.sent and world.delivery.idle


def test_delayed_and_sent_later_are_in_the_perm_log(world: World) -> None:
    opened(world)
    request = world.bring(b"encrypt:auth:msu:smith:secret")
    world.turn()
    request.failed()
    world.link.answer(b"authorized")
    world.turn()
    lines = world.perm_log.read_text().splitlines()
    assert [line.split(":")[1:4] for line in lines] == [["D", "msul1", "auth"], ["S", "msul1", "auth"]]
    assert "secret" not in world.perm_log.read_text()


@contextmanager
def administrator(world: World) -> Iterator[Backlog]:
    with closing(Backlog(world.config.delayed_dir, "msul1")) as backlog:
        yield backlog


def test_what_was_held_or_deleted_is_not_sent_and_what_was_released_comes_in_its_place(world: World) -> None:
    world.store(*(b"m%d" % number for number in range(6)))
    world.start()
    assert world.link.sent == [b"m0"]
    with administrator(world) as backlog:
        ids = [row.id for row in backlog.rows([WAITING])]
        backlog.hold(ids[1:3], "by ada")
        backlog.delete(ids[4:5])
        world.link.answer(b"ok")
        world.turn()
        assert world.link.sent == [b"m0", b"m3", b"m5"]
        backlog.release(ids[2:3])
        world.link.answer(b"ok", b"ok")
        world.delivery.look()
        world.turn()
        assert world.link.sent == [b"m0", b"m3", b"m5", b"m2"]


def test_what_is_on_the_link_is_executed_once_whatever_is_done_to_its_row(world: World) -> None:
    opened(world)
    requests = [world.bring(b"m%d" % number) for number in range(3)]
    world.turn()
    assert world.link.sent == [b"m0", b"m1", b"m2"]
    with administrator(world) as backlog:
        backlog.hold([requests[0].id, requests[1].id], "by ada")
        assert backlog.requeue([requests[0].id]) == []
        backlog.release([requests[1].id])
        backlog.delete([requests[2].id])
        world.delivery.look()
        world.turn()
        world.link.answer(b"ok", b"ok", b"ok")
        world.turn()
        world.delivery.look()
        world.turn()
        assert world.link.sent == [b"m0", b"m1", b"m2"]
        states = [[row.state for row in backlog.matching(request.id)] for request in requests]
        assert states == [[DONE], [DONE], []]
    assert [request.reply for request in requests] == [b"ok"] * 3


def test_what_can_not_be_looked_at_is_not_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.store(b"m0", b"m1")
    world.start()
    with monkeypatch.context() as patch:
        patch.setattr(Fifo, "data_version", _unreadable)
        world.link.answer(b"ok")
        world.turn()
        assert world.link.sent == [b"m0"]
    world.delivery.look()
    world.turn()
    assert world.link.sent == [b"m0", b"m1"]


def _unreadable(fifo: Fifo) -> int:
    raise SpoolError("it can't be read")


def test_callers_of_too_much_are_to_wait_until_their_messages_are_answered(world: World) -> None:
    opened(world)
    size = world.config.window_bytes // 8
    first, *_ = [world.bring(b"m" * size) for _ in range(7)]
    assert not world.is_full()
    world.bring(b"m" * size)
    assert world.is_full()
    world.turn()
    world.link.answer(b"ok")
    world.turn()
    assert (first.reply, world.is_full()) == (b"ok", False)
    world.link.answer(*[b"ok"] * 7)
    world.turn()
    few = [world.bring(b"m") for _ in range(world.config.window)]
    assert world.is_full()
    world.turn()
    few[0].failed()  # its time is over: the message stays, the caller is free
    assert (few[0].reply, world.is_full()) == (CON_DELAYED, False)


def test_callers_that_are_gone_do_not_keep_others_out(world: World) -> None:
    opened(world)
    requests = [world.bring(b"m") for _ in range(world.config.window)]
    world.turn()
    for caller in world.callers[-len(requests) :]:
        caller.gone = caller.hung_up = True
    assert world.is_full()
    world.delivery.look()
    assert not world.is_full()
    world.link.answer(b"refused")
    world.turn()
    assert world.states()[-len(requests)] == (b"m", "failed"), "nobody heard the refusal"


def test_however_large_the_messages_are_few_are_in_memory(world: World) -> None:
    size = world.config.window_bytes // 8
    world.store(*[b"%02d" % number + b"m" * size for number in range(20)])
    world.start()
    while world.link.pending:
        assert len(list(world.delivery._outbox)) <= 8
        world.link.answer(*[b"ok" for _ in world.link.pending])
        world.turn()
        world.turn()
    assert [command[:2] for command in world.link.sent] == [b"%02d" % number for number in range(20)]
    assert world.delivery.caught_up


@contextmanager
def locked(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another process writes to the FIFO, and goes on and on."""
    monkeypatch.setattr("lonc.recorder.PATIENCE", 0.0)
    world.delivery.close()
    world.delivery = world.make()
    opened(world)
    with closing(Fifo(world.config.delayed_dir, "msul1")) as other:
        other._db.execute("BEGIN IMMEDIATE")
        yield
        other._db.execute("ROLLBACK")


def test_what_another_writer_keeps_out_is_recorded_after_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with locked(world, monkeypatch):
        first = world.bring(b"m0")
        world.turn()
        second = world.bring(b"m1")
        world.turn()
        assert (first.reply, second.reply, world.link.sent) == (None, None, [])
    world.turn()
    assert world.link.sent == [], "tried again too soon"
    world.link.now += LOCKED_PAUSE
    world.turn()
    assert world.link.sent == [b"m0", b"m1"]
    world.link.answer(b"ok", b"ok")
    world.turn()
    assert (first.reply, second.reply) == (b"ok", b"ok")


def test_a_caller_that_could_not_wait_for_another_writer_hears_that_its_message_is_nowhere(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locked(world, monkeypatch):
        request = world.bring(b"m0")
        world.turn()
        request.failed()  # its time is over
        assert request.reply == CON_FAILED
    world.link.now += LOCKED_PAUSE
    world.turn()
    assert (b"m0", "waiting") not in world.states()
    assert ":F:msul1:m0:" in world.perm_log.read_text()


def test_a_writer_that_never_ends_makes_messages_fail(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with locked(world, monkeypatch):
        request = world.bring(b"m0")
        world.turn()
        world.link.now += LOCKED_PATIENCE
        world.turn()
        assert request.reply == CON_FAILED


def test_the_link_that_ends_is_no_blame_for_what_was_held_by_hand(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.store(b"m0")
    world.start()
    with administrator(world) as backlog:
        (row,) = backlog.rows([WAITING])
        backlog.hold([row.id], "by ada")
    world.delivery.on_link_lost("connection reset by peer", True)
    assert "is held" not in caplog.text
