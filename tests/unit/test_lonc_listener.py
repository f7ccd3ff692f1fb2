"""The UNIX socket of a lonc child: how it comes into its directory, and what may happen to that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.loop import Loop
from lonc.listener import Listener, hidden_path
from tests.helpers.in_child import in_child

HOST = "msul1"
NOBODY = 65534


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    loop = Loop()
    made = Listener(loop, tmp_path / HOST, lambda: True, lambda connection: connection.close())
    yield made
    made.disappear()
    loop.close()


def test_nobody_finds_the_socket_before_the_link_stands(listener: Listener, tmp_path: Path) -> None:
    listener.prepare()
    hidden = hidden_path(tmp_path / HOST, os.getpid())
    assert list(tmp_path.iterdir()) == [hidden] and not listener.vanished
    listener.appear()
    assert list(tmp_path.iterdir()) == [tmp_path / HOST]


def test_a_socket_whose_link_never_stood_is_taken_away(listener: Listener, tmp_path: Path) -> None:
    listener.prepare()
    listener.disappear()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_closed_to_us_is_one_without_our_socket(listener: Listener, tmp_path: Path) -> None:
    listener.prepare()
    listener.appear()
    assert not listener.vanished

    def without_access() -> tuple[bool, bool]:
        tmp_path.chmod(0)
        if os.geteuid() == 0:  # whom no mode keeps out
            os.seteuid(NOBODY)
        vanished = listener.vanished
        listener.disappear()
        return vanished, listener.vanished

    try:
        assert in_child(without_access) == (True, False)
    finally:
        tmp_path.chmod(0o700)
    assert (tmp_path / HOST).exists()
