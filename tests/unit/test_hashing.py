"""The workers: jobs and outcomes on the wire, real forked workers, and a client that never waits."""

from __future__ import annotations

import logging
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from Crypto.Protocol import KDF
from hypothesis import given
from hypothesis import strategies as st

from common.config import Config
from common.counters import Tally
from common.hosts_table import HostsTable, parse_hosts
from common.login_lanes import LoginLane
from common.loop import READ, Loop
from common.metrics import LOND, Layout
from common.population import Member, Population
from common.scoreboard import Scoreboard
from common.site import Site
from lond import workers
from lond.authentication import hash_client, hashing, passwords
from lond.authentication.accounts import TYPES, Account, parse_account
from lond.authentication.hash_client import HashClient
from lond.authentication.hash_pool import ASKER, HASHER, KNOWN_ASKER, HashPool
from lond.authentication.hashing import MAX_LINE_BYTES, Job, Outcome, Verdict, perform
from tests.helpers.in_child import PATIENCE, Barrier, in_child, read_some

T = TypeVar("T")

NAMES = st.from_regex(rb"[A-Za-z0-9_]{1,64}", fullmatch=True)
PASSWORDS = st.none() | st.binary(max_size=1024)
INFOS = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]), max_size=60)
ACCOUNTS = st.none() | st.builds(Account, st.sampled_from(TYPES), INFOS)

SMITH = Job(b"msu", b"smith", None, b"secret")


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cheap scrypt, also for the workers that are forked later."""
    monkeypatch.setattr(passwords, "SCRYPT_LN", 4)


def site(directory: Path, **settings: Any) -> Site:
    config = Config(host_id="msul1", sock_dir=directory, **settings)
    return Site(config, HostsTable(parse_hosts("msul1:msu:library:msul1.test:127.0.0.1", "hosts.tab")))


class TestWire:
    @given(st.builds(Job, NAMES, NAMES, ACCOUNTS, PASSWORDS, PASSWORDS))
    def test_a_job_survives(self, job: Job) -> None:
        line = job.encode()
        assert Job.decode(line) == job
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert len(line) <= MAX_LINE_BYTES

    def test_the_longest_job_fits(self) -> None:
        worst = Job(b"d" * 64, b"u" * 64, Account("localauth", "\x80" * 2000), b"\xff" * 1024, b"\xff" * 1024)
        assert len(worst.encode()) <= MAX_LINE_BYTES

    def test_bytes_of_an_account_that_are_not_utf8_survive(self) -> None:
        job = Job(b"msu", b"smith", Account("localauth", "x\udcff"), b"")
        assert Job.decode(job.encode()) == job

    @given(st.sampled_from(Verdict), st.none() | st.text(max_size=80), st.text(max_size=80))
    def test_an_outcome_survives(self, verdict: Verdict, hash_: str | None, reason: str) -> None:
        outcome = Outcome(verdict, hash_, reason)
        assert Outcome.decode(outcome.encode()) == outcome

    @given(
        st.binary(max_size=80)
        | st.sampled_from([b"[]", b"{}", b"null", b'["a","b","c","d",["x"]]', b'["a","b",1,2,3]'])
    )
    def test_anything_else_is_neither(self, line: bytes) -> None:
        for kind in (Job, Outcome):
            with pytest.raises(ValueError, match="not a"):
                kind.decode(line)

    def test_no_repr_tells_a_secret(self) -> None:
        job = Job(b"msu", b"smith", Account("internal", "secret-hash"), b"secret-old", b"secret-new")
        assert "secret" not in repr(job)
        assert "secret" not in repr(Outcome(Verdict.RIGHT, "secret-hash"))


class TestPerform:
    """What is done for a job, counted in hashes."""

    @pytest.fixture
    def hashed(self, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        hashed: list[bytes] = []
        real = KDF.scrypt

        def scrypt(password: bytes, *rest: Any) -> Any:
            hashed.append(password)
            return real(password, *rest)

        monkeypatch.setattr(passwords, "scrypt", scrypt)
        return hashed

    def done(self, account: Account | None, password: bytes | None, new: bytes | None = None) -> Outcome:
        return perform(Job(b"msu", b"smith", account, password, new), "msul1.test")

    def test_nobody_costs_what_a_wrong_password_costs(self, hashed: list[bytes]) -> None:
        stored = Account("internal", passwords.hash_password(b"secret"))
        hashed.clear()
        assert self.done(None, b"wrong") == Outcome(Verdict.WRONG)
        assert self.done(stored, b"wrong") == Outcome(Verdict.WRONG)
        assert self.done(Account("none"), b"wrong") == Outcome(Verdict.WRONG)
        assert self.done(Account("internal", "abNANd1rDfiNc"), b"wrong") == Outcome(Verdict.WRONG)
        assert hashed == [b"wrong"] * 4

    def test_a_right_password_costs_one(self, hashed: list[bytes]) -> None:
        stored = Account("internal", passwords.hash_password(b"secret"))
        hashed.clear()
        assert self.done(stored, b"secret") == Outcome(Verdict.RIGHT)
        assert hashed == [b"secret"]

    def test_an_outdated_hash_comes_back_new(self, hashed: list[bytes]) -> None:
        outcome = self.done(Account("internal", "abNANd1rDfiNc"), b"secret")
        assert outcome.verdict is Verdict.RIGHT
        assert hashed == [b"secret"]
        assert outcome.hash is not None
        assert passwords.verify(b"secret", outcome.hash)

    def test_a_new_password_is_hashed_if_the_old_one_was_right(self, hashed: list[bytes]) -> None:
        stored = Account("internal", passwords.hash_password(b"secret"))
        assert self.done(stored, b"wrong", b"new") == Outcome(Verdict.WRONG)
        assert b"new" not in hashed
        outcome = self.done(stored, b"secret", b"new")
        assert outcome.hash is not None
        assert passwords.verify(b"new", outcome.hash)

    def test_only_hashing(self) -> None:
        outcome = self.done(None, None, b"new")
        assert outcome.verdict is Verdict.RIGHT
        assert outcome.hash is not None
        assert passwords.verify(b"new", outcome.hash)

    def test_what_cannot_be_checked(self) -> None:
        assert self.done(Account("krb4", "X"), b"secret").verdict is Verdict.UNAVAILABLE
        assert self.done(Account("internal", "!"), b"secret").verdict is Verdict.UNUSABLE
        assert self.done(Account("localauth", "!"), b"secret").verdict is Verdict.UNUSABLE


def turn_until(loop: Loop, condition: Callable[[], object]) -> None:
    """Turn the loop until something is so."""
    overdue: list[bool] = []
    timer = loop.call_later(PATIENCE, lambda: overdue.append(True))
    loop.call_later(0, lambda: None)  # a first turn, whatever happens
    while not condition():
        assert not overdue, "it did not come to that"
        loop.turn()
    timer.cancel()


class World:
    """A parent with its workers, in a process of its own; tests are its clients."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.loop = Loop()
        self.told: list[bytes] = []
        self.ended: list[tuple[str, int]] = []
        self.outdated: set[int] = set()
        self.pool = HashPool(site, lambda: None)
        self.population = Population(
            self.loop,
            Scoreboard.create(site.config.sock_dir / "board", 16),
            PATIENCE,
            self._on_message,
            self._on_end,
            lambda: None,
        )
        self.loop.on_signal(signal.SIGCHLD, self.population.reap)
        self.loop.at_end_of_turn(self._balance)
        self._stopping = False
        self.clients = {
            key: HashClient(self.loop, site.config.sock_dir / name, site.config.hash_timeout)
            for key, name in ((HASHER, ".lond.hash"), (ASKER, ".lond.ask"))
        }

    def _balance(self) -> None:
        if not self._stopping:
            self.pool.balance(self.population, self.site, self.loop.clock(), self.outdated)

    def _on_message(self, member: Member, message: bytes, _descriptors: list[int]) -> None:
        self.told.append(message)
        word, _, text = message.partition(b" ")
        self.pool.on_message(member, word, text.decode())

    def _on_end(self, member: Member, code: int) -> None:
        self.ended.append((member.key, code))
        assert self.pool.on_end(member, code, self.loop)

    def until(self, condition: Callable[[], object]) -> None:
        turn_until(self.loop, condition)

    def pids(self, key: str = HASHER) -> list[int]:
        return [member.pid for member in self.population.of(key)]

    def submit(self, job: Job, key: str = HASHER) -> list[Outcome]:
        outcomes: list[Outcome] = []
        self.clients[key].submit(job, outcomes.append)
        return outcomes

    def ask(self, job: Job, key: str = HASHER) -> Outcome:
        outcomes = self.submit(job, key)
        self.until(lambda: outcomes)
        return outcomes[0]

    def ask_until_done(self, job: Job, key: str = HASHER) -> Outcome:
        """What comes of it when a worker has taken it in time, as a fresh one or one that is held up may not."""
        while (outcome := self.ask(job, key)).verdict is Verdict.BUSY:
            pass
        return outcome

    def close(self) -> None:
        self._stopping = True
        self.population.stop_all()
        self.until(lambda: not self.population)
        self.pool.close()
        self.loop.close()


def with_workers(directory: Path, scenario: Callable[[World], T], **settings: Any) -> T:
    """The result of a scenario, played in a process without threads, as lond's parent is one."""

    def body() -> T:
        world = World(site(directory, **settings))
        try:
            return scenario(world)
        finally:
            world.close()

    return in_child(body)


class TestWorkers:
    def test_real_workers_do_real_jobs(self, tmp_path: Path) -> None:
        def scenario(world: World) -> list[Verdict]:
            new = world.ask(Job(b"msu", b"smith", None, None, b"secret"))
            assert new.hash is not None
            account = Account("internal", new.hash)
            jobs = [Job(b"msu", b"smith", account, password) for password in (b"secret", b"wrong", b"secret")]
            outcomes = [world.submit(job) for job in jobs]
            world.until(lambda: all(outcomes))
            return [outcome[0].verdict for outcome in outcomes]

        assert with_workers(tmp_path, scenario) == [Verdict.RIGHT, Verdict.WRONG, Verdict.RIGHT]

    def test_one_client_uses_all_workers_and_goes_on_meanwhile(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Barrier() as begun, Barrier() as may_end:

            def wait(job: Job, hostname: str) -> Outcome:
                begun.open()
                may_end.wait()
                return Outcome(Verdict.RIGHT, reason=str(os.getpid()))

            monkeypatch.setattr(hashing, "perform", wait)

            def scenario(world: World) -> bool:
                outcomes = [world.submit(SMITH) for _ in range(2)]
                count: list[bytes] = []
                world.loop.watch(ReadEnd(begun.read_end), READ, lambda _: count.append(os.read(begun.read_end, 1)))
                world.until(lambda: len(count) == 2)  # both hold a job, and this process is not held up
                assert not any(outcomes)
                may_end.open(b"!!")
                world.until(lambda: all(outcomes))
                return {int(outcome[0].reason) for outcome in outcomes} == set(world.pids())

            # Each worker takes one byte at most, because a job reads as much as it gets: let it be one.
            monkeypatch.setattr(may_end, "wait", lambda: read_some(may_end.read_end, 1))
            assert with_workers(tmp_path, scenario, hash_workers=2)

    def test_those_who_ask_others_are_apart_and_those_for_known_browsers_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hashing, "perform", lambda job, hostname: Outcome(Verdict.RIGHT, reason=str(os.getpid())))

        def scenario(world: World) -> bool:
            log_ins = world.pool.log_ins(world.loop, world.site, Tally(Layout(LOND)))
            for type_, lane, key in (
                ("internal", LoginLane.KNOWN, HASHER), ("none", None, HASHER), ("unix", None, ASKER),
                ("krb5", LoginLane.FRESH, ASKER), ("krb5", LoginLane.KNOWN, KNOWN_ASKER),
            ):  # fmt: skip
                outcomes: list[Outcome] = []
                log_ins.check(Job(b"msu", b"smith", Account(type_), b"x"), "msua1", outcomes.append, lane)
                world.until(partial(bool, outcomes))
                assert int(outcomes[0].reason) in world.pids(key)
            return True

        assert with_workers(tmp_path, scenario, ask_patience=PATIENCE)

    def test_a_job_whose_worker_dies_is_done_by_another(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        flag = tmp_path / "died"

        def die_once(job: Job, hostname: str) -> Outcome:
            if not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return Outcome(Verdict.RIGHT)

        monkeypatch.setattr(hashing, "perform", die_once)

        def scenario(world: World) -> tuple[Verdict, list[tuple[str, int]]]:
            verdict = world.ask(SMITH).verdict
            world.until(lambda: world.ended)
            return verdict, list(world.ended)

        assert with_workers(tmp_path, scenario) == (Verdict.RIGHT, [(HASHER, -signal.SIGKILL)])

    def test_a_job_that_kills_every_worker_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hashing, "perform", lambda job, hostname: os.kill(os.getpid(), signal.SIGKILL))

        def scenario(world: World) -> Outcome:
            outcome = world.ask(SMITH)
            world.until(lambda: len(world.ended) == 2)
            return outcome

        assert with_workers(tmp_path, scenario) == Outcome(Verdict.FAILED, reason="the worker died")

    def test_a_worker_that_hangs_is_ended_and_replaced(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with Barrier() as never:

            def hang(job: Job, hostname: str) -> Outcome:
                if job.user == b"hang":
                    os.read(never.read_end, 1)
                return Outcome(Verdict.RIGHT)

            monkeypatch.setattr(hashing, "perform", hang)
            monkeypatch.setattr(workers, "CRASH_PAUSE", 0.1)

            def scenario(world: World) -> tuple[set[Verdict], set[tuple[str, int]], Verdict]:
                verdicts = set()
                while not world.ended:  # a worker that is held up may not take the first one in time
                    verdicts.add(world.ask(Job(b"msu", b"hang", None, b"x")).verdict)
                return verdicts, set(world.ended), world.ask_until_done(SMITH).verdict

            verdicts = with_workers(tmp_path, scenario, hash_workers=1, hash_timeout=0.3)
        assert verdicts == ({Verdict.BUSY}, {(HASHER, -signal.SIGALRM)}, Verdict.RIGHT)

    @pytest.mark.parametrize(
        ("silent", "shown", "alive"),
        [
            (["krb5:DEAD.EXAMPLE"] * 2, "krb5:DEAD.EXAMPLE", "krb5:ALIVE.EXAMPLE"),
            (["localauth:f:cn=dead bindpw=Hush"] * 2, "localauth:f", "localauth:f:cn=alive bindpw=Hush"),
            (["unix:", "unix:Hush"], "unix", "krb5:ALIVE.EXAMPLE"),
        ],
    )
    def test_who_does_not_answer_holds_up_few_workers(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: list[str], shown: str, alive: str
    ) -> None:
        dead = [parse_account(line.encode()) for line in silent]
        with Barrier() as never:

            def hang(job: Job, hostname: str) -> Outcome:
                if job.account in dead:
                    os.read(never.read_end, 1)
                return Outcome(Verdict.RIGHT)

            monkeypatch.setattr(hashing, "perform", hang)
            monkeypatch.setattr(workers, "CRASH_PAUSE", 0.05)

            def scenario(world: World) -> tuple[list[str], int]:
                logging.getLogger("lond").addHandler(handler)
                while len(world.ended) < 2:  # a fresh worker may not take the first one in time
                    world.ask(Job(b"msu", b"smith", dead[len(world.ended)], b"x"), ASKER)
                told = [
                    world.ask_until_done(Job(b"msu", b"smith", who, b"x"), ASKER)
                    for who in (dead[0], parse_account(alive.encode()), dead[1])
                ]
                assert b"Hush" not in b"".join(world.told)
                return [f"{outcome.verdict.value} {outcome.reason}" for outcome in told], len(world.ended)

            # A client that waits longer would try a second worker with each job.
            monkeypatch.setattr(hash_client, "TRIES", 1)
            with closing(logging.FileHandler(tmp_path / "log")) as handler:
                told, ended = with_workers(tmp_path, scenario, ask_workers=1, hash_timeout=1.0)
        not_asked = "failed it did not answer lately"
        assert (told, ended) == ([not_asked, "right ", not_asked], 2)
        assert f" {shown} does not answer; until it does" in f" {(tmp_path / 'log').read_text()}"
        assert "Hush" not in (tmp_path / "log").read_text()

    def test_a_bug_is_an_outcome_and_its_text_stays_secret(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def bug(job: Job, hostname: str) -> Outcome:
            raise ValueError(f"{job.password!r}")

        monkeypatch.setattr(hashing, "perform", bug)
        handler = logging.FileHandler(tmp_path / "log")
        logging.getLogger("lond").addHandler(handler)
        try:
            outcome = with_workers(tmp_path, lambda world: world.ask(SMITH))
        finally:
            logging.getLogger("lond").removeHandler(handler)
            handler.close()
        assert outcome == Outcome(Verdict.FAILED, reason="internal error")
        log = (tmp_path / "log").read_text()
        assert "internal error in a job: ValueError at" in log
        assert "secret" not in log

    def test_what_cannot_be_checked_is_told_to_the_parent(self, tmp_path: Path) -> None:
        def scenario(world: World) -> tuple[Verdict, list[bytes]]:
            verdict = world.ask(Job(b"msu", b"smith", Account("krb4", "X"), b"secret")).verdict
            world.until(lambda: world.told)
            return verdict, world.told

        verdict, told = with_workers(tmp_path, scenario)
        assert verdict is Verdict.UNAVAILABLE
        assert told == [b"unavailable krb4: Kerberos 4 has no libraries any more; change the account's type to krb5"]

    def test_a_client_that_has_gone_costs_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def note(job: Job, hostname: str) -> Outcome:
            with (tmp_path / "log").open("a") as file:
                file.write("x")
            return Outcome(Verdict.RIGHT)

        monkeypatch.setattr(hashing, "perform", note)

        def scenario(world: World) -> None:
            for line in (SMITH.encode(), b"", b"nonsense\n", b"x" * (MAX_LINE_BYTES + 1)):
                with socket.socket(socket.AF_UNIX) as channel:
                    channel.connect(str(tmp_path / ".lond.hash"))
                    channel.sendall(line)
            world.ask(SMITH)

        with_workers(tmp_path, scenario, hash_workers=1)
        assert (tmp_path / "log").read_text() == "x"

    def test_outdated_workers_are_replaced(self, tmp_path: Path) -> None:
        def scenario(world: World) -> bool:
            world.until(lambda: len(world.pids()) == 2)
            old = set(world.pids())
            world.ask(SMITH)
            world.outdated = {member.generation for member in world.population.alive()}
            world.until(lambda: len(world.ended) == 4)
            assert world.ask(SMITH).verdict is Verdict.WRONG
            assert {code for _, code in world.ended} <= {0, -signal.SIGTERM}
            return len(world.pids()) == 2 and not old & set(world.pids())

        assert with_workers(tmp_path, scenario)

    def test_fewer_may_be_wanted(self, tmp_path: Path) -> None:
        def scenario(world: World) -> int:
            world.until(lambda: len(world.pids()) == 3)
            world.site = site(tmp_path, hash_workers=1)
            world.until(lambda: len(world.ended) == 2)
            return len(world.pids())

        assert with_workers(tmp_path, scenario, hash_workers=3) == 1

    def test_workers_end_with_their_parent(self, tmp_path: Path) -> None:
        def scenario(world: World) -> tuple[str, int]:
            world.ask(SMITH)
            member = next(world.population.of(HASHER))
            world.loop.forget(member.lifeline)
            member.lifeline.close()
            world.until(lambda: world.ended)
            return world.ended[0]

        assert with_workers(tmp_path, scenario, hash_workers=1) == (HASHER, 0)


class ReadEnd:
    """A descriptor as a loop wants it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor


class TestPool:
    def test_sockets_are_private_and_there_from_the_start(self, tmp_path: Path) -> None:
        pool = HashPool(site(tmp_path), lambda: None)
        names = sorted(path.name for path in tmp_path.iterdir())
        modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names}
        pool.close()
        assert (names, modes) == ([".lond.ask", ".lond.ask-known", ".lond.hash"], {0o600})
        assert list(tmp_path.iterdir()) == []

    def test_one_that_is_left_over_is_replaced(self, tmp_path: Path) -> None:
        killed = HashPool(site(tmp_path), lambda: None)
        killed.close_listeners()
        killed.table.close()
        pool = HashPool(site(tmp_path), lambda: None)
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(str(tmp_path / ".lond.hash"))
        pool.close()

    def test_another_ones_socket_is_left_alone(self, tmp_path: Path) -> None:
        first = HashPool(site(tmp_path), lambda: None)
        second = HashPool(site(tmp_path), lambda: None)
        first.close()
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lond.ask", ".lond.ask-known", ".lond.hash"]
        second.close()

    def test_a_reason_is_logged_once(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        pool = HashPool(site(tmp_path), lambda: None)
        for reason in ("krb5: no key", "unix: no library", "krb5: no key"):
            pool._on_unavailable(reason)
        pool.close()
        assert [record.getMessage() for record in caplog.records] == [
            "log-ins get auth_mode_error: krb5: no key",
            "log-ins get auth_mode_error: unix: no library",
        ]

    def test_slots(self) -> None:
        assert HashPool.slots(Config(host_id="msul1", hash_workers=3, ask_workers=1)) == 10


class TestClient:
    @pytest.fixture
    def loop(self) -> Iterator[Loop]:
        loop = Loop()
        yield loop
        loop.close()

    @pytest.fixture
    def listener(self, tmp_path: Path) -> Iterator[socket.socket]:
        """Workers that are all busy."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
            listener.bind(str(tmp_path / "socket"))
            listener.listen(64)
            yield listener

    def test_no_workers(self, loop: Loop, tmp_path: Path) -> None:
        client, outcomes = HashClient(loop, tmp_path / "nowhere", 5), list[Outcome]()
        client.submit(SMITH, outcomes.append)
        assert outcomes == []  # never before `submit` has returned
        turn_until(loop, lambda: outcomes)
        assert outcomes == [Outcome(Verdict.FAILED, reason="no worker")]

    def test_time_is_limited(self, loop: Loop, tmp_path: Path, listener: socket.socket) -> None:
        client, outcomes = HashClient(loop, tmp_path / "socket", 0.05), list[Outcome]()
        for _ in range(10):
            client.submit(SMITH, outcomes.append)
        turn_until(loop, lambda: len(outcomes) == 10)
        assert set(outcomes) == {Outcome(Verdict.BUSY)}
        assert not client._under_way
        assert not client._waiting

    def test_few_stand_in_the_queue(self, loop: Loop, tmp_path: Path, listener: socket.socket) -> None:
        client, outcomes = HashClient(loop, tmp_path / "socket", 20), list[Outcome]()
        for number in range(10):
            client.submit(Job(b"msu", b"user%d" % number, None, b"x"), outcomes.append)
        turn_until(loop, lambda: len(client._under_way) == hash_client.UNDER_WAY)
        channels = [listener.accept()[0] for _ in range(hash_client.UNDER_WAY)]
        users = []
        while channels:
            with pytest.raises(BlockingIOError):
                listener.accept()
            with channels.pop(0) as channel:
                users.append(Job.decode(channel.recv(1000)).user)
                channel.sendall(Outcome(Verdict.WRONG).encode())
            turn_until(loop, lambda: len(outcomes) == len(users))
            if len(users) + len(channels) < 10:
                channels.append(listener.accept()[0])
        assert users == [b"user%d" % number for number in range(10)]

    def test_too_many_are_told_at_once(
        self, loop: Loop, tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hash_client, "WAITING", 2)
        client, outcomes = HashClient(loop, tmp_path / "socket", 20), list[Outcome]()
        for _ in range(3):
            client.submit(SMITH, outcomes.append)
        turn_until(loop, lambda: outcomes)
        assert outcomes == [Outcome(Verdict.BUSY)]
        client.close()

    def test_a_full_queue_is_waited_for(self, loop: Loop, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
            listener.bind(str(tmp_path / "socket"))
            listener.listen(0)  # the system takes one
            client, outcomes = HashClient(loop, tmp_path / "socket", 20), list[Outcome]()
            for _ in range(3):
                client.submit(SMITH, outcomes.append)

            def serve(_mask: int) -> None:
                channel, _ = listener.accept()
                channel.recv(1000)
                channel.sendall(Outcome(Verdict.WRONG).encode())
                channel.close()

            loop.watch(listener, READ, serve)
            turn_until(loop, lambda: len(outcomes) == 3)
            loop.forget(listener)
        assert outcomes == [Outcome(Verdict.WRONG)] * 3

    @pytest.mark.parametrize(
        ("answer", "reason"), [(b"[1]\n", "a worker answered nonsense"), (b"x" * 40000, "the worker died")]
    )
    def test_nonsense_is_a_failure(
        self, loop: Loop, tmp_path: Path, listener: socket.socket, answer: bytes, reason: str
    ) -> None:
        client, outcomes = HashClient(loop, tmp_path / "socket", 20), list[Outcome]()
        client.submit(SMITH, outcomes.append)

        def serve(_mask: int) -> None:
            channel, _ = listener.accept()
            channel.recv(1000)
            channel.sendall(answer)
            channel.close()

        loop.watch(listener, READ, serve)
        turn_until(loop, lambda: outcomes)
        loop.forget(listener)
        assert outcomes == [Outcome(Verdict.FAILED, reason=reason)]
