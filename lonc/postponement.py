"""Messages that the other side can't take for the moment, because of its disk or its locks: what becomes of them.

Such a reply says that the message was not executed. If nothing behind it was executed either, it and all that follow
stay in the FIFO, and are sent again after :data:`PAUSE`. If something was, it has been overtaken, and to send it again
would be out of order: it fails, and an administrator decides.

At first a single message is sent after each pause. One that is refused :data:`PATIENT` times in a row may itself be at
fault, one user's records on a broken disk: then twice as many are sent after each pause, and as soon as one of them is
executed, those before it fail and the rest goes on.

Promises: pure; a pause ends at :data:`PAUSE`, or when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable

from common.delayed import Row

NOT_NOW = (b"error: 5 ", b"error: 11 ", b"error: 28 ")  # all else that is refused is final
PAUSE = 30.0  # seconds
PATIENT = 10

Refusal = tuple[Row, bytes]


class Postponement:
    """See the module.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._refused: list[Refusal] = []
        self._until = 0.0
        self._in_a_row = 0  # how often the first of them was refused
        self._first = 0
        self._reply = b""

    def __bool__(self) -> bool:
        """Whether messages were refused, and it is not known yet what becomes of them: nothing more must be sent."""
        return bool(self._refused)

    @property
    def lasts(self) -> bool:
        """Whether nothing is to be sent now."""
        return self._clock() < self._until

    @property
    def words(self) -> str:
        """Why messages wait although the link is up; "" if they don't."""
        return f"messages are postponed: it answers {self._reply.decode('ascii', 'replace')}" if self._in_a_row else ""

    def seqs(self) -> set[int]:
        """The messages of which it is not known yet what becomes of them."""
        return {row.seq for row, _ in self._refused}

    def refused(self, row: Row, reply: bytes) -> None:
        """The other side could not take this one."""
        self._refused.append((row, reply))

    def answered(self, row: Row, *, executed: bool) -> list[Refusal]:
        """The other side has given its last word on a message; those that it has overtaken, if it was executed."""
        if row.seq == self._first:
            self.over()
        if not executed:
            return []
        self.over()
        overtaken, self._refused = self._refused, []
        return overtaken

    def over(self) -> None:
        """Nothing is postponed any more."""
        self._in_a_row = 0

    def begin(self) -> Refusal:
        """Nothing is on the link any more, and nothing has overtaken them: the pause begins; the first of them."""
        first, self._refused = self._refused[0], []
        self._until, self._reply = self._clock() + PAUSE, first[1]
        self._in_a_row = self._in_a_row + 1 if first[0].seq == self._first else 1
        self._first = first[0].seq
        return first

    @property
    def is_news(self) -> bool:
        """Whether this is the first pause for this message."""
        return self._in_a_row == 1

    def end(self) -> None:
        """Try again now."""
        self._until = 0.0

    def limit(self, window: int) -> int:
        """How many messages may be on the link when the pause is over."""
        return min(1 << min(max(self._in_a_row - PATIENT, 0), 30), window)
