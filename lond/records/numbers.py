"""Adding numbers that are texts, for `inc`.

Whole numbers are added exactly, decimal ones with 15 significant digits as the original does (``0.1 + 0.2`` is 0.3).

Raises :class:`StorageError` 22 for what is no number; the original would count it as 0 and lose what was stored.
"""

from __future__ import annotations

import errno
import re

from common.escape import escape, unescape
from lond.records.faults import StorageError

_WHOLE = re.compile(rb"[+-]?[0-9]{1,30}")
_DECIMAL = re.compile(rb"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")


def sum_of(stored: bytes, added: bytes) -> bytes:
    """`stored` + `added`, all three escaped; an empty `stored` counts as 0, an empty `added` as 1.

    :raises StorageError: 22, one is no number, or the sum is too large for one.
    """
    first, second = unescape(stored) or b"0", unescape(added) or b"1"
    if _WHOLE.fullmatch(first) and _WHOLE.fullmatch(second):
        total = b"%d" % (int(first) + int(second))
    elif _DECIMAL.fullmatch(first) and _DECIMAL.fullmatch(second):
        total = f"{float(first) + float(second):.15g}".encode()
    else:
        raise StorageError(errno.EINVAL, "not a number")
    if not _DECIMAL.fullmatch(total):  # inf, nan, or a digit more than we would read again
        raise StorageError(errno.EINVAL, "number too large")
    return escape(total)
