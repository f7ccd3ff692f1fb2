"""Passwords about which somebody else is asked, who takes very long over wrong ones: the link goes on, known browsers
get in, and others have the outcome as soon as it is there."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.login_lanes import LoginLane
from lonnet import Lonnet
from tests.helpers.federation import QUICK, Federation

# A password "guess" is thought about for as long as somebody holds the lock on a file.
CHECK = """
import fcntl

def check(domain, user, password, argument):
    if password == b"guess":
        with open(argument, "ab", buffering=0) as file:
            file.write(b".")
            fcntl.flock(file, fcntl.LOCK_SH)
    return password == b"secret"
"""
USERS = [f"user{number}" for number in range(6)]
WORKERS = 2  # fewer than users


class Thinking:
    """Wrong passwords are being thought about, until :meth:`end`."""

    def __init__(self, path: Path) -> None:
        self.path, self._file = path, path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    @property
    def count(self) -> int:
        """How many passwords were thought about so far, those included that still are."""
        return self.path.stat().st_size

    def end(self) -> None:
        """Whoever is thinking has come to an end."""
        self._file.close()


@pytest.fixture
def thinking(tmp_path: Path) -> Iterator[Thinking]:
    thinking = Thinking(tmp_path / "lock")
    yield thinking
    thinking.end()


@pytest.fixture
def net(tmp_path: Path, thinking: Thinking, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lonnet]:
    """A handler's client on the access server; all users live on the library server, and smith has a record there."""
    package = tmp_path / "package"
    (package / "thinker-1.dist-info").mkdir(parents=True)
    (package / "thinker-1.dist-info" / "entry_points.txt").write_text("[lond.localauth]\nthinker = thinker:check\n")
    (package / "thinker.py").write_text(CHECK)
    monkeypatch.setenv("PYTHONPATH", str(package))
    settings = {**QUICK, "londAskWorkers": str(WORKERS), "londHashTimeout": "60"}
    made = Federation(["msul1", "msua1"], settings=settings)
    made.start()
    try:
        net = made.hosts["msua1"].lonnet()
        for user in USERS:
            net.user(user, "msu").create("localauth", f"thinker:{tmp_path / 'lock'}", host="msul1")
        net.user("smith", "msu").create("internal", "secret", host="msul1")
        net.user("smith", "msu").put("data", {"a": "1"})
        yield net
    finally:
        thinking.end()
        made.close()


def guess(net: Lonnet, user: str, lane: str) -> str:
    return net.reply(f"encrypt:auth:msu:{user}:guess:{lane}", "msul1")


def test_guesses_that_take_long_hold_up_no_link_and_no_known_browser(net: Lonnet, thinking: Thinking) -> None:
    for user in USERS:
        assert guess(net, user, "strangers").startswith("error: 115 ")
        assert net.user("smith", "msu").get("data", "a") == {"a": "1"}, "other replies don't wait for it"
    for user in USERS:
        assert net.user(user, "msu").authenticate("secret", lane=LoginLane.KNOWN), "all other workers are busy"
    with ThreadPoolExecutor(1) as pool:
        fresh = pool.submit(net.user(USERS[0], "msu").authenticate, "secret", lane=LoginLane.FRESH)
        assert net.user("smith", "msu").authenticate("secret")
        assert not fresh.done()
        thinking.end()
        assert fresh.result() is True


@pytest.mark.parametrize("lane", ["strangers", "fresh", "known"])
def test_the_outcome_is_there_for_who_comes_again(net: Lonnet, thinking: Thinking, lane: str) -> None:
    user = net.user(USERS[0], "msu")
    for _ in range(2):
        assert guess(net, USERS[0], lane).startswith("error: 115 ")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(user.authenticate, "guess", lane=LoginLane(lane))
        thinking.end()
        assert waiting.result() is False
    assert thinking.count == 1, "it was checked once"
