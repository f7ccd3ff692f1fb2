"""The metadata of a resource: who made it, who may read it, and what its content is.

A .meta file is UTF-8 text with one ``NAME: VALUE`` on each line, in this order::

    title: Projectile motion
    author: smith:msu
    copyright: public
    sourceavail: open
    version: 2
    length: 1234
    digest: sha256=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

then whatever else its publisher wrote, which is kept. `copyright` says whose users may read the resource, `sourceavail`
whose servers may have a copy of its source (a copy is the source); the author's own domain always may, unless the
copyright is private:

=======================  ==========================================  =================================
``copyright``            who may read                                ``sourceavail``
=======================  ==========================================  =================================
``public``               everybody                                   ``open``: whoever may read
``domain``               users of the author's domain                ``closed``: the author's domain
``private``              the author, on the home server alone
``DOMAIN,DOMAIN,...``    users of these and of the author's domain
=======================  ==========================================  =================================

Promises: pure; :func:`parse_metadata` of :meth:`Metadata.encode` is the same value; any bytes are metadata or one
error. Whatever is metadata fits into its file, also when a publication has filled in version, length and digest.

Raises: MetadataError with file, line and name; ValueError for values that can't be metadata. Logs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from common.errors import LonError
from common.hosts_table import DOMAIN, shown

MAX_BYTES = 65536
PUBLIC, DOMAIN_ONLY, PRIVATE = "public", "domain", "private"
OPEN, CLOSED = "open", "closed"

MAX_NUMBER = 10**15 - 1

_DIGEST = re.compile("sha256=[0-9a-f]{64}")
_NUMBER = re.compile("[0-9]{1,15}")
_NAME = re.compile("[a-z][a-z0-9_-]{0,63}")
_TEXTS = ("title", "author", "copyright", "sourceavail")
_NUMBERS = ("version", "length")
_NAMES = (*_TEXTS, *_NUMBERS, "digest")
_FILLED_IN = {"version": 15, "length": 15, "digest": 71}  # by a publication; the bytes that they may then have


class MetadataError(LonError):
    """A .meta file is not what it must be.

    :param file: how it was called by who read it.
    :param line: 1-based, 0: the file as a whole.
    :param name: the field at fault, "" if there is none.
    """

    def __init__(self, file: str, line: int, name: str, reason: str) -> None:
        self.file, self.line, self.name, self.reason = file, line, name, reason
        place = f"{file}:{line}" if line else file
        super().__init__(f"{place}: {name}: {reason}" if name else f"{place}: {reason}")

    def __reduce__(self) -> tuple[type[MetadataError], tuple[str, int, str, str]]:
        return MetadataError, (self.file, self.line, self.name, self.reason)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is known of a resource; see the module for the values.

    :param author: ``USER:DOMAIN``, or another text.
    :param version: counts from 1; set by the publication, as are the next two.
    :param length: of the content, in bytes.
    :param digest: of the content, ``sha256=`` and 64 hex digits.
    :param more: further fields by name.
    :raises ValueError: a value can't be one, or the file would be longer than :data:`MAX_BYTES`.
    """

    title: str = ""
    author: str = ""
    copyright: str = PRIVATE
    sourceavail: str = OPEN
    version: int = 0
    length: int = 0
    digest: str = ""
    more: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _NAMES:
            _check(name, getattr(self, name))
        for name, value in self.more.items():
            if name in _NAMES or not _NAME.fullmatch(name):
                raise ValueError(f"{shown(name)} can't be the name of a further field")
            _check_text(name, value)
        size = len(self.encode()) + sum(most - len(str(getattr(self, name))) for name, most in _FILLED_IN.items())
        if size > MAX_BYTES:
            raise ValueError(f"metadata would have up to {size} bytes, at most {MAX_BYTES} are allowed")

    @property
    def domains(self) -> list[str]:
        """The domains that the copyright names; none, if it is one of the three words."""
        return [] if self.copyright in (PUBLIC, DOMAIN_ONLY, PRIVATE) else self.copyright.split(",")

    def may_read(self, asking: str, owner: str) -> bool:
        """Whether users of the domain `asking` may read it, if its author is of the domain `owner`."""
        if self.copyright == PUBLIC:
            return True
        if self.copyright == PRIVATE:
            return False
        return asking == owner or asking in self.domains

    def may_read_source(self, asking: str, owner: str) -> bool:
        """Whether servers of the domain `asking` may have a copy, if its author is of the domain `owner`."""
        return self.may_read(asking, owner) and (asking == owner or self.sourceavail == OPEN)

    def narrowed(self, by: Metadata, owner: str) -> Metadata:
        """The same, for nobody who may not have what has the metadata `by`; both by an author of the domain `owner`."""
        source = CLOSED if CLOSED in (self.sourceavail, by.sourceavail) else OPEN
        return replace(self, copyright=_common(self.copyright, by.copyright, owner), sourceavail=source)

    def encode(self) -> bytes:
        """The .meta file, at most :data:`MAX_BYTES`."""
        values = {name: str(getattr(self, name)) for name in _NAMES} | dict(self.more)
        return "".join(f"{name}: {value}\n" for name, value in values.items()).encode()


def parse_metadata(data: bytes, file: str) -> Metadata:
    """Reads a .meta file.

    :param file: how errors name it.
    :raises MetadataError: a line is malformed, a field wrong, missing, or there twice.
    """
    if len(data) > MAX_BYTES:
        raise MetadataError(file, 0, "", f"more than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MetadataError(file, 0, "", f"byte {error.start} is not UTF-8") from None
    values: dict[str, Any] = {}
    for line, content in enumerate(text.removesuffix("\n").split("\n"), 1):
        name, colon, value = content.partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise MetadataError(file, line, "", f"{shown(content)} is not NAME: VALUE")
        if name in values:
            raise MetadataError(file, line, name, "stands there twice")
        values[name] = _parsed(name, value.removeprefix(" "), file, line)
    missing = [name for name in _NAMES if name not in values]
    if missing:
        raise MetadataError(file, 0, missing[0], "missing")
    known = {name: values.pop(name) for name in _NAMES}
    try:
        return Metadata(**known, more=values)
    except ValueError as error:  # the single values are checked; together they are too long
        raise MetadataError(file, 0, "", str(error)) from None


def _parsed(name: str, value: str, file: str, line: int) -> str | int:
    if name in _NUMBERS and not _NUMBER.fullmatch(value):
        raise MetadataError(file, line, name, f"{shown(value)} is not a number")
    result: str | int = int(value) if name in _NUMBERS else value
    try:
        _check(name, result)
    except ValueError as error:
        raise MetadataError(file, line, name, str(error)) from None
    return result


def _check(name: str, value: str | int) -> None:
    if isinstance(value, int):
        if not 0 <= value <= MAX_NUMBER:
            raise ValueError(f"{name} is {value}, must be from 0 to {MAX_NUMBER}")
        return
    _check_text(name, value)
    if name == "copyright" and value not in (PUBLIC, DOMAIN_ONLY, PRIVATE):
        _check_domains(value)
    if name == "sourceavail" and value not in (OPEN, CLOSED):
        raise ValueError(f"sourceavail is {shown(value)}, must be {OPEN} or {CLOSED}")
    if name == "digest" and value and not _DIGEST.fullmatch(value):
        raise ValueError(f"digest is {shown(value)}, must be sha256= and 64 hex digits")


def _common(one: str, other: str, owner: str) -> str:
    """The copyright that grants what both grant; `one` itself if that is the same."""
    if PRIVATE in (one, other):
        return PRIVATE
    if PUBLIC in (one, other):
        return other if one == PUBLIC else one
    first, second = ({owner, *("" if text == DOMAIN_ONLY else text).split(",")} - {""} for text in (one, other))
    if first <= second:
        return one
    return ",".join(sorted((first & second) - {owner})) or DOMAIN_ONLY


def _check_text(name: str, value: str) -> None:
    if not value.isprintable():
        raise ValueError(f"{name} holds a character that can't be printed")


def _check_domains(value: str) -> None:
    for domain in value.split(","):
        if not DOMAIN.fullmatch(domain):
            raise ValueError(
                f"copyright is {shown(value)}, must be {PUBLIC}, {DOMAIN_ONLY}, {PRIVATE}, or domains joined by commas"
            )
