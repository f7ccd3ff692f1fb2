"""The classic peer against the published check values, and its two roles against each other over loopback.

Nothing here concerns the product: these tests say that the yardstick is straight.
"""

from __future__ import annotations

import ast
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import classic_peer
from tests.helpers.classic_peer import (
    ClassicLonc,
    ClassicLond,
    Dialogue,
    Idea,
    escape,
    key_string,
    link_key,
    new_build_key,
    seal,
    times,
    unescape,
    unseal,
)

BUILD_KEY = b"54321A0DF99EB00CAB7DD0BA98765"
FRAMES = {
    b"ping": b"enc:4:3519a5adb04ebb8f",
    b"pong1234": b"enc:8:894e174a75997a34625a4508e0ee3a70",
    b"auth:msu:smith:secret": b"enc:21:aecbc16f71e1eae9632bab034a0a94e56b2a0ad29a67856f",
}
HOSTS = {"127.0.0.2": "msua1", "127.0.0.3": "msua2"}
LIMIT = 10.0
any_quarter = st.integers(0, 0xFFFF)


# --- cipher, key, frames ----------------------------------------------------------------------------------


def test_idea_has_the_published_value() -> None:
    idea = Idea(bytes.fromhex("00010002000300040005000600070008"))
    sealed = bytes.fromhex("11fbed2b01986de5")
    assert idea.encrypt(bytes.fromhex("0000000100020003")) == sealed
    assert idea.decrypt(sealed) == bytes.fromhex("0000000100020003")


def test_idea_wants_16_bytes_of_key() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Idea(b"short")


@given(any_quarter, any_quarter)
def test_products_by_logarithm_are_products(a: int, b: int) -> None:
    assert times(a, b) == (a or 65536) * (b or 65536) % 65537 & 0xFFFF


@pytest.mark.parametrize("a", [0, 1, 2, 65535])
@pytest.mark.parametrize("b", [0, 1, 65535])
def test_products_at_the_edges(a: int, b: int) -> None:
    assert times(a, b) == (a or 65536) * (b or 65536) % 65537 & 0xFFFF


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=4).map(lambda part: part * 8))
def test_decryption_undoes_encryption(key: bytes, clear: bytes) -> None:
    idea = Idea(key)
    assert idea.decrypt(idea.encrypt(clear)) == clear


def test_key_string_of_the_check_values() -> None:
    assert key_string("msul1", "msul2", BUILD_KEY) == b"624516245254321A0DF99EB00CAB7DD0"


def test_letters_beyond_f_pack_like_digits() -> None:
    # The ids never contain them after the mapping, a build key may: g counts as (7 + 9) mod 16, - as 13.
    same_key = link_key("a1", "b2", b"0dx" + 25 * b"0"), link_key("a1", "b2", b"0-1" + 25 * b"0")
    assert same_key[0].encrypt(bytes(8)) == same_key[1].encrypt(bytes(8))


@pytest.mark.parametrize(("clear", "frame"), FRAMES.items())
def test_frames_of_the_check_values(clear: bytes, frame: bytes) -> None:
    idea = link_key("msul1", "msul2", BUILD_KEY)
    assert seal(idea, clear) == frame
    assert unseal(idea, frame) == clear


def test_frame_without_the_extra_block_is_read() -> None:
    assert unseal(link_key("msul1", "msul2", BUILD_KEY), b"enc:8:894E174A75997A34") == b"pong1234"


@given(st.binary(max_size=40))
def test_frames_carry_any_bytes(clear: bytes) -> None:
    idea = link_key("msul1", "msul2", BUILD_KEY)
    frame = seal(idea, clear)
    assert unseal(idea, frame) == clear
    assert len(frame.split(b":")[2]) == 16 * (len(clear) // 8 + 1)


@pytest.mark.parametrize(
    "frame",
    [b"enc:4", b"enc::3519a5adb04ebb8f", b"enc:4:3519a5adb04ebb", b"enc:9:3519a5adb04ebb8f", b"enc:4:zz19a5adb04ebb8f"],
)
def test_what_is_no_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(ValueError, match="not a frame"):
        unseal(link_key("msul1", "msul2", BUILD_KEY), frame)


def test_build_key_has_the_original_style() -> None:
    for _ in range(200):
        assert re.fullmatch(rb"[0-9]{1,5}[07-9A-F]+[0-9]+", key := new_build_key("msul1", "msua1"))
        assert len(key) >= 22
    assert len(new_build_key("a", "b")) >= 30


@given(st.binary())
def test_escaping_is_plain_and_undone(raw: bytes) -> None:
    assert re.fullmatch(rb"(?:[A-Za-z0-9_]|%[0-9a-f]{2})*", escape(raw))
    assert unescape(escape(raw)) == raw


def test_escaping_examples() -> None:
    assert escape(b"a b/\xff\n_9") == b"a%20b%2f%ff%0a_9"
    assert unescape(b"%2F%2f%zz") == b"//%zz"


def test_no_code_is_shared_with_the_product() -> None:
    tree = ast.parse(Path(classic_peer.__file__).read_text())
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert "socket" in modules
    assert not {name.split(".")[0] for name in modules} & {"common", "lonc", "lond", "lonnet", "tests", "Crypto"}


# --- the two roles on a link ------------------------------------------------------------------------------


@pytest.fixture
def lond() -> Iterator[ClassicLond]:
    with ClassicLond("msul1", HOSTS, "127.0.0.1", 0, limit=LIMIT) as server:
        yield server


@pytest.fixture
def serial_lond() -> Iterator[ClassicLond]:
    with ClassicLond("msul1", HOSTS, "127.0.0.1", 0, serial=True, limit=LIMIT) as server:
        yield server


Caller = Callable[..., ClassicLonc]


@pytest.fixture
def caller() -> Iterator[Caller]:
    """Connected clients, closed after the test."""
    made: list[ClassicLonc] = []

    def connected(lond: ClassicLond, own_id: str = "msua1", ip: str = "127.0.0.2", eol: bytes = b"\n") -> ClassicLonc:
        lonc = ClassicLonc(own_id, "msul1", limit=LIMIT, eol=eol)
        made.append(lonc)
        lonc.connect(*lond.address, bind_to=ip)
        return lonc

    yield connected
    for lonc in made:
        lonc.close()


@pytest.fixture
def link(lond: ClassicLond, caller: Caller) -> ClassicLonc:
    lonc = caller(lond)
    lonc.set_up()
    return lonc


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("dialogue", Dialogue)
def test_every_dialogue_makes_a_link(lond: ClassicLond, caller: Caller, dialogue: Dialogue, eol: bytes) -> None:
    lonc = caller(lond, eol=eol)
    lonc.set_up(dialogue)
    assert lonc.request(b"ping") == b"msul1"
    assert lonc.encrypted(b"ping") == b"msul1"
    words = [received.command.split(b":")[0] for received in lond.received]
    expected = [b"pong"] if dialogue is Dialogue.OLD else [b"version", b"sethost"]
    assert words == [*expected, b"ekey", b"ping", b"ping"]
    assert [received.framed for received in lond.received[-2:]] == [False, True]
    assert lond.links_made == ["msua1"]


def test_each_step_of_the_dialogue(lond: ClassicLond, caller: Caller) -> None:
    lonc = caller(lond)
    challenge = lonc.request(b"init")
    assert re.fullmatch(rb"[0-9]+", challenge)
    assert lonc.request(challenge) == b"ok"
    assert lonc.request(b"pong") == b"msul1:con_lost"
    assert lonc.request(b"sethost:msul1") == b"ok"
    assert lonc.request(b"sethost:other") == b"unable_to_set"
    assert lonc.request(b"eget:msu:smith:env:color") == b"error:no_key"


def test_wrong_host_ids_make_different_keys(lond: ClassicLond, caller: Caller) -> None:
    # lond knows its caller by IP as msua1; a caller that believes to be another host must not be understood.
    lonc = caller(lond, own_id="msua2")
    lonc.set_up()
    lonc.encrypted(b"ping")
    assert lond.received[-1].command != b"ping"


def test_a_line_without_a_word_is_answered(lond: ClassicLond, caller: Caller) -> None:
    lonc = caller(lond)
    lonc.set_up()
    assert [lonc.request(line) for line in (b":", b":x:y")] == [b"unknown_cmd"] * 2


def test_wrong_echo_is_refused(lond: ClassicLond, caller: Caller) -> None:
    lonc = caller(lond)
    challenge = lonc.request(b"init")
    assert lonc.request(challenge + b"1") == b"refused"
    assert lonc.read_to_end() == b""


@pytest.mark.parametrize("first", [b"", b"hello", b"ping", b"initial", b"\xff\x00:init"])
def test_other_first_line_is_refused(lond: ClassicLond, caller: Caller, first: bytes) -> None:
    lonc = caller(lond)
    lonc.send(first, b"more")
    assert lonc.read_to_end() == b"refused\n"
    assert lond.received == []


def test_stranger_is_refused_unread(lond: ClassicLond, caller: Caller) -> None:
    assert caller(lond, ip="127.0.0.9").read_to_end() == b"refused\n"


def test_frame_before_the_key_ends_the_link(lond: ClassicLond, caller: Caller) -> None:
    lonc = caller(lond)
    assert lonc.request(lonc.request(b"init")) == b"ok"
    assert lonc.request(FRAMES[b"ping"]) == b"error: no key"
    assert lonc.read_to_end() == b""


def test_set_up_names_the_step_that_failed(caller: Caller) -> None:
    with ClassicLond("other", HOSTS, "127.0.0.1", 0, limit=LIMIT) as other:
        lonc = caller(other)
        with pytest.raises(ConnectionError, match=r"sethost:msul1.*unable_to_set"):
            lonc.set_up(Dialogue.LATER)


def test_records(link: ClassicLonc, lond: ClassicLond) -> None:
    assert link.request(b"put:msu:smith:a/b:color=light%20blue&x=") == b"ok"
    assert link.encrypted(b"get:msu:smith:a_b:color&none&x") == b"light%20blue&&"
    assert link.encrypted(b"eget:msu:smith:a_b:color") == b"light%20blue"
    framed = link.request(b"eget:msu:smith:a_b:color")
    assert framed.startswith(b"enc:12:")
    assert link.opened(framed) == b"light%20blue"
    assert link.request(b"put:msu:smith:roles:x=1") == b"refused"
    assert link.request(b"put:msu:smith") == b"error: 22 malformed request"
    assert link.request(b"dance") == b"unknown_cmd"
    assert lond.records.hashes[b"msu", b"smith", b"a_b"] == {b"color": b"light blue", b"x": b""}


def test_activity_log(link: ClassicLonc, lond: ClassicLond) -> None:
    assert link.request(b"log:msu:smith:went%20home%3a") == b"ok"
    (line,) = lond.records.activity[b"msu", b"smith"]
    assert re.fullmatch(rb"[0-9]+:msua1:went home:", line)


def test_log_in_only_in_a_frame(link: ClassicLonc, lond: ClassicLond) -> None:
    lond.records.passwords[b"msu", b"smith"] = b"sec:ret"
    assert link.request(b"auth:msu:smith:sec%3aret") == b"refused"
    assert link.encrypted(b"auth:msu:smith:sec%3aret") == b"authorized"
    assert link.encrypted(b"auth:msu:smith:wrong") == b"non_authorized"
    assert link.encrypted(b"auth:msu:jones:wrong") == b"unknown_user"


def test_pipelined_requests_are_answered_in_order(link: ClassicLonc, lond: ClassicLond) -> None:
    link.send(
        *(b"put:msu:smith:env:k%d=%d" % (n, n) for n in range(100)), *(b"get:msu:smith:env:k%d" % n for n in range(100))
    )
    assert [link.read_line() for _ in range(200)] == [b"ok"] * 100 + [b"%d" % n for n in range(100)]
    arrivals = [received.at for received in lond.received]
    assert arrivals == sorted(arrivals)


def test_bytes_one_at_a_time(link: ClassicLonc) -> None:
    for byte in b"ping\r\n":
        link.send_raw(bytes([byte]))
    assert link.read_line() == b"msul1"


@pytest.mark.parametrize("word", [b"exit", b"quit"])
def test_farewell(link: ClassicLonc, word: bytes) -> None:
    link.send(word, b"ping")
    assert link.read_to_end() == b"bye\n"


def test_links_of_several_hosts_at_once(lond: ClassicLond, caller: Caller) -> None:
    def twenty_requests(own_id: str, ip: str) -> set[bytes]:
        lonc = caller(lond, own_id, ip)
        lonc.set_up()
        return {lonc.encrypted(b"log:msu:smith:x") for _ in range(20)}

    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(twenty_requests, own_id, ip) for ip, own_id in HOSTS.items()]
        assert [result.result(LIMIT) for result in results] == [{b"ok"}, {b"ok"}]
    assert sorted(lond.links_made) == ["msua1", "msua2"]
    assert len(lond.records.activity[b"msu", b"smith"]) == 40


# --- hooks ------------------------------------------------------------------------------------------------


def test_held_replies_come_after_release(link: ClassicLonc, lond: ClassicLond) -> None:
    lond.hold()
    lond.hold()
    link.send(b"log:msu:smith:1", b"log:msu:smith:2")
    lond.wait_until(lambda peer: len(peer.received) == 3)
    with pytest.raises(TimeoutError):
        lond.wait_until(lambda peer: len(peer.received) == 4, limit=0)
    assert lond.commands() == [b"log:msu:smith:1"]
    lond.release()
    assert [link.read_line(), link.read_line()] == [b"ok", b"ok"]


def test_hold_keeps_back_the_reply_itself(link: ClassicLonc, lond: ClassicLond) -> None:
    lond.hold()
    link.send(b"ping")
    lond.wait_until(lambda peer: peer.received[-1].command == b"ping")
    link.limit = 0.05
    with pytest.raises(TimeoutError):
        link.read_line()
    link.limit = LIMIT
    lond.release()
    assert link.read_line() == b"msul1"


def test_caller_that_leaves_during_hold_leaves_an_unanswered_command(link: ClassicLonc, lond: ClassicLond) -> None:
    lond.hold()
    link.send(b"log:msu:smith:1")
    lond.wait_until(lambda peer: peer.commands() != [])
    link.close()
    lond.wait_until(lambda peer: [r.command for r in peer.unanswered] == [b"log:msu:smith:1"])
    lond.release()


def test_serial_order_is_no_violation(serial_lond: ClassicLond, caller: Caller) -> None:
    lonc = caller(serial_lond)
    lonc.set_up(Dialogue.LATER)
    for _ in range(200):
        assert lonc.request(b"ping") == b"msul1"
    assert serial_lond.violations == []


def test_second_request_in_the_same_segment_is_a_violation(serial_lond: ClassicLond, caller: Caller) -> None:
    lonc = caller(serial_lond)
    lonc.set_up()
    lonc.send(b"ping", b"load")
    assert [lonc.read_line(), lonc.read_line()] == [b"msul1", b"unknown_cmd"]
    (violation,) = serial_lond.violations
    assert (violation.host, violation.asked, violation.arrived) == ("msua1", b"ping", b"load\n")


def test_a_second_request_in_the_same_segment_during_hold_is_seen_at_once(
    serial_lond: ClassicLond, caller: Caller
) -> None:
    lonc = caller(serial_lond)
    lonc.set_up()
    serial_lond.hold()
    lonc.send(b"ping", b"load")
    serial_lond.wait_until(lambda peer: [v.arrived for v in peer.violations] == [b"load\n"])
    serial_lond.release()
    assert [lonc.read_line(), lonc.read_line()] == [b"msul1", b"unknown_cmd"]


def test_half_a_request_during_hold_is_seen_at_once(serial_lond: ClassicLond, caller: Caller) -> None:
    lonc = caller(serial_lond)
    lonc.set_up()
    serial_lond.hold()
    lonc.send(b"ping")
    serial_lond.wait_until(lambda peer: peer.received[-1].command == b"ping")
    lonc.send_raw(b"pi")
    serial_lond.wait_until(lambda peer: [v.arrived for v in peer.violations] == [b"pi"])
    lonc.send_raw(b"ng\n")
    serial_lond.release()
    assert [lonc.read_line(), lonc.read_line()] == [b"msul1", b"msul1"]
    assert len(serial_lond.violations) == 1


def test_pipelining_is_no_violation_unless_asked_for(link: ClassicLonc, lond: ClassicLond) -> None:
    link.send(b"ping", b"ping")
    assert [link.read_line(), link.read_line()] == [b"msul1", b"msul1"]
    assert lond.violations == []


def test_die_after_executes_the_last_command_without_a_reply(link: ClassicLonc, lond: ClassicLond) -> None:
    lond.die_after(3)
    link.send(b"log:msu:smith:1", b"ping", b"log:msu:smith:2", b"log:msu:smith:3", b"log:msu:smith:4")
    assert link.read_to_end() == b"ok\nmsul1\nok\n"
    assert [line[-1:] for line in lond.records.activity[b"msu", b"smith"]] == [b"1", b"2", b"3"]
    assert [r.command for r in lond.unanswered] == [b"log:msu:smith:3"]


def test_die_after_with_several_unanswered(link: ClassicLonc, lond: ClassicLond, caller: Caller) -> None:
    lond.die_after(3, unanswered=2)
    link.send(b"log:msu:smith:1", b"log:msu:smith:2", b"log:msu:smith:3", b"log:msu:smith:4")
    assert link.read_to_end() == b"ok\n"
    assert [r.command for r in lond.unanswered] == [b"log:msu:smith:2", b"log:msu:smith:3"]
    again = caller(lond)
    again.set_up()
    assert again.request(b"log:msu:smith:2") == b"ok"
    assert lond.links_made == ["msua1", "msua1"]


@pytest.mark.parametrize(("commands", "unanswered"), [(0, 0), (1, 0), (1, 2)])
def test_die_after_wants_sense(lond: ClassicLond, commands: int, unanswered: int) -> None:
    with pytest.raises(ValueError, match="without a reply"):
        lond.die_after(commands, unanswered)


def test_close_ends_links_in_every_state_and_joins_all_threads(caller: Caller) -> None:
    before = threading.active_count()
    lond = ClassicLond("msul1", HOSTS, "127.0.0.1", 0, limit=LIMIT)
    silent, idle, held, dying = (caller(lond) for _ in range(4))
    for lonc in (idle, held, dying):
        lonc.set_up()
    lond.die_after(1)
    dying.send(b"log:msu:smith:1")
    assert dying.read_to_end() == b""
    lond.hold()
    held.send(b"log:msu:smith:2")
    lond.wait_until(lambda peer: len(peer.commands()) == 2)
    lond.close()
    lond.close()
    assert [lonc.read_to_end() for lonc in (silent, idle, held)] == [b"", b"", b""]
    assert [r.command for r in lond.unanswered] == [b"log:msu:smith:1", b"log:msu:smith:2"]
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        caller(lond)


# --- the client's own limits ------------------------------------------------------------------------------


def test_silent_server_costs_the_limit_and_no_more(lond: ClassicLond, caller: Caller) -> None:
    lonc = caller(lond)
    lonc.limit = 0.05
    with pytest.raises(TimeoutError):
        lonc.read_line()
    with pytest.raises(TimeoutError):
        lonc.read_to_end()


def test_end_in_the_middle_is_told(link: ClassicLonc) -> None:
    assert link.request(b"exit") == b"bye"
    with pytest.raises(ConnectionError, match="closed by the other side"):
        link.read_line()


def test_use_before_connection_or_key() -> None:
    with ClassicLonc("msua1", "msul1") as lonc:
        with pytest.raises(ConnectionError, match="not connected"):
            lonc.request(b"ping")
        with pytest.raises(ValueError, match="no key yet"):
            lonc.framed(b"ping")
