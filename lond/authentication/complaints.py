"""Accounts that can't be used as they are, because a passwd file or what it says makes no sense: each one is logged.

Log-ins of such a user end in an error that costs no tries, so they may come without end. When an account was last
complained of lies in the table of failed log-ins, which all children share.

Promises: no more than one line for an account in :data:`PAUSE`, unless so many others have failed that the table had no
room for it.

Logs: an error with the user and the reason, and nothing of the file. Raises nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from lond.authentication.throttle import Record
from lond.authentication.throttle_table import ThrottleTable

PAUSE = 3600.0  # seconds between two lines about one account

_log = logging.getLogger(__name__)


class Complaints:
    """See the module.

    :param clock: monotonic, the same for all processes of this machine.
    """

    def __init__(self, table: ThrottleTable, clock: Callable[[], float]) -> None:
        self._table, self._clock = table, clock

    def add(self, domain: bytes, user: bytes, reason: str) -> None:
        """The account of `domain` and `user`, two checked names, can't be used.

        :param reason: nothing that the file says.
        """
        now = self._clock()

        def change(record: Record) -> tuple[Record, bool]:
            is_old = now < record.free_at
            return (record, False) if is_old else (Record(1, now, now + PAUSE), True)

        if self._table.change(b"\0%b\0%b" % (domain, user), change):  # no lane's name, and none of who is asked
            _log.error("passwd of %s:%s: %s", domain.decode("ascii"), user.decode("ascii"), reason)
