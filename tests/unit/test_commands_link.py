"""Every reply of the commands about the link and the host."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest

from lond.commands.link import OWN_VERSION
from tests.helpers.dispatching import Lond, make_site


@pytest.fixture
def lond(tmp_path: Path) -> Iterator[Lond]:
    with Lond(make_site(tmp_path, lonLoadLim="4.0", lonUserLoadLim=40)) as lond:
        yield lond


def test_ping_and_pong(lond: Lond) -> None:
    assert lond.ask("ping") == b"msul1"
    assert lond.ask("ping:") == b"msul1"
    assert lond.ask("pong") == b"msul1:msua1"
    assert lond.services.pinged == ["msua1"]


def test_load_and_userload(lond: Lond) -> None:
    assert lond.ask("load") == b"12.5"
    assert lond.ask("userload") == b"7.50"


def test_userload_is_off_by_default(tmp_path: Path) -> None:
    with Lond(make_site(tmp_path)) as lond:
        assert lond.ask("userload") == b"0.00"


def test_version_is_told_and_remembered(lond: Lond) -> None:
    assert lond.ask("version:1.2:x\xff") == b"version:" + OWN_VERSION
    assert lond.session.version.startswith("1.2:x")
    assert lond.ask("version") == b"version:" + OWN_VERSION


def test_own_version_is_the_package_s() -> None:
    package = importlib.metadata.metadata("loncapa-net")
    assert OWN_VERSION.decode() == f"{package['Name']}-{package['Version']}"


@pytest.mark.parametrize("host", [b"msua1", b"unknown", b"", b"\xff", b"MSUL1"])
def test_sethost_to_a_host_that_we_are_not(lond: Lond, host: bytes) -> None:
    assert lond.ask(b"sethost:" + host) == b"unable_to_set"


def test_sethost_to_ourselves(lond: Lond) -> None:
    assert lond.ask("sethost:msul1") == b"ok"


def test_home_is_where_the_passwd_file_is(lond: Lond) -> None:
    assert lond.ask("home:msu:smith") == b"not_found"
    (lond.storage.user_directory(b"msu", b"smith") / "passwd").write_text("internal:x\n")
    assert lond.ask("home:msu:smith") == b"found"
    assert lond.ask("home:msu:nobody") == b"not_found"
    assert lond.ask("home:hub:smith") == b"not_found"


@pytest.mark.parametrize("word", ["init", "ekey", "exit", "quit", "", "PING", "pingg", "\xff"])
def test_what_is_not_the_dispatchers_is_unknown(lond: Lond, word: str) -> None:
    assert lond.ask(word) == b"unknown_cmd"
