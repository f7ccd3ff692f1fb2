"""Copies in use that are compared with their home servers: when, and what becomes of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lonnet import renewal
from tests.helpers.one_host import HOME, PATH, OneHost, copy_at

OTHER = "msu/smith/b.html"
FOREIGN = "http://elsewhere.example/raw/msu/smith/a.html"


@pytest.fixture
def host(tmp_path: Path) -> OneHost:
    return OneHost(tmp_path)


def due_copy(host: OneHost, path: str = PATH) -> Path:
    """A copy that is in use and was compared long ago."""
    file = copy_at(host, path)
    os.utime(f"{file}.meta", (0, 0))
    return file


def is_due(file: Path) -> bool:
    return Path(f"{file}.meta").stat().st_mtime == 0


def subscriptions(host: OneHost) -> list[str]:
    return [line.rpartition("/")[2] for line in host.sent if line.startswith(f"{HOME} sub:")]


def test_nobody_is_asked_before_it_is_due(host: OneHost) -> None:
    copy_at(host)
    assert host.resources.sweep().kept == 1
    assert host.sent == []


def test_a_silent_home_server_costs_one_try_and_no_copy(host: OneHost, caplog: pytest.LogCaptureFixture) -> None:
    files = [due_copy(host, path) for path in (PATH, OTHER)]
    host.answers["sub"] = "con_lost"
    for tries in (1, 2):
        assert host.resources.sweep().kept == 2
        assert len(subscriptions(host)) == tries == caplog.text.count(f"copies from {HOME} are not compared")
    assert all(file.read_bytes() == b"one" and is_due(file) for file in files)


def test_what_fails_for_its_own_reason_does_not_hold_up_the_others(host: OneHost) -> None:
    files = [due_copy(host, path) for path in (PATH, OTHER)]
    host.answers["sub"] = FOREIGN
    host.resources.sweep()
    assert subscriptions(host) == ["a.html", "b.html"]
    assert all(file.read_bytes() == b"one" and not is_due(file) for file in files)


@pytest.mark.parametrize("reply", ["not_found", "rejected"])
def test_what_the_home_server_does_not_give_any_more_goes(host: OneHost, reply: str) -> None:
    file = due_copy(host)
    host.answers |= {"sub": reply, "unsub": "not_subscribed"}
    host.resources.sweep()
    assert not file.exists()


def test_a_sweep_begins_renewals_for_a_while_only(host: OneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    file = due_copy(host)
    monkeypatch.setattr(renewal, "SWEEP_SECONDS", 0.0)
    assert host.resources.sweep().kept == 1
    assert host.sent == [] and is_due(file)


def test_the_copy_of_an_author_who_has_moved_here_becomes_an_original(tmp_path: Path) -> None:
    host = OneHost(tmp_path, own=HOME)
    file = due_copy(host)
    host.resources.sweep()
    assert file.read_bytes() == b"one" and not Path(f"{file}.copy").exists()
    assert subscriptions(host) == []
