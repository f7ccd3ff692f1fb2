"""How much there is of one user's records: what an administrator asks before anything else.

Raises: sqlite3.Error for :class:`lond.storage.Storage` to judge. Logs nothing.

Known limits: it reads all tables; a large course takes a while.
"""

from __future__ import annotations

from dataclasses import dataclass

from lond.records.database import Database

_NAMESPACES = """
    SELECT name,
        (SELECT count(*) FROM entry WHERE namespace = id),
        (SELECT count(*) FROM (SELECT DISTINCT rid, number FROM version WHERE namespace = id)),
        (SELECT count(*) FROM history WHERE namespace = id),
        (SELECT coalesce(sum(length(key) + length(value)), 0) FROM entry WHERE namespace = id)
            + (SELECT coalesce(sum(length(key) + length(value)), 0) FROM version WHERE namespace = id)
            + (SELECT coalesce(sum(length(about) + length(what)), 0) FROM history WHERE namespace = id)
    FROM namespace ORDER BY name
"""
_LAST = "SELECT max((SELECT coalesce(max(time), 0) FROM activity), (SELECT coalesce(max(time), 0) FROM history))"


@dataclass(frozen=True, slots=True)
class NamespaceSummary:
    """Counts of values, stored versions and lines of history, and the bytes of all their texts."""

    name: bytes
    entries: int
    versions: int
    history: int
    size: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All of a user's records.

    :param activity: lines of the activity log.
    :param last: UNIX seconds of the newest line of any history or of the activity log; 0: there is none.
    """

    namespaces: tuple[NamespaceSummary, ...] = ()
    activity: int = 0
    last: int = 0


def summary(database: Database) -> Summary:
    """Counts, in one state of the database."""
    namespaces = tuple(NamespaceSummary(*row) for row in database.select(_NAMESPACES))
    (activity,) = database.select("SELECT count(*) FROM activity").fetchone()
    (last,) = database.select(_LAST).fetchone()
    return Summary(namespaces, activity, last)
