"""The state of every child of one daemon, visible from outside.

A file of fixed-size slots in shared memory, ``.NAME.scoreboard`` in lonSockDir. Each child writes its own slot and
no other; anybody who may read the file sees the states without asking a child, so that a hung one is visible too.
The parent clears a slot only when its child has been reaped.

A slot has two copies and a number that says which of them holds: the writer fills the other one, then changes the
number. So no reader meets half of a state, not even of a child that was killed while it wrote. Text is cut to its
field. Times are UNIX times, but `heartbeat` is on the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

_MAGIC = b"LONSCORE0003"
_HEADER = struct.Struct("<12sII")  # magic, number of slots, parent's pid
_HEADER_SIZE = 64
_GUARD = struct.Struct("<I")
_SLOT = struct.Struct("<iI16sddddddQQQIIII64s160s160s")
_SLOT_SIZE = 8 + 2 * _SLOT.size
_READ_TRIES = 1000


@dataclass(slots=True)
class Slot:
    """What one child says of itself; `pid` 0 means that the slot is free."""

    pid: int = 0
    generation: int = 0
    state: str = ""  # lonc: waiting, paused, connecting, up, draining; lond: idle, greeting, serving, draining
    since: float = 0.0
    heartbeat: float = 0.0
    last_received: float = 0.0
    next_try: float = 0.0
    oldest_delayed: float = 0.0
    started: float = 0.0
    requests: int = 0
    replies: int = 0
    connections: int = 0
    outstanding: int = 0
    waiting: int = 0
    delayed: int = 0
    attempts: int = 0
    host: str = ""
    text: str = ""
    trouble: str = ""  # lonc: why critical messages don't go on although the link is up


_TEXT_FIELDS = {"state": 16, "host": 64, "text": 160, "trouble": 160}  # bytes
_NAMES = tuple(field.name for field in fields(Slot))


class Scoreboard:
    """The file, mapped; made by the parent, inherited by its children, opened by readers with :meth:`open`."""

    def __init__(self, map_: mmap.mmap, slots: int) -> None:
        self._map = map_
        self.slots = slots

    @classmethod
    def create(cls, path: Path, slots: int) -> Scoreboard:
        """Make a fresh file (mode 0640) in place of any old one, so that readers of the old one are not confused."""
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        size = _HEADER_SIZE + slots * _SLOT_SIZE
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
        try:
            os.posix_fallocate(fd, 0, size)  # a hole would be SIGBUS once the memory is full
            os.write(fd, _HEADER.pack(_MAGIC, slots, os.getpid()))
            board = cls(mmap.mmap(fd, size), slots)
        finally:
            os.close(fd)
        temporary.replace(path)
        return board

    @classmethod
    def open(cls, path: Path) -> Scoreboard:
        """Map an existing file for reading.

        :raises OSError: there is none.
        :raises ValueError: it is not a scoreboard of this version.
        """
        with path.open("rb") as file:
            magic, slots, _ = _HEADER.unpack(file.read(_HEADER.size).ljust(_HEADER.size, b"\0"))
            if magic != _MAGIC:
                raise ValueError(f"{path} is not a scoreboard of this version")
            return cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), slots)

    def write(self, number: int, slot: Slot) -> None:
        """Publish a slot's content; only its child does this, and the parent once the child is gone."""
        start = self._start(number)
        guard = _GUARD.unpack_from(self._map, start)[0] + 1 & 0xFFFFFFFF
        values = [_packed(name, getattr(slot, name)) for name in _NAMES]
        _SLOT.pack_into(self._map, _copy(start, guard), *values)
        _GUARD.pack_into(self._map, start, guard)

    def clear(self, number: int) -> None:
        """Free a slot whose child was reaped."""
        self.write(number, Slot())

    def read(self, number: int) -> Slot:
        """A consistent copy of a slot (of the last complete one, should its child have died while writing)."""
        start = self._start(number)
        raw = b""
        for _ in range(_READ_TRIES):
            before = _GUARD.unpack_from(self._map, start)[0]
            copy = _copy(start, before)
            raw = self._map[copy : copy + _SLOT.size]
            if before == _GUARD.unpack_from(self._map, start)[0]:
                break
        values = [
            value.split(b"\0", 1)[0].decode("utf-8", "replace") if name in _TEXT_FIELDS else value
            for name, value in zip(_NAMES, _SLOT.unpack(raw), strict=True)
        ]
        return Slot(*values)

    def all(self) -> Iterator[Slot]:
        """The slots in use."""
        for number in range(self.slots):
            if (slot := self.read(number)).pid:
                yield slot

    def close(self) -> None:
        """Unmap the file."""
        self._map.close()

    def _start(self, number: int) -> int:
        if not 0 <= number < self.slots:
            raise IndexError(f"slot {number} of {self.slots}")
        return _HEADER_SIZE + number * _SLOT_SIZE


def _copy(start: int, guard: int) -> int:
    return start + 8 + (guard & 1) * _SLOT.size


def _packed(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    data = value.encode("utf-8", "replace")[: _TEXT_FIELDS[name]]
    return data.decode("utf-8", "ignore").encode()  # not half of a character


def scoreboard_path(sock_dir: Path, daemon: str) -> Path:
    """Where a daemon's scoreboard lies; host ids never begin with a dot."""
    return sock_dir / f".{daemon}.scoreboard"
