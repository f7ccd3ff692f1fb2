"""A queue of jobs that can't be read any more: kept aside, and made anew from what lies in the tree.

Nobody knows what stood in it. So every copy counts as outdated, and every publication as not announced: refreshing a
copy that is current costs two short requests, and so does an announcement to who has the newest version.

Promises: the new queue is complete before it takes its place. Raises SpoolError, OSError. Logs one critical line.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from common.config import Config
from common.durable import sync_directory
from common.errors import SpoolError
from common.resource_directory import root_of
from common.resource_jobs import ANNOUNCE, UPDATE, ResourceJobs, jobs_path
from common.resource_path import COPY, SUBSCRIPTION, ResourcePath
from common.wal import is_damaged

log = logging.getLogger(__name__)

_KINDS = {COPY: UPDATE, SUBSCRIPTION: ANNOUNCE}


def recover(config: Config) -> bool:
    """Replace the queue if it is damaged; whether it was."""
    path = jobs_path(config)
    with path.with_name("updates.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of the workers that have met the damage one replaces the queue
        error = _damage(path)
        if error is None:
            return False
        fresh = path.with_name("updates.new")
        _remove(fresh)
        with closing(ResourceJobs(fresh)) as jobs:
            number = jobs.add_all(_everything(root_of(config)))
        suffix = f"damaged-{int(time.time())}"
        with suppress(FileExistsError):  # not renamed: where there is none, the next process would make an empty one
            Path(f"{path}.{suffix}").hardlink_to(path)
        for ending in ("-shm", "-wal"):
            file = Path(f"{path}{ending}")
            if file.exists():
                file.rename(f"{file}.{suffix}")
        fresh.replace(path)
        sync_directory(path.parent)
    log.critical(
        "the queue of updates was unreadable (%s), kept as %s.%s; %d jobs made anew", error, path, suffix, number
    )
    return True


def _damage(path: Path) -> SpoolError | None:
    try:
        with closing(ResourceJobs(path)) as jobs:
            jobs.check()
    except SpoolError as error:
        return error if is_damaged(error) else None
    return None


def _everything(root: Path) -> Iterator[tuple[str, str]]:
    """Kind and path of every job that there may be."""
    for parent, _, names in os.walk(root):
        for name in names:
            kind = _KINDS.get(Path(name).suffix)
            if kind is None:
                continue
            try:
                path = ResourcePath.parse(str(Path(parent, name).relative_to(root).with_suffix("")))
            except ValueError:
                continue
            yield kind, str(path)


def _remove(path: Path) -> None:
    for ending in ("-shm", "-wal", ""):
        Path(f"{path}{ending}").unlink(missing_ok=True)
