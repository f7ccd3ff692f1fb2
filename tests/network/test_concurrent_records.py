"""Callers on several access servers that write the same records at once, against what holds for any interleaving.

What a call did happened at one moment between its begin and its end. So there must be one order of all calls in which a
plain dictionary gives every answer that was given, and ends as the namespace ended; one that agrees with the order of
calls of which one had ended before the other began. Counters and stored versions are checked for the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from random import Random, SystemRandom
from threading import Barrier
from typing import NamedTuple

import pytest

from lonnet import Delivery, Lonnet
from lonnet.errors import KeyExists
from lonnet.users import User
from tests.conftest import Measured
from tests.helpers.federation import Federation, running
from tests.helpers.members import make_member
from tests.helpers.soaking import TIMES

SERVERS = ["msua1", "msua2", "msua3"]
CALLERS, STEPS = 6, 50
KEYS = ("a", "b", "c")
SEATS = [f"seat{number}" for number in range(40)]
SEEDS = [SystemRandom().randrange(10**6) for _ in range(3 * min(TIMES, 20))]

Values = Mapping[str, str]


@dataclass(frozen=True)
class Call:
    """One call on the shared keys, as its caller saw it.

    :param kind: put, newput, delete or get.
    :param values: what is written, or was read; of a delete the keys alone.
    :param refused: newput: a key was there.
    """

    kind: str
    values: Values
    begin: float = 0.0
    end: float = 0.0
    refused: bool = False

    def after(self, held: Values) -> Values | None:
        """What a dictionary holds after this call; None: the call's answer would have been another one."""
        if self.kind == "get":
            return held if all(held.get(key, "") == value for key, value in self.values.items()) else None
        if self.kind == "delete":
            return {key: value for key, value in held.items() if key not in self.values}
        if self.kind == "newput" and self.refused != bool(held.keys() & self.values.keys()):
            return None
        return held if self.refused else {**held, **self.values}


class Added(NamedTuple):
    """One call on the counter: what it added, or, if nothing, what it read."""

    begin: float
    end: float
    amount: int
    read: int


class Stored(NamedTuple):
    """One version that was stored, by the caller and its step."""

    begin: float
    end: float
    mark: str


class Caller:
    """A random sequence of calls, and what became of each."""

    def __init__(self, number: int, user: User, seed: int) -> None:
        self._number, self._user, self._random = number, user, Random(f"{seed} {number}")
        self.calls: list[Call] = []
        self.counted: list[Added] = []
        self.stored: list[Stored] = []
        self.seats: list[str] = []

    def run(self, together: Barrier) -> None:
        """All steps; the first one when all callers are ready."""
        together.wait()
        for step in range(STEPS):
            mark = f"{self._number}.{step}"
            self._random.choice([self._write, self._read, self._read, self._count, self._store, self._take])(mark)

    def _write(self, mark: str) -> None:
        kind = self._random.choice(["put", "put", "newput", "delete"])
        keys = self._random.sample(KEYS, self._random.randint(1, 2))
        self._made(Call(kind, dict.fromkeys(keys, mark)))

    def _read(self, _mark: str) -> None:
        self._made(Call("get", dict.fromkeys(KEYS, "")))

    def _made(self, call: Call) -> None:
        begin, refused, values = time.monotonic(), False, call.values
        if call.kind == "get":
            values = self._user.get("shared", *values)
        elif call.kind == "put":
            assert self._user.put("shared", values) is Delivery.DONE
        elif call.kind == "delete":
            assert self._user.delete("shared", *values) is Delivery.DONE
        else:
            refused = not self._is_new("shared", values)
        self.calls.append(replace(call, values=values, refused=refused, begin=begin, end=time.monotonic()))

    def _is_new(self, namespace: str, values: Values) -> bool:
        try:
            self._user.newput(namespace, values)
        except KeyExists:
            return False
        return True

    def _count(self, _mark: str) -> None:
        amount, read, begin = self._random.randrange(4), 0, time.monotonic()
        if amount:
            assert self._user.inc("counters", {"n": amount}) is Delivery.DONE
        else:
            read = int(self._user.get("counters", "n")["n"] or 0)
        self.counted.append(Added(begin, time.monotonic(), amount, read))

    def _store(self, mark: str) -> None:
        begin = time.monotonic()
        assert self._user.store("work", "problem", {"mark": mark}) is Delivery.DONE
        self.stored.append(Stored(begin, time.monotonic(), mark))

    def _take(self, _mark: str) -> None:
        seat = self._random.choice(SEATS[: 1 + len(self.calls)])  # all callers want the same ones at the same time
        if self._is_new("seats", {seat: str(self._number)}):
            self.seats.append(seat)


def has_an_order(callers: Sequence[Sequence[Call]], last: Values) -> bool:
    """Whether there is one order of all calls that explains every answer, and what was there at last."""
    open_ends: list[tuple[tuple[int, ...], Values]] = [((0,) * len(callers), {})]
    seen = set()
    while open_ends:
        done, held = open_ends.pop()
        # A read that fits now can come now: whatever is possible without it is possible after it.
        while reads := [at for at in _possible(callers, done) if callers[at][done[at]].kind == "get"]:
            fitting = [at for at in reads if callers[at][done[at]].after(held) is not None]
            if not fitting:
                break
            done = _one_more(done, fitting[0])
        if all(count == len(calls) for count, calls in zip(done, callers, strict=True)) and held == last:
            return True
        if (state := (done, frozenset(held.items()))) in seen:
            continue
        seen.add(state)
        for at in _possible(callers, done):
            after = callers[at][done[at]].after(held)
            if after is not None:
                open_ends.append((_one_more(done, at), after))
    return False


def _possible(callers: Sequence[Sequence[Call]], done: Sequence[int]) -> list[int]:
    """Whose next call can come next: no other one that is still to come had ended before it began."""
    following = {
        at: calls[count] for at, (calls, count) in enumerate(zip(callers, done, strict=True)) if count < len(calls)
    }
    first_end = min((call.end for call in following.values()), default=0.0)
    return [at for at, call in following.items() if call.begin <= first_end]


def _one_more(done: tuple[int, ...], at: int) -> tuple[int, ...]:
    return (*done[:at], done[at] + 1, *done[at + 1 :])


def wrong_counts(counted: Sequence[Added]) -> list[Added]:
    """Reads of the counter that missed what was added before, or had what was added only afterwards."""
    wrong = []
    for one in counted:
        if not one.amount:
            least = sum(other.amount for other in counted if other.end < one.begin)
            most = sum(other.amount for other in counted if other.begin <= one.end)
            wrong += [one] if not least <= one.read <= most else []
    return wrong


def out_of_order(stored: Sequence[Stored], found: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of versions of which the first had been stored before the second was begun, and stands behind it."""
    place = {mark: number for number, mark in enumerate(found)}
    return [(a.mark, b.mark) for a in stored for b in stored if a.end < b.begin and place[a.mark] > place[b.mark]]


# --- the checks find what is wrong ------------------------------------------------------------------------


def test_what_no_order_explains_is_found() -> None:
    def call(kind: str, begin: float, end: float, refused: bool = False, **values: str) -> Call:
        return Call(kind, values, begin, end, refused)

    put_a, put_b = call("put", 1, 3, a="1"), call("put", 2, 4, a="2")
    assert has_an_order([[put_a], [put_b]], {"a": "1"}) and has_an_order([[put_a], [put_b]], {"a": "2"})
    assert not has_an_order([[put_a], [put_b]], {}), "both lost"
    assert not has_an_order([[put_a], [call("put", 4, 5, a="2")]], {"a": "1"}), "the later one lost"
    old = call("get", 4, 5, a="")
    assert not has_an_order([[put_a], [old]], {"a": "1"}) and has_an_order(
        [[put_a], [call("get", 2, 5, a="")]], {"a": "1"}
    )
    back = [call("get", 1, 2, a="1"), call("get", 3, 4, a="")]
    assert not has_an_order([[call("put", 1, 9, a="1")], back], {"a": "1"}), "read, and then not any more"
    torn = [[call("put", 1, 9, a="1", b="1")], [call("get", 1, 9, a="1", b="")]]
    assert not has_an_order(torn, {"a": "1", "b": "1"}), "half of a call"
    news = [[call("newput", 1, 9, a="1")], [call("newput", 1, 9, a="2")]]
    assert not has_an_order(news, {"a": "1"}), "two came first"
    news[1] = [call("newput", 1, 9, refused=True, a="2")]
    assert has_an_order(news, {"a": "1"}) and not has_an_order(news, {"a": "2"})

    assert wrong_counts([Added(1, 2, 3, 0), Added(3, 4, 0, 3), Added(3, 9, 2, 0), Added(4, 5, 0, 5)]) == []
    assert wrong_counts([Added(1, 2, 3, 0), Added(3, 4, 0, 2)]) and wrong_counts([Added(5, 6, 3, 0), Added(3, 4, 0, 3)])
    stored = [Stored(1, 2, "x"), Stored(3, 4, "y"), Stored(3, 5, "z")]
    assert out_of_order(stored, "xzy") == [] and out_of_order(stored, "yxz") == [("x", "y")]


# --- the servers ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> Iterator[Federation]:
    with running("msul1", *SERVERS) as made:
        yield made


@pytest.fixture
def nets(network: Federation) -> Iterator[list[Lonnet]]:
    """A handler's client on each access server."""
    made = [network.hosts[server].lonnet() for server in SERVERS]
    yield made
    for net in made:
        net.close()


def all_at_once(callers: Sequence[Caller]) -> None:
    together = Barrier(len(callers))
    with ThreadPoolExecutor(len(callers)) as pool:
        for running in [pool.submit(caller.run, together) for caller in callers]:
            running.result()


@pytest.mark.parametrize("seed", SEEDS)
def test_callers_on_several_access_servers_at_once_agree(
    network: Federation, nets: list[Lonnet], measured: Measured, seed: int
) -> None:
    name = f"busy{seed}"
    make_member(network.hosts["msul1"], name)
    callers = [Caller(number, nets[number % len(nets)].user(name, "msu"), seed) for number in range(CALLERS)]
    all_at_once(callers)
    user = nets[0].user(name, "msu")

    assert has_an_order([caller.calls for caller in callers], user.dump("shared"))

    counted = [one for caller in callers for one in caller.counted]
    assert wrong_counts(counted) == []
    assert int(user.get("counters", "n")["n"] or 0) == sum(one.amount for one in counted)

    stored = [one for caller in callers for one in caller.stored]
    found = [version.values["mark"] for version in user.restore("work", "problem").versions]
    assert sorted(found) == sorted(one.mark for one in stored)
    assert out_of_order(stored, found) == []

    assert user.dump("seats") == {seat: str(number) for number, caller in enumerate(callers) for seat in caller.seats}
    assert sum(len(caller.seats) for caller in callers) == len(user.dump("seats")), "a seat that two have"
    calls = [call for caller in callers for call in caller.calls]
    at_once = sum(a.begin < b.end and b.begin < a.end for a in calls for b in calls if a is not b) // 2
    measured(f"{len(calls)} calls on the same three keys, {at_once} pairs of them at the same time")
    assert at_once, "nothing happened at once"
