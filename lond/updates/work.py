"""What becomes of one job of the queue: a copy refreshed or given up, subscribers told.

An update: a copy that was not used for lonExpire is deleted and unsubscribed; any other is fetched again. If the home
server says that the resource is no more, or not for this host, the copy goes. A try that fails is repeated, after
lonRetryFirst doubling to lonRetryMax with 20 % jitter, until the request is londUpdateAge old: then the outdated copy
is deleted, so that the next reader's request fetches the new one or says why it can't. While it can't be deleted, that
is tried again every lonRetryMax.

Raises nothing. Logs: what was done (info), failed tries (warning), giving up (critical), a bug with its traceback.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass

from common.errors import LonError
from common.resource_directory import directory, root_of
from common.resource_files import exists
from common.resource_jobs import UPDATE, Job
from common.resource_path import IN_TRANSFER, ResourcePath
from lonnet.copies import last_access
from lonnet.deadline import Deadline, limit
from lonnet.dropping import drop, is_unused
from lonnet.homes import Net
from lonnet.publishing import announce
from lonnet.renewal import bring_up_to_date

log = logging.getLogger(__name__)

JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job.

    :param again_in: seconds until it is tried again; None: it is done.
    """

    again_in: float | None = None


def perform(net: Net, job: Job) -> Outcome:
    """Do one job."""
    try:
        path = ResourcePath.parse(job.path)
    except ValueError as error:
        log.error("a job for no resource is dropped: %s", error)
        return Outcome()
    try:
        _update(net, path) if job.kind == UPDATE else announce(net, path, job.kind.partition(" ")[2])
    except (LonError, OSError) as error:
        return _failed(net, job, path, error)
    except Exception as error:  # the end of this try; other jobs must not wait behind one that breaks us
        log.exception("internal error in %s of %s", job.kind, path)
        return _failed(net, job, path, error)
    return Outcome()


def _update(net: Net, path: ResourcePath) -> None:
    config = net.site.config
    try:
        with directory(root_of(config), path) as at:
            if last_access(at, path) is None and not exists(at, path.name + IN_TRANSFER):
                return
            unused = is_unused(at, path, config.expire)
    except FileNotFoundError:
        return
    if unused:
        _drop(net, path, config.expire)
        return
    bring_up_to_date(net, path)


def _drop(net: Net, path: ResourcePath, unused_for: float | None) -> None:
    deadline = Deadline(limit(None, net.site.config.critical_timeout))
    drop(net, path, deadline, unused_for=unused_for)


def _failed(net: Net, job: Job, path: ResourcePath, error: Exception) -> Outcome:
    config = net.site.config
    if time.time() - job.created < config.update_age:
        pause = min(config.retry_first * 2.0 ** min(job.attempts, 30), config.retry_max)
        pause *= random.uniform(1 - JITTER, 1 + JITTER)
        log.warning("%s of %s failed, next try in %.1f s: %s", job.kind, path, pause, error)
        return Outcome(pause)
    log.critical("%s of %s given up after %.0f s: %s", job.kind, path, config.update_age, error)
    if job.kind == UPDATE:
        try:
            _drop(net, path, None)
        except (LonError, OSError) as trouble:
            log.critical("outdated copy of %s could not be deleted: %s", path, trouble)
            return Outcome(config.retry_max)
    return Outcome()
