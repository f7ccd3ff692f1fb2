"""What loncron found: what is wrong, how bad it is, and what to do about it.

A finding's `key` says what it is about without anything that changes from run to run, so that two runs can be compared.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MOST_COUNTED = 25  # of one finding's number: a log with a thousand warnings must not hide everything else


class Level(enum.IntEnum):
    """How bad; the value is what one of them counts."""

    NOTICE = 1
    WARNING = 4
    ERROR = 100

    @property
    def word(self) -> str:
        """In lower case."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    :param check: which check found it.
    :param key: what it is about, the same in every run in which it is the same trouble.
    :param text: for people: what is wrong, and what to do.
    :param number: how many times it counts.
    """

    level: Level
    check: str
    key: str
    text: str
    number: int = 1

    @property
    def score(self) -> int:
        """What it adds to the sum that decides about a mail."""
        return self.level * min(self.number, MOST_COUNTED)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "level": self.level.word,
            "check": self.check,
            "key": self.key,
            "text": self.text,
            "number": self.number,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Finding:
        """The reverse of :meth:`as_json`.

        :raises KeyError, TypeError, ValueError: it is nothing of that kind.
        """
        number = int(values["number"])
        level = Level[str(values["level"]).upper()]
        return cls(level, str(values["check"]), str(values["key"]), str(values["text"]), number)


def score(findings: Iterable[Finding]) -> int:
    """The sum that decides about a mail."""
    return sum(finding.score for finding in findings)
