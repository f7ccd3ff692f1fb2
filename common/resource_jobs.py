"""What this host still has to do about resources, on disk: one SQLite file, ``updates.db`` in lonDaemons.

An *update* is a copy to be fetched again because its home server has a newer version; an *announcement* is a
publication of this host of which the subscribers are to be told. A resource stands in it once for each of the two:
several requests that wait are one job; one that comes while the job is worked off has it worked off once more.

Several processes add and take jobs. Who takes one claims it for :data:`CLAIM_SECONDS` and renews the claim while it
works, so that the job of a worker that was killed is soon anybody's. Claims are on the system's monotonic clock; one
that lies further ahead than a claim can is from before the machine was started, and void.

Promises: what :meth:`ResourceJobs.add` has returned from is on disk. Raises SpoolError for everything the disk or the
file is to blame for. Logs nothing.

Known limits: what became of a job is written, not synced: a power cut can bring a job back that was done, which
then finds nothing to do.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from common.config import Config
from common.errors import SpoolError
from common.wal import open_wal

UPDATE, ANNOUNCE = "update", "announce"

CLAIM_SECONDS = 5.0
UNLIMITED = 2**31
BUSY_SECONDS = 10.0  # how long a writer waits for another writer's commit

_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    kind     TEXT NOT NULL,
    path     TEXT NOT NULL,
    request  INTEGER NOT NULL,
    created  REAL NOT NULL,
    due      REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    claim    REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, path)
) WITHOUT ROWID
"""
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS job_due ON job (due)",
    "CREATE INDEX IF NOT EXISTS job_claim ON job (claim)",
)
_ADD = """
INSERT INTO job (kind, path, request, created, due) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET request = excluded.request, created = excluded.created, due = excluded.due, attempts = 0
"""
_FREE = "(claim <= :clock OR claim > :clock + :seconds)"
_DOMAIN = "substr(path, 1, instr(path, '/'))"
_TAKE = f"""
UPDATE job SET claim = :clock + :seconds WHERE (kind, path) = (
    SELECT kind, path FROM job WHERE due <= :now AND {_FREE} AND {_DOMAIN} NOT IN (
        SELECT {_DOMAIN} FROM job WHERE claim > :clock AND claim <= :clock + :seconds
        GROUP BY {_DOMAIN} HAVING count(*) >= :most
    ) ORDER BY due LIMIT 1
) RETURNING kind, path, request, created, attempts
"""  # noqa: S608


class Job(NamedTuple):
    """A job that was taken.

    :param path: the resource, ``DOMAIN/AUTHOR/REST``.
    :param request: which of the requests for it this is; a number that no other request ever had.
    :param created: UNIX time of that request.
    :param attempts: how often it was tried in vain.
    """

    kind: str
    path: str
    request: int
    created: float
    attempts: int


def jobs_path(config: Config) -> Path:
    """Where this host's jobs are."""
    return config.daemons_dir / "updates.db"


class ResourceJobs:
    """See the module; opened after the fork, used in the thread that opened it.

    :raises SpoolError: the file can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._errors():
            self._db = open_wal(path, BUSY_SECONDS)
            try:
                self._db.execute(_SCHEMA)
                for index in _INDEXES:
                    self._db.execute(index)
            except BaseException:
                self._db.close()
                raise

    def add(self, kind: str, path: str, delay: float = 0.0) -> Job:
        """Have a job done, `delay` seconds from now; it is on disk when this returns.

        :returns: the job, for who means to do it at once and then to :meth:`finish` it.
        """
        now = time.time()
        with self._errors():
            self._db.execute("PRAGMA synchronous = FULL")
            request = _new_request()
            self._db.execute(_ADD, (kind, path, request, now, now + delay))
        return Job(kind, path, request, now, 0)

    def add_all(self, jobs: Iterable[tuple[str, str]]) -> int:
        """Have many jobs done, given by kind and path, in one transaction; how many."""
        now, number = time.time(), 0
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            for kind, path in jobs:
                self._db.execute(_ADD, (kind, path, _new_request(), now, now))
                number += 1
            self._db.execute("COMMIT")
        return number

    def check(self) -> None:
        """Look the whole file through.

        :raises SpoolError: it is damaged.
        """
        with self._errors():
            (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(str(verdict))

    def take(self, most: int = UNLIMITED) -> Job | None:
        """The job that has been due for longest, now claimed; None if none is due.

        :param most: jobs about resources of one domain that are claimed at a time.
        """
        with self._errors():
            self._db.execute("PRAGMA synchronous = NORMAL")
            row = self._db.execute(_TAKE, {**_clocks(), "now": time.time(), "most": most}).fetchone()
            return Job(*row) if row else None

    def renew(self, job: Job) -> None:
        """Claim a job for longer."""
        with self._errors():
            self._db.execute(
                "UPDATE job SET claim = :clock + :seconds WHERE kind = :kind AND path = :path",
                {**_clocks(), "kind": job.kind, "path": job.path},
            )

    def release(self, job: Job) -> None:
        """Who took a job does not come to it; it may be taken again at once."""
        with self._errors():
            self._db.execute("UPDATE job SET claim = 0 WHERE kind = ? AND path = ?", (job.kind, job.path))

    def finish(self, job: Job) -> None:
        """A job is done; if it was asked for again meanwhile, it is free to be taken again."""
        self._conclude("DELETE FROM job", job, ())

    def postpone(self, job: Job, seconds: float) -> None:
        """A try was in vain; the next one is due in so many seconds."""
        self._conclude("UPDATE job SET attempts = attempts + 1, claim = 0, due = ?", job, (time.time() + seconds,))

    def _conclude(self, change: str, job: Job, values: tuple[float, ...]) -> None:
        with self._errors():
            where = "WHERE kind = ? AND path = ?"
            key = (job.kind, job.path)
            if not self._db.execute(f"{change} {where} AND request = ?", (*values, *key, job.request)).rowcount:
                self._db.execute(f"UPDATE job SET claim = 0 {where}", key)  # noqa: S608

    def seconds_until_due(self) -> float | None:
        """How long until a job may be taken; None: there is none."""
        with self._errors():
            rows = self._db.execute("SELECT due, claim FROM job").fetchall()
        now, clock = time.time(), time.monotonic()
        waits = [max(due - now, claim - clock if claim - clock <= CLAIM_SECONDS else 0.0, 0.0) for due, claim in rows]
        return min(waits, default=None)

    def waiting(self) -> list[tuple[str, str, float, int]]:
        """Kind, path, UNIX time of the request and tries of each job, the oldest first."""
        with self._errors():
            return self._db.execute("SELECT kind, path, created, attempts FROM job ORDER BY created").fetchall()

    def close(self) -> None:
        """Close the file; the object is of no further use."""
        self._db.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise SpoolError(f"{self._path}: {error}") from error


def _new_request() -> int:
    return secrets.randbits(62)  # random: a job that is added after one was deleted must not pass for that one


def _clocks() -> dict[str, float]:
    return {"clock": time.monotonic(), "seconds": CLAIM_SECONDS}
