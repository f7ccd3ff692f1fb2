"""Sessions on disk: how they begin, live and end, and what their files give away."""

from __future__ import annotations

import json
import os
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from common.config import Config
from lond.services import Outside
from lonnet.sessions import FRESH_SECONDS, Session, Sessions
from tests.conftest import FakeClock
from tests.helpers.dispatching import UpdatesInProcess
from tests.helpers.fake_net import FakeNet
from tests.helpers.log_ins import LogInsInProcess


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(host_id="msua1", ids_dir=tmp_path / "ids", session_expire=1000.0, session_lifetime=5000.0)


@pytest.fixture
def sessions(config: Config, clock: FakeClock) -> Sessions:
    return Sessions(config, clock)


def files(config: Config) -> list[Path]:
    return sorted(config.ids_dir.glob("*.session"))


def test_a_session_is_found_by_its_id_in_another_process_as_well(
    sessions: Sessions, config: Config, clock: FakeClock
) -> None:
    session_id, session = sessions.create("smith", "msu", "msul1")
    assert Sessions(config, clock).find(session_id) == session
    assert (session.name, session.home, session.created) == ("smith:msu", "msul1", clock())


def test_ids_and_secrets_differ(sessions: Sessions) -> None:
    made = [sessions.create("smith", "msu", "msul1") for _ in range(50)]
    texts = [session_id for session_id, _ in made] + [session.csrf for _, session in made]
    assert len(set(texts)) == 100 and all(len(text) == 43 for text in texts)


def test_the_id_is_nowhere_on_disk_and_only_the_owner_reads(sessions: Sessions, config: Config) -> None:
    session_id, session = sessions.create("smith", "msu", "msul1")
    sessions.grant(session_id, "portfolio", "essay.txt")
    for path in config.ids_dir.iterdir():
        assert session_id not in path.name and session_id.encode() not in path.read_bytes()
    assert [path.stat().st_mode & 0o777 for path in files(config)] == [0o600]
    assert config.ids_dir.stat().st_mode & 0o777 == 0o700
    assert session.csrf not in repr(session)


@pytest.mark.parametrize("forged", ["", "x", "x" * 43, "../" * 14 + "x", "a" * 42 + "/", "a" * 42 + "\0", "x" * 10_000])
def test_a_forged_id_is_nobody_s(sessions: Sessions, config: Config, forged: str) -> None:
    sessions.create("smith", "msu", "msul1")
    assert sessions.find(forged) is None
    sessions.end(forged)
    assert not sessions.grant(forged, "a", "b") and len(files(config)) == 1


def test_the_name_of_a_file_is_no_id(sessions: Sessions, config: Config) -> None:
    sessions.create("smith", "msu", "msul1")
    assert sessions.find(files(config)[0].stem[:43]) is None


def test_it_ends_when_it_is_not_used(sessions: Sessions, clock: FakeClock) -> None:
    session_id, _ = sessions.create("smith", "msu", "msul1")
    clock.advance(999)
    assert sessions.find(session_id)
    clock.advance(999)
    assert sessions.find(session_id)
    clock.advance(1001)
    assert sessions.find(session_id) is None


def test_it_ends_after_its_life_however_busy(sessions: Sessions, clock: FakeClock) -> None:
    session_id, _ = sessions.create("smith", "msu", "msul1")
    for _ in range(10):
        clock.advance(500)
        assert sessions.find(session_id)
    clock.advance(1)
    assert sessions.find(session_id) is None


def test_last_accesses_cost_a_write_a_minute(sessions: Sessions, config: Config, clock: FakeClock) -> None:
    session_id, session = sessions.create("smith", "msu", "msul1")
    clock.advance(FRESH_SECONDS)
    sessions.find(session_id)
    assert files(config)[0].stat().st_mtime == session.created
    clock.advance(1)
    sessions.find(session_id)
    assert files(config)[0].stat().st_mtime == clock()


def test_logging_out_ends_it_for_everybody(sessions: Sessions, config: Config, clock: FakeClock) -> None:
    session_id, _ = sessions.create("smith", "msu", "msul1")
    sessions.end(session_id)
    assert Sessions(config, clock).find(session_id) is None and files(config) == []
    sessions.end(session_id)


def test_granted_files_are_entries_of_the_file(sessions: Sessions, config: Config) -> None:
    session_id, _ = sessions.create("smith", "msu", "msul1")
    assert sessions.grant(session_id, "a", "portfolio/a.txt") and sessions.grant(session_id, "b", "b.txt")
    found = sessions.find(session_id)
    assert found and found.userfiles == {"a": "portfolio/a.txt", "b": "b.txt"}
    assert json.loads(files(config)[0].read_text())["userfile.a"] == "portfolio/a.txt"


def test_grants_of_many_threads_are_all_kept_and_bring_no_ended_session_back(
    sessions: Sessions, config: Config
) -> None:
    session_id, _ = sessions.create("smith", "msu", "msul1")
    together = [threading.Thread(target=sessions.grant, args=(session_id, f"f{n}", "x")) for n in range(12)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    found = sessions.find(session_id)
    assert found and len(found.userfiles) == 12
    sessions.end(session_id)
    assert not sessions.grant(session_id, "late", "x") and files(config) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"user": "smith"}',
        '{"user": "a", "domain": "b", "home": "c", "created": true, "csrf": "d"}',
        '{"user": "a", "domain": "b", "home": "c", "created": "1", "csrf": "d"}',
        '{"user": "", "domain": "b", "home": "c", "created": 1, "csrf": "d"}',
        '{"user": 1, "domain": "b", "home": "c", "created": 1, "csrf": "d"}',
        '{"user": "a", "domain": "b", "home": "c", "created": 1, "csrf": "d", "more": 1}',
        "\udcff",
    ],
)
def test_a_damaged_file_is_no_session(sessions: Sessions, config: Config, clock: FakeClock, text: str) -> None:
    session_id, _ = sessions.create("smith", "msu", "msul1")
    files(config)[0].write_text(text, errors="surrogateescape")
    os.utime(files(config)[0], (clock(), clock()))
    assert sessions.find(session_id) is None


def test_a_link_is_no_session(sessions: Sessions, config: Config) -> None:
    session_id, _ = sessions.create("smith", "msu", "msul1")
    [path] = files(config)
    path.rename(config.ids_dir / "elsewhere")
    path.symlink_to("elsewhere")
    assert sessions.find(session_id) is None and sessions.count() == 0


def test_active_sessions_are_counted_and_ended_ones_swept(sessions: Sessions, config: Config, clock: FakeClock) -> None:
    assert (sessions.count(), sessions.sweep()) == (0, 0)
    old, _ = sessions.create("smith", "msu", "msul1")
    clock.advance(600)
    young, session = sessions.create("jones", "msu", "msul1")
    (config.ids_dir / "readme").write_text("not a session")
    assert (sessions.count(), sessions.sweep()) == (2, 0)
    clock.advance(500)
    assert (sessions.count(), sessions.sweep()) == (1, 1)
    assert sessions.find(young) == session and sessions.find(old) is None
    assert (config.ids_dir / "readme").exists()


def test_lond_counts_the_same_sessions(tmp_path: Path) -> None:
    config = Config(host_id="msul1", ids_dir=tmp_path)
    site = FakeNet(["msul1"]).site
    with closing(LogInsInProcess()) as log_ins:
        outside = Outside(replace(site, config=config), log_ins, UpdatesInProcess())
        assert outside.sessions() == 0
        Sessions(config).create("smith", "msu", "msul1")
        (tmp_path / "readme").write_text("not a session")
        assert outside.sessions() == Sessions(config).count() == 1


def test_a_session_without_files_is_a_session() -> None:
    assert Session("a", "b", "c", 1.0, "d").userfiles == {}
