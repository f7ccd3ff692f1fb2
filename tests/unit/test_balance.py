"""spareserver: who is asked, who is chosen, and how long it takes at most."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from common.config import Config
from common.hosts_table import Host, HostsTable, Spare
from common.site import Site
from lonnet.balance import KEPT_SECONDS, Told, choice, own_percent, page_url, spareserver
from lonnet.deadline import Deadline
from lonnet.sessions import Sessions
from tests.conftest import FakeClock

OWN, A, B, C, D = "own", "a", "b", "c", "d"
LIMIT = 30.0  # seconds


class Net:
    """Answers load and userload of each host from a table; hosts that are not in it say con_lost."""

    def __init__(self, site: Site, loads: dict[str, tuple[str, str]]) -> None:
        self.site, self.loads = site, loads
        self.asked: set[tuple[str, str]] = set()
        self.timeouts: list[float] = []
        self.closed = 0

    def reply(self, command: str, host: str, timeout: float | None = None) -> str:
        assert timeout is not None
        self.asked.add((host, command))
        self.timeouts.append(timeout)
        return self.loads.get(host, ("con_lost", "con_lost"))[("load", "userload").index(command)]

    def close_thread(self) -> None:
        self.closed += 1


def site(spares: str, **settings: object) -> Site:
    hosts = {id: Host(id, "msu", "access", f"{id}.edu", f"127.0.0.{n}") for n, id in enumerate((OWN, A, B, C, D), 1)}
    kinds = {"p": "primary", "d": "default"}
    table = HostsTable(hosts, spares=tuple(Spare(word[0], kinds[word[1]]) for word in spares.split()))
    settings = {
        "balance_timeout": LIMIT,
        **settings,
    }  # a busy machine must not change a choice
    return Site(replace(Config(host_id=OWN), **settings), table)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("own", "spares", "loads", "chosen"),
    [
        (101, "ap bp", {A: 50, B: 20}, B),
        (100, "ap bp", {A: 50, B: 20}, None),  # full is not over full
        (101, "ap bp", {A: 50}, A),  # b does not answer
        (101, "ap bp", {}, None),
        (101, "", {}, None),
        (300, "ap bp cd", {A: 99, B: 150, C: 1}, A),  # a primary with room: defaults don't count
        (300, "ap bp cd", {A: 100, B: 150, C: 1}, C),  # every primary is full
        (300, "ap bp cd", {A: 120, B: 150, C: 130}, A),
        (300, "ap bp cd", {C: 130}, C),  # no primary answers
        (300, "ap cd", {A: 300, C: 300.01}, None),  # nobody is below our own
        (300, "ad bd", {A: 299, B: 298}, B),  # no primaries at all
        (300, "ap bp", {A: 10, B: 10}, A),  # the first of two equals
    ],
)
def test_choice(own: float, spares: str, loads: dict[str, float], chosen: str | None) -> None:
    answers = {host: (f"{load}", "0.00") for host, load in loads.items()}
    assert spareserver(Net(site(spares), answers), own) == chosen


@pytest.mark.parametrize(("load", "userload"), [("10", "90.00"), ("90", "10.00")])
def test_the_larger_of_load_and_userload_counts(load: str, userload: str) -> None:
    assert choice(200, (Spare(A, "primary"), Spare(B, "primary")), {A: 90, B: 80}) == B
    assert spareserver(Net(site("ap bp"), {A: (load, userload), B: ("80", "80.00")}), 200) == B


@pytest.mark.parametrize("odd", ["", "nan", "-1", "inf", "error: 5", "con_lost", "refused", "1e999", "12 "])
def test_a_host_that_gives_no_number_does_not_count(odd: str) -> None:
    net = Net(site("ap bp"), {A: (odd, "0.00"), B: ("99", "99")})
    assert spareserver(net, 200) == (A if odd == "12 " else B)


def test_who_has_room_asks_nobody() -> None:
    net = Net(site("ap"), {A: ("0", "0")})
    assert spareserver(net, 99.9) is None and net.asked == set()


def test_ourselves_in_spare_tab_are_not_asked() -> None:
    hosts = site("ap")
    table = HostsTable(hosts.table.hosts, spares=(Spare(OWN, "primary"), Spare(A, "primary")))
    net = Net(replace(hosts, table=table), {OWN: ("0", "0"), A: ("5", "5")})
    assert spareserver(net, 200) == A and net.asked == {(A, "load"), (A, "userload")}


def test_all_are_asked_at_once_within_the_limit() -> None:
    """Each answer waits until all four are asked: one after the other would end in a broken barrier."""
    barrier = threading.Barrier(4, timeout=20)

    class Together(Net):
        def reply(self, command: str, host: str, timeout: float | None = None) -> str:
            if command == "load":
                barrier.wait()
            return super().reply(command, host, timeout)

    net = Together(site("ap bp cd dd"), {C: ("1", "1")})
    assert spareserver(net, 200) == C
    assert len(net.asked) == 8 and max(net.timeouts) <= LIMIT and net.closed == 4


def test_after_the_limit_nobody_is_asked_any_more(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    class Late(Net):
        def reply(self, command: str, host: str, timeout: float | None = None) -> str:
            assert timeout is not None
            clock.advance(timeout)
            return super().reply(command, host, timeout)

    monkeypatch.setattr("lonnet.balance.Deadline", lambda seconds: Deadline(seconds, clock))
    net = Late(site("ap"), {A: ("1", "1")})
    assert spareserver(net, 200) is None and net.asked == {(A, "load")}


def test_what_was_told_is_kept_for_a_moment(clock: FakeClock) -> None:
    told = Told(clock)
    net = Net(site("ap bp"), {A: ("50", "0"), B: ("20", "0")})
    assert spareserver(net, 200, told) == B and len(net.timeouts) == 4
    net.loads = {A: ("5", "0"), B: ("20", "0")}
    clock.advance(KEPT_SECONDS - 0.1)
    assert spareserver(net, 200, told) == B and len(net.timeouts) == 4, "nobody was asked again"
    clock.advance(0.2)
    assert spareserver(net, 200, told) == A and len(net.timeouts) == 8


def test_other_spares_are_asked_at_once(clock: FakeClock) -> None:
    told = Told(clock)
    assert spareserver(Net(site("ap"), {A: ("50", "0")}), 200, told) == A
    assert spareserver(Net(site("bp"), {B: ("60", "0")}), 200, told) == B


def test_that_nobody_answers_is_kept_as_well(clock: FakeClock) -> None:
    told, net = Told(clock), Net(site("ap bp"), {})
    assert [spareserver(net, 200, told) for _ in range(3)] == [None] * 3
    assert len(net.timeouts) == 4


def test_one_thread_asks_and_the_others_wait_for_what_it_hears(clock: FakeClock) -> None:
    asked, answer = threading.Event(), threading.Event()

    class Held(Net):
        def reply(self, command: str, host: str, timeout: float | None = None) -> str:
            asked.set()
            assert answer.wait(20)
            return super().reply(command, host, timeout)

    told, net = Told(clock), Held(site("ap"), {A: ("1", "1")})
    with ThreadPoolExecutor(8) as pool:
        chosen = [pool.submit(spareserver, net, 200, told) for _ in range(8)]
        assert asked.wait(20)
        answer.set()
        assert [one.result(30) for one in chosen] == [A] * 8
    assert len(net.timeouts) == 2, "load and userload, once"


def test_the_wait_for_who_asks_has_an_end(clock: FakeClock) -> None:
    told, net = Told(clock), Net(site("ap", balance_timeout=0.01), {A: ("1", "1")})

    class Stuck(Net):
        def reply(self, command: str, host: str, timeout: float | None = None) -> str:
            assert spareserver(net, 200, told) is None, "while another thread asks, for longer than it may"
            return super().reply(command, host, timeout)

    stuck = Stuck(site("ap"), {A: ("1", "1")})
    assert spareserver(stuck, 200, told) == A and net.asked == set()
    assert spareserver(net, 200, told) == A, "from what was told in the end"


def test_our_own_percentage_is_what_lond_would_say(tmp_path: Path) -> None:
    here = site("", ids_dir=tmp_path, load_lim=4.0, user_load_lim=2)
    assert own_percent(here, lambda: (1.0, 9.0, 9.0)) == 25.0
    for _ in range(3):
        Sessions(here.config).create("smith", "msu", "l1")
    assert own_percent(here, lambda: (1.0, 9.0, 9.0)) == 150.0
    assert own_percent(replace(here, config=replace(here.config, user_load_lim=0)), lambda: (1.0, 0, 0)) == 25.0


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("https://HOSTNAME", "https://IP.a.edu"),
        ("http://IP:8080", "http://[2001:db8::1]:8080"),
    ],
)
def test_where_browsers_find_another_host(setting: str, url: str) -> None:
    table = HostsTable({A: Host(A, "msu", "access", "IP.a.edu", "2001:db8::1")})
    assert page_url(Site(Config(host_id=A, spare_url=setting), table), A) == url
