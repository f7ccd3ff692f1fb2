"""lond and lonc against hostile and broken callers, which are plain sockets here.

`msul1` is under attack. `msua1` is its honest neighbour: while an attack goes on it pings over its link, and every
answer must be right; how long they took is shown at the end of the run, never judged. The attacker owns the address of
`msua2`, a member without daemons, and one that is nobody's.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest

from tests.conftest import Measured
from tests.helpers.activity import USER, make_user
from tests.helpers.daemons import stop_child
from tests.helpers.federation import Federation, Host
from tests.helpers.waiting import eventually
from tests.network.conftest import FederationFactory

TARGET, NEIGHBOUR, LATE, ATTACKER = "msul1", "msua1", "msul2", "msua2"
STRANGER_IP = "127.250.250.250"
ANSWER = 30.0  # seconds; only a test that fails waits so long
MAX_LINKS = 8  # the default
MAX_HANDSHAKES, SPARES, SURPLUS = 4, 2, 2  # the defaults; each spare may accept one more before it sees the others'
MEMORY = 32 * 1024  # KiB that an attack may cost lond, or one lonc child, at most
FLOOD = 64 * 1024 * 1024  # bytes that nobody may swallow


# --- the attacker's tools ---------------------------------------------------------------------------------


class Attacker:
    """Connections from chosen addresses to the target's lond; all are closed at the end."""

    def __init__(self, fed: Federation, stack: ExitStack) -> None:
        self.member_ip, self._stack = fed.hosts[ATTACKER].ip, stack
        self._target = (fed.hosts[TARGET].ip, fed.port)

    def connect(self, source: str = "") -> socket.socket:
        """A connection, from the attacker's own address unless another is given."""
        channel = socket.create_connection(self._target, ANSWER, source_address=(source or self.member_ip, 0))
        self._stack.callback(channel.close)
        return channel

    def open_link(self) -> socket.socket:
        """A connection that has answered its challenge."""
        channel = self.connect()
        channel.sendall(b"init\n")
        channel.sendall(read_line(channel) + b"\n")
        assert read_line(channel) == b"ok"
        return channel


def read_line(channel: socket.socket) -> bytes:
    """One line without its LF; a connection that is closed before its end is an error."""
    line = b""
    while not line.endswith(b"\n"):
        byte = channel.recv(1)
        assert byte, f"closed after {line!r}"
        line += byte
    return line[:-1]


def read_to_end(channel: socket.socket) -> bytes:
    """What comes until the other side closes; a reset is an end, too."""
    data = b""
    with suppress(ConnectionError):
        while piece := channel.recv(65536):
            data += piece
    return data


def flood(channel: socket.socket, piece: bytes) -> int:
    """Send the piece again and again until the other side closes; the number of bytes it took."""
    sent = 0
    with suppress(ConnectionError):
        while sent < FLOOD:
            sent += channel.send(piece)
    return sent


def pss(pids: list[int]) -> int:
    """The memory of processes in KiB, shared pages counted in parts; those that ended count nothing."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)[1])  # type: ignore[index]
    return total


def refusals(host: Host) -> list[str]:
    """The lines of lond's log about refused connections."""
    return [line for line in host.lond.log.splitlines() if "refused" in line]


@contextmanager
def neighbour_served(fed: Federation, measured: Measured) -> Iterator[None]:
    """Meanwhile the neighbour asks over its link; every answer must be right."""
    net, times, over = fed.hosts[NEIGHBOUR].lonnet(), [], threading.Event()

    def ask() -> None:
        while not over.wait(0.002):
            begin = time.monotonic()
            answer = net.reply("ping", TARGET)
            times.append(time.monotonic() - begin)
            assert answer == TARGET
        net.close_thread()

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            eventually(lambda: bool(times) or asking.done())
            yield
        finally:
            over.set()
            asking.result(ANSWER)
    middle, worst = statistics.median(times) * 1000, max(times) * 1000
    measured(f"neighbour meanwhile: {len(times)} pings, median {middle:.2f} ms, longest {worst:.2f} ms")


@contextmanager
def bounded(daemon_pids: Callable[[], list[int]], measured: Measured) -> Iterator[Callable[[], None]]:
    """Memory grows by MEMORY at most, measured at the end and whenever the block calls what it is given."""
    before, most = pss(daemon_pids()), 0

    def look() -> None:
        nonlocal most
        grown = pss(daemon_pids()) - before
        most = max(most, grown)
        assert grown <= MEMORY

    yield look
    look()
    measured(f"memory: {before} KiB before, at most {most} KiB more since")


# --- lond -------------------------------------------------------------------------------------------------


@pytest.fixture
def fed(federation: FederationFactory) -> Federation:
    return federation([TARGET, NEIGHBOUR, LATE, ATTACKER], start=[TARGET, NEIGHBOUR])


@pytest.fixture
def attacker(fed: Federation) -> Iterator[Attacker]:
    with ExitStack() as stack:
        yield Attacker(fed, stack)


@pytest.fixture
def impatient(federation: FederationFactory) -> Federation:
    """The same with a short key exchange."""
    return federation(
        [TARGET, NEIGHBOUR, LATE, ATTACKER], start=[TARGET, NEIGHBOUR], settings={"lonKeyExchangeTimeout": "2"}
    )


@pytest.fixture
def impatient_attacker(impatient: Federation) -> Iterator[Attacker]:
    with ExitStack() as stack:
        yield Attacker(impatient, stack)


WORKERS = ("hasher", "asker", "asker-known", "updater")


def only_spares_and_links(host: Host, *others: str) -> None:
    """Every lond child is idle or serves one of the honest (or the others), and as many are spares as should be."""
    states = [(slot.state, slot.host) for slot in host.lond.slots() if slot.state not in WORKERS]
    idle = states.count(("idle", ""))
    assert SPARES <= idle <= SPARES + SURPLUS, states
    assert all(host in (TARGET, NEIGHBOUR, LATE, *others) for state, host in states if state != "idle"), states


def test_a_stranger_gets_nothing_and_costs_one_line(fed: Federation, attacker: Attacker, measured: Measured) -> None:
    target = fed.hosts[TARGET]
    eventually(lambda: only_spares_and_links(target))
    before = set(target.lond.session())
    with neighbour_served(fed, measured):
        for _ in range(200):
            assert read_to_end(attacker.connect(STRANGER_IP)) == b""
    assert set(target.lond.session()) == before, "a stranger cost a child"
    eventually(lambda: len(refusals(target)) == 1)
    assert f"{STRANGER_IP} is not in hosts.tab" in refusals(target)[0]


def test_a_stranger_that_talks_first_gets_nothing(fed: Federation, attacker: Attacker) -> None:
    for _ in range(20):
        channel = attacker.connect(STRANGER_IP)
        with suppress(ConnectionError):
            channel.sendall(b"init\n")
        assert read_to_end(channel) == b""
    eventually(lambda: len(refusals(fed.hosts[TARGET])) == 1)


def test_strangers_while_the_parent_hangs(fed: Federation, attacker: Attacker, measured: Measured) -> None:
    target = fed.hosts[TARGET]
    target.lond.signal(signal.SIGSTOP)
    try:
        with neighbour_served(fed, measured):
            for _ in range(1500):
                channel = attacker.connect(STRANGER_IP)
                channel.settimeout(10)
                assert read_to_end(channel) == b""
                channel.close()
    finally:
        target.lond.signal(signal.SIGCONT)
    eventually(lambda: only_spares_and_links(target))


def test_wrong_answers_to_the_challenge(fed: Federation, attacker: Attacker, measured: Measured) -> None:
    target = fed.hosts[TARGET]
    with neighbour_served(fed, measured):
        for _ in range(50):
            channel = attacker.connect()
            channel.sendall(b"init\n")
            challenge = read_line(channel)
            assert challenge.isdigit()
            channel.sendall(challenge[::-1] + b"0\n")
            assert read_to_end(channel) == b"refused\n"
    eventually(lambda: len(refusals(target)) == 1)
    assert f"{attacker.member_ip} wrong answer to the challenge" in refusals(target)[0]
    eventually(lambda: only_spares_and_links(target))


GARBAGE = {
    "zeros": b"\0" * 3000,
    "line ends": b"\n" * 3000,
    "carriage returns": b"\r" * 3000,
    "all bytes": bytes(range(256)) * 8,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xa5" * 600,
    "HTTP": b"GET / HTTP/1.1\r\nHost: msul1\r\n\r\n",
    "a frame": b"enc:4:3519a5adb04ebb8f\n",
    "too early": b"put:msu:smith:env:a=1\n",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_instead_of_a_greeting(fed: Federation, attacker: Attacker, garbage: bytes) -> None:
    target = fed.hosts[TARGET]
    for _ in range(5):
        channel = attacker.connect()
        with suppress(ConnectionError):
            channel.sendall(garbage + b"\n")
        assert read_to_end(channel) in (b"", b"refused\n")
    eventually(lambda: len(refusals(target)) == 1)
    assert refusals(target)[0].isprintable()
    eventually(lambda: only_spares_and_links(target))


def test_garbage_on_an_open_link_ends_that_link_only(fed: Federation, attacker: Attacker, measured: Measured) -> None:
    target = fed.hosts[TARGET]
    with neighbour_served(fed, measured):
        for _ in range(10):
            channel = attacker.open_link()
            channel.sendall(b"\0\xff%zz:::&=\n" * 100 + b"enc:99999999999999999999:zz\nping\n")
            replies = read_to_end(channel).splitlines()
            assert replies[:100] == [b"unknown_cmd"] * 100
            assert len(replies) == 101 and replies[100].startswith(b"error: ")
    eventually(lambda: len(refusals(target)) == 1)
    eventually(lambda: only_spares_and_links(target))


def test_an_endless_line_before_the_greeting(fed: Federation, attacker: Attacker, measured: Measured) -> None:
    target = fed.hosts[TARGET]
    with bounded(target.lond.session, measured), neighbour_served(fed, measured):
        for _ in range(10):
            channel = attacker.connect()
            assert flood(channel, b"i" * 65536) < FLOOD
            assert read_to_end(channel) in (b"", b"refused\n")
    eventually(lambda: len(refusals(target)) == 1)
    eventually(lambda: only_spares_and_links(target))


def test_an_endless_line_on_an_open_link(fed: Federation, attacker: Attacker, measured: Measured) -> None:
    target = fed.hosts[TARGET]
    with bounded(target.lond.session, measured) as look, neighbour_served(fed, measured):
        for _ in range(5):
            channel = attacker.open_link()
            channel.sendall(b"x" * 1_000_000)  # within lonMaxRequest: it is kept
            look()
            assert flood(channel, b"x" * 65536) < FLOOD
            assert read_to_end(channel)[:6] in (b"", b"error:")
    eventually(lambda: len(refusals(target)) == 1)
    eventually(lambda: only_spares_and_links(target))


def test_a_peer_that_never_reads_its_replies(fed: Federation, attacker: Attacker, measured: Measured) -> None:
    target = fed.hosts[TARGET]
    requests = b"ping\n" * 20_000
    with bounded(target.lond.session, measured) as look, neighbour_served(fed, measured):
        channel = attacker.open_link()
        sent = 0
        while sent < FLOOD and select.select([], [channel], [], 1)[1]:  # until lond takes no more
            channel.setblocking(False)
            sent += channel.send(requests[sent % 5 :])
        assert sent < FLOOD
        look()
        channel.settimeout(ANSWER)
        expected = sent // 5 * len(b"msul1\n")
        replies = b""
        while len(replies) < expected:
            piece = channel.recv(1 << 20)
            assert piece
            replies += piece
        assert replies == b"msul1\n" * (sent // 5)
    assert refusals(target) == []


@pytest.mark.parametrize("last", [b"ping\n", b"ekey\n"])
def test_requests_for_large_replies(fed: Federation, attacker: Attacker, measured: Measured, last: bytes) -> None:
    """However many come at once, and whatever stands behind them: only as many replies are made as are taken."""
    target, number = fed.hosts[TARGET], 100
    make_user(target)
    for key in "abc":
        value = "x" * 900_000
        assert fed.hosts[NEIGHBOUR].lonnet().reply(f"put:msu:{USER}:large:{key}={value}", TARGET) == "ok"
    with bounded(target.lond.session, measured) as look, neighbour_served(fed, measured):
        channel = attacker.open_link()
        channel.sendall(b"ping\n" + f"dump:msu:{USER}:large\n".encode() * number + last)
        assert read_line(channel) == TARGET.encode()
        look()
        received = 0
        while received < 2_700_000 * number:
            piece = channel.recv(1 << 20)
            assert piece
            received += len(piece)


def test_five_hundred_connections_that_say_nothing(
    impatient: Federation, impatient_attacker: Attacker, measured: Measured
) -> None:
    fed, attacker, target = impatient, impatient_attacker, impatient.hosts[TARGET]
    wanted = 1 + len(target.lond.slots()) + 1 + MAX_HANDSHAKES + SPARES + SPARES + SURPLUS  # parent, links, late one
    most = 2 * wanted  # on a busy machine those that have given up are on their way out while others take their places
    largest = 0
    with bounded(target.lond.session, measured) as look, neighbour_served(fed, measured):
        silent = []
        for number in range(500):
            silent.append(attacker.connect())
            if number % 50 == 0:
                largest = max(largest, len(target.lond.session()))
        look()
        fed.hosts[LATE].start_lonc()
        fed.hosts[LATE].wait_for_link(TARGET)  # a new link comes up in the middle of it
        assert fed.hosts[LATE].lonnet().reply("ping", TARGET) == TARGET
        largest = max(largest, len(target.lond.session()))
        assert largest <= most
        for channel in silent:
            assert read_to_end(channel) == b""
    measured(f"lond processes: {largest} at most")
    eventually(lambda: only_spares_and_links(target))
    # The late one's first try may have found no spare in time: a refusal as well, but not the attacker's.
    reasons = [line.partition(attacker.member_ip)[2] for line in refusals(target) if attacker.member_ip in line]
    assert len(reasons) == len(set(reasons)), "one line for each reason"
    expected = ("connections open", "no answer to the challenge within 2 s")
    assert [reason for reason in reasons if not any(words in reason for words in expected)] == []


def test_bytes_one_at_a_time_are_a_link_all_the_same(fed: Federation, attacker: Attacker, measured: Measured) -> None:
    channel = attacker.connect()
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def drip(line: bytes) -> bytes:
        for number in range(len(line)):
            assert channel.send(line[number : number + 1]) == 1
        return read_line(channel)

    with neighbour_served(fed, measured):
        assert drip(drip(b"init\n") + b"\n") == b"ok"
        assert len(drip(b"ekey\n")) >= 32 - len(TARGET + ATTACKER)
        for _ in range(50):
            assert drip(b"ping\n") == TARGET.encode()
    assert refusals(fed.hosts[TARGET]) == []


def test_dripping_buys_no_time(impatient: Federation, impatient_attacker: Attacker) -> None:
    """The limit on the key exchange is one on the whole of it, not on a pause within it."""
    target = impatient.hosts[TARGET]
    channel = impatient_attacker.connect()
    drops = cycle([b"i"])

    def closed_while_dripping() -> bool:
        try:
            channel.sendall(next(drops))
        except ConnectionError:
            return True
        return bool(select.select([channel], [], [], 0)[0])

    eventually(closed_while_dripping, ANSWER, pause=0.02)  # at this pace the length of the line is no reason
    assert read_to_end(channel) == b""
    eventually(lambda: "no answer to the challenge within 2 s" in target.lond.log)
    eventually(lambda: only_spares_and_links(target))


def test_more_links_of_one_host_than_there_may_be(fed: Federation, attacker: Attacker, measured: Measured) -> None:
    target = fed.hosts[TARGET]
    with neighbour_served(fed, measured):
        links = []
        for _ in range(30):
            links.append(attacker.open_link())
            eventually(lambda: nobody_greets(target))  # MAX_HANDSHAKES counts until the child has said so

        def few_are_left() -> None:
            serving = [slot.host for slot in target.lond.slots() if slot.state == "serving"]
            assert serving.count(ATTACKER) <= MAX_LINKS, serving
            assert serving.count(ATTACKER) >= 1, serving

        eventually(few_are_left)
        newest = links[-1]
        newest.sendall(b"ping\n")
        assert read_line(newest) == TARGET.encode()
    for channel in links:
        channel.close()
    eventually(lambda: only_spares_and_links(target))


def nobody_greets(host: Host) -> bool:
    return all(slot.state != "greeting" for slot in host.lond.slots())


def idle(host: Host) -> list[int]:
    """The spares, in the order of their birth."""
    slots = [slot for slot in host.lond.slots() if slot.state == "idle"]
    return [slot.pid for slot in sorted(slots, key=lambda slot: slot.generation)]


def test_of_too_many_links_the_oldest_is_closed_whichever_child_has_it(fed: Federation, attacker: Attacker) -> None:
    target = fed.hosts[TARGET]
    eventually(lambda: only_spares_and_links(target))
    eldest = idle(target)[0]
    stop_child(eldest)
    try:
        links = []
        for number in range(MAX_LINKS):
            links.append(attacker.open_link())
            eventually(partial(serves, target, number + 1))
        eventually(lambda: only_spares_and_links(target, ATTACKER))
        others = [pid for pid in idle(target) if pid != eldest]
        for pid in others:
            stop_child(pid)
    finally:
        os.kill(eldest, signal.SIGCONT)
    try:
        newest = attacker.open_link()
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)
    assert read_to_end(links[0]) == b""
    newest.sendall(b"ping\n")
    assert read_line(newest) == TARGET.encode()


def serves(host: Host, links: int) -> bool:
    """Whether so many links of the attacker are there."""
    return sum((slot.host, slot.state) == (ATTACKER, "serving") for slot in host.lond.slots()) == links


# --- lonc's UNIX socket -----------------------------------------------------------------------------------


@pytest.fixture
def pair(federation: FederationFactory) -> Federation:
    """Two hosts with small limits for callers."""
    limits = {"lonMaxRequest": "20000", "lonMaxUnread": "65536", "lonMaxCallers": "3"}
    return federation([NEIGHBOUR, TARGET], settings=limits)


@pytest.fixture
def call(pair: Federation) -> Iterator[Callable[[], socket.socket]]:
    """Connections to the socket of the neighbour's link to the target."""
    with ExitStack() as stack:

        def connect() -> socket.socket:
            channel = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            channel.settimeout(ANSWER)
            channel.connect(str(pair.hosts[NEIGHBOUR].socket_path(TARGET)))
            return channel

        yield connect


Call = Callable[[], socket.socket]


def ask(channel: socket.socket, *lines: bytes) -> list[bytes]:
    """Send lines at once; as many replies."""
    channel.sendall(b"".join(line + b"\n" for line in lines))
    return [read_line(channel) for _ in lines]


@contextmanager
def link_untouched(fed: Federation) -> Iterator[None]:
    """The link that callers share is the same before and after, and works for others, also encrypted."""
    here = fed.hosts[NEIGHBOUR]
    before = here.lonc.slot(TARGET, "up").pid
    yield
    with_link = here.lonnet()
    assert with_link.reply("ping", TARGET) == TARGET
    assert with_link.reply("encrypt:ping", TARGET) == TARGET
    with_link.close()
    assert here.lonc.slot(TARGET, "up").pid == before
    assert "is lost" not in here.lonc.log


def test_a_caller_with_an_endless_line(pair: Federation, call: Call, measured: Measured) -> None:
    with link_untouched(pair), bounded(pair.hosts[NEIGHBOUR].lonc.session, measured):
        for _ in range(5):
            caller = call()
            caller.sendall(b"ping\n")
            assert flood(caller, b"x" * 65536) < FLOOD
            assert read_to_end(caller) == b"msul1\nerror: request too long\n"


def test_the_longest_request_and_one_byte_more(pair: Federation, call: Call) -> None:
    with link_untouched(pair):
        caller = call()
        assert ask(caller, b"x" * 20_000) == [b"unknown_cmd"]
        assert ask(caller, b"ping", b"x" * 20_001) == [b"msul1", b"error: request too long"]
        assert read_to_end(caller) == b""


def test_a_caller_that_never_reads(pair: Federation, call: Call, measured: Measured) -> None:
    with link_untouched(pair), bounded(pair.hosts[NEIGHBOUR].lonc.session, measured):
        deaf, other = call(), call()
        assert flood(deaf, b"ping\n" * 5000) < FLOOD
        assert ask(other, b"ping") == [b"msul1"]
        assert set(read_to_end(deaf).splitlines()[:-1]) == {b"msul1"}


def test_callers_that_vanish_in_the_middle(pair: Federation, call: Call) -> None:
    with link_untouched(pair):
        other = call()
        for _ in range(50):
            caller = call()
            caller.sendall(b"ping\n" * 100 + b"critical:0123")
            caller.close()
            assert ask(other, b"ping") == [b"msul1"]

        def one_is_left() -> None:
            assert pair.hosts[NEIGHBOUR].lonc.slot(TARGET, "up").connections == 1

        eventually(one_is_left)


def test_two_thousand_requests_at_once_are_answered_in_order(pair: Federation, call: Call) -> None:
    numbers = [b"%d" % number for number in range(1000)]
    puts = [b"tmpput:%b" % number for number in numbers]
    with link_untouched(pair):
        caller = call()
        caller.sendall(b"".join(line + b"\n" for line in puts))
        ids = [read_line(caller) for _ in numbers]
        assert len(set(ids)) == len(numbers), ids[:3]
        mixed = [line for id in ids for line in (b"tmpget:%b" % id, b"encrypt:tmpget:%b" % id)]
        expected = [number for number in numbers for _ in (1, 2)]
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(caller.sendall, b"".join(line + b"\n" for line in mixed))
            with caller.makefile("rb") as replies:
                assert [replies.readline().rstrip(b"\n") for _ in mixed] == expected
            sending.result(ANSWER)


def test_callers_beyond_the_limit_wait_for_others_to_leave(pair: Federation, call: Call) -> None:
    here = pair.hosts[NEIGHBOUR]
    inside = [call() for _ in range(3)]
    for caller in inside:
        assert ask(caller, b"ping") == [b"msul1"]
    waiting = [call() for _ in range(3)]
    for caller in waiting:
        caller.sendall(b"ping\n")
    for caller in inside * 20:
        assert ask(caller, b"ping") == [b"msul1"]
    assert select.select(waiting, [], [], 0)[0] == []
    assert here.lonc.slot(TARGET, "up").connections <= 3
    for leaves, enters in zip(inside, waiting, strict=True):
        leaves.close()
        assert read_line(enters) == b"msul1"
    for caller in waiting:
        caller.close()
    with link_untouched(pair):
        assert ask(call(), b"ping") == [b"msul1"]


MALFORMED = [
    b"critical:",
    b"critical::",
    b"critical::ping",
    b"critical:ping",
    b"critical:" + b"a" * 32,
    b"critical:" + b"a" * 32 + b":",
    b"critical:" + b"a" * 31 + b":ping",
    b"critical:" + b"a" * 33 + b":ping",
    b"critical:" + b"g" * 32 + b":ping",
    b"critical:" + b"a" * 16 + b"\xc3\xa9" * 8 + b":ping",
    b"critical:" + b"a" * 31 + b"\0:ping",
    b"critical:../../../../../../../etc/passwd:ping",
]


def test_malformed_critical_messages(pair: Federation, call: Call) -> None:
    here = pair.hosts[NEIGHBOUR]
    with link_untouched(pair):
        caller = call()
        for reply in ask(caller, *MALFORMED):
            assert reply.startswith(b"error: a critical message begins with critical:ID:")
        assert not (here.directory / "delayed" / f"{TARGET}.db").exists(), "something was stored"
        assert ask(caller, b"critical:" + b"a" * 32 + b":ping") == [b"msul1"]


@pytest.mark.parametrize("word", [b"auth", b"passwd", b"makeuser", b"changeuserauth"])
def test_a_password_is_not_stored(pair: Federation, call: Call, word: bytes) -> None:
    with link_untouched(pair):
        for number, prefix in enumerate((b"", b"encrypt:")):
            line = b"critical:%032x:%s%s:hub:smith:s3cret:n3w" % (number, prefix, word)
            assert ask(call(), line) == [b"refused"]
    delayed = pair.hosts[NEIGHBOUR].directory / "delayed"
    assert not any(b"s3cret" in path.read_bytes() for path in delayed.glob("*"))


FOR_LONC_ALONE = {  # lines that are part of the dialogue between lonc and lond, not requests
    "exit": b"exit",
    "quit": b"quit",
    "ekey": b"ekey",
    "malformed frame": b"enc:zz",
    "frame longer than lond takes": b"encrypt:" + b"x" * 15_000,
}


@pytest.mark.parametrize("line", FOR_LONC_ALONE.values(), ids=FOR_LONC_ALONE.keys())
def test_a_caller_cannot_harm_the_link_it_shares(pair: Federation, call: Call, line: bytes) -> None:
    with link_untouched(pair):
        assert ask(call(), line)[0] != b""


@pytest.mark.parametrize("line", [b"", b"\r", b"\0", b"init", b"encrypt:", b"encrypt:exit", b"sethost:x", b"\xff" * 99])
def test_odd_requests_are_answered(pair: Federation, call: Call, line: bytes) -> None:
    with link_untouched(pair):
        assert ask(call(), line, b"ping")[1] == b"msul1"
