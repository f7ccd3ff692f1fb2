"""What was stored under a resource id, version by version: the reply of ``restore`` as values.

The reply has ``version=N``, then for each version ``n:keys=NAME:NAME...`` and one ``n:NAME=VALUE`` for each name, among
them ``timestamp``. A value may be called ``keys`` as well; of two ``n:keys`` the first is the list of names.

Promises: pure. Raises :class:`lonnet.wire.Malformed` for what is not such a reply. Logs nothing.

Source: classic-protocol, section 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic

from lonnet.wire import Codec, Malformed, Text, items, whole_number

KEYS, TIMESTAMP = "keys", "timestamp"


@dataclass(frozen=True, slots=True)
class Version(Generic[Text]):
    """What one call of ``store`` has stored.

    :param number: from 1 on.
    :param timestamp: when the home server stored it, UNIX seconds.
    :param values: as they were given.
    """

    number: int
    timestamp: int
    values: Mapping[Text, Text]


@dataclass(frozen=True, slots=True)
class Restored(Generic[Text]):
    """Everything that was stored under one resource id; false if nothing was.

    :param versions: oldest first.
    """

    versions: tuple[Version[Text], ...]

    def __bool__(self) -> bool:
        return bool(self.versions)

    @property
    def version(self) -> int:
        """The number of the last version, 0 if there is none."""
        return self.versions[-1].number if self.versions else 0

    @property
    def timestamp(self) -> int:
        """When the last version was stored, UNIX seconds; 0 if there is none."""
        return self.versions[-1].timestamp if self.versions else 0

    @property
    def values(self) -> dict[Text, Text]:
        """The last value of each name, over all versions."""
        return {key: value for version in self.versions for key, value in version.values.items()}


def parse_restored(codec: Codec[Text], reply: str) -> Restored[Text]:
    """Reads the reply of ``restore``."""
    rest = items(reply)
    if next(rest, ("", ""))[0] != "version":
        raise Malformed("no version=N at the beginning")
    named: set[int] = set()
    timestamps: dict[int, int] = {}
    values: dict[int, dict[Text, Text]] = {}
    for label, value in rest:
        number, name = _number_and_name(label)
        of_version = values.setdefault(number, {})
        if name == KEYS and number not in named:
            named.add(number)
        elif name == TIMESTAMP:
            timestamps[number] = whole_number(value)
        else:
            of_version[codec.text(name)] = codec.text(value)
    return Restored(tuple(Version(n, timestamps.get(n, 0), of_version) for n, of_version in sorted(values.items())))


def _number_and_name(label: str) -> tuple[int, str]:
    number, colon, name = label.partition(":")
    if not colon:
        raise Malformed("a value without the number of its version")
    return whole_number(number), name


def parse_current(codec: Codec[Text], reply: str) -> dict[Text, dict[Text, Text]]:
    """Reads the reply of ``currentdump``: the last values by resource id, without their timestamps."""
    found: dict[Text, dict[Text, Text]] = {}
    for label, value in items(reply):
        resource_id, colon, key = label.partition(":")
        if not colon:
            raise Malformed("an item without a resource id")
        of_resource = found.setdefault(codec.text(resource_id), {})
        if key != TIMESTAMP:
            of_resource[codec.text(key)] = codec.text(value)
    return found
