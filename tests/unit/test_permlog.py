"""The perm log: the form of a line, what is kept out of it, and writing that fails."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.permlog import Event, PermLog, perm_log_line

WHEN = 1795353980.7


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize(
    ("event", "command", "shown"),
    [
        (Event.DELAYED, b"put:msu:smith:env:a=b", b"D:msul1:put:msu:smith:env:a=b"),
        (Event.SENT, b"ping", b"S:msul1:ping"),
        (Event.FAILED, b"log:a\tb\x7f\xc3\xa9%0a", b"F:msul1:log:a%09b%7f%c3%a9%0a"),
        (Event.SENT, b"encrypt:rolesput:a:b", b"S:msul1:rolesput"),
        (Event.SENT, b"encrypt:ping", b"S:msul1:ping"),
        (Event.SENT, b"passwd:msu:smith:old:new", b"S:msul1:passwd"),
        (Event.SENT, b"auth:msu:smith:secret", b"S:msul1:auth"),
        (Event.SENT, b"encrypt:\n", b"S:msul1:%0a"),
    ],
)
def test_line(event: Event, command: bytes, shown: bytes) -> None:
    line = perm_log_line(event, "msul1", command, WHEN)
    assert line == b"1795353980:" + shown + b":Sun Nov 22 13:26:20 2026\n"


@given(command=st.binary(max_size=300))
def test_one_event_is_one_plain_line(command: bytes) -> None:
    line = perm_log_line(Event.DELAYED, "msul1", command, WHEN)
    assert re.fullmatch(rb"[\x20-\x7e]+\n", line)


@given(secret=st.binary(max_size=30).map(lambda b: b"secret" + b))
def test_nothing_behind_the_word_of_an_encrypted_command_is_shown(secret: bytes) -> None:
    line = perm_log_line(Event.DELAYED, "msul1", b"encrypt:auth:" + secret, WHEN)
    assert line == perm_log_line(Event.DELAYED, "msul1", b"auth", WHEN)


def test_writes_append(tmp_path: Path) -> None:
    path = tmp_path / "lonnet.perm.log"
    log = PermLog(path, lambda: WHEN)
    log.write(Event.DELAYED, "msul1", b"one", b"two")
    path.rename(tmp_path / "rotated")
    log.write(Event.SENT, "msul1", b"three")
    assert (tmp_path / "rotated").read_bytes().count(b"\n") == 2
    assert path.read_text() == "1795353980:S:msul1:three:Sun Nov 22 13:26:20 2026\n"
    assert path.stat().st_mode & 0o007 == 0


def test_lines_of_many_writers_do_not_mix(tmp_path: Path) -> None:
    log = PermLog(tmp_path / "lonnet.perm.log", lambda: WHEN)

    def write(command: bytes) -> None:
        for _ in range(50):
            log.write(Event.DELAYED, "msul1", command)

    commands = [bytes([letter]) * 9000 for letter in b"abcd"]
    threads = [threading.Thread(target=write, args=(command,)) for command in commands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / "lonnet.perm.log").read_bytes().splitlines(keepends=True)
    assert len(lines) == 200
    assert set(lines) == {perm_log_line(Event.DELAYED, "msul1", command, WHEN) for command in commands}


def test_failure_is_told_once_until_writing_works_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = PermLog(tmp_path / "logs" / "lonnet.perm.log")
    with caplog.at_level(logging.WARNING):
        log.write(Event.DELAYED, "msul1", b"one")
        log.write(Event.DELAYED, "msul1", b"two")
        assert len(caplog.records) == 1
        assert "No such file or directory" in caplog.text
        log.path.parent.mkdir()
        log.write(Event.DELAYED, "msul1", b"three")
        log.path.unlink()
        log.path.parent.rmdir()
        log.write(Event.DELAYED, "msul1", b"four")
    assert len(caplog.records) == 2


def test_full_disk_fails_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        PermLog(Path("/dev/full")).write(Event.DELAYED, "msul1", b"one")
    assert "No space left" in caplog.text


def test_line_cut_short_is_a_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", lambda fd, line: len(line) - 1)
    with caplog.at_level(logging.WARNING):
        PermLog(tmp_path / "log").write(Event.DELAYED, "msul1", b"one")
    assert "only a part" in caplog.text
