"""Our daemons beside machines of the original network, played by tests.helpers.classic_peer.

`msul1` is ours in every test. `msua1` is the classic machine: as a client it connects from its own address to
our lond, as a server it listens there for our lonc. What the classic machine may be told, and in which order,
is fixed by the classic protocol; nothing here looks into our processes.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.helpers.activity import make_user
from tests.helpers.classic_peer import ClassicLonc, ClassicLond, Dialogue
from tests.helpers.federation import Federation
from tests.helpers.waiting import eventually

OURS, CLASSIC, THIRD = "msul1", "msua1", "msul2"
STRANGER_IP = "127.250.250.250"
LINK_UP = 60.0  # seconds for a link to stand or to stand again
ANSWER = 60.0  # seconds for all callers of a test to be answered

FederationFactory = Callable[..., Federation]
ConnectClassic = Callable[..., ClassicLonc]


# --- a classic client, our lond ---------------------------------------------------------------------------


@pytest.fixture
def with_our_lond(federation: FederationFactory) -> Federation:
    fed = federation(hosts=[OURS, CLASSIC, THIRD], start=[])
    make_user(fed.hosts[OURS])
    fed.hosts[OURS].start_lond()
    return fed


@pytest.fixture
def connect(with_our_lond: Federation) -> Iterator[ConnectClassic]:
    """Classic clients connected to our lond, from the address of their host unless another is given."""
    made: list[ClassicLonc] = []

    def connect(host: str = CLASSIC, bind_to: str = "", eol: bytes = b"\n") -> ClassicLonc:
        lonc = ClassicLonc(host, OURS, eol=eol)
        made.append(lonc)
        own_address = bind_to or with_our_lond.hosts[host].ip
        lonc.connect(with_our_lond.hosts[OURS].ip, with_our_lond.port, bind_to=own_address)
        return lonc

    yield connect
    for lonc in made:
        lonc.close()


@pytest.fixture
def link(connect: ConnectClassic) -> ClassicLonc:
    lonc = connect()
    lonc.set_up()
    return lonc


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("dialogue", Dialogue)
def test_every_generation_of_lonc_gets_a_link(connect: ConnectClassic, dialogue: Dialogue, eol: bytes) -> None:
    lonc = connect(eol=eol)
    lonc.set_up(dialogue)
    assert lonc.request(b"ping") == OURS.encode()
    assert lonc.encrypted(b"ping") == OURS.encode()


def test_challenges_differ(connect: ConnectClassic) -> None:
    challenges = [connect().request(b"init") for _ in range(3)]
    assert len(set(challenges)) == 3


def test_sethost_knows_our_own_id_only(link: ClassicLonc) -> None:
    assert link.request(b"sethost:" + OURS.encode()) == b"ok"
    assert link.request(b"sethost:" + THIRD.encode()) == b"unable_to_set"
    assert link.request(b"ping") == OURS.encode()


def test_pong_without_a_way_back_says_so(link: ClassicLonc) -> None:
    assert link.request(b"pong") == OURS.encode() + b":con_lost"


def test_pong_calls_back_through_our_lonc(with_our_lond: Federation, connect: ConnectClassic) -> None:
    with classic_lond(with_our_lond):
        with_our_lond.hosts[OURS].start_lonc()
        with_our_lond.hosts[OURS].wait_for_link(CLASSIC)  # lond remembers for a while that there was none
        link = connect()
        link.set_up()
        assert link.request(b"pong") == OURS.encode() + b":" + CLASSIC.encode()


def test_commands_in_clear_and_in_frames_meet_the_same_records(link: ClassicLonc) -> None:
    assert link.request(b"put:msu:smith:env:color=light%20blue&size=") == b"ok"
    assert link.encrypted(b"get:msu:smith:env:color&none&size") == b"light%20blue&&"
    assert link.encrypted(b"put:msu:smith:env:color=red") == b"ok"
    assert link.request(b"get:msu:smith:env:color") == b"red"
    assert link.encrypted(b"log:msu:smith:went%20home") == b"ok"


@pytest.mark.parametrize("length", [7, 8, 9, 15, 16, 17])
def test_frames_at_the_edges_of_blocks(link: ClassicLonc, length: int) -> None:
    value = b"x" * length
    assert link.encrypted(b"put:msu:smith:env:edge=" + value) == b"ok"
    assert link.request(b"get:msu:smith:env:edge") == value


@pytest.mark.parametrize("command", [b"auth:msu:smith:secret", b"passwd:msu:smith:old:new"])
def test_what_must_be_encrypted_is_refused_in_clear(link: ClassicLonc, command: bytes) -> None:
    assert link.request(command) == b"refused"
    assert link.request(b"ping") == OURS.encode()


def test_eget_is_framed_even_for_a_question_in_clear(link: ClassicLonc) -> None:
    assert link.request(b"put:msu:smith:env:color=light%20blue") == b"ok"
    framed = link.request(b"eget:msu:smith:env:color")
    assert framed.startswith(b"enc:12:")
    assert link.opened(framed) == b"light%20blue"


def test_eget_without_a_key(connect: ConnectClassic) -> None:
    lonc = connect()
    assert lonc.request(lonc.request(b"init")) == b"ok"
    assert lonc.request(b"eget:msu:smith:env:color") == b"error:no_key"


def test_pipelined_requests_are_answered_in_order(link: ClassicLonc) -> None:
    numbers = range(300)
    link.send(
        *(b"put:msu:smith:env:k%d=%d" % (n, n) for n in numbers), *(b"get:msu:smith:env:k%d" % n for n in numbers)
    )
    assert [link.read_line() for _ in numbers] == [b"ok" for _ in numbers]
    assert [link.read_line() for _ in numbers] == [b"%d" % n for n in numbers]


def test_clear_and_framed_requests_mixed_in_one_burst(link: ClassicLonc) -> None:
    link.send(b"ping", link.framed(b"put:msu:smith:env:a=1"), b"get:msu:smith:env:a", link.framed(b"nonsense"), b"ping")
    assert [link.read_line() for _ in range(5)] == [OURS.encode(), b"ok", b"1", b"unknown_cmd", OURS.encode()]


def test_bytes_one_at_a_time(connect: ConnectClassic) -> None:
    lonc = connect()
    for byte in b"init\n":
        lonc.send_raw(bytes([byte]))
    assert lonc.request(lonc.read_line()) == b"ok"


@pytest.mark.parametrize("word", [b"exit", b"quit"])
def test_farewell(link: ClassicLonc, word: bytes) -> None:
    link.send(word)
    assert link.read_to_end() == b"bye\n"


def test_frame_before_the_key(connect: ConnectClassic) -> None:
    lonc = connect()
    assert lonc.request(lonc.request(b"init")) == b"ok"
    lonc.send(b"enc:4:3519a5adb04ebb8f")
    assert lonc.read_to_end() == b"error: no key\n"


def test_wrong_echo(connect: ConnectClassic) -> None:
    lonc = connect()
    challenge = lonc.request(b"init")
    lonc.send(challenge + b"0")
    assert lonc.read_to_end() == b"refused\n"


@pytest.mark.parametrize("first", [b"", b"ping", b"INIT", b"initial", b"GET / HTTP/1.0"])
def test_first_line_that_is_not_init(connect: ConnectClassic, first: bytes) -> None:
    lonc = connect()
    lonc.send(first)
    assert lonc.read_to_end() == b"refused\n"


def test_stranger_gets_no_byte(connect: ConnectClassic) -> None:
    assert connect(bind_to=STRANGER_IP).read_to_end() == b""


def test_garbage_costs_its_own_link_only(connect: ConnectClassic, link: ClassicLonc) -> None:
    noise = random.Random(5663)
    for _ in range(10):
        bad = connect(THIRD)
        bad.send_raw(noise.randbytes(2000) + b"\n")
        assert bad.read_to_end() in (b"", b"refused\n")
        assert link.request(b"ping") == OURS.encode()
    good = connect(THIRD)
    good.set_up()
    assert good.request(b"ping") == OURS.encode()


# --- a classic server, our lonc ---------------------------------------------------------------------------


def classic_lond(fed: Federation, host: str = CLASSIC, serial: bool = False) -> ClassicLond:
    """A classic lond at the address of the host, which knows all hosts of the federation."""
    hosts = {other.ip: host_id for host_id, other in fed.hosts.items()}
    return ClassicLond(host, hosts, fed.hosts[host].ip, fed.port, serial=serial)


@pytest.fixture
def fed(federation: FederationFactory) -> Federation:
    return federation(hosts=[OURS, CLASSIC], start=[])


@pytest.fixture
def lond(fed: Federation) -> Iterator[ClassicLond]:
    """A classic lond to which our lonc has its link."""
    with classic_lond(fed) as lond:
        link_from_our_lonc(fed, lond)
        yield lond


def link_from_our_lonc(fed: Federation, lond: ClassicLond) -> None:
    fed.hosts[OURS].start_lonc()
    lond.wait_until(lambda peer: OURS in peer.links_made, LINK_UP)
    eventually_answers(fed)


def eventually_answers(fed: Federation) -> None:
    net = fed.hosts[OURS].lonnet()

    def answers() -> None:
        assert net.reply("ping", CLASSIC) == CLASSIC

    eventually(answers, timeout=LINK_UP)


def test_requests_reach_a_classic_lond(fed: Federation, lond: ClassicLond) -> None:
    net = fed.hosts[OURS].lonnet()
    assert net.reply("put:msu:smith:env:color=light%20blue", CLASSIC) == "ok"
    assert net.reply("get:msu:smith:env:color", CLASSIC) == "light%20blue"
    assert net.critical("log:msu:smith:went%20home", CLASSIC) == "ok"
    assert net.reply("dance", CLASSIC) == "unknown_cmd"
    assert lond.commands() == [
        b"put:msu:smith:env:color=light%20blue",
        b"get:msu:smith:env:color",
        b"log:msu:smith:went%20home",
        b"dance",
    ]


def test_our_lonc_sets_up_its_link_as_the_original_did(lond: ClassicLond) -> None:
    words = [received.command.split(b":")[0] for received in lond.received]
    before_key = words[: words.index(b"ekey")]
    assert set(before_key) == {b"ping"}  # any command may stand here; this one tells the host id without a call back
    assert not any(received.framed for received in lond.received[: len(before_key) + 1])


def test_a_lond_that_does_not_know_us_gives_con_lost(fed: Federation) -> None:
    with ClassicLond(CLASSIC, {}, fed.hosts[CLASSIC].ip, fed.port) as lond:
        fed.hosts[OURS].start_lonc()
        net = fed.hosts[OURS].lonnet()
        assert net.reply("ping", CLASSIC) == "con_lost"
        assert net.critical("log:msu:smith:kept", CLASSIC) == "con_delayed"
        assert lond.received == []


def executed(lond: ClassicLond) -> list[tuple[bytes, bool]]:
    """Each executed command beside link set-up and pings, and whether it came in a frame."""
    commands = set(lond.commands())
    return [(received.command, received.framed) for received in lond.received if received.command in commands]


def ask_from_callers(fed: Federation, callers: int, requests: int) -> list[str]:
    """The replies to `requests` puts from each of so many callers at once."""

    def ask(caller: int) -> list[str]:
        net = fed.hosts[OURS].lonnet()
        return [net.reply(f"put:msu:u{caller}:env:k={n}", CLASSIC) for n in range(requests)]

    with ThreadPoolExecutor(callers) as pool:
        return [reply for replies in pool.map(ask, range(callers), timeout=ANSWER) for reply in replies]


def test_serial_link_never_carries_two_requests(federation: FederationFactory) -> None:
    fed = federation(hosts=[OURS, CLASSIC], start=[], links={CLASSIC: "classic-serial"})
    with classic_lond(fed, serial=True) as lond:
        link_from_our_lonc(fed, lond)
        assert ask_from_callers(fed, callers=8, requests=50) == ["ok"] * 400
        assert lond.violations == []
        assert len(lond.commands()) == 400


def test_without_the_option_requests_are_pipelined(fed: Federation) -> None:
    """The counter-check: the detector of the test above does see what a pipelining lonc sends."""
    with classic_lond(fed, serial=True) as lond, ThreadPoolExecutor(1) as pool:
        link_from_our_lonc(fed, lond)
        lond.hold()
        replies = pool.submit(ask_from_callers, fed, 8, 1)
        try:
            lond.wait_until(lambda peer: peer.violations != [], LINK_UP)
        finally:
            lond.release()
        assert replies.result(ANSWER) == ["ok"] * 8


def test_encrypted_commands_arrive_encrypted(fed: Federation, lond: ClassicLond) -> None:
    lond.records.passwords[b"msu", b"smith"] = b"secret"
    net = fed.hosts[OURS].lonnet()
    assert net.reply("encrypt:auth:msu:smith:secret", CLASSIC) == "authorized"
    assert net.reply("encrypt:auth:msu:smith:wrong", CLASSIC) == "non_authorized"
    assert net.reply("auth:msu:smith:secret", CLASSIC) == "refused"
    assert executed(lond) == [
        (b"auth:msu:smith:secret", True),
        (b"auth:msu:smith:wrong", True),
        (b"auth:msu:smith:secret", False),
    ]


def test_encrypted_critical_messages_arrive_encrypted(fed: Federation, lond: ClassicLond) -> None:
    assert fed.hosts[OURS].lonnet().critical("encrypt:log:msu:smith:private", CLASSIC) == "ok"
    assert executed(lond) == [(b"log:msu:smith:private", True)]


def test_framed_replies_reach_the_caller_in_clear(fed: Federation, lond: ClassicLond) -> None:
    lond.records.hashes[b"msu", b"smith", b"env"] = {b"color": b"light blue", b"full": b"8 bytes!"}
    net = fed.hosts[OURS].lonnet()
    assert net.reply("eget:msu:smith:env:color", CLASSIC) == "light%20blue"
    assert net.reply("encrypt:eget:msu:smith:env:color&full", CLASSIC) == "light%20blue&8%20bytes%21"
    assert net.reply("eget:msu:smith:env:none", CLASSIC) == ""


def test_callers_are_released_when_the_link_breaks(fed: Federation, lond: ClassicLond) -> None:
    lond.die_after(1)
    assert fed.hosts[OURS].lonnet().reply("log:msu:smith:once", CLASSIC) == "con_lost"
    lond.wait_until(lambda peer: len(peer.links_made) == 2, LINK_UP)
    eventually_answers(fed)
    assert lond.commands() == [b"log:msu:smith:once"]  # a request that is not critical is never repeated


@pytest.mark.parametrize("unanswered", [1, 5])
def test_critical_messages_survive_a_death_before_the_reply(
    fed: Federation, lond: ClassicLond, unanswered: int
) -> None:
    """None lost, none out of order, and twice only what was executed without a reply."""
    callers, each = 8, 10
    lond.die_after(20, unanswered)

    def tell(caller: int) -> list[str]:
        net = fed.hosts[OURS].lonnet()
        return [net.critical(f"log:msu:u{caller}:m{n}", CLASSIC) for n in range(each)]

    with ThreadPoolExecutor(callers) as pool:
        answers = {answer for replies in pool.map(tell, range(callers), timeout=ANSWER) for answer in replies}
    assert answers <= {"ok", "con_delayed"}
    wanted = {b"log:msu:u%d:m%d" % (caller, n) for caller in range(callers) for n in range(each)}
    lond.wait_until(lambda peer: set(peer.commands()) == wanted, ANSWER)

    repeated = Counter(lond.commands()) - Counter(wanted)
    assert repeated  # the death did make duplicates, or this test has shown nothing
    assert not repeated - Counter(received.command for received in lond.unanswered)
    first_arrivals = list(dict.fromkeys(lond.commands()))
    for caller in range(callers):
        of_caller = [command for command in first_arrivals if command.startswith(b"log:msu:u%d:" % caller)]
        assert of_caller == [b"log:msu:u%d:m%d" % (caller, n) for n in range(each)]


def test_a_held_reply_does_not_lose_a_critical_message(fed: Federation, lond: ClassicLond) -> None:
    lond.hold()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(fed.hosts[OURS].lonnet().critical, "log:msu:smith:slow", CLASSIC)
        try:
            lond.wait_until(lambda peer: peer.commands() == [b"log:msu:smith:slow"], LINK_UP)
            assert not answer.done()
        finally:
            lond.release()
        assert answer.result(ANSWER) == "ok"
    assert lond.commands() == [b"log:msu:smith:slow"]


@pytest.mark.parametrize("word", ["exit", "quit", "ekey"])
def test_no_caller_can_end_the_link_of_all(fed: Federation, lond: ClassicLond, word: str) -> None:
    net = fed.hosts[OURS].lonnet()
    assert net.reply(word, CLASSIC) == "refused"
    assert net.reply("ping", CLASSIC) == CLASSIC
    assert len(lond.links_made) == 1


def test_messages_delayed_while_a_classic_lond_was_away_arrive_in_order(fed: Federation) -> None:
    fed.hosts[OURS].start_lonc()
    net = fed.hosts[OURS].lonnet()
    told = [f"log:msu:smith:m{n}" for n in range(20)]
    assert [net.critical(command, CLASSIC) for command in told] == ["con_delayed"] * 20
    with classic_lond(fed) as lond:
        lond.wait_until(lambda peer: len(peer.commands()) >= 20, LINK_UP)
        eventually_answers(fed)
        assert lond.commands() == [command.encode() for command in told]
