"""Bytes in, whole lines out: the framing of links and of callers' sockets alike. Pure."""

from __future__ import annotations


class Lines:
    """Bytes in, whole lines out; a peer that drips bytes costs time linear in what it sent.

    :param limit: bytes a line may have without its end.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.overflown = False
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now, without LF and without a CR before it.

        A line over the limit ends it all: `overflown` becomes true, and only the lines before it are returned.
        """
        if b"\n" not in data:
            self._partial += data
            self.overflown = len(self._partial) > self.limit
            return []
        if self._partial:
            data = bytes(self._partial) + data
        lines = data.split(b"\n")
        self._partial = bytearray(lines.pop())
        if len(data) > self.limit:
            lines = self._within_limit(lines)
        if b"\r" in data:
            lines = [line[:-1] if line.endswith(b"\r") else line for line in lines]
        return lines

    def _within_limit(self, lines: list[bytes]) -> list[bytes]:
        self.overflown = len(self._partial) > self.limit
        for number, line in enumerate(lines):
            if len(line) > self.limit:
                self.overflown = True
                return lines[:number]
        return lines

    @property
    def partial(self) -> bytes:
        """What stands after the last line's end."""
        return bytes(self._partial)

    @property
    def partial_length(self) -> int:
        """How many bytes stand after the last line's end."""
        return len(self._partial)
