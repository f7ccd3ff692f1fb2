"""Escaping: every byte there and back, canonical spelling, malformed texts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.escape import canonical, escape, is_canonical, unescape

WORD = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_there_and_back(byte: int) -> None:
    data = bytes([byte])
    expected = data if byte in WORD else f"%{byte:02x}".encode()
    assert escape(data) == expected
    assert unescape(expected) == data
    assert unescape(f"%{byte:02X}".encode()) == data
    assert unescape(f"%{byte:02x}".encode()) == data


@given(st.binary(max_size=300))
def test_any_bytes_there_and_back(data: bytes) -> None:
    escaped = escape(data)
    assert unescape(escaped) == data
    assert re.fullmatch(rb"(?:[A-Za-z0-9_]|%[0-9a-f]{2})*", escaped)
    assert is_canonical(escaped)


@given(st.lists(st.sampled_from([b"%", b"4", b"1", b"f", b"F", b"g", b"&", b"x", b"\n", b"\xff"])).map(b"".join))
def test_canonical_means_the_same_and_is_what_escape_writes(text: bytes) -> None:
    assert canonical(text) == escape(unescape(text))
    assert is_canonical(text) == (text == escape(unescape(text)))


@pytest.mark.parametrize(
    ("text", "meaning"),
    [(b"%", b"%"), (b"%4", b"%4"), (b"%zz", b"%zz"), (b"%%41", b"%A"), (b"%2541", b"%41"), (b"a%4", b"a%4")],
)
def test_malformed_percent_stays(text: bytes, meaning: bytes) -> None:
    assert unescape(text) == meaning


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"a=1&b=%2f", True), (b"a=1&b=%2F", False), (b"a=1&b=%41", False), (b"a=/", False), (b"a:b", False)],
)
def test_separators_may_stand_in_a_list(text: bytes, expected: bool) -> None:
    assert is_canonical(text, b"&=") is expected
    assert not is_canonical(text)
