"""Tries for each address and each known browser, shared by all who look."""

from __future__ import annotations

import fcntl
import math
import os
import struct
import threading
from pathlib import Path

import pytest

from lonnet.handlers.throttle import Throttle, of_address, of_browser, of_network_and_user
from tests.conftest import FakeClock

A, B, C = of_address("127.0.0.1"), of_address("127.0.0.2"), of_browser(b"\x7f\0\0\1")


@pytest.fixture
def throttle(tmp_path: Path, clock: FakeClock) -> Throttle:
    return Throttle(tmp_path / "throttle", 3, 10.0, clock)


def test_a_bucket_has_its_tries_and_gets_them_back_one_by_one(throttle: Throttle, clock: FakeClock) -> None:
    assert [throttle.take(A) for _ in range(4)] == [0.0, 0.0, 0.0, 10.0]
    clock.advance(9)
    assert throttle.take(A) == 1.0
    clock.advance(1)
    assert [throttle.take(A) for _ in range(2)] == [0.0, 10.0]
    clock.advance(1000)
    assert [throttle.take(A) for _ in range(4)] == [0.0, 0.0, 0.0, 10.0]


def test_each_address_and_browser_has_its_own(throttle: Throttle) -> None:
    assert [throttle.take(A) for _ in range(4)][-1] == 10.0
    assert throttle.take(B) == 0.0
    assert [throttle.take(C) for _ in range(4)][-1] == 10.0
    assert throttle.take(of_browser(b"\x7f\0\0\2")) == 0.0


def test_what_is_given_back_can_be_taken_again(throttle: Throttle) -> None:
    for _ in range(20):
        assert throttle.take(A) == 0.0
        throttle.give_back(A)


def test_all_processes_share_the_buckets(throttle: Throttle, tmp_path: Path, clock: FakeClock) -> None:
    others = [Throttle(tmp_path / "throttle", 3, 10.0, clock) for _ in range(8)]
    waits: list[float] = []
    together = [threading.Thread(target=lambda t=other: waits.append(t.take(A))) for other in others]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert sorted(waits) == [0.0] * 3 + [10.0] * 5


def test_a_network_of_ipv6_is_one_address(throttle: Throttle) -> None:
    assert [throttle.take(of_address(f"2001:db8:1:1::{n}")) for n in range(1, 5)][-1] == 10.0
    assert throttle.take(of_address("2001:db8:1:2::1")) == 0.0


def test_ipv4_in_the_clothes_of_ipv6_is_ipv4() -> None:
    assert of_address("::ffff:127.0.0.1") == A
    assert of_network_and_user("::ffff:127.0.0.1", "smith", "msu") == of_network_and_user("127.0.0.9", "smith", "msu")


def test_a_network_and_a_user_have_a_bucket_of_their_own(throttle: Throttle) -> None:
    places = ["192.0.2.1", "192.0.3.1", "2001:db8:1::1", "2001:db8:2::1", "nowhere"]
    buckets = {of_network_and_user(place, *who) for place in places for who in (("a", "bc"), ("ab", "c"), ("a", "c"))}
    assert len(buckets) == 15
    assert of_network_and_user("192.0.2.1", "a", "bc") == of_network_and_user("192.0.2.255", "a", "bc")
    assert of_network_and_user("2001:db8:1::1", "a", "b") == of_network_and_user("2001:db8:1:ffff::", "a", "b")
    assert all([throttle.take(bucket) for _ in range(4)] == [0.0, 0.0, 0.0, 10.0] for bucket in buckets)
    assert throttle.take(of_network_and_user("192.0.2.1", "../../\0\ud800", "x" * 5000)) == 0.0


@pytest.mark.parametrize("odd", ["", "../../x", "unix:", "a" * 5000, "\0", C])
def test_what_is_no_address_shares_a_bucket(throttle: Throttle, tmp_path: Path, odd: str) -> None:
    assert throttle.take(of_address(odd)) == 0.0
    assert os.listdir(tmp_path / "throttle") == ["unknown"]


def test_no_interval_is_no_limit(tmp_path: Path) -> None:
    throttle = Throttle(tmp_path / "throttle", 1, 0.0)
    assert [throttle.take(A) for _ in range(50)] == [0.0] * 50
    throttle.give_back(A)
    assert not (tmp_path / "throttle").exists()


def test_full_buckets_have_no_file(throttle: Throttle, tmp_path: Path, clock: FakeClock) -> None:
    throttle.sweep()
    throttle.take(A)
    throttle.take(B)
    assert sorted(os.listdir(tmp_path / "throttle")) == [A, B]
    throttle.give_back(A)
    clock.advance(9)
    throttle.sweep()
    assert os.listdir(tmp_path / "throttle") == [B]
    clock.advance(1)
    throttle.sweep()
    assert os.listdir(tmp_path / "throttle") == []


def test_nobody_else_looks_into_the_directories(tmp_path: Path, clock: FakeClock) -> None:
    Throttle(tmp_path / "ids" / "throttle", 3, 10.0, clock).take(A)
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "ids", tmp_path / "ids" / "throttle")] == [0o700] * 2


def test_a_try_is_never_written_to_a_file_that_was_deleted(
    throttle: Throttle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock_behind_a_sweep(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        (tmp_path / "throttle" / A).unlink()
        fcntl.flock(descriptor, operation)

    monkeypatch.setattr("lonnet.handlers.throttle.fcntl.flock", flock_behind_a_sweep)
    assert [throttle.take(A) for _ in range(4)] == [0.0, 0.0, 0.0, 10.0]


def test_a_clock_that_was_ahead_keeps_nobody_out_for_longer(throttle: Throttle, clock: FakeClock) -> None:
    clock.advance(1e7)
    throttle.take(A)
    clock.advance(-1e7)
    assert [throttle.take(A) for _ in range(4)] == [0.0, 0.0, 0.0, 10.0]


@pytest.mark.parametrize("damaged", [b"x", struct.pack("<d", math.nan), struct.pack("<d", -math.inf)])
def test_a_damaged_bucket_is_a_full_one(throttle: Throttle, tmp_path: Path, damaged: bytes) -> None:
    throttle.take(A)
    (tmp_path / "throttle" / A).write_bytes(damaged)
    assert [throttle.take(A) for _ in range(4)] == [0.0, 0.0, 0.0, 10.0]
