"""A write that was answered ``ok`` is on disk, whoever is killed at whatever moment.

The same code with bigger numbers runs under ``scripts/soak`` (LON_SOAK_CHILDREN).
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import pytest

from lonnet import Lonnet
from tests.conftest import Measured
from tests.helpers.callers import Caller, start_caller
from tests.helpers.federation import Federation, Host
from tests.helpers.waiting import eventually

KILLS = int(os.environ.get("LON_SOAK_CHILDREN", "200"))
WRITERS, USERS = 8, 20


def user(number: int) -> str:
    return f"user{number}"


def make_users(host: Host) -> None:
    for number in range(USERS):
        directory = host.directory / "users" / "msu" / "u" / "s" / "e" / user(number)
        directory.mkdir(parents=True)
        (directory / "passwd").write_text("none:\n")


def writer(name: int) -> Callable[[Lonnet, Callable[[], bool], Callable[[str], None]], None]:
    """Writes a fresh key each time, and reports those that were answered ``ok``."""

    def write(net: Lonnet, wanted: Callable[[], bool], report: Callable[[str], None]) -> None:
        number = 0
        while wanted():
            who, key = user(number % USERS), f"k{name}_{number}"
            if net.reply(f"put:msu:{who}:data:{key}={number}", "msul1", timeout=20) == "ok":
                report(f"{who} {key} {number}")
            number += 1

    return write


@pytest.mark.timeout(3600)
def test_what_was_answered_ok_is_there(federation: Callable[..., Federation], measured: Measured) -> None:
    seed = random.SystemRandom().randrange(10**6)
    rng = random.Random(seed)
    fed = federation(["msua1", "msul1"], settings={"lonRetryFirst": "0.05", "lonStableAfter": "0"})
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    make_users(there)
    writers = [start_caller(here.conf, fed.directory / f"writer{n}", writer(n)) for n in range(WRITERS)]
    killed = 0
    while killed < KILLS:
        before = answered(writers)
        eventually(partial(some_more, writers, before), 60)
        for slot in there.lond.slots():
            if slot.host == "msua1" and rng.random() < 0.9:
                with suppress(ProcessLookupError):
                    os.kill(slot.pid, signal.SIGKILL)
                    killed += 1
    for caller in writers:
        caller.stop()
    acknowledged = [line.split(" ") for caller in writers for line in caller.join()]

    here.wait_for_link("msul1")
    stored = {number: contents(there, user(number)) for number in range(USERS)}
    missing = [line for line in acknowledged if stored[int(line[0][4:])].get(line[1]) != line[2]]
    assert missing == [], f"seed {seed}"
    measured(f"{killed} children killed: {len(acknowledged)} writes answered ok, all of them there")


def answered(writers: Sequence[Caller]) -> int:
    return sum(caller.result.stat().st_size for caller in writers if caller.result.exists())


def some_more(writers: Sequence[Caller], before: int) -> bool:
    return answered(writers) > before + 20


def contents(host: Host, name: str) -> dict[str, str]:
    """What one user has in the namespace, from a database that must be sound."""
    db = sqlite3.connect(host.directory / "users" / "msu" / "u" / "s" / "e" / name / "records.db")
    try:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        query = "SELECT key, value FROM entry JOIN namespace ON namespace.id = entry.namespace WHERE namespace.name = ?"
        return {bytes(key).decode(): bytes(value).decode() for key, value in db.execute(query, (b"data",))}
    finally:
        db.close()
