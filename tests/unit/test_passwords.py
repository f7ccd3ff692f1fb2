"""Hashes: new ones, old ones, damaged ones; work is counted in hashes computed, never in time."""

from __future__ import annotations

import base64
import hashlib
import hmac
from contextlib import suppress
from typing import Any

import pytest
from Crypto.Protocol import KDF
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lond.authentication import passwords
from lond.authentication.passwords import (
    HashUnavailable,
    HashUnusable,
    hash_password,
    is_outdated,
    is_usable,
    verify,
    waste,
)

# What libcrypt makes of the password "secret" (libxcrypt 4.4, and for the first five glibc 2.28).
CRYPT = [
    "abNANd1rDfiNc",
    "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
    "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
    "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1",
    "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
]


class Counted:
    """Stands in for scrypt and notes the parameters of each call; the work itself is small."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int]] = []
        self._real = KDF.scrypt

    def __call__(self, password: bytes, salt: bytes, size: int, n: int, r: int, p: int) -> Any:
        self.calls.append((n, r, p))
        return self._real(password, salt + b"%d" % n, size, 16, 1, 1)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted = Counted()
    monkeypatch.setattr(passwords, "scrypt", counted)
    return counted


CURRENT = (16384, 8, 1)


class TestNewHashes:
    def test_the_form(self) -> None:
        """The only test with the real cost: the parameters in force are those of the text."""
        stored = hash_password(b"secret")
        head, salt, key = stored.rsplit("$", 2)
        assert head == "$scrypt$ln=14,r=8,p=1"
        assert (len(salt), len(key)) == (22, 43)
        assert verify(b"secret", stored)
        assert not verify(b"Secret", stored)
        assert not is_outdated(stored)

    def test_a_stored_hash_stays_good(self) -> None:
        """As another implementation (OpenSSL's) computes it from the same parts."""
        key = hashlib.scrypt(b"secret", salt=b"0123456789abcdef", n=16, r=8, p=1, dklen=32)
        text = base64.b64encode(key).decode().rstrip("=")
        assert verify(b"secret", f"$scrypt$ln=4,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg${text}")

    def test_salts_are_fresh(self, counted: Counted) -> None:
        assert len({hash_password(b"secret") for _ in range(20)}) == 20

    @settings(max_examples=30)
    @given(st.binary(min_size=1, max_size=1024).filter(is_usable), st.binary(max_size=20))
    @example(b"secret", b"secret\0")  # scrypt alone can't tell them apart
    @example(b"\xff", b"\xff\0\0")
    def test_any_bytes_are_a_password_and_nothing_else_is_it(self, password: bytes, other: bytes) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(passwords, "SCRYPT_LN", 2)
            stored = hash_password(password)
            assert verify(password, stored)
            assert verify(other, stored) == (other == password)

    def test_what_can_be_a_password(self) -> None:
        assert is_usable(b"x" * 1024)
        assert not any(is_usable(password) for password in (b"", b"\0", b"a\0b", b"x" * 1025))


class TestCrypt:
    @pytest.mark.parametrize("stored", CRYPT)
    def test_hashes_of_migrated_users(self, counted: Counted, stored: str) -> None:
        assert verify(b"secret", stored)
        assert not verify(b"Secret", stored)
        assert not verify(b"", stored)
        assert is_outdated(stored)

    def test_a_nul_does_not_end_the_password(self, counted: Counted) -> None:
        assert not verify(b"secret\0more", CRYPT[1])

    def test_a_missing_library_is_said(self, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(passwords, "_LIBRARIES", ("libcrypt-of-nowhere.so.9",))
        passwords._libcrypt.cache_clear()
        try:
            with pytest.raises(HashUnavailable, match=r"libcrypt-of-nowhere\.so\.9 is missing"):
                verify(b"secret", CRYPT[0])
        finally:
            passwords._libcrypt.cache_clear()

    def test_a_kind_that_the_library_refuses_is_said(self, counted: Counted) -> None:
        with pytest.raises(HashUnavailable, match="libcrypt does not know"):
            verify(b"secret", "$2b$99$abcdefghijklmnopqrstuu")


class TestDamaged:
    @pytest.mark.parametrize(
        "stored",
        [
            "",
            "!",
            "*",
            "secret",
            "$9$salt$hash",
            "$scrypt$ln=14,r=8,p=1$c2FsdHNhbHQ$",
            "$scrypt$ln=99,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
            "$scrypt$ln=14,r=64,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
            "$scrypt$ln=14,r=8,p=1$c2FsdHNhbHQ$aGFza",  # no base64 has this length
            "abNANd1rDfiN\xe9",
        ],
    )
    def test_what_is_no_hash_is_never_right(self, counted: Counted, stored: str) -> None:
        with pytest.raises(HashUnusable) as caught:
            verify(b"secret", stored)
        assert len(stored) < 2 or stored not in str(caught.value)
        assert is_outdated(stored)

    @settings(max_examples=200)
    @given(st.text(max_size=60))
    def test_any_text_is_wrong_or_unavailable(self, stored: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(passwords, "scrypt", Counted())
            with suppress(HashUnavailable):
                assert not verify(b"secret", stored)


class TestWork:
    """Who does not exist, and every kind of wrong password: one scrypt of the current parameters, at least."""

    def test_nobody(self, counted: Counted) -> None:
        waste(b"secret")
        assert counted.calls == [CURRENT]

    def test_wrong_password(self, counted: Counted) -> None:
        stored = hash_password(b"secret")
        counted.calls.clear()
        assert not verify(b"wrong", stored)
        assert counted.calls == [CURRENT]

    def test_right_password(self, counted: Counted) -> None:
        stored = hash_password(b"secret")
        counted.calls.clear()
        assert verify(b"secret", stored)
        assert counted.calls == [CURRENT]

    @pytest.mark.parametrize("stored", [*CRYPT, "nonsense"])
    def test_wrong_password_of_a_migrated_user(self, counted: Counted, stored: str) -> None:
        try:
            assert not verify(b"wrong", stored)
        except HashUnavailable:
            assert stored == "nonsense"
        assert counted.calls == [CURRENT]

    def test_wrong_password_of_a_cheaper_hash(self, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(passwords, "SCRYPT_LN", 10)
            stored = hash_password(b"secret")
        counted.calls.clear()
        assert not verify(b"wrong", stored)
        assert counted.calls == [(1024, 8, 1), CURRENT]
        assert is_outdated(stored)

    def test_comparisons_take_constant_time(self, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
        compared = []
        real = hmac.compare_digest

        def compare(a: bytes, b: bytes) -> bool:
            compared.append((a, b))
            return real(a, b)

        monkeypatch.setattr("lond.authentication.passwords.hmac.compare_digest", compare)
        verify(b"wrong", hash_password(b"secret"))
        verify(b"wrong", CRYPT[0])
        assert len(compared) == 2
