"""Keys and encryption of the classic link: published values, all paddings, malformed frames, another implementation."""

from __future__ import annotations

import binascii
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.crypto import Idea, LinkCipher, key_string, new_build_key, new_challenge, pack_key
from common.errors import PeerProtocolError
from common.frames import BLOCK, frame_length
from tests.helpers import classic_peer

BUILD_KEY = b"54321A0DF99EB00CAB7DD0BA98765"
FRAMES = {
    b"ping": b"enc:4:3519a5adb04ebb8f",
    b"pong1234": b"enc:8:894e174a75997a34625a4508e0ee3a70",
    b"auth:msu:smith:secret": b"enc:21:aecbc16f71e1eae9632bab034a0a94e56b2a0ad29a67856f",
}
keys = st.binary(min_size=16, max_size=16)
host_ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789ABCXYZ", min_size=1, max_size=12)


@pytest.fixture
def cipher() -> LinkCipher:
    return LinkCipher("msul1", "msul2", BUILD_KEY)


# --- the block cipher -------------------------------------------------------------------------------------


def test_idea_has_the_published_value() -> None:
    idea = Idea(bytes.fromhex("00010002000300040005000600070008"))
    clear, secret = bytes.fromhex("0000000100020003"), bytes.fromhex("11fbed2b01986de5")
    assert idea.encrypt(clear) == secret
    assert idea.decrypt(secret) == clear


@pytest.mark.parametrize("size", [0, 15, 17])
def test_idea_wants_16_bytes_of_key(size: int) -> None:
    with pytest.raises(ValueError, match=f"16 bytes, not {size}"):
        Idea(bytes(size))


@given(keys, st.binary(max_size=4).map(lambda part: part * BLOCK))
def test_decryption_undoes_encryption(key: bytes, clear: bytes) -> None:
    idea = Idea(key)
    assert idea.decrypt(idea.encrypt(clear)) == clear


@given(keys, st.binary(min_size=BLOCK, max_size=BLOCK))
def test_idea_agrees_with_another_implementation(key: bytes, block: bytes) -> None:
    assert Idea(key).encrypt(block) == classic_peer.Idea(key).encrypt(block)


@pytest.mark.parametrize("key", [bytes(16), b"\xff" * 16, b"\x00\x01" * 8, b"\x80\x00" * 8])
@pytest.mark.parametrize("block", [bytes(8), b"\xff" * 8, b"\x00\x01" * 4])
def test_idea_at_the_edges_of_its_arithmetic(key: bytes, block: bytes) -> None:
    secret = Idea(key).encrypt(block)
    assert secret == classic_peer.Idea(key).encrypt(block)
    assert Idea(key).decrypt(secret) == block


# --- the key of a link ------------------------------------------------------------------------------------


def test_key_string_of_the_check_values() -> None:
    assert key_string("msul1", "msul2", BUILD_KEY) == "624516245254321A0DF99EB00CAB7DD0"


def test_every_letter_and_digit_of_an_id() -> None:
    assert key_string("abcdefghijklmnopqrstuvwxyz", "0123456789", b"") == "ABCDEF012345678901234567890123456789"[:32]


def test_blanks_do_not_count() -> None:
    assert key_string("msul1", "msul2", b"5 4 3 2 1A0DF99EB00CAB7DD0BA98765") == key_string("msul1", "msul2", BUILD_KEY)


@pytest.mark.parametrize(
    ("text", "packed"),
    [("0123456789abcdef", "0123456789abcdef"), ("ABCDEF", "abcdef"), ("gz", "03"), (":;", "ab"), ("--", "dd")],
)
def test_packing_of_digits_letters_and_others(text: str, packed: str) -> None:
    assert pack_key(text).hex() == packed


@given(host_ids, host_ids, st.text("0123456789ABCDEFabcdef", min_size=32, max_size=40))
def test_both_implementations_make_the_same_frames(lond: str, lonc: str, build_key: str) -> None:
    key, clear = build_key.encode(), b"rolesput:msu:smith"
    ours = LinkCipher(lond, lonc, key).frame(clear)
    assert ours == classic_peer.seal(classic_peer.link_key(lond, lonc, key), clear)


def test_ids_are_not_interchangeable() -> None:
    assert LinkCipher("msul1", "msul2", BUILD_KEY).frame(b"x") != LinkCipher("msul2", "msul1", BUILD_KEY).frame(b"x")


def test_fresh_build_keys_fit_any_ids_and_differ() -> None:
    made = {new_build_key() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(rb"[0-9]{5}[0789A-F]{24}[0-9]{5}", key) for key in made)
    assert all(len(key) >= 32 for key in made)


def test_fresh_challenges_are_decimal_and_differ() -> None:
    made = {new_challenge() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(rb"[1-9][0-9]{19}", challenge) for challenge in made)


# --- frames -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clear", FRAMES)
def test_frames_have_the_published_values(cipher: LinkCipher, clear: bytes) -> None:
    assert cipher.frame(clear) == FRAMES[clear]
    assert cipher.unframe(FRAMES[clear]) == clear


@pytest.mark.parametrize("size", range(41))
def test_padding_of_every_length(cipher: LinkCipher, size: int) -> None:
    clear = bytes(range(65, 65 + size))
    frame = cipher.frame(clear)
    _, length, digits = frame.split(b":")
    assert (int(length), len(frame)) == (size, frame_length(size))
    assert len(digits) == 2 * BLOCK * (size // BLOCK + 1)
    assert digits == digits.lower()
    assert cipher.unframe(frame) == clear


@pytest.mark.parametrize("size", range(41))
def test_frames_without_the_extra_block_are_read_too(cipher: LinkCipher, size: int) -> None:
    clear = bytes(range(65, 65 + size))
    prefix, length, digits = cipher.frame(clear).split(b":")
    shorter = digits[: 2 * BLOCK * -(-size // BLOCK)]
    assert cipher.unframe(b":".join((prefix, length, shorter))) == clear


def test_padding_is_blanks(cipher: LinkCipher) -> None:
    assert cipher.unframe(cipher.frame(b"ping").replace(b"enc:4", b"enc:7")) == b"ping   "


def test_hex_digits_of_either_case_are_read(cipher: LinkCipher) -> None:
    prefix, length, digits = FRAMES[b"ping"].split(b":")
    assert cipher.unframe(b":".join((prefix, length, digits.upper()))) == b"ping"


@given(st.binary(max_size=200))
def test_any_clear_text_comes_back(clear: bytes) -> None:
    cipher = LinkCipher("msul1", "msul2", BUILD_KEY)
    assert cipher.unframe(cipher.frame(clear)) == clear


MALFORMED = [
    b"enc",
    b"enc:",
    b"enc::",
    b"enc:4",
    b"enc:4:",
    b"enc::3519a5adb04ebb8f",
    b"enc:-4:3519a5adb04ebb8f",
    b"enc:+4:3519a5adb04ebb8f",
    b"enc: 4:3519a5adb04ebb8f",
    b"enc:4_0:3519a5adb04ebb8f",
    b"enc:4.0:3519a5adb04ebb8f",
    b"enc:four:3519a5adb04ebb8f",
    b"enc:\xd9\xa4:3519a5adb04ebb8f",
    b"enc:4:3519a5adb04ebb8",
    b"enc:4:3519a5adb04ebb8g",
    b"enc:4:3519a5ad b04ebb8f",
    b"enc:4:3519a5adb04ebb",
    b"enc:9:3519a5adb04ebb8f",
    b"enc:17:3519a5adb04ebb8f3519a5adb04ebb8f",
    b"enc:4:3519a5adb04ebb8f3519a5adb04ebb8f",
    b"enc:1234567890:3519a5adb04ebb8f",
    b"enc:" + b"9" * 5000 + b":3519a5adb04ebb8f",
    b"enc:4:3519a5adb04ebb8f:",
    b"4:3519a5adb04ebb8f",
    b"sec:4:3519a5adb04ebb8f",
    b":4:3519a5adb04ebb8f",
]


@pytest.mark.parametrize("line", MALFORMED)
def test_malformed_frames(cipher: LinkCipher, line: bytes) -> None:
    with pytest.raises(PeerProtocolError):
        cipher.unframe(line)


def test_the_error_tells_nothing_of_the_text(cipher: LinkCipher) -> None:
    with pytest.raises(PeerProtocolError) as caught:
        cipher.unframe(b"enc:99:" + FRAMES[b"auth:msu:smith:secret"].split(b":")[2])
    assert "aecbc1" not in str(caught.value) and caught.value.__cause__ is None


@given(st.binary(max_size=60))
def test_any_bytes_are_a_text_or_a_violation(tail: bytes) -> None:
    try:
        LinkCipher("msul1", "msul2", BUILD_KEY).unframe(b"enc:" + tail)
    except PeerProtocolError:
        return
    length, digits = tail.split(b":")
    assert len(binascii.unhexlify(digits)) >= int(length)
