"""Names, texts and lists as the fields of a request and its reply, and back.

A text is ``str``, which is UTF-8 on the wire, or ``bytes``: a :class:`Codec` says which. Stored bytes that are not
UTF-8 come out of :data:`TEXT` as surrogates (surrogateescape) and go in again as the same bytes.

Promises: whatever a text holds, what is made of it is one field: letters, digits, ``_`` and ``%``; reading gives
the text back. What comes from the wire is read in any spelling, or :class:`Malformed` is raised.

Raises: ValueError and TypeError for what the caller may not send; their texts may name a key, and never hold another
text, which may be a password. Logs nothing.

Source: classic-protocol, section 4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from common.escape import escape, unescape
from common.hosts_table import DOMAIN

Text = TypeVar("Text", str, bytes)
Values = TypeVar("Values", bound="Mapping[Any, Any]")

_NAME = DOMAIN  # domains, users and namespaces have one form
_WHOLE = re.compile("[0-9]{1,15}")
_NAME_ALLOWED = "at most 64 of A-Z a-z 0-9 _ . @ -, a letter, digit or _ first, no '..'"


class Malformed(ValueError):
    """A reply is not what its command can have."""


@dataclass(frozen=True, slots=True)
class Codec(Generic[Text]):
    """How texts become bytes and bytes become texts."""

    to_bytes: Callable[[Text], bytes]
    from_bytes: Callable[[bytes], Text]

    def field(self, text: Text) -> str:
        """A text as one field."""
        return escape(self.to_bytes(text)).decode("ascii")

    def text(self, field: str) -> Text:
        """The text of a field."""
        return self.from_bytes(unescape(wire_bytes(field)))


def wire_bytes(reply: str) -> bytes:
    """The bytes of a reply as they came."""
    return reply.encode("utf-8", "surrogateescape")


def _utf8(text: str) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"a text must be str, not {type(text).__name__}; bytes go through .raw")
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        # The original exception holds the whole text.
        raise ValueError(f"character {error.start} of a text can't be written as UTF-8") from None


def _as_it_is(data: bytes) -> bytes:
    if not isinstance(data, bytes):
        raise TypeError(f"raw data must be bytes, not {type(data).__name__}")
    return data


TEXT: Codec[str] = Codec(_utf8, lambda data: data.decode("utf-8", "surrogateescape"))
RAW: Codec[bytes] = Codec(_as_it_is, lambda data: data)


def checked_name(name: str, kind: str) -> str:
    """`name`, if it may be a domain or user.

    :param kind: what it is for, for the error: ``domain``.
    :raises ValueError: it may not.
    """
    if not isinstance(name, str):
        raise TypeError(f"a {kind} must be str, not {type(name).__name__}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is not a {kind}: {_NAME_ALLOWED}")
    return name


def checked_namespace(namespace: str) -> str:
    """`namespace` as it is sent: with ``_`` for ``/``.

    :raises ValueError: it is not the name of a namespace.
    """
    return checked_name(namespace.replace("/", "_") if isinstance(namespace, str) else namespace, "namespace")


def checked_mapping(values: Values, what: str) -> Values:
    """`values`, if they are a mapping.

    :param what: they are, for the error: ``values``.
    :raises TypeError: they are not.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{what} must be a mapping, such as a dict, not {type(values).__name__}")
    return values


def key_list(codec: Codec[Text], keys: Iterable[Text]) -> str:
    """``KEY&KEY``.

    :raises ValueError: a key is empty.
    """
    return "&".join([_key(codec, key) for key in keys])


def question(codec: Codec[Text], keys: Iterable[Text]) -> str:
    """``&KEY&KEY``: the keys whose values are asked for, read by :func:`answered`.

    The empty key in front asks for nothing. It makes sure that the reply holds an ``&``: without it the value
    ``refused`` of a single key would be the same line as a refusal.
    """
    return "&" + key_list(codec, keys)


def answered(codec: Codec[Text], keys: Iterable[Text], reply: str) -> dict[Text, Text]:
    """The values by key, of the reply to a :func:`question`.

    :raises Malformed: another number of values.
    """
    asked = list(keys)
    values = reply.split("&")[1:]
    if len(values) != len(asked):
        raise Malformed(f"{len(values)} values for {len(asked)} keys")
    return {key: codec.text(value) for key, value in zip(asked, values, strict=True)}


def pairs(codec: Codec[Text], values: Mapping[Text, Text]) -> str:
    """``KEY=VALUE&KEY=VALUE``.

    :raises ValueError: a key is empty.
    :raises TypeError: no mapping, or one of other things than the codec's texts.
    """
    return "&".join([_pair(codec, key, value) for key, value in checked_mapping(values, "values").items()])


def items(reply: str) -> Iterator[tuple[str, str]]:
    """The pairs of a reply, still escaped, in their order.

    :raises Malformed: one has no ``=``.
    """
    for item in reply.split("&"):
        if item:
            key, equals, value = item.partition("=")
            if not equals:
                raise Malformed("an item without =")
            yield key, value


def whole_number(field: str) -> int:
    """A number of a reply: versions, times, positions.

    :raises Malformed: it is none, or too long for one.
    """
    if not _WHOLE.fullmatch(field):
        raise Malformed("not a number")
    return int(field)


def _pair(codec: Codec[Text], key: Text, value: Text) -> str:
    name = _key(codec, key)
    try:
        return f"{name}={codec.field(value)}"
    except (TypeError, ValueError) as error:
        raise type(error)(f"value of {_shown(key)}: {error}") from None


def _key(codec: Codec[Text], key: Text) -> str:
    try:
        field = codec.field(key)
    except (TypeError, ValueError) as error:
        raise type(error)(f"key {_shown(key)}: {error}") from None
    if not field:
        raise ValueError("a key must not be empty")
    return field


def _shown(key: object) -> str:
    return f"{key!r:.80}"
