"""Both ends of a link at every stage, with one challenge and two build keys, and their events in a comparable form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from common.link_states import Event, Failed, KeyBuilt, Replies, Requests
from common.protocol import Connection, LoncConnection, LondConnection

CHALLENGE = b"12345678901234567890"
KEY = b"54321A0DF99EB00CAB7DD0BA98765"
OTHER_KEY = b"98765ABCDEF0123456789ABCDEF98765"
PING, PONG = b"enc:4:3519a5adb04ebb8f", b"enc:8:894e174a75997a34625a4508e0ee3a70"  # ping and pong1234, under KEY
AUTH = b"enc:21:aecbc16f71e1eae9632bab034a0a94e56b2a0ad29a67856f"  # auth:msu:smith:secret, under KEY
MAX_REQUEST, MAX_REPLY = 5000, 6000


def a_lond(keys: Iterable[bytes] = (KEY, OTHER_KEY)) -> LondConnection:
    """lond's end of a new link."""
    return LondConnection("msul1", "msul2", MAX_REQUEST, CHALLENGE, iter(keys).__next__)


def challenged_lond() -> LondConnection:
    """lond waits for the echo of its challenge."""
    lond = a_lond()
    lond.receive(b"init\n")
    return lond


def open_lond() -> LondConnection:
    """lond takes requests, in clear."""
    lond = challenged_lond()
    lond.receive(CHALLENGE + b"\n")
    lond.outgoing()
    return lond


def keyed_lond() -> LondConnection:
    """lond takes requests, encrypted with KEY as well."""
    lond = open_lond()
    assert lond.receive(b"ekey\n") == [KeyBuilt(KEY)]
    return lond


def a_lonc() -> LoncConnection:
    """lonc's end of a new link; its greeting is written."""
    lonc = LoncConnection("msul2", MAX_REPLY)
    assert lonc.outgoing() == b"init\n"
    return lonc


def lonc_after(*lines: bytes) -> LoncConnection:
    """lonc has got these lines; what it has to say to them is not written."""
    lonc = a_lonc()
    lonc.receive(b"".join(line + b"\n" for line in lines))
    return lonc


def keyed_lonc(outstanding: int = 0) -> LoncConnection:
    """lonc may send requests, and waits for the replies to so many."""
    lonc = lonc_after(CHALLENGE, b"ok", b"msul1", KEY)
    lonc.outgoing()
    for _ in range(outstanding):
        lonc.request(b"ping", encrypt=False)
    return lonc


STAGES: dict[str, Callable[[], Connection]] = {
    "lond start": a_lond,
    "lond challenged": challenged_lond,
    "lond open": open_lond,
    "lond keyed": keyed_lond,
    "lonc greeted": a_lonc,
    "lonc echoed": partial(lonc_after, CHALLENGE),
    "lonc accepted": partial(lonc_after, CHALLENGE, b"ok"),
    "lonc identified": partial(lonc_after, CHALLENGE, b"ok", b"msul1"),
    "lonc keyed": partial(keyed_lonc, 5),
}


def joined(events: Iterable[Event]) -> list[object]:
    """The same for every chunking: neighbouring batches as one, errors by their text."""
    result: list[object] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, Requests) and isinstance(last, Requests):
            result[-1] = Requests(last.commands + event.commands)
        elif isinstance(event, Replies) and isinstance(last, Replies):
            result[-1] = Replies(last.lines + event.lines)
        elif isinstance(event, Failed):
            result.append(("failed", str(event.error)))
        else:
            result.append(event)
    return result


def fed(connection: Connection, chunks: Iterable[bytes]) -> list[object]:
    return joined(event for chunk in chunks for event in connection.receive(chunk))
