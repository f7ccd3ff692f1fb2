"""Violations: what breaks the rules ends a link, whoever does it, and what only looks like it does not."""

from __future__ import annotations

import pytest

from common.crypto import LinkCipher
from common.errors import LocalProtocolError
from common.link_states import Failed, Refused, State
from common.protocol import MAX_HANDSHAKE_LINE
from tests.helpers.link_ends import CHALLENGE, KEY, a_lonc, fed, keyed_lonc, keyed_lond, lonc_after


def test_a_violation_is_reported_once_and_ends_the_machine() -> None:
    lond = keyed_lond()
    assert isinstance(lond.receive(b"enc:bad\n")[-1], Failed)
    assert lond.receive(b"ping\n") == []
    assert lond.state is State.CLOSED


@pytest.mark.parametrize("received", [b"refused\n", CHALLENGE + b"\nrefused\n"])
def test_a_long_line_behind_a_refusal_does_not_matter(received: bytes) -> None:
    events = a_lonc().receive(received + b"x" * (MAX_HANDSHAKE_LINE + 1) + b"\n")
    assert [type(event) for event in events][-1] is Refused


@pytest.mark.parametrize("key", [b" " * 22, b" " * 40])
def test_a_build_key_of_blanks_is_a_violation(key: bytes) -> None:
    lonc = lonc_after(CHALLENGE, b"ok", b"msul1")
    assert fed(lonc, [key + b"\n"]) == [("failed", "build key is too short or not printable")]


def test_an_encrypted_reply_is_one_line() -> None:
    frame = LinkCipher("msul1", "msul2", KEY).frame(b"mine\nanother caller's")
    assert fed(keyed_lonc(1), [frame + b"\n"]) == [("failed", "encrypted line holds a line end")]


def test_an_encrypted_request_is_one_line() -> None:
    frame = LinkCipher("msul1", "msul2", KEY).frame(b"log:a:b:c\nexit")
    assert fed(keyed_lond(), [frame + b"\n"]) == [("failed", "encrypted line holds a line end")]


def test_lonc_sends_no_request_before_the_key() -> None:
    for taken in range(4):
        lonc = lonc_after(*(CHALLENGE, b"ok", b"msul1")[:taken])
        with pytest.raises(LocalProtocolError, match="no request may be sent in state"):
            lonc.request(b"ping", encrypt=False)


def test_lonc_sends_no_request_over_a_link_that_failed() -> None:
    lonc = keyed_lonc()
    lonc.receive(b"unasked\n")
    with pytest.raises(LocalProtocolError, match="closed"):
        lonc.request(b"ping", encrypt=True)


@pytest.mark.parametrize("encrypt", [False, True])
def test_a_request_is_one_line(encrypt: bool) -> None:
    lonc = keyed_lonc()
    with pytest.raises(LocalProtocolError, match="one line"):
        lonc.request(b"ping\nexit", encrypt)
    assert isinstance(lonc.receive(b"msul1\n")[0], Failed), "its reply must not be expected"
