"""The UNIX socket of a lonc child: how it comes into its directory, and what may happen to that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.config import Config
from common.loop import Loop
from lonc.callers import Callers, hidden_path
from tests.helpers.in_child import in_child

HOST = "msul1"
NOBODY = 65534


@pytest.fixture
def callers(tmp_path: Path) -> Iterator[Callers]:
    loop = Loop()
    made = Callers(loop, Config(host_id="msua1"), tmp_path / HOST, lambda _caller, _line: None)
    yield made
    made.disappear()
    loop.close()


def test_nobody_finds_the_socket_before_the_link_stands(callers: Callers, tmp_path: Path) -> None:
    callers.prepare()
    hidden = hidden_path(tmp_path / HOST, os.getpid())
    assert list(tmp_path.iterdir()) == [hidden] and not callers.vanished
    callers.appear()
    assert list(tmp_path.iterdir()) == [tmp_path / HOST]


def test_a_socket_whose_link_never_stood_is_taken_away(callers: Callers, tmp_path: Path) -> None:
    callers.prepare()
    callers.disappear()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_closed_to_us_is_one_without_our_socket(callers: Callers, tmp_path: Path) -> None:
    callers.prepare()
    callers.appear()
    assert not callers.vanished

    def without_access() -> tuple[bool, bool]:
        tmp_path.chmod(0)
        if os.geteuid() == 0:  # whom no mode keeps out
            os.seteuid(NOBODY)
        vanished = callers.vanished
        callers.disappear()
        return vanished, callers.vanished

    try:
        assert in_child(without_access) == (True, False)
    finally:
        tmp_path.chmod(0o700)
    assert (tmp_path / HOST).exists()
