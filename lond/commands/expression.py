"""Choosing the items of `dump`: regular expressions from the wire, in bounded time, and ranges.

An expression of the original is Perl's, and both Perl's and Python's engines can be made to run for years by a
short one (``(a*)*b``). RE2 never goes back: its time is linear in the text, its memory has a limit.

Raises: :class:`RequestError` 22 for an expression that is wrong, too long, too large, or not RE2's. Logs nothing.

Known limits: no references, no looking around: RE2 has none of them, and refuses them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import re2

from common.escape import unescape
from lond.commands.registry import RequestError

ALL = b"."
SOURCE_MAX = 256  # bytes of an expression
MEMORY_MAX = 1048576  # bytes that a compiled expression may take

Item = tuple[bytes, bytes]


def _options() -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # keys are bytes, whatever they mean
    options.max_mem = MEMORY_MAX
    options.never_capture = True
    options.log_errors = False
    return options


_OPTIONS = _options()


def selected(items: Iterable[Item], expression: bytes, wanted: tuple[int, int] | None) -> Iterator[Item]:
    """The items whose unescaped key holds a match, of those the ones from `wanted[0]` to before `wanted[1]`.

    :param expression: unescaped.
    :raises RequestError: see above.
    """
    matching = iter(items) if expression in (ALL, b"") else _matching(items, expression)
    return islice(matching, *wanted) if wanted else matching


def _matching(items: Iterable[Item], expression: bytes) -> Iterator[Item]:
    if len(expression) > SOURCE_MAX:
        raise RequestError(f"expression longer than {SOURCE_MAX} bytes")
    try:
        pattern = re2.compile(expression, _OPTIONS)
    except re2.error:
        raise RequestError("expression is not one of RE2 (no references, no looking around), or too large") from None
    return (item for item in items if pattern.search(unescape(item[0])))
