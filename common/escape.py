"""Escaping, the way in which the classic protocol puts any bytes into one field of a line.

Every byte outside ``[A-Za-z0-9_]`` is written as ``%`` and two lower-case hex digits (classic-protocol.md,
section 4). Fields that are compared or stored are brought into their *canonical* form first, which is what
:func:`escape` writes, so that ``%2F``, ``%2f`` and a bare ``/`` name the same key.

Promises: pure and total: every function takes any bytes and raises nothing;
``unescape(escape(x)) == x`` for every x; escaped text holds no LF, ``:``, ``&`` or ``=``.

Known limits: ``%`` without two hex digits behind it is taken as it stands, as the original does, so two
different wrong texts can have one meaning.
"""

from __future__ import annotations

import re

_WORD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
_ESCAPED = [bytes([byte]) if byte in _WORD else b"%%%02x" % byte for byte in range(256)]
_HEX = "0123456789abcdefABCDEF"
_UNESCAPED = {(high + low).encode(): bytes([int(high + low, 16)]) for high in _HEX for low in _HEX}
# A "%" that escape() would not have written: not followed by two lower-case digits that name a byte outside _WORD.
_NOT_CANONICAL = re.compile(rb"%(?!(?:[01289a-f][0-9a-f]|3[a-f]|40|5[b-e]|60|7[b-f]))")


def escape(data: bytes) -> bytes:
    """The escaped form of any bytes."""
    if not data.translate(None, _WORD):
        return data
    return b"".join([_ESCAPED[byte] for byte in data])


def unescape(data: bytes) -> bytes:
    """The bytes that an escaped text stands for; hex digits of either case, a malformed ``%`` stays."""
    if b"%" not in data:
        return data
    first, *rest = data.split(b"%")
    parts = [first]
    for part in rest:
        byte = _UNESCAPED.get(part[:2])
        parts.append(b"%" + part if byte is None else byte + part[2:])
    return b"".join(parts)


def is_canonical(data: bytes, separators: bytes = b"") -> bool:
    """Whether `data` is what :func:`escape` would have written for some bytes.

    :param separators: bytes that may stand in `data` as well, so that a whole list is judged by one look.
    """
    unusual = data.translate(None, _WORD)
    return not unusual or (not unusual.strip(b"%" + separators) and _NOT_CANONICAL.search(data) is None)


def canonical(data: bytes) -> bytes:
    """The canonical form of an escaped text: the same meaning, spelled as :func:`escape` spells it."""
    return data if is_canonical(data) else escape(unescape(data))
