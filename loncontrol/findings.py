"""What one step of an examination found, how bad it is, and whose turn it is."""

from __future__ import annotations

import enum
from dataclasses import dataclass

HERE = "here"


class Level(enum.Enum):
    """How a step came out."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found.

    :param who: whose turn it is: :data:`HERE`, a host id (its administrator), "" if there is nothing to do.
    :param act: what to do or type there.
    """

    step: str
    level: Level
    words: str
    who: str = ""
    act: str = ""

    def as_json(self) -> dict[str, str]:
        """For programs."""
        return {
            "step": self.step,
            "level": self.level.name.lower(),
            "words": self.words,
            "who": self.who,
            "act": self.act,
        }


def good(step: str, words: str) -> Finding:
    """All is well."""
    return Finding(step, Level.OK, words)


def warning(step: str, words: str, who: str, act: str) -> Finding:
    """Somebody should do something."""
    return Finding(step, Level.WARNING, words, who, act)


def failed(step: str, words: str, who: str, act: str) -> Finding:
    """There can be no link, or nobody who keeps one, until somebody does something."""
    return Finding(step, Level.FAILED, words, who, act)


class Ended(Exception):
    """A step failed that those behind it need."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.words)
