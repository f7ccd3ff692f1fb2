"""Storage: durability, damage, full disks, locks, the cache of open databases."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from common.site import Site
from lond.records import schema
from lond.records.damage import refuse_damaged, set_aside
from lond.records.database import Opening, Patience
from lond.records.faults import Fault, StorageError, fault_of
from lond.records.paths import make_user_directory, user_directory
from lond.records.schema import USER_STEPS
from lond.storage import Storage, Token
from tests.helpers.dispatching import NOW, Lond, connection_class, make_site, sqlite_error
from tests.helpers.in_child import Child, ChildDied
from tests.helpers.waiting import eventually

DAMAGED = b"error: 117 database damaged, an administrator must act"
FULL = b"error: 28 no space left on device"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


def opening(connections: type[sqlite3.Connection], patience: Patience | None = None) -> Opening:
    return Opening(patience or Patience(0), connections, now=lambda: NOW)


def put(storage: Storage, user: bytes, value: bytes) -> Token | None:
    """One request that writes; the token of its transaction."""
    records = storage.perform(lambda: storage.user(b"msu", user, write=True).put(b"data", {b"a": value}, NOW))
    return records[1]


def get(storage: Storage, user: bytes) -> bytes | None:
    (value,), _ = storage.perform(lambda: storage.user(b"msu", user).get(b"data", [b"a"]))
    return value


# Files


@pytest.mark.parametrize(
    ("user", "path"), [("smith", "s/m/i/smith"), ("ab", "a/b/_/ab"), ("x", "x/_/_/x"), ("a.b", "a/./b/a.b")]
)
def test_user_directory(tmp_path: Path, user: str, path: str) -> None:
    assert str(user_directory(tmp_path, b"msu", user.encode())) == os.path.normpath(tmp_path / "msu" / path)


@pytest.mark.parametrize("name", [b"..", b".a", b"a/b", b"", b"a\0", b"a\n", b"x" * 65, b"\xe4", b"-a", b"a..b"])
def test_a_wrong_name_never_becomes_a_path(tmp_path: Path, name: bytes) -> None:
    for names in ((name, b"smith"), (b"msu", name)):
        with pytest.raises(ValueError, match="unchecked"):
            user_directory(tmp_path, *names)


def test_directories_are_durable_from_the_top_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = []
    monkeypatch.setattr(
        "lond.records.paths.sync_directory", lambda path: events.append(str(path.relative_to(tmp_path)))
    )
    directory = make_user_directory(tmp_path / "users", b"msu", b"smith")
    assert directory.is_dir()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert events == [".", "users", "users/msu", "users/msu/s", "users/msu/s/m", "users/msu/s/m/i"]
    make_user_directory(tmp_path / "users", b"msu", b"smith")
    assert len(events) == 6


def test_database_has_the_promised_form(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("lond.records.creation.sync_directory", synced.append)
    with Lond(site) as lond:
        lond.ask("put:msu:smith:data:a=1")
        path = lond.user_path("smith")
        assert synced == [path.parent]
        assert {file.name for file in path.parent.iterdir()} == {"records.db", "records.db-wal", "records.db-shm"}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.with_name("records.db-wal").stat().st_mode) == 0o600
        database = lond.storage.user(b"msu", b"smith").database

        def pragma(name: str) -> object:
            return database.connection.execute(f"PRAGMA {name}").fetchone()[0]

        assert (pragma("journal_mode"), pragma("synchronous")) == ("wal", 2)
        assert pragma("user_version") == len(USER_STEPS)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["tempfile.mkstemp", "migrate", "os.fsync", "Path.hardlink_to", "sync_directory"])
def test_a_child_that_is_killed_while_it_makes_a_database_does_no_harm(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str, when: str
) -> None:
    def create() -> None:
        kill_at(monkeypatch, f"lond.records.creation.{step}", when)
        with Lond(site) as lond:
            lond.ask("put:msu:smith:data:a=1")

    with Child(create) as child, pytest.raises(ChildDied) as died:
        child.result()
    assert died.value.code == -signal.SIGKILL
    with Lond(site) as lond:
        assert lond.ask("get:msu:smith:data:a").startswith(b"error: 2 ")
        assert lond.ask("put:msu:smith:data:b=2") == b"ok"
        assert lond.ask("dump:msu:smith:data") == b"b=2"
    assert caplog.records == []


def kill_at(monkeypatch: pytest.MonkeyPatch, target: str, when: str) -> None:
    """This process is killed at the next call of `target`."""
    original = resolve_name(target)

    def step(*arguments: Any, **keywords: Any) -> None:
        if when == "after":
            original(*arguments, **keywords)
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(target, step)


def test_a_name_that_is_perhaps_not_on_disk_yet_is_synced_by_who_finds_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lond(site) as lond:
        lond.ask("put:msu:smith:data:a=1")
        path = lond.user_path("smith")
    path.with_name(".new-x").hardlink_to(path)
    synced: list[Path] = []
    monkeypatch.setattr("lond.records.database.sync_directory", synced.append)
    with Lond(site) as lond:
        assert lond.ask("put:msu:smith:data:b=1") == b"ok"
    assert synced == [path.parent]


def test_nothing_is_left_of_a_database_that_could_not_be_made(site: Site) -> None:
    connections = connection_class()
    connections.failing["COMMIT"] = (13, "database or disk is full")
    with Lond(site, opening=opening(connections)) as lond:
        assert lond.ask("put:msu:smith:data:a=1") == FULL
        assert list(lond.user_path("smith").parent.iterdir()) == []
        connections.failing.clear()
        assert lond.ask("put:msu:smith:data:a=1") == b"ok"


def test_another_process_sees_what_was_committed_and_nothing_before(site: Site) -> None:
    with Lond(site) as first, Lond(site) as second:
        first.ask("put:msu:smith:data:a=1")
        put(first.storage, b"smith", b"2")
        assert second.ask("get:msu:smith:data:a") == b"1"
        assert first.storage.commit() == {}
        assert second.ask("get:msu:smith:data:a") == b"2"


def test_reads_of_a_batch_see_one_state(site: Site) -> None:
    with Lond(site) as first, Lond(site) as second:
        first.ask("put:msu:smith:data:a=1")
        assert get(second.storage, b"smith") == b"1"
        first.ask("put:msu:smith:data:a=2")
        assert get(second.storage, b"smith") == b"1"
        put(second.storage, b"smith", b"3")  # a write goes on from the newest state
        second.storage.commit()
        assert first.ask("get:msu:smith:data:a") == b"3"


# Migration


def test_old_databases_are_brought_forward_and_keep_their_data(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lond(site) as lond:
        lond.ask("put:msu:smith:data:a=1")
    steps = (*USER_STEPS, "CREATE TABLE more (x); INSERT INTO more VALUES (1)")
    monkeypatch.setattr("lond.records.databases.USER_STEPS", steps)
    with Lond(site) as lond:
        assert lond.ask("get:msu:smith:data:a") == b"1"
        database = lond.storage.user(b"msu", b"smith").database
        assert database.select("SELECT * FROM more").fetchall() == [(1,)]
        assert database.select("PRAGMA user_version").fetchone() == (2,)


def test_a_migration_that_fails_changes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Lond(site) as lond:
        lond.ask("put:msu:smith:data:a=1")
    steps = (*USER_STEPS, "CREATE TABLE more (x); INSERT INTO none VALUES (1)")
    monkeypatch.setattr("lond.records.databases.USER_STEPS", steps)
    with Lond(site) as lond:
        assert lond.ask("get:msu:smith:data:a") == b"error: 70 internal error"
    monkeypatch.undo()
    with Lond(site) as lond:
        assert lond.ask("get:msu:smith:data:a") == b"1"
        names = lond.storage.user(b"msu", b"smith").database.select("SELECT name FROM sqlite_master").fetchall()
        assert ("more",) not in names


def test_a_database_of_a_newer_program_is_left_alone_and_told_of_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with Lond(site) as lond:
        lond.ask("put:msu:smith:data:a=1")
        path = lond.user_path("smith")
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(USER_STEPS) + 1}")
    connection.close()
    with Lond(site) as lond:
        assert lond.ask("get:msu:smith:data:a").startswith(b"error: 95 database has version 2")
        assert lond.ask("put:msu:smith:data:a=2").startswith(b"error: 95 ")
        assert lond.ask("put:msu:jones:data:a=2") == b"ok"
    assert path.exists()
    (line,) = caplog.records
    assert line.getMessage() == f"database {path} can't be used: database has version 2, this program knows 1"


def test_steps_hold_no_semicolon_within_a_statement() -> None:
    for step in (*USER_STEPS, *schema.DOMAIN_STEPS):
        for statement in step.split(";"):
            assert sqlite3.complete_statement(statement + ";")


# Damage


def damage(path: Path) -> None:
    """Overwrites everything behind the header's page."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


@pytest.mark.parametrize("kind", ["pages", "garbage", "short"])
def test_a_damaged_database_is_set_aside_and_touches_nobody_else(
    site: Site, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    with Lond(site) as lond:
        lond.batch("put:msu:smith:data:a=1", "put:msu:jones:data:a=1")
        path = lond.user_path("smith")
    if kind == "pages":
        damage(path)
    else:
        path.write_bytes(b"garbage" * 1000 if kind == "garbage" else path.read_bytes()[:5000])
    content = path.read_bytes()
    with Lond(site, opening=opening(sqlite3.Connection)) as lond, Lond(site) as other:
        assert lond.batch("get:msu:smith:data:a", "get:msu:jones:data:a") == [DAMAGED, b"1"]
        for child in (lond, other):
            assert child.batch("put:msu:smith:data:a=2", "log:msu:smith:x") == [DAMAGED, DAMAGED]
        assert not path.exists()
        aside = path.with_name(f"records.db.damaged-{NOW}")
        assert aside.read_bytes() == content
        alarms = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
        assert len(alarms) == 1
        assert str(path) in alarms[0]
        # The administrator has salvaged what there was.
        for file in path.parent.glob("records.db.damaged-*"):
            file.rename(file.with_name("kept" + file.suffix))
        assert other.ask("put:msu:smith:data:a=3") == b"ok"
        assert lond.ask("get:msu:smith:data:a") == b"3"


@pytest.mark.parametrize("statement", ["INSERT", "COMMIT", "SELECT value"])
def test_damage_that_shows_during_work(site: Site, caplog: pytest.LogCaptureFixture, statement: str) -> None:
    connections = connection_class()
    with Lond(site, opening=opening(connections)) as lond, Lond(site) as other:
        lond.batch("put:msu:smith:data:a=1", "put:msu:jones:data:a=1")
        other.ask("get:msu:smith:data:a")
        connections.failing[statement] = (11, "database disk image is malformed")
        assert lond.ask("inc:msu:smith:data:a=1") == DAMAGED
        connections.failing.clear()
        assert lond.batch("get:msu:smith:data:a", "get:msu:jones:data:a") == [DAMAGED, b"1"]
        assert other.ask("get:msu:smith:data:a") == DAMAGED
        aside = lond.user_path("smith").with_name(f"records.db.damaged-{NOW}")
        assert aside.with_name(aside.name + "-wal").exists(), "what was committed last is in there"
        assert sum(record.levelno == logging.CRITICAL for record in caplog.records) == 1
    connection = sqlite3.connect(aside)
    assert connection.execute("SELECT value FROM entry").fetchall() == [(b"1",)]
    connection.close()


@pytest.mark.parametrize("statement", ["SAVEPOINT request", "INSERT INTO entry", "COMMIT"])
def test_damage_that_can_not_be_set_aside_stays_with_its_user(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.EROFS, "read-only file system")

    connections = connection_class()
    with Lond(site, opening=opening(connections)) as lond:
        lond.batch("put:msu:smith:data:a=1", "put:msu:jones:data:a=1")
        monkeypatch.setattr(Path, "hardlink_to", no_room)
        connections.failing[statement] = (11, "database disk image is malformed")
        assert lond.ask("put:msu:smith:data:half=written") == DAMAGED
        connections.failing.clear()
        assert lond.batch("put:msu:smith:data:c=3", "put:msu:jones:data:a=2") == [b"ok", b"ok"]
        assert lond.ask("get:msu:smith:data:half&c") == b"&3", "nothing of the failed request was kept"
    assert any("can't be set aside" in record.getMessage() for record in caplog.records)


def test_damage_fails_what_the_batch_wrote_before(site: Site) -> None:
    connections = connection_class()
    with Lond(site, opening=opening(connections)) as lond:
        lond.batch("put:msu:smith:data:a=1", "put:msu:jones:data:a=1")
        connections.failing["INSERT INTO activity"] = (26, "file is not a database")
        replies = lond.batch("put:msu:smith:data:a=2", "log:msu:smith:x", "put:msu:jones:data:a=2")
        assert replies == [DAMAGED, DAMAGED, b"ok"]


def test_only_the_file_in_which_damage_was_seen_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "records.db"
    path.write_bytes(b"restored meanwhile")
    set_aside(path, path.stat().st_ino + 1, "malformed", NOW)
    assert [file.name for file in tmp_path.iterdir()] == ["records.db"]
    assert caplog.records == []


def test_setting_aside_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("lond.records.damage.sync_directory", synced.append)
    path = tmp_path / "records.db"
    path.write_bytes(b"damaged")
    set_aside(path, path.stat().st_ino, "malformed", NOW)
    assert synced == [tmp_path]


def test_a_database_made_while_another_child_sets_the_damaged_one_aside_is_not_used(site: Site) -> None:
    with Lond(site) as lond:
        mark = lond.user_path("smith").with_name("records.db.damaged-1")

        class SetAsideMeanwhile(sqlite3.Connection):
            def __init__(self, *arguments: Any, **keywords: Any) -> None:
                super().__init__(*arguments, **keywords)
                mark.touch()

        with Lond(site, opening=opening(SetAsideMeanwhile)) as late:
            assert late.ask("put:msu:smith:data:a=1") == DAMAGED


@pytest.mark.parametrize("command", ["get:msu:smith:data:a", "put:msu:smith:data:b=2"])
def test_a_database_that_is_set_aside_while_it_is_looked_for_is_not_missing(
    site: Site, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    with Lond(site) as lond:
        lond.ask("put:msu:smith:data:a=1")
    with Lond(site) as lond:

        def set_aside_after(path: Path) -> None:
            monkeypatch.undo()
            refuse_damaged(path)
            set_aside(path, path.stat().st_ino, "malformed", NOW)

        monkeypatch.setattr("lond.records.database.refuse_damaged", set_aside_after)
        assert lond.ask(command) == DAMAGED
        assert not lond.user_path("smith").exists()


def test_a_replaced_database_is_noticed(site: Site) -> None:
    with Lond(site) as lond:
        lond.ask("put:msu:smith:data:a=old")
        path = lond.user_path("smith")
    backup = path.read_bytes()
    with Lond(site) as lond:
        lond.ask("put:msu:smith:data:a=new")
        path.with_name("copy").write_bytes(backup)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink()
        path.with_name("copy").rename(path)
        assert lond.ask("get:msu:smith:data:a") == b"old"
        assert lond.ask("put:msu:smith:data:a=newer") == b"ok"
    with Lond(site) as lond:
        assert lond.ask("get:msu:smith:data:a") == b"newer"


def test_a_removed_user_is_noticed(site: Site) -> None:
    with Lond(site) as lond:
        lond.ask("put:msu:smith:data:a=1")
        directory = lond.user_path("smith").parent
        directory.rename(directory.with_name("moved"))
        assert lond.ask("get:msu:smith:data:a").startswith(b"error: 2 ")
        assert lond.ask("put:msu:smith:data:a=2").startswith(b"error: 2 ")


@pytest.mark.parametrize("name", ["records.db", "domain.db"])
def test_an_empty_database_is_damaged_and_not_new(site: Site, caplog: pytest.LogCaptureFixture, name: str) -> None:
    with Lond(site) as lond:
        assert lond.batch("put:msu:smith:data:a=1", "idput:msu:1=smith") == [b"ok", b"ok"]
        path = lond.user_path("smith") if name == "records.db" else site.config.users_dir / "msu" / name
    path.write_bytes(b"")
    log = path.with_name(f"{name}-wal")
    log.write_bytes(b"what was committed last")
    read, write = {
        "records.db": ("get:msu:smith:data:a", "put:msu:smith:data:a=2"),
        "domain.db": ("idget:msu:1", "idput:msu:1=jones"),
    }[name]
    with Lond(site, opening=opening(sqlite3.Connection)) as lond:
        assert lond.batch(read, write) == [DAMAGED, DAMAGED]
        assert lond.ask("put:msu:jones:data:a=1") == b"ok"
    assert path.with_name(f"{name}.damaged-{NOW}-wal").read_bytes() == b"what was committed last"
    (alarm,) = caplog.records
    assert alarm.levelno == logging.CRITICAL
    assert "it is empty" in alarm.getMessage()


def test_a_database_without_a_version_is_damaged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with Lond(site) as lond:
        lond.ask("put:msu:smith:data:a=1")
        path = lond.user_path("smith")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 0")
    connection.close()
    with Lond(site) as lond:
        assert lond.ask("get:msu:smith:data:a") == DAMAGED
    assert "it has no version" in caplog.text


def test_no_new_database_takes_over_the_log_of_a_lost_one(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with Lond(site) as lond:
        path = lond.user_path("smith")
        log = path.with_name("records.db-wal")
        log.write_bytes(b"what was committed last")
        assert lond.batch("get:msu:smith:data:a", "put:msu:smith:data:a=2", "put:msu:jones:data:a=1") == [
            DAMAGED,
            DAMAGED,
            b"ok",
        ]
        assert log.read_bytes() == b"what was committed last"
        assert not path.exists()
    (line,) = caplog.records
    assert line.getMessage() == f"database {path} can't be used: it is gone, but records.db-wal is there"


# Full disk


def test_a_full_disk_stores_nothing_by_halves_and_passes(site: Site) -> None:
    connections = connection_class(pages=30)
    with Lond(site, opening=opening(connections)) as lond:
        assert lond.ask("put:msu:smith:data:a=1&b=1") == b"ok"
        large = "x" * 100_000
        assert lond.ask(f"put:msu:smith:data:a=2&b={large}") == FULL
        assert lond.ask("dump:msu:smith:data") == b"a=1&b=1"
        assert lond.batch("put:msu:smith:data:a=3", f"put:msu:smith:data:c={large}", "ping")[1:] == [FULL, b"msul1"]
        assert lond.ask("put:msu:smith:data:b=2") == b"ok"
        connections.pages = 0
        database = lond.storage.user(b"msu", b"smith").database
        lond.storage.commit()
        database.connection.execute("PRAGMA max_page_count = 100000")
        assert lond.ask(f"put:msu:smith:data:c={large}") == b"ok"
        assert len(lond.ask("get:msu:smith:data:c")) == len(large)


def test_replies_are_true_when_the_disk_is_full_in_the_middle_of_a_batch(site: Site) -> None:
    with Lond(site, opening=opening(connection_class(pages=40))) as lond:
        lond.ask("put:msu:smith:data:start=1")
        replies = lond.batch(*[f"put:msu:smith:data:k{number}={'x' * 9000}" for number in range(20)])
        assert set(replies) == {b"ok", FULL}
    with Lond(site) as lond:
        stored = set(lond.ask("keys:msu:smith:data").split(b"&"))
    assert stored == {b"start"} | {b"k%d" % at for at, reply in enumerate(replies) if reply == b"ok"}


def test_a_database_whose_commit_finds_no_room_stays_open_for_readers(site: Site) -> None:
    connections = connection_class()
    with Lond(site, opening=opening(connections)) as lond:
        lond.batch("put:msu:smith:data:a=1", "put:msu:jones:data:a=1")
        open_before = lond.storage.user(b"msu", b"smith").database
        lond.storage.commit()
        connections.failing["COMMIT"] = (13, "database or disk is full")
        assert lond.batch("put:msu:smith:new:a=2", "put:msu:jones:data:a=2") == [FULL, FULL]
        assert lond.batch("put:msu:smith:new:a=2", "get:msu:smith:data:a") == [FULL, FULL]
        connections.failing.clear()
        assert lond.batch("get:msu:smith:data:a", "get:msu:jones:data:a") == [b"1", b"1"]
        assert lond.ask("get:msu:smith:new:a") == b"error: 2 no such namespace"
        assert lond.storage.user(b"msu", b"smith").database is open_before


def test_a_transaction_that_sqlite_gave_up_fails_as_a_whole(site: Site) -> None:
    connections = connection_class()
    with Lond(site, opening=opening(connections)) as lond:
        lond.ask("put:msu:smith:data:a=1")
        token = put(lond.storage, b"smith", b"2")
        connection = lond.storage.user(b"msu", b"smith").database.connection

        def give_up() -> None:
            lond.storage.user(b"msu", b"smith", write=True)
            connection.rollback()
            raise sqlite_error(sqlite3.OperationalError, "database or disk is full", 13)

        with pytest.raises(StorageError, match="28"):
            lond.storage.perform(give_up)
        later = put(lond.storage, b"smith", b"3")
        assert later != token
        assert set(lond.storage.commit()) == {token}
        assert lond.ask("get:msu:smith:data:a") == b"3"


@pytest.mark.parametrize(
    ("number", "reply"),
    [
        (errno.ENOSPC, FULL),
        (errno.EDQUOT, b"error: 28 disk quota exceeded"),
        (errno.EMFILE, b"error: 11 too many open files"),
        (errno.ENFILE, b"error: 11 too many open files in system"),
    ],
)
def test_no_room_for_the_file_itself(site: Site, monkeypatch: pytest.MonkeyPatch, number: int, reply: bytes) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with Lond(site) as lond:
        monkeypatch.setattr("lond.records.creation.tempfile.mkstemp", full)
        assert lond.ask("put:msu:smith:data:a=1") == reply
        monkeypatch.undo()
        assert lond.ask("put:msu:smith:data:a=1") == b"ok"


@pytest.mark.parametrize("code", [None, 13])
@pytest.mark.parametrize(
    ("message", "number", "fault"),
    [
        ("database is locked", 5, Fault.BUSY),
        ("database or disk is full", 13, Fault.FULL),
        ("disk I/O error", 778, Fault.FULL),
        ("disk I/O error", 266, Fault.IO),
        ("attempt to write a readonly database", 8, Fault.DENIED),
        ("unable to open database file", 14, Fault.IO),
        ("no such table: x", 1, Fault.BUG),
    ],
)
def test_faults_by_code_and_by_message(message: str, number: int, fault: Fault, code: int | None) -> None:
    if code is None:
        expected = Fault.IO if number == 778 else fault  # without the code it can't be told apart
        assert fault_of(sqlite3.OperationalError(message)) is expected
    else:
        assert fault_of(sqlite_error(sqlite3.OperationalError, message, number)) is fault
    assert fault_of(sqlite3.ProgrammingError(message)) is Fault.BUG


# Locks


class Waiting:
    """A clock that goes on by pausing, and what happens meanwhile."""

    def __init__(self) -> None:
        self.now = 1.0
        self.meanwhile: Callable[[], None] = lambda: None
        self.pauses = 0

    def pause(self, seconds: float) -> None:
        self.now += seconds
        self.pauses += 1
        self.meanwhile()

    def patience(self, limit: float) -> Patience:
        return Patience(limit, monotonic=lambda: self.now, pause=self.pause)


def test_no_lock_is_held_while_waiting_for_another(site: Site) -> None:
    waiting = Waiting()
    with Lond(site, opening=opening(sqlite3.Connection, waiting.patience(1))) as one, Lond(site) as two:
        one.batch("put:msu:smith:data:a=0", "put:msu:jones:data:a=0")
        put(one.storage, b"smith", b"1")
        put(two.storage, b"jones", b"2")
        seen = []

        def the_other_child_goes_on() -> None:
            put(two.storage, b"smith", b"2")  # would be busy if the first child held it still
            seen.append(get(two.storage, b"smith"))
            assert two.storage.commit() == {}
            waiting.meanwhile = lambda: None

        waiting.meanwhile = the_other_child_goes_on
        put(one.storage, b"jones", b"1")
        assert one.storage.commit() == {}
        assert seen == [b"2"]
        assert one.batch("get:msu:smith:data:a", "get:msu:jones:data:a") == [b"2", b"1"]


def test_waiting_ends_and_is_not_repeated_in_the_same_batch(site: Site) -> None:
    waiting = Waiting()
    with Lond(site, opening=opening(sqlite3.Connection, waiting.patience(0.5))) as one, Lond(site) as two:
        one.batch("put:msu:smith:data:a=0", "put:msu:jones:data:a=0")
        put(two.storage, b"jones", b"2")
        busy = b"error: 11 database busy, try again"
        replies = one.batch("put:msu:smith:data:a=1", "put:msu:jones:data:a=1", "put:msu:jones:data:a=1", "ping")
        assert replies == [b"ok", busy, busy, b"msul1"]
        assert 1.5 <= waiting.now < 1.6
        assert one.ask("get:msu:jones:data:a") == b"0", "reading does not wait"
        two.storage.commit()
        assert one.ask("put:msu:jones:data:a=1") == b"ok"


def test_a_reader_waits_for_a_recovery(site: Site) -> None:
    connections = connection_class()
    waiting = Waiting()
    with Lond(site, opening=opening(connections, waiting.patience(1))) as lond:
        lond.ask("put:msu:smith:data:a=1")
        connections.failing["SELECT"] = (5, "database is locked")
        waiting.meanwhile = connections.failing.clear
        assert lond.ask("get:msu:smith:data:a") == b"1"
        assert waiting.pauses == 1
        connections.failing["SELECT"] = (5, "database is locked")
        waiting.meanwhile = lambda: None
        assert lond.ask("get:msu:smith:data:a") == b"error: 11 database busy, try again"


@pytest.mark.parametrize(
    "statement", ["PRAGMA synchronous = FULL", "PRAGMA user_version", "PRAGMA quick_check", "BEGIN IMMEDIATE"]
)
def test_opening_waits_for_others_who_open_or_close(
    site: Site, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    with Lond(site) as lond:
        lond.ask("put:msu:smith:data:a=1")
    monkeypatch.setattr("lond.records.databases.USER_STEPS", (*USER_STEPS, "CREATE TABLE more (x)"))
    connections = connection_class()
    waiting = Waiting()
    with Lond(site, opening=opening(connections, waiting.patience(1))) as lond:
        connections.failing[statement] = (5, "database is locked")
        waiting.meanwhile = connections.failing.clear
        assert lond.ask("put:msu:smith:data:a=1") == b"ok"
        assert waiting.pauses == 1


def test_two_children_make_a_database_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look for the file and its making, another child makes it."""
    with Lond(site) as one, Lond(site) as two:
        original = Path.hardlink_to

        def late(path: Path, target: Path) -> None:
            monkeypatch.undo()
            assert two.ask("put:msu:smith:data:b=2") == b"ok"
            original(path, target)

        monkeypatch.setattr(Path, "hardlink_to", late)
        assert one.ask("put:msu:smith:data:a=1") == b"ok"
        assert two.ask("dump:msu:smith:data") == b"a=1&b=2"
        assert not list(one.user_path("smith").parent.glob(".new-*"))


# The cache


def open_files(path: Path) -> list[str]:
    return [name for name in os.listdir("/proc/self/fd") if str(path) in _target(name)]


def _target(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        return ""


def test_few_databases_are_open_at_once_and_batches_over_more_users_work(tmp_path: Path) -> None:
    site = make_site(tmp_path, londMaxOpenUsers=4)
    users = [f"user{number}" for number in range(20)]
    with Lond(site, users=users) as lond:
        assert lond.batch(*[f"put:msu:{user}:data:a={user}" for user in users]) == [b"ok"] * 20
        assert lond.batch(*[f"get:msu:{user}:data:a" for user in users]) == [user.encode() for user in users]
        eventually(lambda: len({_target(name) for name in open_files(site.config.users_dir)}) <= 4 * 3)
    assert open_files(site.config.users_dir) == []


def test_closing_forgets_what_was_not_committed(site: Site) -> None:
    with Lond(site) as lond:
        lond.ask("put:msu:smith:data:a=1")
        put(lond.storage, b"smith", b"2")
        lond.storage.close()
        assert lond.ask("get:msu:smith:data:a") == b"1"


def test_an_undone_request_is_forgotten_with_the_namespace_it_made(site: Site) -> None:
    with Lond(site) as lond:
        assert lond.ask("inc:msu:smith:data:a=x") == b"error: 22 not a number"
        assert lond.ask("keys:msu:smith:data") == b"error: 2 no such namespace"
        assert lond.batch("inc:msu:smith:data:a=x", "put:msu:smith:data:a=1")[1] == b"ok"
        assert lond.ask("get:msu:smith:data:a") == b"1"


def test_storage_opens_nothing_by_itself(site: Site) -> None:
    storage = Storage(site)
    assert not site.config.users_dir.exists()
    storage.close()
