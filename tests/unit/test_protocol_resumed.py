"""A link that changes its process: lond's end goes on where it stood, with its key and its unread bytes."""

from __future__ import annotations

import pytest

from common.crypto import LinkCipher
from common.link_states import KeyBuilt, Requests
from common.protocol import LondConnection
from tests.helpers.link_ends import KEY, MAX_REQUEST, OTHER_KEY, PING, fed, keyed_lond, open_lond


@pytest.mark.parametrize("unread", [b"", b"pi", b"enc:4:3519a5ad", b"x\r"], ids=repr)
@pytest.mark.parametrize("key", [b"", KEY])
def test_a_resumed_link_goes_on_where_it_stood(key: bytes, unread: bytes) -> None:
    before = keyed_lond() if key else open_lond()
    assert before.receive(b"load\n" + unread)[0] == Requests([(b"load", False)])
    after = LondConnection.resumed("msul1", "msul2", MAX_REQUEST, lambda: OTHER_KEY, key, before.unread)
    assert (after.state, after.unread) == (before.state, unread)
    rest = b"ng\nuserload\nekey\n"
    assert fed(after, [rest])[:1] == fed(before, [rest])[:1]
    assert after.outgoing() == b""


def test_a_resumed_link_decrypts_with_the_last_key_and_takes_a_new_one() -> None:
    lond = LondConnection.resumed("msul1", "msul2", MAX_REQUEST, lambda: OTHER_KEY, KEY, PING[:9])
    later = LinkCipher("msul1", "msul2", OTHER_KEY).frame(b"load")
    assert fed(lond, [PING[9:] + b"\nekey\n" + later + b"\n"]) == [
        Requests([(b"ping", True)]),
        KeyBuilt(OTHER_KEY),
        Requests([(b"load", True)]),
    ]


def test_a_resumed_link_keeps_its_limit() -> None:
    lond = LondConnection.resumed("msul1", "msul2", MAX_REQUEST, lambda: KEY, b"", b"x" * MAX_REQUEST)
    assert fed(lond, [b"x"]) == [("failed", f"line longer than {MAX_REQUEST} bytes")]
