"""What loncontrol makes of what it has found: names, times, verdicts, levels for a monitoring system."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from common.hosts_table import Host
from loncontrol.doctor import verdict
from loncontrol.examined_link import ExaminedLink, http_date
from loncontrol.findings import HERE, failed, good, warning
from loncontrol.monitoring import CRITICAL, OK, WARNING, troubles_of
from loncontrol.names import addresses_of
from lonstatus.peers import NO_CHILD, NO_LONC, Peer
from tests.helpers.dispatching import make_site
from tests.helpers.waiting import eventually


def test_names_are_looked_up_all_at_once_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def look_up(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if name == "slow":
            release.wait(60)
        if name == "none":
            raise socket.gaierror(-2, "Name or service not known")
        return [(0, 0, 0, "", (f"192.0.2.{number}", 0)) for number in (2, 1, 2)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    def one_is_not_waited_for() -> None:
        found = addresses_of(["good", "none", "slow"], seconds=0.2)
        assert found["good"] == (["192.0.2.1", "192.0.2.2"], "")
        assert found["none"] == ([], "name or service not known")
        assert found["slow"][1].startswith("no answer within")

    eventually(one_is_not_waited_for)  # a busy machine may need more than 0.2 s for the others
    release.set()


class Web(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return "Sun, 22 Nov 2026 16:00:00 GMT"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Web)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def host(*extra: str) -> Host:
    return Host("msul1", "msu", "library", "a.example.org", "127.0.0.1", extra)


def test_the_time_of_a_web_server(web: int) -> None:
    assert http_date(host(f"http={web}")) == 1795363200.0


def test_no_time_where_no_web_server_is() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert http_date(host(f"http={taken.getsockname()[1]}")) is None
    assert http_date(host("https=443")) is None


def test_an_address_that_is_not_this_machine_s(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    [found] = ExaminedLink(site, "msua1", "192.0.2.1", serving=True).findings()
    assert (found.step, found.who, found.act) == ("route", HERE, "correct lonBindAddress")
    assert found.words.startswith("links can't leave from 192.0.2.1: ")


def test_the_verdict_names_what_failed_first() -> None:
    assert verdict([good("a", "x")]) == ["Verdict: all is well, nobody has to act."]
    found = [warning("a", "x", HERE, "do this"), failed("b", "y", "msul2", "do that\n")]
    assert verdict(found) == ["Verdict:", "  msul2's administrator: do that\\x0a", "  here: do this"]
    assert found[1].as_json() == {"step": "b", "level": "failed", "words": "y", "who": "msul2", "act": "do that\n"}


@pytest.mark.parametrize(
    ("peer", "found"),
    [
        (Peer("a", "up", oldest=10.0, delayed=1), []),
        (Peer("a", "down", why="connection refused"), [(WARNING, "a down (connection refused)")]),
        (Peer("a", "connecting"), [(WARNING, "a connecting (not tried yet)")]),
        (Peer("a", "given up", why="x"), [(CRITICAL, "a given up (x)")]),
        (Peer("a", "hung", why="x"), [(CRITICAL, "a hung (x)")]),
        (Peer("a", "stopped", why=NO_CHILD), [(CRITICAL, f"a stopped ({NO_CHILD})")]),
        (Peer("a", "up", oldest=60.0, delayed=2), [(WARNING, "a behind by 1m 00s (2 messages)")]),
        (Peer("a", "up", oldest=600.0, delayed=2), [(CRITICAL, "a behind by 10m 00s (2 messages)")]),
        (Peer("a", "paused", oldest=600.0, delayed=2), [(WARNING, "a paused, behind by 10m 00s (2 messages)")]),
        (Peer("a", "up", unreadable=True, last_error="x"), [(CRITICAL, "a: x")]),
        (Peer("a", "up", oldest=60.0, delayed=1), [(WARNING, "a behind by 1m 00s (1 message)")]),
        (Peer("a", "up", held=1), [(WARNING, "a has 1 held message")]),
        (Peer("a", "up", held=1, failed=2), [(WARNING, "a has 1 held message"), (WARNING, "a has 2 failed messages")]),
        (Peer("a", "paused", why="by ada: x"), [(OK, "a paused")]),
    ],
)
def test_levels_for_a_monitoring_system(peer: Peer, found: list[tuple[int, str]]) -> None:
    assert troubles_of(peer, 30.0, 300.0) == found


def test_without_lonc_not_every_peer_is_an_alarm_but_its_messages_are() -> None:
    stopped = Peer("a", "stopped", why=NO_LONC, oldest=600.0, delayed=2)
    assert troubles_of(stopped, 30.0, 300.0, lonc_runs=False) == [(CRITICAL, "a behind by 10m 00s (2 messages)")]
