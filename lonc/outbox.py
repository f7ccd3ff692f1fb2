"""The messages of the FIFO that a lonc child holds in memory, ready to be sent.

However long the FIFO is, at most :data:`PAGE` rows and about `most_bytes` of commands are read from it at a time.
Messages that a turn has just recorded are taken as they are, if they are the next ones and fit; otherwise they, and
what other processes have put into the FIFO, are read from it again later, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from common.delayed import WAITING, Fifo, Row

PAGE = 1024  # rows


class Outbox:
    """See the module.

    :param most_bytes: of commands; the row that reaches it may go beyond.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._rows: deque[Row] = deque()
        self._bytes = 0
        self._known = 0  # every waiting message up to this seq is, or was, in memory
        self.behind = True  # there may be more in the FIFO

    def __bool__(self) -> bool:
        return bool(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def forget(self) -> None:
        """All is to be read from the FIFO again, from its beginning: what was released stands in its old place."""
        self._rows.clear()
        self._bytes, self._known, self.behind = 0, 0, True

    def take(self, rows: list[Row]) -> None:
        """Rows that were recorded just now."""
        if self.behind or not self._follow_on(rows) or len(self._rows) + len(rows) > PAGE or self._full:
            self.behind = True
            return
        self._add(rows)
        self._known = rows[-1].seq

    def _follow_on(self, rows: list[Row]) -> bool:
        """Whether these are the next messages of the FIFO, with none of anybody else's, and none known before."""
        return all(row.seq == self._known + n and row.state == WAITING for n, row in enumerate(rows, 1))

    @property
    def _full(self) -> bool:
        return self._bytes >= self._most_bytes

    def _add(self, rows: list[Row]) -> None:
        self._rows.extend(rows)
        self._bytes += sum(len(row.command) for row in rows)

    @property
    def has_room(self) -> bool:
        """Whether reading the FIFO is worth its while."""
        return len(self._rows) <= PAGE // 2 and self._bytes <= self._most_bytes // 2

    def read(self, fifo: Fifo, under_way: set[int]) -> None:
        """Read on in the FIFO.

        :param under_way: seqs of messages that wait there, but were sent already.
        :raises SpoolError: nothing was read.
        """
        last = fifo.last_seq()  # before the query: what comes in between is found by the next one
        room, enough = PAGE - len(self._rows), self._most_bytes - self._bytes
        rows = fifo.waiting(self._known, room, enough)
        if len(rows) == room or sum(len(row.command) for row in rows) >= enough:
            self._known = rows[-1].seq
        else:
            self._known = max(last, rows[-1].seq if rows else 0)
            self.behind = False
        self._add([row for row in rows if row.seq not in under_way])

    def first(self) -> Row | None:
        """The message that is to be sent next."""
        return self._rows[0] if self._rows else None

    def pop(self) -> Row:
        """Take the next message out."""
        row = self._rows.popleft()
        self._bytes -= len(row.command)
        return row
