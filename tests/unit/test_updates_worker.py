"""The workers for resources and uploaded files, kept by a parent as lond's is, with their clients."""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from common.config import Config
from common.hosts_table import Host, HostsTable
from common.loop import Loop
from common.population import Member, Population
from common.resource_jobs import UPDATE, ResourceJobs, jobs_path
from common.scoreboard import Scoreboard
from common.site import Site
from lond.updates.pool import UPDATER, UpdatePool
from lond.updates.userfiles import UserFile
from tests.helpers.daemons import stop_child
from tests.helpers.in_child import in_child
from tests.helpers.waiting import open_descriptors

T = TypeVar("T")
PATIENCE = 20.0
FILE = UserFile("msua1", "msu", "smith", ("essay.txt",))


def site_of(directory: Path, port: int, **settings: object) -> Site:
    table = {
        "msul1": Host("msul1", "msu", "library", "msul1.example.org", "127.0.0.1"),
        "msua1": Host("msua1", "msu", "access", "msua1.example.org", "127.0.0.1", (f"http={port}",)),
    }
    directories = {f"{name}_dir": directory for name in ("sock", "users", "daemons", "delayed")}
    values = {"host_id": "msul1", "doc_root": directory, "fetch_timeout": 10.0, "update_workers": 1, **settings}
    return Site(Config(**directories, **values), HostsTable(table))  # type: ignore[arg-type]


class World:
    """A parent with its workers, in a process of its own; tests are its clients."""

    def __init__(self, site: Site) -> None:
        self.site, self.loop = site, Loop()
        self.ended: list[int] = []
        self.outdated: set[int] = set()
        self.pool = UpdatePool(site, lambda: None)
        board = Scoreboard.create(site.config.sock_dir / "board", 8)
        self.population = Population(self.loop, board, PATIENCE, lambda *_: None, self._on_end, lambda: None)
        self.loop.on_signal(signal.SIGCHLD, self.population.reap)
        self.loop.at_end_of_turn(self._balance)
        self._stopping = False
        self.updates = self.pool.updates(self.loop, site)

    def _balance(self) -> None:
        if not self._stopping:
            self.pool.balance(self.population, self.site, self.loop.clock(), self.outdated)

    def _on_end(self, member: Member, code: int) -> None:
        self.ended.append(code)
        assert self.pool.on_end(member, code, self.loop)

    def until(self, condition: Callable[[], object]) -> None:
        overdue: list[bool] = []
        timer = self.loop.call_later(PATIENCE, lambda: overdue.append(True))
        while not condition():
            assert not overdue, "it did not come to that"
            self.loop.call_later(0.01, lambda: None)  # what the condition looks at may change outside this process
            self.loop.turn()
        timer.cancel()

    def fetch(self, wanted: UserFile = FILE) -> bool:
        answers: list[bool] = []
        self.updates.fetch(wanted, answers.append)
        self.until(lambda: answers)
        return answers[0]

    def waiting(self) -> list[str]:
        with closing(ResourceJobs(jobs_path(self.site.config))) as jobs:
            return [path for _, path, _, _ in jobs.waiting()]

    def close(self) -> None:
        self._stopping = True
        self.population.stop_all()
        self.until(lambda: not self.population)
        self.pool.close()
        self.loop.close()


def in_world(site: Site, scenario: Callable[[World], T]) -> T:
    def live() -> T:
        world = World(site)
        try:
            world.until(lambda: list(world.population.of(UPDATER)))  # before anything is open that it would inherit
            return scenario(world)
        finally:
            world.close()

    return in_child(live)


@contextmanager
def between_looks(world: World) -> Iterator[None]:
    """Meanwhile the worker stands still, at a moment at which it has the queue not open: it would go on to write to
    it, or take its log away, while a test puts another file in its place."""
    worker, queue = next(world.population.of(UPDATER)).pid, str(jobs_path(world.site.config))

    def stands_apart() -> bool:
        stop_child(worker)
        apart = not any(name.startswith(queue) for name in open_descriptors(worker).values())
        if not apart:
            os.kill(worker, signal.SIGCONT)
        return apart

    world.until(stands_apart)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


class Server:
    """A web server that answers one connection after the other with the same bytes, when it is told to."""

    def __init__(self, answer: bytes) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self._answer, self._over = answer, False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self.go_on.set()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            channel, _ = self._listener.accept()
            with channel, suppress(OSError):
                if self._over:
                    return
                channel.recv(65536)
                self.go_on.wait(PATIENCE)
                channel.sendall(self._answer)


ESSAY = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nessay"


def test_a_file_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "msu/s/m/i/smith").mkdir(parents=True)
    with Server(ESSAY) as server:
        assert in_world(site_of(tmp_path, server.port), lambda world: [world.fetch() for _ in range(3)]) == [True] * 3
    file = tmp_path / "msu/s/m/i/smith/userfiles/essay.txt"
    assert file.read_bytes() == b"essay" and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(file.parent) == ["essay.txt"]
    assert in_world(site_of(tmp_path, server.port), World.fetch) is False  # nobody there any more
    assert file.read_bytes() == b"essay"


def test_a_file_too_long_or_too_slow(tmp_path: Path) -> None:
    with Server(ESSAY) as server:
        assert in_world(site_of(tmp_path, server.port, max_resource=4), World.fetch) is False
        server.go_on.clear()
        assert in_world(site_of(tmp_path, server.port, fetch_timeout=0.2, grace=0.1), World.fetch) is False
    assert list(tmp_path.rglob("essay.txt")) == []


def test_jobs_are_worked_off_and_files_go_first(tmp_path: Path) -> None:
    def scenario(world: World) -> list[str]:
        for number in range(20):
            world.updates.add(UPDATE, f"msu/smith/{number}.html")
        assert world.fetch()
        world.until(lambda: not world.waiting())
        return world.waiting()

    with Server(ESSAY) as server:
        assert in_world(site_of(tmp_path, server.port), scenario) == []


def test_a_queue_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    def scenario(world: World) -> list[str]:
        world.updates.add(UPDATE, "msu/smith/a.html")
        world.until(lambda: not world.waiting())
        with between_looks(world):
            for file in tmp_path.glob("updates.db*"):
                file.unlink()
        world.updates.add(UPDATE, "msu/smith/b.html")
        world.until(lambda: jobs_path(world.site.config).exists() and not world.waiting())
        with between_looks(world):
            for file in tmp_path.glob("updates.db-*"):  # from its log the file would be repaired
                file.unlink()
            jobs_path(world.site.config).write_bytes(b"x" * 9000)
        assert not world.fetch()  # after which the worker looks at the queue
        world.until(lambda: list(tmp_path.glob("updates.db.damaged-*")))
        world.until(lambda: jobs_path(world.site.config).exists())
        world.updates.add(UPDATE, "msu/smith/c.html")
        world.until(lambda: not world.waiting())
        return world.waiting()

    assert in_world(site_of(tmp_path, 1), scenario) == []


def test_workers_end_and_are_replaced(tmp_path: Path) -> None:
    def scenario(world: World) -> list[int]:
        world.until(lambda: list(world.population.of(UPDATER)))
        first = next(world.population.of(UPDATER))
        os.kill(first.pid, signal.SIGKILL)
        world.until(lambda: len(world.ended) == 1 and list(world.population.of(UPDATER)))
        second = next(world.population.of(UPDATER))
        world.outdated = {second.generation}
        world.until(lambda: len(world.ended) == 2)
        world.until(lambda: list(world.population.of(UPDATER)))
        return list(world.ended)

    assert in_world(site_of(tmp_path, 1), scenario) in ([-signal.SIGKILL, 0], [-signal.SIGKILL, -signal.SIGTERM])


def test_a_worker_ends_with_its_parent_whatever_it_waits_for(tmp_path: Path) -> None:
    def scenario(world: World) -> int:
        world.updates.fetch(FILE, lambda _: None)
        world.until(lambda: list(world.population.of(UPDATER)))
        member = next(world.population.of(UPDATER))
        world.loop.forget(member.lifeline)
        member.lifeline.close()
        world.until(lambda: world.ended)
        return world.ended[0]

    with Server(ESSAY) as server:
        server.go_on.clear()
        assert in_world(site_of(tmp_path, server.port), scenario) == 0
