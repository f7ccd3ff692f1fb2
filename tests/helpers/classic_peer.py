"""A peer of the original network, written by hand, for tests: one client, one server.

It follows the description of the classic link and shares no code with the product: IDEA, key, frames,
escaping and dialogue are written a second time and in another way, so that a fault which both ends of the
product make alike cannot hide. `ClassicLonc` plays the side that connects, `ClassicLond` the side that
accepts.

Promises: no process is ever forked; `ClassicLond` serves in threads of the calling process and `close()`
joins them all; every wait of a caller ends after `limit` seconds (monotonic). Commands and replies are bytes
without their line end; host ids and addresses are str.

Raises: `ConnectionError` when the other side has closed, `TimeoutError` when a limit has passed,
`ValueError` for a frame that is none. It logs nothing: what happened is in public lists.

Known limits: a reply that the kernel has taken counts as answered, even if the other side dies before it
reads it; of the data commands only put, get, eget, log and auth exist; a malformed frame ends the thread of
`ClassicLond` that serves the link with the ValueError, which pytest makes a failure.
"""

from __future__ import annotations

import contextlib
import enum
import os
import random
import re
import select
import socket
import struct
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

# --- IDEA -------------------------------------------------------------------------------------------------

Quarters = tuple[int, int, int, int]


def _powers_of_three() -> tuple[array[int], array[int]]:
    """Tables of powers and logarithms to the base 3, which generates all 65536 units modulo 65537.

    65536 does not fit into 16 bits and is written as 0, as IDEA has it.
    """
    power, log = array("H", bytes(2 << 16)), array("H", bytes(2 << 16))
    unit = 1
    for exponent in range(1 << 16):
        power[exponent] = unit & 0xFFFF
        log[unit & 0xFFFF] = exponent
        unit = unit * 3 % 65537
    return power, log


_POWER, _LOG = _powers_of_three()


def times(a: int, b: int) -> int:
    """Product modulo 65537 of two 16-bit numbers (0 stands for 65536), by adding their logarithms."""
    return _POWER[(_LOG[a] + _LOG[b]) & 0xFFFF]


def _over(a: int, b: int) -> int:
    return _POWER[(_LOG[a] - _LOG[b]) & 0xFFFF]


class Idea:
    """IDEA in ECB mode over whole blocks of 8 bytes; decryption walks the rounds backwards.

    :param key: 16 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != 16:
            raise ValueError(f"an IDEA key has 16 bytes, this one {len(key)}")
        # Each eight subkeys start 25 bits further on the key, which is bent to a ring.
        ring = "".join(f"{byte:08b}" for byte in key) * 2
        starts = [25 * (n // 8) + 16 * (n % 8) for n in range(52)]
        subkeys = [int(ring[start : start + 16], 2) for start in starts]
        self._rounds = [subkeys[n : n + 6] for n in range(0, 48, 6)]
        self._last = subkeys[48:]

    def encrypt(self, clear: bytes) -> bytes:
        return b"".join(struct.pack(">4H", *self._forth(block)) for block in struct.iter_unpack(">4H", clear))

    def decrypt(self, sealed: bytes) -> bytes:
        return b"".join(struct.pack(">4H", *self._back(block)) for block in struct.iter_unpack(">4H", sealed))

    def _forth(self, block: tuple[int, ...]) -> Quarters:
        a, b, c, d = block
        for keys in self._rounds:
            a, c, b, d = _stir(*_add_keys((a, b, c, d), keys), keys)
        return _add_keys((a, c, b, d), self._last)

    def _back(self, block: tuple[int, ...]) -> Quarters:
        a, b, c, d = block
        a, c, b, d = _take_keys((a, b, c, d), self._last)
        for keys in reversed(self._rounds):
            a, b, c, d = _take_keys(_stir(a, c, b, d, keys), keys)
        return a, b, c, d


def _add_keys(block: Quarters, keys: list[int]) -> Quarters:
    a, b, c, d = block
    return times(a, keys[0]), b + keys[1] & 0xFFFF, c + keys[2] & 0xFFFF, times(d, keys[3])


def _take_keys(block: Quarters, keys: list[int]) -> Quarters:
    a, b, c, d = block
    return _over(a, keys[0]), b - keys[1] & 0xFFFF, c - keys[2] & 0xFFFF, _over(d, keys[3])


def _stir(a: int, b: int, c: int, d: int, keys: list[int]) -> Quarters:
    """The multiply-add box. It leaves a^c and b^d as they are, and is therefore its own inverse."""
    p = times(a ^ c, keys[4])
    q = times((b ^ d) + p & 0xFFFF, keys[5])
    p = p + q & 0xFFFF
    return a ^ q, b ^ p, c ^ q, d ^ p


# --- key, frames, escaping --------------------------------------------------------------------------------

_LETTERS_TO_DIGITS = bytes.maketrans(b"GHIJKLMNOPQRSTUVWXYZ", b"01234567890123456789")
_DIGITS_TO_LETTERS = str.maketrans("123456", "ABCDEF")


def key_string(lond_id: str, lonc_id: str, build_key: bytes) -> bytes:
    """The 32 characters that both ends make from the two host ids and lond's build key."""
    ids = (lond_id + lonc_id).upper().encode("ascii").translate(_LETTERS_TO_DIGITS)
    return ((ids + build_key) * 3)[:32]


def link_key(lond_id: str, lonc_id: str, build_key: bytes) -> Idea:
    """The cipher of one link, packed from the key string as Perl's pack("H32") did it."""
    nibbles = [(c + 9 if chr(c).isalpha() else c) & 15 for c in key_string(lond_id, lonc_id, build_key)]
    return Idea(bytes(high << 4 | low for high, low in zip(nibbles[::2], nibbles[1::2], strict=True)))


def new_build_key(lond_id: str, lonc_id: str) -> bytes:
    """A build key as the original made it: decimal digits, those in the middle with 1..6 as A..F."""
    middle = f"{int(time.time())}{os.getpid()}{random.randrange(100_000)}".translate(_DIGITS_TO_LETTERS)
    key = f"{random.randrange(100_000)}{middle}{random.randrange(100_000)}"
    return key.ljust(32 - len(lond_id + lonc_id), "7").encode()


def seal(idea: Idea, clear: bytes) -> bytes:
    """`enc:LENGTH:HEX`; a text that fills its blocks gets one block of blanks more."""
    padded = clear.ljust(8 * (len(clear) // 8 + 1))
    return b"enc:%d:%s" % (len(clear), idea.encrypt(padded).hex().encode())


def unseal(idea: Idea, frame: bytes) -> bytes:
    """The clear text of `enc:LENGTH:HEX`, cut to LENGTH; ValueError if the frame is none."""
    match = re.fullmatch(rb"enc:([0-9]+):((?:[0-9a-fA-F]{16})*)", frame)
    if match is None or len(match[2]) // 2 < int(match[1]):
        raise ValueError(f"not a frame enc:LENGTH:HEX with whole blocks and enough of them: {frame[:80]!r}")
    return idea.decrypt(bytes.fromhex(match[2].decode()))[: int(match[1])]


def escape(raw: bytes) -> bytes:
    return re.sub(rb"[^A-Za-z0-9_]", lambda found: b"%%%02x" % ord(found[0]), raw)


def unescape(text: bytes) -> bytes:
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text)


# --- the client -------------------------------------------------------------------------------------------


class Dialogue(enum.Enum):
    """How a generation of lonc set up its links; the value is its first line."""

    OLD = b"init"
    LATER = b"init::1.1.1"
    LOCAL_FALLS_BACK = b"init:local:1.1.1:/home/httpd/lonCerts/local"
    SSL_FALLS_BACK = b"init:ssl:1.1.1"


class ClassicLonc:
    """One link as a lonc of the original network made it, with blocking calls.

    :param own_id: our host id.
    :param lond_id: the host id of the lond that is called; both make the key.
    :param limit: seconds after which a call raises TimeoutError.
    :param eol: the line end that is sent, LF or CR LF.

    After `connect` either `set_up` does the whole dialogue, or its steps are called one by one, rightly or wrongly.
    """

    def __init__(self, own_id: str, lond_id: str, *, limit: float = 60.0, eol: bytes = b"\n") -> None:
        self.own_id, self.lond_id, self.limit, self.eol = own_id, lond_id, limit, eol
        self.cipher: Idea | None = None
        self._socket: socket.socket | None = None
        self._unread = bytearray()

    def __enter__(self) -> ClassicLonc:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self, address: str, port: int, bind_to: str = "") -> None:
        """Open the TCP connection from the address `bind_to` ("": the kernel chooses); nothing is sent."""
        self.close()
        self._socket = socket.create_connection((address, port), self.limit, (bind_to, 0))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self.cipher = None, None
        self._unread.clear()

    def set_up(self, dialogue: Dialogue = Dialogue.OLD) -> None:
        """The whole dialogue up to the key; ConnectionError names the step that was not answered as it must."""
        challenge = self.request(dialogue.value)
        if not re.fullmatch(rb"[0-9]+", challenge):
            raise ConnectionError(f"no challenge of digits alone, but {challenge!r}")
        self._demand(challenge, rb"ok")
        if dialogue is Dialogue.OLD:
            self._demand(b"pong", self.lond_id.encode() + rb":.*")
        else:
            self._demand(b"version:1.1.1", rb"version:.*")
            self._demand(b"sethost:" + self.lond_id.encode(), rb"ok")
        self.exchange_key()

    def exchange_key(self) -> None:
        """`ekey`; from here on `encrypted` works. A build key that is too short or not printable is refused."""
        shortest = 32 - len(self.lond_id + self.own_id)
        build_key = self._demand(b"ekey", rb"[!-~]{%d,}" % shortest)
        self.cipher = link_key(self.lond_id, self.own_id, build_key)

    def _demand(self, line: bytes, pattern: bytes) -> bytes:
        reply = self.request(line)
        if not re.fullmatch(pattern, reply):
            raise ConnectionError(f"{line!r} was answered {reply!r}, not {pattern!r}")
        return reply

    def request(self, line: bytes) -> bytes:
        """Send one line as it is and return its reply as it is."""
        self.send(line)
        return self.read_line()

    def encrypted(self, command: bytes) -> bytes:
        """Send the command in a frame; a framed reply is decrypted."""
        return self.opened(self.request(self.framed(command)))

    def framed(self, command: bytes) -> bytes:
        return seal(self._key(), command)

    def opened(self, reply: bytes) -> bytes:
        return unseal(self._key(), reply) if reply.startswith(b"enc:") else reply

    def send(self, *lines: bytes) -> None:
        """Send the lines, all at once, without waiting for a reply."""
        self.send_raw(b"".join(line + self.eol for line in lines))

    def send_raw(self, data: bytes) -> None:
        """Send bytes that need not be lines."""
        link = self._open_socket()
        link.settimeout(self.limit)
        link.sendall(data)

    def read_line(self) -> bytes:
        ends = time.monotonic() + self.limit
        while (end := self._unread.find(b"\n")) < 0:
            if not self._receive(ends):
                raise ConnectionError(f"closed by the other side after {bytes(self._unread)!r}")
        line = bytes(self._unread[:end]).removesuffix(b"\r")
        del self._unread[: end + 1]
        return line

    def read_to_end(self) -> bytes:
        """All bytes until the other side closes; TimeoutError if it does not. A reset is an end as well."""
        ends = time.monotonic() + self.limit
        with contextlib.suppress(ConnectionResetError):
            while self._receive(ends):
                pass
        return bytes(self._unread)

    def _receive(self, ends: float) -> bool:
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"nothing more within {self.limit} s after {bytes(self._unread)!r}")
        link = self._open_socket()
        link.settimeout(left)
        data = link.recv(1 << 16)
        self._unread += data
        return bool(data)

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionError("not connected")
        return self._socket

    def _key(self) -> Idea:
        if self.cipher is None:
            raise ValueError("no key yet: call exchange_key or set_up first")
        return self.cipher


# --- the server -------------------------------------------------------------------------------------------

_SET_UP = frozenset({b"ping", b"pong", b"ekey", b"version", b"sethost"})
_ENCRYPTED_ONLY = frozenset(
    {b"auth", b"passwd", b"makeuser", b"changeuserauth", b"currentauth", b"rolesput", b"rolesdel"}
)

Event = TypeVar("Event")


class Fate(enum.Enum):
    """What becomes of an executed command: its reply is sent, kept for ever, or the link ends instead of it."""

    ANSWERED = enum.auto()
    SILENT = enum.auto()
    LAST = enum.auto()


@dataclass(frozen=True, slots=True)
class Received:
    """One command as it was executed: monotonic time of arrival, asking host, clear text, came it in a frame?"""

    at: float
    host: str
    command: bytes
    framed: bool


@dataclass(frozen=True, slots=True)
class Violation:
    """Bytes of a host that arrived while its request `asked` had no reply yet."""

    host: str
    asked: bytes
    arrived: bytes


class Records:
    """The data commands on dictionaries. Keys and values are kept unescaped; call it under one lock."""

    def __init__(self) -> None:
        self.passwords: dict[tuple[bytes, bytes], bytes] = {}
        self.hashes: dict[tuple[bytes, bytes, bytes], dict[bytes, bytes]] = {}
        self.activity: dict[tuple[bytes, bytes], list[bytes]] = {}

    def execute(self, word: bytes, rest: bytes, caller: str) -> bytes:
        """The reply to `word:rest` from the host `caller`."""
        try:
            match word:
                case b"put":
                    return self._put(*rest.split(b":", 3))
                case b"get":
                    return self._get(*rest.split(b":", 3))
                case b"auth":
                    return self._auth(*rest.split(b":", 2))
                case b"log":
                    return self._log(caller, *rest.split(b":", 2))
        except (TypeError, ValueError):
            return b"error: 22 malformed request"
        return b"unknown_cmd"

    def _put(self, domain: bytes, user: bytes, namespace: bytes, pairs: bytes) -> bytes:
        if namespace == b"roles":
            return b"refused"
        for pair in pairs.split(b"&"):
            name, value = pair.split(b"=")
            self._hash(domain, user, namespace)[unescape(name)] = unescape(value)
        return b"ok"

    def _get(self, domain: bytes, user: bytes, namespace: bytes, names: bytes) -> bytes:
        stored = self._hash(domain, user, namespace)
        return b"&".join(escape(stored.get(unescape(name), b"")) for name in names.split(b"&"))

    def _hash(self, domain: bytes, user: bytes, namespace: bytes) -> dict[bytes, bytes]:
        return self.hashes.setdefault((domain, user, namespace.replace(b"/", b"_")), {})

    def _auth(self, domain: bytes, user: bytes, password: bytes) -> bytes:
        if (domain, user) not in self.passwords:
            return b"unknown_user"
        return b"authorized" if self.passwords[domain, user] == unescape(password) else b"non_authorized"

    def _log(self, caller: str, domain: bytes, user: bytes, text: bytes) -> bytes:
        line = b"%d:%s:%s" % (time.time(), caller.encode(), unescape(text))
        self.activity.setdefault((domain, user), []).append(line)
        return b"ok"


class _Gate:
    """A gate before all replies that a poller can wait for together with a socket: readable means open."""

    def __init__(self) -> None:
        self._event = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._event

    def shut(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event)

    def open(self) -> None:
        os.eventfd_write(self._event, 1)

    def close(self) -> None:
        os.close(self._event)


class ClassicLond:
    """A lond of the original network: knows hosts by their IP, answers one request at a time.

    :param host_id: our host id.
    :param hosts: source IP -> host id of all who may connect; anybody else reads `refused`.
    :param address: IP to listen on; `port` 0 lets the kernel choose, `self.address` tells.
    :param serial: record a `Violation` when bytes arrive before the reply to the request before them was sent.
    :param limit: seconds for a reply to leave, for `wait_until` and for the threads to end.

    `received`, `unanswered` (executed, no reply left), `violations` and `links_made` (asking host of each key
    exchange) only grow. `pong_reply` is what our lonc is supposed to have got for its ping to the caller.
    """

    def __init__(
        self,
        host_id: str,
        hosts: Mapping[str, str],
        address: str,
        port: int = 5663,
        *,
        serial: bool = False,
        limit: float = 60.0,
    ) -> None:
        self.host_id, self.hosts, self.serial, self.limit = host_id, dict(hosts), serial, limit
        self.pong_reply = b"con_lost"
        self.records = Records()
        self.received: list[Received] = []
        self.unanswered: list[Received] = []
        self.violations: list[Violation] = []
        self.links_made: list[str] = []
        self.changed = threading.Condition()  # guards all of the above
        self.gate = _Gate()
        self._commands_left: int | None = None
        self._silent_at_end = 0
        self.dies_of: bytes | None = None  # a command word that ends the link, every time, without a reply
        self._links: list[_Link] = []
        self._closing = False
        self._listener = socket.create_server((address, port))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._acceptor = threading.Thread(target=self._accept, name=f"classic lond {host_id}", daemon=True)
        self._acceptor.start()

    def __enter__(self) -> ClassicLond:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hold(self) -> None:
        """Keep back all replies from now on; commands are still executed, one on each link."""
        self.gate.shut()

    def release(self) -> None:
        """Let the replies go again."""
        self.gate.open()

    def die_after(self, commands: int, unanswered: int = 1) -> None:
        """Execute so many more commands and then close the link, the last `unanswered` of them without a reply.

        Pings and the commands of link set-up do not count. It happens once; new links are accepted as before.
        """
        if not 1 <= unanswered <= commands:
            raise ValueError(f"of {commands} commands {unanswered} cannot remain without a reply")
        with self.changed:
            self._commands_left, self._silent_at_end = commands, unanswered

    def commands(self) -> list[bytes]:
        """The clear text of all commands in the order of their execution, without those of link set-up and pings."""
        with self.changed:
            return [r.command for r in self.received if r.command.split(b":")[0] not in _SET_UP]

    def wait_until(self, condition: Callable[[ClassicLond], bool], limit: float | None = None) -> None:
        """Wait until the condition holds; it is asked under the lock whenever something happened."""
        with self.changed:
            if not self.changed.wait_for(lambda: condition(self), self.limit if limit is None else limit):
                raise TimeoutError(f"not reached; received so far: {[r.command for r in self.received[-20:]]}")

    def close(self) -> None:
        """Cut all links, stop listening, join all threads; RuntimeError if one does not end."""
        if self._closing:
            return
        self._closing = True
        # On Linux this wakes accept(). After the join no new link can appear, so that the list is complete.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(self.limit)
        self._listener.close()
        for link in self._links:
            link.cut()
        # Only now: a reply that was held back meets a cut link and counts as unanswered.
        self.gate.open()
        for link in self._links:
            link.join(self.limit)
        self.gate.close()
        if stuck := [thread.name for thread in (self._acceptor, *self._links) if thread.is_alive()]:
            raise RuntimeError(f"threads did not end: {stuck}")

    def _accept(self) -> None:
        while True:
            try:
                connection, (ip, _) = self._listener.accept()
            except OSError:
                if self._closing:
                    return
                raise
            self._links.append(_Link(self, connection, self.hosts.get(ip, "")))
            self._links[-1].start()

    def note(self, events: list[Event], event: Event) -> None:
        """Append to one of the lists above and wake `wait_until`."""
        with self.changed:
            events.append(event)
            self.changed.notify_all()

    def fate_of(self, word: bytes) -> Fate:
        """Count one executed command of `die_after`; the caller holds the lock."""
        if word == self.dies_of:
            return Fate.LAST
        if self._commands_left is None or word in _SET_UP:
            return Fate.ANSWERED
        self._commands_left -= 1
        if self._commands_left == 0:
            self._commands_left = None
            return Fate.LAST
        return Fate.SILENT if self._commands_left < self._silent_at_end else Fate.ANSWERED


class _Link(threading.Thread):
    """One accepted connection from its first line to its end; `caller` is "" for a stranger."""

    def __init__(self, lond: ClassicLond, connection: socket.socket, caller: str) -> None:
        super().__init__(name=f"classic lond {lond.host_id}, link of {caller}", daemon=True)
        self._lond, self._socket, self._caller = lond, connection, caller
        self._cipher: Idea | None = None
        self._silent = False
        self._asked = b""
        self._lines: deque[tuple[float, bytes]] = deque()
        self._partial = b""
        connection.settimeout(lond.limit)

    def cut(self) -> None:
        """End the link from another thread; whatever this one waits for, it wakes."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        # An OSError means that the other side is gone or that close() cut the link: both are ends, not faults.
        with self._socket, contextlib.suppress(OSError):
            if self._admit():
                while self._serve(*self._next_line()):
                    pass
            self._leave()

    def _admit(self) -> bool:
        if self._caller and self._next_line()[1].split(b":")[0] == b"init":
            challenge = b"%d%d" % (os.getpid(), time.time())
            self._answer(challenge)
            if self._next_line()[1] == challenge:
                self._answer(b"ok")
                return True
        self._answer(b"refused")
        return False

    def _serve(self, at: float, line: bytes) -> bool:
        """Execute one request; False if the link has to end after it."""
        framed = line.startswith(b"enc:")
        if framed and self._cipher is None:
            self._answer(b"error: no key")
            return False
        command = unseal(self._cipher, line) if framed and self._cipher else line
        received = Received(at, self._caller, command, framed)
        word, _, rest = command.partition(b":")
        with self._lond.changed:
            reply = self._execute(word, rest, framed)
            fate = self._lond.fate_of(word)
            self._lond.note(self._lond.received, received)
        self._silent = self._silent or fate is not Fate.ANSWERED
        self._answer_to(received, reply)
        return fate is not Fate.LAST and word not in (b"exit", b"quit")

    def _execute(self, word: bytes, rest: bytes, framed: bool) -> bytes:
        own_id = self._lond.host_id.encode()
        if word in _ENCRYPTED_ONLY and not framed:
            return b"refused"
        match word:
            case b"ping":
                return own_id
            case b"pong":
                return own_id + b":" + self._lond.pong_reply
            case b"version":
                return b"version:1.1.1"
            case b"sethost":
                return b"ok" if rest == own_id else b"unable_to_set"
            case b"ekey":
                return self._exchange_key()
            case b"eget":
                clear = self._lond.records.execute(b"get", rest, self._caller)
                return seal(self._cipher, clear) if self._cipher else b"error:no_key"
            case b"exit" | b"quit":
                return b"bye"
        return self._lond.records.execute(word, rest, self._caller)

    def _exchange_key(self) -> bytes:
        build_key = new_build_key(self._lond.host_id, self._caller)
        self._cipher = link_key(self._lond.host_id, self._caller, build_key)
        self._lond.note(self._lond.links_made, self._caller)
        return build_key

    def _answer_to(self, received: Received, reply: bytes) -> None:
        try:
            if not self._silent:
                self._answer(reply)
        except OSError:
            self._silent = True
            raise
        finally:
            if self._silent:
                self._lond.note(self._lond.unanswered, received)

    def _answer(self, reply: bytes) -> None:
        self._await_gate()
        self._socket.sendall(reply + b"\n")

    def _await_gate(self) -> None:
        """Wait until replies may go; see meanwhile, and at least once, what arrives although it must not."""
        poller = select.poll()
        poller.register(self._lond.gate, select.POLLIN)
        if self._caller:  # a stranger's bytes are not read before it is refused
            poller.register(self._socket, select.POLLIN)
        self._note_early_bytes()  # what came with the request itself
        while True:
            ready = {fd for fd, _ in poller.poll()}
            if self._socket.fileno() in ready:
                self._receive()
            self._note_early_bytes()
            if self._lond.gate.fileno() in ready:
                return

    def _note_early_bytes(self) -> None:
        """Record once for each request that it was not the last thing that arrived."""
        early = b"".join(line + b"\n" for _, line in self._lines) + self._partial
        if self._lond.serial and self._asked and early:
            self._lond.note(self._lond.violations, Violation(self._caller, self._asked, early))
            self._asked = b""

    def _next_line(self) -> tuple[float, bytes]:
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        while not self._lines:
            poller.poll()  # ended by the other side or by cut()
            self._receive()
        at, self._asked = self._lines.popleft()
        return at, self._asked

    def _receive(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the other side has closed")
        *lines, self._partial = (self._partial + data).split(b"\n")
        self._lines.extend((time.monotonic(), line.removesuffix(b"\r")) for line in lines)

    def _leave(self) -> None:
        """Close so that replies on their way arrive: a close with unread bytes would reset the connection."""
        self._socket.shutdown(socket.SHUT_WR)
        while self._socket.recv(1 << 16):
            pass
