"""Keys and encryption of the classic link; the only importer of ``Crypto``.

IDEA in ECB mode over frames ``enc:LENGTH:HEX`` (protocol section 2). The cipher keeps what the original network
can speak; it hides commands from a casual reader of the wire and authenticates nothing.

Raises PeerProtocolError for frames that can't be read. Known limits: pure Python, about 5 microseconds a block,
half a second for 1 MB, in which the process does nothing else: lonMaxRequest and londMaxFramed limit frames.
"""

from __future__ import annotations

import binascii
import struct

from Crypto.Random import random
from Crypto.Util.number import inverse

from common.errors import PeerProtocolError
from common.frames import BLOCK, padded

KEY_BYTES = 16
ROUNDS = 8
_MODULUS = 0x10001
_LETTERS = {ord("A") + n: ord("0") + n - 6 for n in range(6, 16)} | {ord("Q") + n: ord("0") + n for n in range(10)}
_DIGIT_TO_LETTER = str.maketrans("123456", "ABCDEF")


class Idea:
    """The block cipher IDEA: 64-bit blocks, 128-bit key.

    :param key: 16 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"an IDEA key has {KEY_BYTES} bytes, not {len(key)}")
        self._encrypt_keys = _expand(key)
        self._decrypt_keys = _invert(self._encrypt_keys)

    def encrypt(self, clear: bytes) -> bytes:
        """Encrypt whole blocks (ECB)."""
        return _ecb(clear, self._encrypt_keys)

    def decrypt(self, secret: bytes) -> bytes:
        """Decrypt whole blocks (ECB)."""
        return _ecb(secret, self._decrypt_keys)


class LinkCipher:
    """The framing of one link's encrypted lines (protocol section 2).

    :param lond: host id of the side that accepted.
    :param lonc: host id of the side that connected.
    :param build_key: lond's reply to ``ekey``.
    """

    def __init__(self, lond: str, lonc: str, build_key: bytes) -> None:
        self._idea = Idea(pack_key(key_string(lond, lonc, build_key)))

    def frame(self, clear: bytes) -> bytes:
        """``enc:LENGTH:HEX`` for a clear text of any length."""
        secret = self._idea.encrypt(clear.ljust(padded(len(clear))))
        return b"enc:%d:%s" % (len(clear), binascii.hexlify(secret))

    def unframe(self, line: bytes) -> bytes:
        """The clear text of a frame.

        :raises PeerProtocolError: not a frame, or its length and its text disagree.
        """
        try:
            word, length, digits = line.split(b":")
            size, secret = _decimal(length), binascii.unhexlify(digits)
        except ValueError:
            word = b""
        if word != b"enc":
            raise PeerProtocolError("encrypted line is not enc:LENGTH:HEX") from None
        if len(secret) not in (padded(size), -(-size // BLOCK) * BLOCK):  # with or without the extra block
            raise PeerProtocolError(f"encrypted line of {len(secret)} bytes does not fit its length {size}")
        return self._idea.decrypt(secret)[:size]


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 9:
        raise ValueError("not a length")
    return int(digits)


def key_string(lond: str, lonc: str, build_key: bytes) -> str:
    """The 32 characters a link's key is read from (protocol section 2)."""
    ids = (lond + lonc).upper().translate(_LETTERS)
    return ((ids + build_key.decode("ascii", "replace")) * 3).replace(" ", "")[:32]


def pack_key(text: str) -> bytes:
    """Pack hex digits as the original does: a letter counts as (low nibble + 9) mod 16, others as their low nibble."""
    nibbles = [(ord(c) + (9 if c.isalpha() else 0)) & 15 for c in text]
    return bytes(high << 4 | low for high, low in zip(nibbles[::2], nibbles[1::2], strict=True))


def new_build_key() -> bytes:
    """A fresh build key: decimal digits, 1..6 in the middle written as A..F; long enough without any ids."""
    middle = "".join(str(random.randrange(10)) for _ in range(24)).translate(_DIGIT_TO_LETTER)
    return f"{random.randrange(10000, 100000)}{middle}{random.randrange(10000, 100000)}".encode()


def new_challenge() -> bytes:
    """A fresh challenge: twenty unpredictable decimal digits (protocol section 1, step 2)."""
    return b"%d" % random.randrange(10**19, 10**20)


def _multiply(a: int, b: int) -> int:
    # Multiplication modulo 2^16 + 1 in which 0 stands for 2^16.
    return (a or 0x10000) * (b or 0x10000) % _MODULUS & 0xFFFF


def _expand(key: bytes) -> list[int]:
    bits = int.from_bytes(key, "big")
    keys: list[int] = []
    while len(keys) < ROUNDS * 6 + 4:
        keys += struct.unpack(">8H", bits.to_bytes(KEY_BYTES, "big"))
        bits = (bits << 25 | bits >> 103) & (1 << 128) - 1
    return keys[: ROUNDS * 6 + 4]


def _invert(keys: list[int]) -> list[int]:
    # The rounds backwards: multiplicative inverses outside, negatives inside (exchanged between inner rounds).
    inverted: list[int] = []
    for start in range(ROUNDS * 6, -1, -6):
        a, b, c, d = keys[start : start + 4]
        inner = (b, c) if start in (0, ROUNDS * 6) else (c, b)
        inverted += [_inverse(a), -inner[0] & 0xFFFF, -inner[1] & 0xFFFF, _inverse(d)]
        if start:
            inverted += keys[start - 2 : start]
    return inverted


def _inverse(value: int) -> int:
    return inverse(value or 0x10000, _MODULUS) & 0xFFFF


def _ecb(text: bytes, keys: list[int]) -> bytes:
    return b"".join(_crypt_block(text[i : i + BLOCK], keys) for i in range(0, len(text), BLOCK))


def _crypt_block(block: bytes, keys: list[int]) -> bytes:
    a, b, c, d = struct.unpack(">4H", block)
    for k in range(0, ROUNDS * 6, 6):
        a, b = _multiply(a, keys[k]), b + keys[k + 1] & 0xFFFF
        c, d = c + keys[k + 2] & 0xFFFF, _multiply(d, keys[k + 3])
        left = _multiply(a ^ c, keys[k + 4])
        right = _multiply((b ^ d) + left & 0xFFFF, keys[k + 5])
        left = left + right & 0xFFFF
        a, b, c, d = a ^ right, c ^ right, b ^ left, d ^ left
    k = ROUNDS * 6
    return struct.pack(
        ">4H", _multiply(a, keys[k]), c + keys[k + 1] & 0xFFFF, b + keys[k + 2] & 0xFFFF, _multiply(d, keys[k + 3])
    )
