"""Somebody floods a user's log-in on an access server with guesses; the user comes in there all the same: with a known
browser from anywhere, with any browser from another network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from common.login_lanes import LoginLane
from lonnet import Lonnet
from lonnet.errors import RemoteError
from tests.helpers.waiting import eventually
from tests.helpers.web import Browser, app_of
from tests.network.conftest import FederationFactory

STRANGERS, SECONDS = 16, 60.0
BASE = "https://msua1.example.org"
SERVED = 8  # log-ins of another lane at once; as many strangers may wait, all others are turned away
SETTINGS = {"londThrottleMax": "1", "lonLoginWait": "20", "lonLoginsWaiting": str(SERVED), "lonLoginBurst": "1000"}


@pytest.fixture
def net(federation: FederationFactory) -> Lonnet:
    """A handler's client on the access server; smith lives on a library server."""
    made = federation(["msul1", "msua1"], settings=SETTINGS)
    net = made.hosts["msua1"].lonnet()
    net.user("smith", "msu").create("internal", "secret", host="msul1")
    return net


@contextmanager
def flood(guess: Callable[[int], bool]) -> Iterator[Callable[[], bool]]:
    """Strangers who guess all at once, again and again; gives a wait for one of them to be turned away from now on.

    :param guess: one guess of the stranger with a number; whether it was told to try again.
    """
    ended, turned_away = threading.Event(), threading.Event()

    def stranger(number: int) -> None:
        while not ended.is_set():
            if guess(number):
                turned_away.set()

    def next_turned_away() -> bool:
        turned_away.clear()
        return turned_away.wait(SECONDS)

    with ThreadPoolExecutor(STRANGERS) as pool:
        strangers = [pool.submit(stranger, number) for number in range(STRANGERS)]
        try:
            assert next_turned_away()
            yield next_turned_away
        finally:
            ended.set()
    for one in strangers:
        one.result()


def test_after_failures_log_ins_are_delayed_and_not_refused(net: Lonnet) -> None:
    smith = net.user("smith", "msu")

    def refused_at_once() -> bool:  # unless this process is held up for longer than the gap of 1 s
        assert [smith.authenticate("guess") for _ in range(5)] == [False] * 5
        return net.reply("encrypt:auth:msu:smith:secret", "msul1").startswith("error: 11 ")

    eventually(refused_at_once)
    assert smith.authenticate("secret")


@pytest.mark.parametrize("lane", [LoginLane.KNOWN, LoginLane.FRESH])
def test_log_ins_of_other_lanes_succeed_while_strangers_are_turned_away(net: Lonnet, lane: LoginLane) -> None:
    smith = net.user("smith", "msu")

    def guess(_number: int) -> bool:
        try:
            assert smith.authenticate("guess") is False
        except RemoteError as error:
            assert error.number == 11
            return True
        return False

    with flood(guess) as turned_away, ThreadPoolExecutor(SERVED) as pool:
        served = [pool.submit(smith.authenticate, "secret", lane=lane) for _ in range(SERVED)]
        assert [one.result() for one in served] == [True] * SERVED
        assert turned_away()
        smith.change_password("secret", "another", lane=lane)
        assert smith.authenticate("another", lane=lane)
        assert turned_away(), "the flood was still on"


def test_a_browser_of_earlier_and_one_from_elsewhere_get_in(net: Lonnet) -> None:
    app = app_of(net)
    earlier = Browser(app, "127.9.9.9", BASE)
    assert earlier.log_in().status_code == 303
    earlier.submit("/adm/logout", {})
    strangers = [Browser(app, f"127.9.9.{number}", BASE) for number in range(10, 10 + STRANGERS)]

    def guess(number: int) -> bool:
        answer = strangers[number].log_in(password="guess")
        assert answer.status_code in (401, 503)
        return "too much to do" in answer.text

    with flood(guess) as turned_away:
        for _ in range(2):
            assert earlier.log_in().status_code == 303
            earlier.submit("/adm/logout", {})
        assert Browser(app, "127.9.8.7", BASE).log_in().status_code == 303
        assert turned_away(), "the flood was still on"
