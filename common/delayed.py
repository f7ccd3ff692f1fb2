"""The FIFO of delayed messages of one host, on disk.

One SQLite file per host, ``HOST.db`` in lonDelayedDir, holds every critical message from the moment it is
accepted until an hour after it was answered. A message's state says where it stands: *waiting* to be sent,
*done* with its reply, *failed* because the other side refused it, *held* because it seems to kill its receiver.

Promises: what :meth:`Fifo.commit` took is on disk when it returns; ``seq`` grows in the order of acceptance and
is never used twice; an id stands in the FIFO at most once. Several processes may append at the same time (the
host's lonc child, and lonnet when there is no child); only the holder of the lease (:mod:`common.lease`) sends.

Raises SpoolError for everything the disk or the file is to blame for; the transaction is then rolled back whole.

Known limits: an outcome (a message became done) is written at once but not synced by itself, so that a power cut,
unlike the death of a process, can bring an answered message back; the next synced commit covers it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from common.delayed_file import DelayedFile

WAITING, DONE, FAILED, HELD = "waiting", "done", "failed", "held"

INSERT_AT_ONCE = 256  # messages that one statement takes at most; a power of two
PURGE_ROWS = 2000  # at most so many rows are deleted in one transaction, to keep it short

_COLUMNS = "seq, id, command, created, attempts, state, reply, last_error"


class Message(NamedTuple):
    """A critical message that is not in the FIFO yet.

    :param id: 32 hex digits, unique for all time.
    :param command: the request line without LF; an ``encrypt:`` prefix stays on it.
    """

    id: str
    command: bytes


class Row(NamedTuple):
    """A message as it stands in the FIFO; `created` is UNIX time in seconds."""

    seq: int
    id: str
    command: bytes
    created: float
    attempts: int = 0
    state: str = WAITING
    reply: bytes | None = None
    last_error: str = ""


class Outcome(NamedTuple):
    """What became of the message `seq`: its final state and the other side's reply."""

    seq: int
    state: str
    reply: bytes


class Fifo(DelayedFile):
    """The FIFO of one host, as one process sees it; opened as :class:`common.delayed_file.DelayedFile` is."""

    def append(self, messages: Sequence[Message]) -> list[Row]:
        """:meth:`commit` without outcomes."""
        return self.commit(messages, ())

    def commit(self, messages: Sequence[Message], outcomes: Sequence[Outcome]) -> list[Row]:
        """Record all that one turn of the loop brought, in one transaction; messages are synced to disk.

        :returns: a row for each message, in order; an id that was there before gives its row as it stands.
        :raises SpoolError: nothing of it was recorded.
        """
        with self._transaction(synced=bool(messages)):
            if outcomes:
                self._write_outcomes(outcomes)
            return self._insert(messages) if messages else []

    def _write_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        now = self._now()
        self._db.executemany(
            "UPDATE message SET state = ?, reply = ?, finished = ? WHERE seq BETWEEN ? AND ?",
            [(run.state, run.reply, now, run.seq, last) for run, last in _runs(outcomes)],
        )

    def _insert(self, messages: Sequence[Message]) -> list[Row]:
        now = self._now()
        last = self._last_seq()
        inserted = sum(self._insert_at_once(part, now) for part in _parts(messages))
        if inserted == len(messages):  # the write lock is ours, so the numbers are consecutive
            return [Row(seq, m.id, m.command, now) for seq, m in enumerate(messages, last + 1)]
        return [row for m in messages if (row := self._find(m.id))]

    def _insert_at_once(self, messages: Sequence[Message], now: float) -> int:
        values = ", ".join(["(?, ?, ?)"] * len(messages))
        return self._db.execute(
            f"INSERT OR IGNORE INTO message (id, command, created) VALUES {values}",  # noqa: S608
            [value for message in messages for value in (*message, now)],
        ).rowcount

    def _last_seq(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'message'").fetchone()
        return int(row[0]) if row else 0

    def find(self, id: str) -> Row | None:
        """The message with this id, or None."""
        with self._errors():
            return self._find(id)

    def _find(self, id: str) -> Row | None:
        row = self._db.execute(f"SELECT {_COLUMNS} FROM message WHERE id = ?", (id,)).fetchone()  # noqa: S608
        return Row(*row) if row else None

    def waiting(self, after: int, limit: int, enough: float = math.inf) -> list[Row]:
        """The first waiting messages with a seq above `after`, in order.

        :param limit: how many there may be.
        :param enough: bytes of commands; the row that reaches it is the last.
        """
        query = (
            f"SELECT {_COLUMNS} FROM message INDEXED BY message_waiting "  # noqa: S608
            "WHERE state = 'waiting' AND seq > ? ORDER BY seq LIMIT ?"
        )
        rows, size = [], 0
        with self._errors(), closing(self._db.execute(query, (after, limit))) as found:
            for row in found:
                rows.append(Row(*row))
                size += len(rows[-1].command)
                if size >= enough:
                    break
        return rows

    def last_seq(self) -> int:
        """The highest seq ever given, 0 before the first."""
        with self._errors():
            return self._last_seq()

    def data_version(self) -> int:
        """A number that changes when another connection has written to the FIFO."""
        with self._errors():
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def count(self) -> dict[str, int]:
        """How many messages stand in each state that is not done; cheap, as done ones are not looked at."""
        query = "SELECT state, count(*) FROM message WHERE state IN ('held', 'failed') GROUP BY state"
        with self._errors():
            found = {str(state): int(number) for state, number in self._db.execute(query)}
        waiting = self.waiting_count()
        return {WAITING: waiting, **found} if waiting else found

    def waiting_count(self) -> int:
        """How many messages wait; cheap, as it reads the index of waiting messages alone."""
        query = "SELECT count(*) FROM message INDEXED BY message_waiting WHERE state = 'waiting'"
        with self._errors():
            return int(self._db.execute(query).fetchone()[0])

    def oldest(self) -> float | None:
        """When the oldest waiting message was accepted (UNIX time), or None."""
        query = "SELECT created FROM message INDEXED BY message_waiting WHERE state = 'waiting' ORDER BY seq LIMIT 1"
        with self._errors():
            row = self._db.execute(query).fetchone()
            return float(row[0]) if row else None

    def record_attempt(self, seq: int, error: str, hold_at: int) -> Row | None:
        """Count a delivery that ended without a reply; at the `hold_at`-th the message becomes held.

        :returns: the row as it then stands; None if no such message waits (any more).
        """
        with self._transaction(synced=True):
            counted = self._db.execute(
                "UPDATE message SET attempts = attempts + 1, last_error = ?, "
                "state = CASE WHEN attempts + 1 >= ? THEN 'held' ELSE state END "
                "WHERE seq = ? AND state = 'waiting'",
                (error, hold_at, seq),
            ).rowcount
            if not counted:
                return None
            row = self._db.execute(f"SELECT {_COLUMNS} FROM message WHERE seq = ?", (seq,)).fetchone()  # noqa: S608
            return Row(*row) if row else None

    def note(self, seq: int, error: str) -> None:
        """Note why a waiting message could not be delivered; written, not synced."""
        with self._transaction(synced=False):
            self._db.execute("UPDATE message SET last_error = ? WHERE seq = ? AND state = 'waiting'", (error, seq))

    def purge(self, keep: float) -> int:
        """Delete done messages that were answered more than `keep` seconds ago; returns how many went.

        Messages end almost in the order of their seq, so the first done one tells whether there is work. What was
        answered in the future was so by a wrong clock; it goes as well, lest it hide the others.
        """
        now = self._now()
        limit = now - keep
        with self._errors():
            first = self._db.execute(
                "SELECT seq, finished FROM message WHERE state = 'done' ORDER BY seq LIMIT 1"
            ).fetchone()
            if first is None or limit <= first[1] <= now:
                return 0
        with self._transaction(synced=False):
            return self._db.execute(
                "DELETE FROM message WHERE state = 'done' AND finished NOT BETWEEN ? AND ? AND seq < ?",
                (limit, now, first[0] + PURGE_ROWS),
            ).rowcount

    def _select(self, condition: str, *parameters: object) -> list[Row]:
        """For :mod:`common.backlog`: the messages for which `condition` holds; it may end with ORDER BY and LIMIT."""
        return [Row(*row) for row in self._query(f"SELECT {_COLUMNS} FROM message WHERE {condition}", *parameters)]  # noqa: S608

    def _query(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self._errors():
            return self._db.execute(query, parameters).fetchall()


def _runs(outcomes: Sequence[Outcome]) -> Iterator[tuple[Outcome, int]]:
    """Outcomes that differ in their seq alone and follow on each other, as the first one and the last seq.

    Most replies are ``ok``, so that one statement marks many messages.
    """
    first = last = outcomes[0]
    for outcome in outcomes[1:]:
        if (outcome.seq, outcome.state, outcome.reply) != (last.seq + 1, first.state, first.reply):
            yield first, last.seq
            first = outcome
        last = outcome
    yield first, last.seq


def _parts(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """The messages in parts whose sizes are powers of two: so few statements are prepared once and kept."""
    start = 0
    while start < len(messages):
        size = min(INSERT_AT_ONCE, 1 << (len(messages) - start).bit_length() - 1)
        yield messages[start : start + size]
        start += size
