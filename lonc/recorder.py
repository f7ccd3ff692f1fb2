"""A child's hold on the FIFO of its host: opened when it is needed, written to once a turn, given back at the end.

Messages that the disk refuses are nowhere, and their callers hear it; outcomes that it refuses are kept in memory and
tried again. Another process that keeps the file to itself is waited for, turn by turn, for :data:`LOCKED_PATIENCE`.

A damaged file is moved away by the child that has the lease: as it opens it, or, if the damage shows later, at its end.

Logs: what can't be recorded (error), one line per trouble.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

from common.config import Config
from common.counters import Tally
from common.delayed import Fifo, Message, Outcome, Row
from common.errors import SpoolError
from common.lease import Lease
from common.wal import is_damaged, is_locked
from lonc.link import Link

log = logging.getLogger(__name__)

PATIENCE = 0.25  # seconds that another writer of the FIFO may hold up this loop at a time
LOCKED_PAUSE = 0.05  # seconds until the next try to record what another writer kept out
LOCKED_PATIENCE = 10.0  # seconds until that is given up
RETRY_MARKS = 1.0  # seconds between tries to record outcomes while the disk refuses them


class Recorder:
    """See the module.

    :param link: gives the clock; while it stands, locks are waited for.
    :param lease: who has it may move the file away.
    """

    def __init__(self, host: str, config: Config, link: Link, lease: Lease, tally: Tally) -> None:
        self._host, self._directory, self._link, self._lease, self._tally = host, config.delayed_dir, link, lease, tally
        self._fifo: Fifo | None = None
        self._mark_again_at = 0.0
        self._locked_since: float | None = None
        self._locked_until = 0.0
        self.unmarked: list[Outcome] = []  # outcomes that the disk refused
        self.trouble = ""  # why nothing can be recorded
        self.damaged = False  # the file is at fault, and ours to move away

    def fifo(self) -> Fifo:
        """The open FIFO.

        :raises SpoolError: it can't be opened.
        """
        if self._fifo is None:
            self._fifo = Fifo(self._directory, self._host, set_aside=self._lease.held, patience=PATIENCE)
        return self._fifo

    def fifo_if_there(self) -> Fifo | None:
        """As :meth:`fifo`; a host without critical messages costs no database connection."""
        if self._fifo is None and not (self._directory / f"{self._host}.db").exists():
            return None
        return self.fifo()

    def reopen(self) -> None:
        """Open it anew when it is needed next: who had no lease did not look whether it is sound."""
        if self._fifo is not None:
            self._fifo.close()
            self._fifo = None

    def is_due(self, news: bool) -> bool:
        """Whether to commit in this turn.

        :param news: there are messages or outcomes.
        """
        now = self._link.loop.clock()
        return (news or bool(self.unmarked and now >= self._mark_again_at)) and now >= self._locked_until

    def commit(self, messages: Sequence[Message], outcomes: Sequence[Outcome]) -> list[Row] | None:
        """Record both in one transaction, with the outcomes that are still unmarked.

        :returns: a row for each message; none if they could not be recorded; None: bring them again with the next turn.
        """
        begun = self._link.loop.clock()
        outcomes = [*self.unmarked, *outcomes]
        try:
            rows: list[Row] | None = self.fifo().commit(messages, outcomes)
            self.unmarked, self.trouble, self._locked_since = [], "", None
        except SpoolError as error:
            self.unmarked, self._mark_again_at = outcomes, self._link.loop.clock() + RETRY_MARKS
            rows = None if is_locked(error) and self._waits_for_lock() else []
            if rows is not None:
                self.complain(error)
        self._tally.observe("commit_seconds", self._link.loop.clock() - begun)
        return rows

    def _waits_for_lock(self) -> bool:
        """Whether to try again soon, because another writer keeps the FIFO to itself."""
        loop = self._link.loop
        now = loop.clock()
        if self._locked_since is None:
            self._locked_since = now
        if not self._link.up or now - self._locked_since >= LOCKED_PATIENCE:
            return False
        self._locked_until = now + LOCKED_PAUSE
        loop.call_later(LOCKED_PAUSE, lambda: None)  # a turn, in which it is tried
        return True

    def complain(self, error: SpoolError) -> None:
        """The FIFO could not be used."""
        self.damaged = self.damaged or (self._lease.held and is_damaged(error))
        if str(error) != self.trouble:  # one line per trouble, not one per message
            self.trouble = str(error)
            log.error("critical messages to %s can't be recorded: %s", self._host, error)

    def look_at_disk(self) -> None:
        """Whether it takes messages again, after it did not; if nobody brings one, nobody would see that."""
        with suppress(SpoolError):  # which is known
            if self.trouble:
                self.fifo().prove_writable()
                self.trouble = ""

    def close(self) -> None:
        """Close the FIFO, and move it away if it is damaged."""
        if self._fifo is not None:
            self._fifo.close()
            if self.damaged and self._lease.held:
                self._fifo.set_aside(self.trouble)
