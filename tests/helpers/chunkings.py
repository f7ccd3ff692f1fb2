"""The ways in which the bytes of a stream may arrive: cut anywhere, for what must not care."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

Chunking = Callable[[bytes], list[bytes]]

SEED = random.randrange(1 << 32)  # of the random cuts; another one in each run


def cut_at(data: bytes, points: Iterable[int]) -> list[bytes]:
    """The data cut at these offsets; those behind its end don't count."""
    ends = sorted(point for point in points if point <= len(data))
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


def whole(data: bytes) -> list[bytes]:
    """All at once."""
    return [data]


def lines(data: bytes) -> list[bytes]:
    """Line by line."""
    return data.splitlines(keepends=True)


def single_bytes(data: bytes) -> list[bytes]:
    """Byte by byte."""
    return [data[i : i + 1] for i in range(len(data))]


def random_chunks(data: bytes) -> list[bytes]:
    """Cut at up to eleven places, the same ones for the same data in one run."""
    chance = random.Random(SEED)
    return cut_at(data, chance.choices(range(len(data) + 1), k=chance.randrange(1, 12)))


CHUNKINGS: list[Chunking] = [whole, lines, single_bytes, random_chunks]
