"""Hashes of internal passwords: scrypt for new ones, crypt(3) for those of migrated users.

A new hash is ``$scrypt$ln=14,r=8,p=1$SALT$HASH``: the logarithm of N, r and p, then salt and hash in base64 without
padding. A crypt(3) string (DES, ``$1$``, ``$5$``, ``$6$``, ``$2...``) is verified by the system's libcrypt; Python's
own module for it ended with 3.12.

Promises: a :func:`verify` that fails costs at least the one scrypt that :func:`waste` costs for a user who does not
exist, whatever kind of hash is stored; one that succeeds costs it too once :func:`is_outdated` was heeded.
Comparisons take constant time.

Raises: :class:`HashUnavailable` for a stored text that this machine can't verify, :class:`HashUnusable` if that is no
hash. Logs nothing.

Known limits: a password with a NUL is always wrong, because crypt(3) ends a password there and scrypt does not tell
"x" from "x" with NULs behind it. crypt(3)'s ``$2`` looks at 72 bytes only. All of this takes tens of milliseconds by
intention: only the workers of :mod:`lond.authentication.hash_worker` call it.
"""

from __future__ import annotations

import base64
import ctypes
import functools
import hmac
import re
from typing import NamedTuple

from Crypto.Protocol.KDF import scrypt
from Crypto.Random import get_random_bytes

from common.errors import LonError

SCRYPT_LN = 14  # logarithm of N: 16 MiB and about 40 ms
SCRYPT_R = 8
SCRYPT_P = 1
SALT_BYTES = 16
HASH_BYTES = 32
MAX_PASSWORD_BYTES = 1024

_BASE64 = r"[A-Za-z0-9+/]{4,128}"
# What a damaged or hostile file may cost is bounded here: at most 2^20 * 8 * 128 bytes.
_SCRYPT = re.compile(rf"\$scrypt\$ln=(1?[0-9]|20),r=([1-8]),p=([1-4])\$({_BASE64})\$({_BASE64})")
_CRYPT = re.compile(r"[./0-9A-Za-z]{13}|\$(?:1|5|6|2[abxy]?)\$[\x21-\x7e]{1,200}")

_LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2")
_CRYPT_DATA_BYTES = 262144  # twice the largest crypt_data that is known (glibc's own libcrypt: 131,232)


class HashUnavailable(LonError):
    """The stored text is not a hash that this machine can verify; the message says why, and holds nothing of it."""


class HashUnusable(HashUnavailable):
    """The same, and it is the text that is wrong, not the machine."""


class _Scrypt(NamedTuple):
    """The parts of a stored scrypt hash."""

    ln: int
    r: int
    p: int
    salt: bytes
    hash: bytes


def is_usable(password: bytes) -> bool:
    """Whether this can be the new password of anybody: it is not empty, not too long, and has no NUL."""
    return 0 < len(password) <= MAX_PASSWORD_BYTES and b"\0" not in password


def hash_password(password: bytes) -> str:
    """A new hash of a usable password, with a fresh salt."""
    parts = _Scrypt(SCRYPT_LN, SCRYPT_R, SCRYPT_P, get_random_bytes(SALT_BYTES), b"")
    key = _computed(password, parts, HASH_BYTES)
    return f"$scrypt$ln={parts.ln},r={parts.r},p={parts.p}${_to_base64(parts.salt)}${_to_base64(key)}"


def verify(password: bytes, stored: str) -> bool:
    """Whether this is the password that was hashed.

    :param stored: an scrypt hash or a crypt(3) string.
    :raises HashUnusable: it is neither, or libcrypt does not know it.
    :raises HashUnavailable: there is no libcrypt.
    """
    right = False
    try:
        parts = _parsed(stored)
        right = _verify_crypt(password, stored) if parts is None else _verify_scrypt(password, parts)
        right = right and b"\0" not in password
    finally:
        if not right and is_outdated(stored):  # the right one costs this too, for its new hash
            waste(password)
    return right


def waste(password: bytes) -> None:
    """The work of a :func:`verify` that fails."""
    _computed(password, _Scrypt(SCRYPT_LN, SCRYPT_R, SCRYPT_P, bytes(SALT_BYTES), b""), HASH_BYTES)


def is_outdated(stored: str) -> bool:
    """Whether a hash that was just verified should be replaced by a new one."""
    parts = _parsed(stored)
    return parts is None or parts[:3] != (SCRYPT_LN, SCRYPT_R, SCRYPT_P)


def _parsed(stored: str) -> _Scrypt | None:
    match = _SCRYPT.fullmatch(stored)
    if match is None:
        return None
    ln, r, p, salt, key = match.groups()
    try:
        return _Scrypt(int(ln), int(r), int(p), _from_base64(salt), _from_base64(key))
    except ValueError:
        return None


def _computed(password: bytes, parts: _Scrypt, size: int) -> bytes:
    key = scrypt(password, parts.salt, size, 1 << parts.ln, parts.r, parts.p)
    assert isinstance(key, bytes)
    return key


def _verify_scrypt(password: bytes, parts: _Scrypt) -> bool:
    return hmac.compare_digest(_computed(password, parts, len(parts.hash)), parts.hash)


def _verify_crypt(password: bytes, stored: str) -> bool:
    if not _CRYPT.fullmatch(stored):
        raise HashUnusable("the hash is of an unknown kind")
    library = _libcrypt()
    if library is None:
        raise HashUnavailable(f"{' or '.join(_LIBRARIES)} is missing")
    # A C string: what stands behind a NUL is not looked at here, and verify() does not accept it.
    computed = library.crypt_r(password, stored.encode("ascii"), ctypes.create_string_buffer(_CRYPT_DATA_BYTES))
    if not computed or computed.startswith(b"*"):
        raise HashUnusable("libcrypt does not know the kind of hash")
    return hmac.compare_digest(computed, stored.encode("ascii"))


@functools.cache
def _libcrypt() -> ctypes.CDLL | None:
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
            library.crypt_r.restype = ctypes.c_char_p
            library.crypt_r.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
        except (OSError, AttributeError):
            continue
        return library
    return None


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii").rstrip("=")


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
