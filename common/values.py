"""The kinds of values that a setting can have: how one is written, what is allowed, and the value itself.

Each kind is called with the text of the file and gives the value, or raises ValueError; `allowed` says in words what
would be right, for messages and documentation. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number between two limits, both included."""

    minimum: int
    maximum: int

    @property
    def allowed(self) -> str:
        """What a value may be, as messages and documentation say it."""
        return f"a whole number from {self.minimum} to {self.maximum}"

    def __call__(self, text: str) -> int:
        # int() alone would take 1_000, +1 and digits of other scripts.
        if not re.fullmatch("[0-9]{1,15}", text) or not self.minimum <= int(text) <= self.maximum:
            raise ValueError(text)
        return int(text)


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal number between two limits, both included; `unit` is how messages name it."""

    minimum: float
    maximum: float
    unit: str = "a number"

    @property
    def allowed(self) -> str:
        """What a value may be, as messages and documentation say it."""
        return f"{self.unit} from {self.minimum:.12g} to {self.maximum:.12g}"

    def __call__(self, text: str) -> float:
        # float() alone would take nan, inf and 1e9.
        if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
            raise ValueError(text)
        if not self.minimum <= float(text) <= self.maximum:
            raise ValueError(text)
        return float(text)


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a given form; `convert` makes the value of it and may raise ValueError."""

    pattern: str
    allowed: str
    convert: Callable[[str], object] = str

    def __call__(self, text: str) -> object:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(text)
        return self.convert(text)
