"""The journal of executed writing commands: what stands in it, how it is turned over, how it is asked."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from lond.commands.registry import Pending
from lond.journal import NO_DIGEST, Journal, digest, executions, journal_path, older
from lond.journal_lines import journal_lines
from tests.helpers.dispatching import Lond, make_site

LOG = b"log:msu:smith:hello"
D = sha256(LOG).hexdigest()[:32].encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lond.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with closing(Journal(path, 10_000)) as journal:
        yield journal


def told(*batch: tuple[bytes, bool, bytes]) -> list[list[bytes]]:
    lines = journal_lines("msua1", [(line, enc) for line, enc, _ in batch], [reply for _, _, reply in batch])
    assert all(line.endswith(b"\n") for line in lines)
    return [line.strip().split(b":", 1)[1].split(b":") for line in lines]


def test_only_commands_that_write_are_kept_and_none_of_their_words() -> None:
    assert told(
        (LOG, False, b"ok"), (b"get:msu:smith:env:lang", False, b"en"), (b"nonsense", False, b"unknown_cmd")
    ) == [[b"msua1", b"log", D, b"ok"]]


def test_what_travels_encrypted_has_no_digest() -> None:
    assert told(
        (b"passwd:msu:smith:old:new", True, b"ok"),
        (b"passwd:msu:smith:old:new", False, b"refused"),
        (LOG, True, b"ok"),
    ) == [[b"msua1", b"passwd", b"-", b"ok"], [b"msua1", b"passwd", b"-", b"refused"], [b"msua1", b"log", b"-", b"ok"]]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"error: 2 no such user", b"error 2"),
        (b"error: something else", b"error"),
        (b"error:", b"error"),
        (b"key_exists: lang", b"key_exists"),
        (b"5a6b7c", b"reply"),
        (b"", b"reply"),
    ],
)
def test_of_a_reply_its_kind(reply: bytes, kind: bytes) -> None:
    assert told((LOG, False, reply))[0][-1] == kind


def test_a_reply_that_comes_later() -> None:
    [line] = journal_lines("msua1", [(b"passwd:msu:smith:a:b", True)], [Pending()])
    assert line.endswith(b":msua1:passwd:-:later\n")


def test_a_command_is_found_again_for_whom_it_was_executed(path: Path, journal: Journal) -> None:
    assert executions(path, "msua1", b"log", digest(LOG), 10) == (None, [])
    journal.append([b"100:msua1:put:%b:ok\n" % digest(b"x"), b"101:msua1:log:%b:ok\n" % digest(LOG)])
    journal.append([b"102:msua2:log:%b:ok\n" % digest(LOG), b"103:msua1:log:%b:error 2\n" % digest(LOG)])
    assert executions(path, "msua1", b"log", digest(LOG), 10) == (100, [(101, b"ok"), (103, b"error 2")])
    assert executions(path, "msua1", b"log", digest(LOG), 1) == (100, [(103, b"error 2")])
    assert executions(path, "msua1", b"log", NO_DIGEST, 10) == (100, [])
    assert executions(path, "ua1", b"log", digest(LOG), 10) == (100, []), "the end of a host's id is no host"


def test_an_unfinished_line_is_none(path: Path, journal: Journal) -> None:
    journal.append([b"100:msua1:put:-:ok\n101:msu"])
    journal.append([b"102:msua1:put:-:ok\n"])
    assert executions(path, "msua1", b"put", b"-", 10) == (100, [(100, b"ok")])


def test_two_files_are_kept_whoever_fills_them(path: Path) -> None:
    line = b"%d:msua1:log:-:ok\n"
    size = 20 * len(line % 100)
    with closing(Journal(path, size)) as one, closing(Journal(path, size)) as other:
        for number in range(100, 200):
            (one if number % 3 else other).append([line % number])
    since, found = executions(path, "msua1", b"log", b"-", 1000)
    times = [execution.when for execution in found]
    assert times == list(range(times[0], 200)) and since == times[0] and 20 <= len(times) <= 44
    assert sorted(os.listdir(path.parent)) == [path.name, older(path).name]
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_journal_that_is_off(path: Path) -> None:
    with closing(Journal(path, 0)) as journal:
        journal.append([b"100:msua1:log:-:ok\n"])
    assert not path.exists()


def test_a_journal_that_can_not_be_written_fails_nobody_and_says_so_once(
    path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    path.mkdir()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            journal.append([b"100:msua1:log:-:ok\n"])
    assert len(caplog.records) == 1 and "can't be written" in caplog.text


def test_the_command_tells_time_beginning_and_executions(tmp_path: Path) -> None:
    with Lond(make_site(tmp_path)) as lond:
        now = lond.services.time
        assert lond.ask("journal") == b"%d::" % now
        path = journal_path(lond.site.config)
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(Journal(path, 1000)) as journal:
            journal.append([b"100:msua1:log:%b:ok\n" % D, b"200:msua1:log:%b:error 2\n" % D, b"1:x:log:-:ok\n"])
        assert lond.ask(b"journal:log:" + D) == b"%d:100:100=ok&200=error 2" % now
        assert lond.ask("journal:log:-") == b"%d:100:" % now
        assert lond.ask("journal:log:xyz") == b"error: 22 not a digest"
        assert lond.ask("journal:a b") == b"error: 22 not a command"
