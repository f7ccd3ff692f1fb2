"""Those whom workers ask (a Kerberos realm, PAM, a local function) and who do not answer: a circuit breaker.

Who let two workers in a row wait until their time was over is asked by one worker every :data:`PAUSE` seconds from then
on, until an answer comes; meanwhile nobody else waits for it, and no worker is held up that others need. The records
lie in the table of failed log-ins, which all children and workers share.

Raises and logs nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from lond.authentication.throttle import Record
from lond.authentication.throttle_table import ThrottleTable

TOLERATED = 1  # silences in a row after which one is still asked as usual
PAUSE = 30.0  # seconds between two tries to ask one that is silent


class Silences:
    """See the module.

    :param clock: monotonic, the same for all processes of this machine.
    """

    def __init__(self, table: ThrottleTable, clock: Callable[[], float]) -> None:
        self._table, self._clock = table, clock

    def may_ask(self, who: str) -> bool:
        """Whether it may be asked now; True holds for one question if it was silent lately."""
        now = self._clock()

        def change(record: Record) -> tuple[Record, bool]:
            if record.failures <= TOLERATED:
                return record, True
            if now < record.free_at:
                return record, False
            return Record(record.failures, record.failed_at, now + PAUSE), True

        return self._table.change(_name(who), change)

    def silent(self, who: str) -> bool:
        """It gave no answer within the time limit; whether it is from now on asked only now and then."""
        now = self._clock()

        def change(record: Record) -> tuple[Record, bool]:
            failures = record.failures + 1
            return Record(failures, now, now + PAUSE), failures == TOLERATED + 1

        return self._table.change(_name(who), change)

    def answered(self, who: str) -> None:
        """It gave an answer, whatever it was."""
        self._table.change(_name(who), lambda _record: (Record(), None))


def _name(who: str) -> bytes:
    """Its name in the table, which is no lane's: those have a domain."""
    return b"\0" + who.encode("utf-8", "surrogateescape")
