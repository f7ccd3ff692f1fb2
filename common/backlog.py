"""The FIFO of a host as its administrator sees and changes it: what stands in it, held, released, tried again, deleted.

What each change means for the order:

- *hold*: a waiting message is passed over; those behind it go on.
- *release*: a held message waits again in its old place (its seq), so before all that still wait; what was sent while
  it was held has overtaken it. Its attempts count from 0 again.
- *requeue*: a message that was refused, or that the link ended under too often, gets a new try at the end: a new seq,
  and an age that begins anew. It keeps its id, so that one id tells its whole story.
- *pass on*: such a message becomes one for another host, at the end of its FIFO: its user has moved there.
- *delete*: a waiting, held or failed message is gone.

Promises: each change is one synced transaction over all messages it names, and touches only messages in the states
named above; what is passed on stands in both FIFOs for a moment, or after a crash, and may be passed on again. The
host's lonc child looks whether anybody has written before it sends: what was held or deleted is not
sent any more, unless it was on the link already. Such a message is executed; its row, if still there, then says so. A
message held by hand may be on the link, so it is released, never requeued: no change makes one be executed twice
(but for a crash: :meth:`Backlog.pass_on`).

Raises SpoolError, as :mod:`common.delayed`. Logs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from common.delayed import FAILED, HELD, WAITING, Fifo, Message, Row

BY_HAND = "held by hand"  # how the last error of such a message begins
KEPT = (WAITING, HELD, FAILED)  # the states of messages that an administrator may change


class Backlog(Fifo):
    """See the module; opened as a Fifo is."""

    def rows(self, states: Iterable[str], after: int = 0, limit: int = 1000) -> list[Row]:
        """The first `limit` messages in one of the states with a seq above `after`, in order."""
        wanted = list(states)
        marks = ",".join("?" * len(wanted))
        return self._select(f"state IN ({marks}) AND seq > ? ORDER BY seq LIMIT ?", *wanted, after, limit)

    def matching(self, prefix: str, limit: int = 10) -> list[Row]:
        """The messages whose id begins with `prefix` (hex digits in lower case), at most `limit`."""
        return self._select("id >= ? AND id < ? ORDER BY seq LIMIT ?", prefix, prefix + "g", limit)

    def finished(self, id: str) -> float | None:
        """When the message was answered (UNIX time); None if it was not, or is not there."""
        found = self._query("SELECT finished FROM message WHERE id = ?", id)
        return float(found[0][0]) if found and found[0][0] is not None else None

    def ages(self, bounds: Sequence[float], state: str = WAITING) -> list[int]:
        """How many messages of a state are at most `bounds[0]` seconds old, then `bounds[1]`, ..., then older."""
        now = self._now()
        younger = " + ".join("(created < ?)" for _ in bounds) or "0"
        query = f"SELECT {younger} AS class, count(*) FROM message WHERE state = ? GROUP BY class"  # noqa: S608
        found = dict(self._query(query, *(now - bound for bound in bounds), state))
        return [int(found.get(number, 0)) for number in range(len(bounds) + 1)]

    def hold(self, ids: Sequence[str], why: str) -> list[Row]:
        """Have waiting messages passed over; those that were, as they stand now.

        :param why: who holds them, and for what reason.
        """

        def change(id: str) -> Row | None:
            update = "UPDATE message SET state = 'held', last_error = ? WHERE state = 'waiting' AND id = ?"
            return self._find(id) if self._db.execute(update, (f"{BY_HAND} {why}", id)).rowcount else None

        return self._change(ids, change)

    def release(self, ids: Sequence[str]) -> list[Row]:
        """Have held messages wait again, in their old places; those that do."""

        def change(id: str) -> Row | None:
            update = "UPDATE message SET state = 'waiting', attempts = 0 WHERE state = 'held' AND id = ?"
            return self._find(id) if self._db.execute(update, (id,)).rowcount else None

        return self._change(ids, change)

    def requeue(self, ids: Sequence[str]) -> list[Row]:
        """Have messages for which :func:`may_requeue` holds wait again, at the end; those that do."""

        def change(id: str) -> Row | None:
            row = self._find(id)
            if row is None or not may_requeue(row):
                return None
            self._db.execute("DELETE FROM message WHERE seq = ?", (row.seq,))
            insert = "INSERT INTO message (id, command, created, last_error) VALUES (?, ?, ?, ?)"
            self._db.execute(insert, (row.id, row.command, self._now(), row.last_error or _refusal(row)))
            return self._find(id)

        return self._change(ids, change)

    def delete(self, ids: Sequence[str]) -> list[Row]:
        """Delete messages that are not done; those that were, as they stood."""

        return self._remove(ids, lambda row: row.state in KEPT)

    def pass_on(self, ids: Sequence[str], other: Backlog) -> list[Row]:
        """Have messages for which :func:`may_requeue` holds wait for the host of another FIFO; those, as they stood.

        One that stands there already gets a new try if it may, and is left as it is if not. When a crash has left it
        in both FIFOs, passing it on again has it executed twice only if its done row there was purged meanwhile
        (lonKeepDone).
        """
        rows = [row for id in dict.fromkeys(ids) if (row := self.find(id)) and may_requeue(row)]
        there = other.append([Message(row.id, row.command) for row in rows])
        other.requeue([row.id for row in there if may_requeue(row)])
        return self._remove([row.id for row in rows], may_requeue)

    def _remove(self, ids: Sequence[str], applies: Callable[[Row], bool]) -> list[Row]:
        def change(id: str) -> Row | None:
            row = self._find(id)
            if row is None or not applies(row):
                return None
            self._db.execute("DELETE FROM message WHERE seq = ?", (row.seq,))
            return row

        return self._change(ids, change)

    def _change(self, ids: Sequence[str], change: Callable[[str], Row | None]) -> list[Row]:
        with self._transaction(synced=True):
            return [row for id in dict.fromkeys(ids) if (row := change(id))]


def may_requeue(row: Row) -> bool:
    """Whether a message may get a new try at the end: it was refused, or the link ended under it too often."""
    return row.state == FAILED or (row.state == HELD and not row.last_error.startswith(BY_HAND))


def _refusal(row: Row) -> str:
    return "" if row.reply is None else f"refused: {row.reply[:200].decode('ascii', 'replace')}"
