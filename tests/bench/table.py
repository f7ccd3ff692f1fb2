"""Plain tables, aligned for reading in a terminal; the same rows as data for other programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MISSING = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    :param key: of the cells in the rows.
    :param text: a cell as it is printed; never asked for a missing one.
    :param left: aligned at the left, as words are; numbers stand at the right.
    """

    key: str
    heading: str
    text: Callable[[Any], str] = str
    left: bool = False


@dataclass(slots=True)
class Table:
    """A table and what must be known to read it.

    :param rows: cells by column key; a missing cell is printed as a dash.
    :param notes: sentences below the table.
    """

    title: str
    columns: Sequence[Column]
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, **cells: object) -> None:
        """Append a row."""
        self.rows.append(cells)

    def text(self) -> str:
        """The table as lines of equal columns, without a line end at the end."""
        lines = [[column.heading for column in self.columns]]
        lines += [[_shown(column, row.get(column.key)) for column in self.columns] for row in self.rows]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        printed = [self._line(cells, widths) for cells in lines]
        rule = "-" * max(map(len, printed))
        return "\n".join([self.title, rule, printed[0], rule, *printed[1:], *(f"  {note}" for note in self.notes)])

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        aligned = (
            cell.ljust(width) if column.left else cell.rjust(width)
            for column, cell, width in zip(self.columns, cells, widths, strict=True)
        )
        return "  ".join(aligned).rstrip()

    def data(self) -> dict[str, Any]:
        """The table for JSON: cells as they were measured, times in seconds, NaN as null."""
        rows = [{key: None if _is_missing(cell) else cell for key, cell in row.items()} for row in self.rows]
        return {"title": self.title, "rows": rows, "notes": self.notes}


def _is_missing(cell: object) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _shown(column: Column, cell: object) -> str:
    return MISSING if _is_missing(cell) else column.text(cell)


def words(key: str, heading: str) -> Column:
    """A column of words."""
    return Column(key, heading, left=True)


def count(key: str, heading: str) -> Column:
    """A column of whole numbers, or of rates that are large enough to be read as such."""
    return Column(key, heading, lambda value: f"{value:,.0f}" if value >= 100 else f"{value:,.3g}")


def milliseconds(key: str, heading: str) -> Column:
    """A column of times, which the cells hold in seconds."""
    return Column(key, heading, lambda value: f"{value * 1000:,.3f}")


def microseconds(key: str, heading: str) -> Column:
    """A column of very short times, which the cells hold in seconds."""
    return Column(key, heading, lambda value: f"{value * 1e6:,.2f}")


def seconds(key: str, heading: str) -> Column:
    """A column of longer times in seconds."""
    return Column(key, heading, lambda value: f"{value:,.2f}")


def ratio(key: str, heading: str) -> Column:
    """A column of multiples."""
    return Column(key, heading, lambda value: f"{value:.3f}" if value < 0.1 else f"{value:.2f}")


def megabytes(key: str, heading: str) -> Column:
    """A column of memory, which the cells hold in KiB."""
    return Column(key, heading, lambda value: f"{value / 1024:,.2f}")
