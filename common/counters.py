"""Numbers that outlive the children who count: a file of rows in shared memory, ``.NAME.counters`` in lonSockDir.

Each slot of the scoreboard has a row beside it, which the child in that slot alone writes; when a child has been
reaped, the parent adds its row to that of its host (its *total*) and clears it for the next one. So every cell has one
writer at a time, and counting is an addition in memory: no lock, no system call, and nothing is lost with a child that
is killed. Whoever reads adds totals and rows up.

A guard in the header is odd while the parent moves a row; a reader that meets this reads again. The numbers begin at
zero with each start of the daemon. A host that finds no row of its own (there are as many as slots) is counted with
the daemon's own, whose label is "".

:meth:`Counters.read` raises OSError if there is no file, ValueError if it is of another version. Logs nothing.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.metrics import Counter, Histogram, Layout, Metric

_MAGIC = b"LONCOUNT"
_HEADER = struct.Struct("=8sIIdQ")  # magic, fingerprint of the layout, slots, when it was made, guard
_GUARD = struct.Struct("=Q")
_GUARD_AT = 24
_HEADER_SIZE = 64
_NAME = struct.Struct("=Q64s")  # whether the row is in use, label
_CELL = 8
_QUICK_TRIES, _READ_TRIES, _READ_PAUSE = 20, 1000, 0.001


class Tally:
    """The row of one process: what it alone adds to.

    :param cells: of the row, as doubles; without a file (in tests) of nobody's.
    """

    __slots__ = ("_cells", "_layout")

    def __init__(self, layout: Layout, cells: memoryview[float] | None = None) -> None:
        self._layout = layout
        self._cells = memoryview(bytearray(_CELL * layout.size)).cast("d") if cells is None else cells

    def add(self, name: str, value: str = "", number: float = 1) -> None:
        """Add to a counter.

        :param value: of its label.
        """
        self._cells[self._layout.cell(name, value)] += number

    def observe(self, name: str, seconds: float, number: int = 1) -> None:
        """Something took so long, `number` times."""
        start, bounds = self._layout.start[name], self._layout.bounds[name]
        self._cells[start + bisect_left(bounds, seconds)] += number
        self._cells[start + len(bounds) + 1] += seconds * number

    def note(self, name: str, when: float) -> None:
        """Something happened last at `when`, UNIX time."""
        self._cells[self._layout.start[name]] = when

    def numbers(self) -> Numbers:
        """What has been counted so far."""
        return Numbers(self._layout, list(self._cells))


@dataclass(frozen=True, slots=True)
class Numbers:
    """The content of a row, or the sum of several."""

    layout: Layout
    cells: list[float]

    def counter(self, metric: Counter) -> dict[str, float]:
        """Number by the value of its label."""
        return {value: self.cells[self.layout.cell(metric.name, value)] for value in metric.values}

    def histogram(self, metric: Histogram) -> tuple[list[float], float]:
        """How many in each bucket (the last: above all bounds), and the sum of seconds."""
        start = self.layout.start[metric.name]
        return self.cells[start : start + metric.cells - 1], self.cells[start + metric.cells - 1]

    def latest(self, name: str) -> float:
        """UNIX time, 0: never."""
        return self.cells[self.layout.start[name]]

    def merge(self, other: list[float]) -> None:
        """Add the cells of another row."""
        greatest = {at: max(self.cells[at], other[at]) for at in self.layout.latest()}
        self.cells[:] = [mine + its for mine, its in zip(self.cells, other, strict=True)]
        for at, value in greatest.items():
            self.cells[at] = value


class Counters:
    """The file, mapped: made by the parent, inherited by its children."""

    def __init__(self, map_: mmap.mmap, layout: Layout, slots: int) -> None:
        self._map, self._layout, self._slots = map_, layout, slots
        self._row_size = _NAME.size + _CELL * layout.size
        self._totals = {"": slots}  # label to row, in the parent

    @classmethod
    def create(cls, path: Path, metrics: tuple[Metric, ...], slots: int) -> Counters:
        """Make a fresh file (mode 0640) in place of any old one.

        :param slots: of the scoreboard.
        """
        layout = Layout(metrics)
        size = _HEADER_SIZE + 2 * slots * (_NAME.size + _CELL * layout.size)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
        try:
            os.posix_fallocate(fd, 0, size)  # a hole would be SIGBUS once the memory is full
            os.write(fd, _HEADER.pack(_MAGIC, layout.fingerprint, slots, time.time(), 0))
            counters = cls(mmap.mmap(fd, size), layout, slots)
        finally:
            os.close(fd)
        temporary.replace(path)
        return counters

    def claim(self, slot: int, label: str) -> Tally:
        """The row of a child that has just been born into a slot.

        :param label: its host.
        """
        return self._tally(slot, label)

    def total(self, label: str = "") -> Tally:
        """The total of a host, or of the daemon itself; for the parent alone."""
        label = self._counted_as(label)
        return self._tally(self._totals[label], label)

    def _tally(self, row: int, label: str) -> Tally:
        start = self._start(row)
        self._name(start, label)
        return Tally(self._layout, memoryview(self._map)[start + _NAME.size : start + self._row_size].cast("d"))

    def _counted_as(self, label: str) -> str:
        """The label itself, or that of the daemon if there is no row left."""
        if label not in self._totals and len(self._totals) >= self._slots:
            return ""
        self._totals.setdefault(label, self._slots + len(self._totals))
        return label

    def _start(self, row: int) -> int:
        return _HEADER_SIZE + row * self._row_size

    def fold(self, slot: int) -> None:
        """Add the row of a child that was reaped to its host's total; for the parent alone."""
        start = self._start(slot)
        used, name = _NAME.unpack_from(self._map, start)
        if not used:
            return
        label = self._counted_as(_label(name))
        target = self._start(self._totals[label])
        numbers = Numbers(self._layout, self._cells(target))
        numbers.merge(self._cells(start))
        self._move_guard()
        self._put(target, label, numbers.cells)
        self._map[start : start + self._row_size] = bytes(self._row_size)
        self._move_guard()

    def _cells(self, start: int) -> list[float]:
        return list(struct.unpack_from(f"={self._layout.size}d", self._map, start + _NAME.size))

    def _put(self, start: int, label: str, cells: list[float]) -> None:
        self._name(start, label)
        struct.pack_into(f"={self._layout.size}d", self._map, start + _NAME.size, *cells)

    def _name(self, start: int, label: str) -> None:
        if not _NAME.unpack_from(self._map, start)[0]:
            _NAME.pack_into(self._map, start, 0, label.encode()[:64])
            _NAME.pack_into(self._map, start, 1, label.encode()[:64])  # in use only when its name is whole

    def _move_guard(self) -> None:
        guard = _GUARD.unpack_from(self._map, _GUARD_AT)[0]
        _GUARD.pack_into(self._map, _GUARD_AT, guard + 1)

    @staticmethod
    def read(path: Path, metrics: tuple[Metric, ...]) -> dict[str, Numbers]:
        """What was counted since the daemon's start, by host; "" is the daemon itself."""
        layout = Layout(metrics)
        with path.open("rb") as file:
            head = file.read(_HEADER.size).ljust(_HEADER.size, b"\0")
            magic, fingerprint, slots, _, _ = _HEADER.unpack(head)
            if (magic, fingerprint) != (_MAGIC, layout.fingerprint):
                raise ValueError(f"{path} is not a file of counters of this version")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as map_:
                raw = _consistent(map_)
        found: dict[str, Numbers] = {}
        for label, cells in _rows(raw, layout, 2 * slots):
            found.setdefault(label, Numbers(layout, [0.0] * layout.size)).merge(cells)
        return found


def _consistent(map_: mmap.mmap) -> bytes:
    """A copy in which no row stands twice (or, should the parent have been killed while it moved one, any copy)."""
    raw = b""
    for attempt in range(_READ_TRIES):
        if attempt > _QUICK_TRIES:
            time.sleep(_READ_PAUSE)  # the parent was taken off the processor in the middle of it
        before = _GUARD.unpack_from(map_, _GUARD_AT)[0]
        raw = map_[:]
        if before % 2 == 0 and before == _GUARD.unpack_from(map_, _GUARD_AT)[0]:
            break
    return raw


def _rows(raw: bytes, layout: Layout, number: int) -> Iterator[tuple[str, list[float]]]:
    cells = struct.Struct(f"={layout.size}d")
    for start in range(_HEADER_SIZE, _HEADER_SIZE + number * (_NAME.size + cells.size), _NAME.size + cells.size):
        used, name = _NAME.unpack_from(raw, start)
        if used:
            yield _label(name), list(cells.unpack_from(raw, start + _NAME.size))


def _label(name: bytes) -> str:
    return name.split(b"\0", 1)[0].decode("utf-8", "replace")


def counters_path(sock_dir: Path, name: str) -> Path:
    """Where a daemon's counters are."""
    return sock_dir / f".{name}.counters"
