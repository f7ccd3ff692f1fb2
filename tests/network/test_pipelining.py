"""Many requests on one link at the same time."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from tests.helpers.activity import arrivals, make_user, message
from tests.helpers.classic_peer import ClassicLond
from tests.helpers.federation import Federation
from tests.helpers.waiting import eventually

MakeFederation = Callable[..., Federation]


def caller(path: str) -> socket.socket:
    """A caller that writes as it likes."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.settimeout(30)
    channel.connect(path)
    return channel


def read_lines(channel: socket.socket, count: int) -> list[bytes]:
    data = b""
    while data.count(b"\n") < count:
        more = channel.recv(65536)
        assert more, f"closed after {data[-200:]!r}"
        data += more
    assert data.endswith(b"\n") and data.count(b"\n") == count
    return data.split(b"\n")[:-1]


def test_requests_and_critical_messages_of_one_caller_are_answered_in_its_order(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"])
    make_user(fed.hosts["msul1"])
    with caller(str(fed.hosts["msua1"].socket_path("msul1"))) as channel:
        lines, expected = ["put:msu:smith:env:k=v"], [b"ok"]
        for number in range(300):
            lines += [f"get:msu:smith:env:k{number}", f"critical:{number:032x}:{message(0, number)}", "ping"]
            expected += [b"", b"ok", b"msul1"]
        channel.sendall("\n".join(lines).encode() + b"\n")
        assert read_lines(channel, len(lines)) == expected
    assert arrivals(fed.hosts["msul1"]).by_caller == {0: list(range(300))}


def plain(number: int) -> bytes:
    return b"get:msu:smith:env:%01000d\n" % number


def critical(number: int) -> bytes:
    return b"critical:%032x:put:msu:smith:env:%01000d=v\n" % (number, number)


@pytest.mark.parametrize(("line", "reply", "outstanding"), [(plain, b"", 16), (critical, b"ok", 1)])
def test_the_window_bounds_what_is_outstanding_and_callers_feel_it(
    federation: MakeFederation, line: Callable[[int], bytes], reply: bytes, outstanding: int
) -> None:
    fed = federation(["msua1", "msul1"], start=[], settings={"lonWindow": "16"})
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    with ClassicLond("msul1", {here.ip: "msua1"}, there.ip, fed.port) as lond:
        here.start()
        here.wait_for_link("msul1")
        lond.hold()
        with caller(str(here.socket_path("msul1"))) as channel:
            channel.setblocking(False)
            requests = b"".join(line(number) for number in range(4000))
            sent = send_until_it_blocks(channel, requests, 0)
            eventually(lambda: here.lonc.slot("msul1", "up").outstanding == outstanding)
            sent = send_until_it_blocks(channel, requests, sent)
            slot = here.lonc.slot("msul1", "up")
            assert slot.outstanding == outstanding  # what lies beyond the window waits, most of it with the caller
            assert (slot.waiting + slot.delayed) * len(line(0)) <= 3 * 65536
            assert sent < 2_000_000, "nobody felt any back-pressure"
            lond.release()
            channel.setblocking(True)
            channel.settimeout(30)
            count = -(-sent // len(line(0)))
            channel.sendall(requests[sent : count * len(line(0))])
            assert read_lines(channel, count) == [reply] * count


def send_until_it_blocks(channel: socket.socket, requests: bytes, sent: int) -> int:
    """Write requests from the byte `sent` on; how many bytes went in all."""
    while True:
        try:
            sent += channel.send(requests[sent:])
        except BlockingIOError:
            return sent


def test_a_large_request_passes_a_small_window(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"], settings={"lonWindowBytes": "65536"})
    make_user(fed.hosts["msul1"])
    net = fed.hosts["msua1"].lonnet()
    value = "v" * 500_000
    assert net.reply(f"put:msu:smith:env:large={value}", "msul1") == "ok"
    assert net.reply("get:msu:smith:env:large", "msul1") == value


def test_a_silent_peer_does_not_slow_the_others(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1", "msul2"], start=[])
    here, silent = fed.hosts["msua1"], fed.hosts["msul2"]
    fed.hosts["msul1"].start()
    with ClassicLond("msul2", {here.ip: "msua1"}, silent.ip, fed.port) as lond:
        here.start()
        for peer in ("msul1", "msul2"):
            here.wait_for_link(peer)
        lond.hold()
        with caller(str(here.socket_path("msul2"))) as waiting:
            waiting.sendall(b"get:msu:smith:env:k\n" * 100)
            net = here.lonnet()
            assert [net.reply("ping", "msul1") for _ in range(200)] == ["msul1"] * 200
            lond.release()
            assert read_lines(waiting, 100) == [b""] * 100
