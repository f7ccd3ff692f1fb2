"""The doctor's own link, step by step, with the other end in the test's hands."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from common.config import Config
from common.hosts_table import Host
from loncontrol.probe import Probe, ProbeFailed

PEER = Host("msul1", "msu", "library", "a.example.org", "127.0.0.1")


@pytest.fixture
def ends() -> Iterator[tuple[Probe, socket.socket]]:
    """A probe whose connection stands, and what the other end reads and writes."""
    probe = Probe(Config(host_id="msua1"), "msua1", PEER, "")
    probe._socket, theirs = socket.socketpair()
    probe._deadline = time.monotonic() + 20
    theirs.settimeout(20)
    yield probe, theirs
    theirs.close()
    probe.close()


def test_a_link_that_comes_up(ends: tuple[Probe, socket.socket]) -> None:
    probe, theirs = ends
    theirs.sendall(b"12345\nok\nmsul1\n" + b"k" * 32 + b"\n")
    probe.greet()
    assert probe.identify() == "msul1"
    probe.exchange_key()
    theirs.sendall(b"a reply\n")
    assert probe.ask("load", 20) == "a reply"
    assert theirs.recv(4096) == b"init\n12345\nping\nekey\nload\n"
    theirs.sendall(b"bye\n")
    probe.close()
    assert theirs.recv(4096) == b"exit\n"


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (b"", "stranger", "it closed the connection without a byte"),
        (b"refused\n", "stranger", "the other side does not accept our address"),
        (b"12345\n", "lost", "it closed the connection in the middle of the dialogue"),
        (b"HTTP/1.1 400 Bad Request\n", "protocol", "it breaks the rules of the link: challenge is not a number"),
    ],
)
def test_what_goes_wrong_in_the_greeting(ends: tuple[Probe, socket.socket], said: bytes, kind: str, words: str) -> None:
    probe, theirs = ends
    theirs.sendall(said)
    theirs.close()
    with pytest.raises(ProbeFailed) as caught:
        probe.greet()
    assert (caught.value.kind, caught.value.words) == (kind, words)


def test_an_answer_is_not_waited_for_without_end(ends: tuple[Probe, socket.socket]) -> None:
    probe, theirs = ends
    theirs.sendall(b"12345\nok\n")
    probe.greet()
    probe._deadline = time.monotonic()
    with pytest.raises(ProbeFailed) as caught:
        probe.identify()
    assert (caught.value.kind, caught.value.words) == (
        "silent",
        "it accepts connections, but its host id does not come",
    )
