"""Golden dialogues: what one end of a link receives, which events that makes, and what it writes."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.crypto import LinkCipher
from common.errors import PeerProtocolError
from common.link_states import (
    Accepted,
    Departed,
    Event,
    Failed,
    Greeted,
    Identified,
    KeyBuilt,
    Refused,
    Replies,
    Requests,
)
from tests.helpers.link_ends import AUTH, CHALLENGE, KEY, OTHER_KEY, PING, PONG


@dataclass(frozen=True)
class Step:
    """What comes from the other side, which events that makes, and what is to be written then."""

    received: bytes
    events: list[Event] = field(default_factory=list)
    sent: bytes = b""


@dataclass(frozen=True)
class Asked:
    """lonc's owner sends a request: the bytes on the wire."""

    command: bytes
    encrypt: bool
    wire: bytes


CHALLENGED = Step(b"init\n", [Greeted("")], CHALLENGE + b"\n")
ECHOED = Step(CHALLENGE + b"\n", [Accepted()], b"ok\n")
EKEY = Step(b"ekey\n", [KeyBuilt(KEY)])

LOND: dict[str, list[Step]] = {
    "our lonc": [
        CHALLENGED,
        ECHOED,
        Step(b"ping\n", [Requests([(b"ping", False)])]),
        EKEY,
        Step(PING + b"\n", [Requests([(b"ping", True)])]),
        Step(b"load\nuserload\n", [Requests([(b"load", False), (b"userload", False)])]),
        Step(AUTH + b"\n" + PONG + b"\n", [Requests([(b"auth:msu:smith:secret", True), (b"pong1234", True)])]),
        Step(b"exit\n", [Departed()]),
    ],
    "old lonc, quits": [
        CHALLENGED,
        ECHOED,
        Step(b"pong\n", [Requests([(b"pong", False)])]),
        EKEY,
        Step(b"quit\n", [Departed()]),
    ],
    "later lonc, CR LF": [
        Step(b"init::2.11.4\r\n", [Greeted("2.11.4")], CHALLENGE + b"\n"),
        Step(CHALLENGE + b"\r\n", [Accepted()], b"ok\n"),
        Step(b"version:2.11.4\r\n", [Requests([(b"version:2.11.4", False)])]),
        Step(b"sethost:msul2\r\n", [Requests([(b"sethost:msul2", False)])]),
        Step(b"ekey\r\n", [KeyBuilt(KEY)]),
        Step(PING + b"\r\n", [Requests([(b"ping", True)])]),
    ],
    "local authentication is answered with the plain challenge": [
        Step(b"init:local:/tmp/x\n", [Greeted("local:/tmp/x")], CHALLENGE + b"\n"),
        ECHOED,
    ],
    "TLS is answered with the plain challenge": [
        Step(b"init:ssl:2.9\n", [Greeted("ssl:2.9")], CHALLENGE + b"\n"),
        ECHOED,
    ],
    "TLS without more": [Step(b"init:ssl\n", [Greeted("ssl")], CHALLENGE + b"\n"), ECHOED],
    "two keys": [
        CHALLENGED,
        ECHOED,
        EKEY,
        Step(PING + b"\n", [Requests([(b"ping", True)])]),
        Step(b"ekey\n", [KeyBuilt(OTHER_KEY)]),
        Step(
            LinkCipher("msul1", "msul2", OTHER_KEY).frame(b"home:msu:smith") + b"\n",
            [Requests([(b"home:msu:smith", True)])],
        ),
    ],
    "wrong echo": [CHALLENGED, Step(b"4711\n", [Refused("wrong answer to the challenge")], b"refused\n")],
    "empty echo": [CHALLENGED, Step(b"\n", [Refused("wrong answer to the challenge")], b"refused\n")],
    "another first line": [Step(b"GET / HTTP/1.0\n", [Refused("first line is not init")], b"refused\n")],
    "empty first line": [Step(b"\n", [Refused("first line is not init")], b"refused\n")],
    "only alike": [Step(b"initial\n", [Refused("first line is not init")], b"refused\n")],
    "link words with arguments are commands": [
        CHALLENGED,
        ECHOED,
        Step(b"ekey:1\nexit:1\nEXIT\n", [Requests([(b"ekey:1", False), (b"exit:1", False), (b"EXIT", False)])]),
        Step(b"\n", [Requests([(b"", False)])]),
    ],
    "encrypted before the key": [CHALLENGED, ECHOED, Step(PING + b"\n", [Failed(PeerProtocolError("no key"))])],
    "malformed frame": [
        CHALLENGED,
        ECHOED,
        EKEY,
        Step(b"enc:4:xyz\n", [Failed(PeerProtocolError("encrypted line is not enc:LENGTH:HEX"))]),
    ],
}

SET_UP = [
    Step(CHALLENGE + b"\n", [], CHALLENGE + b"\n"),
    Step(b"ok\n", [Accepted()], b"ping\n"),
    Step(b"msul1\n", [Identified("msul1")], b"ekey\n"),
    Step(KEY + b"\n", [KeyBuilt(KEY)]),
]
LONC: dict[str, list[Step | Asked]] = {
    "clear and encrypted": [
        *SET_UP,
        Asked(b"ping", True, PING + b"\n"),
        Step(b"msul1\n", [Replies([b"msul1"])]),
        Asked(b"load", False, b"load\n"),
        Asked(b"eget:msu:smith:env:a", True, LinkCipher("msul1", "msul2", KEY).frame(b"eget:msu:smith:env:a") + b"\n"),
        Step(b"12\n" + PONG + b"\r\n", [Replies([b"12", b"pong1234"])]),
    ],
    "empty reply": [*SET_UP, Asked(b"get:a:b:c:d", False, b"get:a:b:c:d\n"), Step(b"\n", [Replies([b""])])],
    "CR LF": [
        Step(CHALLENGE + b"\r\n", [], CHALLENGE + b"\n"),
        Step(b"ok\r\n", [Accepted()], b"ping\n"),
        Step(b"msul1\r\n", [Identified("msul1")], b"ekey\n"),
        Step(KEY + b"\r\n", [KeyBuilt(KEY)]),
    ],
    "refused at once": [Step(b"refused\n", [Refused("the other side does not accept our address")])],
    "refused after the echo": [
        SET_UP[0],
        Step(b"refused\n", [Refused("the other side did not accept our answer to its challenge")]),
    ],
    "challenge with letters": [Step(b"12a\n", [Failed(PeerProtocolError("challenge is not a number"))])],
    "empty challenge": [Step(b"\n", [Failed(PeerProtocolError("challenge is not a number"))])],
    "long challenge": [Step(b"1" * 65 + b"\n", [Failed(PeerProtocolError("challenge is not a number"))])],
    "longest challenge": [Step(b"1" * 64 + b"\n", [], b"1" * 64 + b"\n")],
    "no host id": [*SET_UP[:2], Step(b"\n", [Failed(PeerProtocolError("the other side did not tell its host id"))])],
    "short build key": [
        *SET_UP[:3],
        Step(b"x" * 21 + b"\n", [Failed(PeerProtocolError("build key is too short or not printable"))]),
    ],
    "shortest build key": [*SET_UP[:3], Step(b"x" * 22 + b"\n", [KeyBuilt(b"x" * 22)])],
    "unprintable build key": [
        *SET_UP[:3],
        Step(KEY + b"\x07\n", [Failed(PeerProtocolError("build key is too short or not printable"))]),
    ],
    "unsolicited reply": [
        *SET_UP,
        Step(b"hello\n", [Failed(PeerProtocolError("a reply came that nobody asked for"))]),
    ],
    "more replies than requests": [
        *SET_UP,
        Asked(b"ping", False, b"ping\n"),
        Step(b"msul1\n", [Replies([b"msul1"])]),
        Step(b"msul1\n", [Failed(PeerProtocolError("a reply came that nobody asked for"))]),
    ],
}
