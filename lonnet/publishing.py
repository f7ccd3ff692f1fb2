"""An author's resource on the home server: a new version takes its place, and every subscriber is told.

A publication is on disk as a job (:mod:`common.resource_jobs`) before the new version takes its place, and is deleted
when all subscribers have been told; if the publishing process is killed in between, lond's workers tell them.

Promises: what :func:`publish` has returned from is on disk, the version before it kept as NAME.N.EXT; each
subscriber has been sent ``update:PATH`` as a critical message, which is done or on disk.

Raises: NotHomeServer, ResourceNotFound (no such author), HostUnreachable; ValueError for a content over
lonMaxResource, or a path that is no current version; SpoolError, Busy, OSError for trouble of this machine: the
old version stands then. Logs each publication (info), and what a subscriber answers that it should not (warning).
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from common.errors import LonError
from common.metadata import Metadata
from common.resource_jobs import ANNOUNCE, ResourceJobs, jobs_path
from common.resource_path import ResourcePath
from common.resource_tree import FILE_MODE, directory, install, locked, new_name, remove, root_of
from common.subscriptions import Subscriber, subscribers, unsubscribe
from lonnet.deadline import Deadline, limit
from lonnet.errors import NotHomeServer, UnexpectedReply
from lonnet.homes import Net
from lonnet.replication import home_of
from lonnet.replies import Delivery, failure

log = logging.getLogger(__name__)

CHUNK = 262144  # bytes
ANNOUNCE_AFTER = 60.0  # seconds that the publisher has for telling the subscribers before a worker does it

_GONE = ("not_found", "rejected", "no_such_host")  # replies after which a host is a subscriber no more


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published.

    :param subscribers: as they were when the new version took its place.
    :param deliveries: what became of ``update:PATH``, by host id.
    :param failures: why it could be neither delivered nor stored, by host id; these are told later.
    """

    path: ResourcePath
    version: int
    metadata: Metadata
    subscribers: tuple[Subscriber, ...] = ()
    deliveries: Mapping[str, Delivery] = field(default_factory=dict)
    failures: Mapping[str, LonError] = field(default_factory=dict)


def require_home(net: Net, path: ResourcePath) -> None:
    """Nothing, if this host is the author's home server.

    :raises NotHomeServer: it is not.
    """
    home = home_of(net, path, Deadline(limit(None, net.site.config.request_timeout)))
    if home != net.site.own.id:
        raise NotHomeServer(str(path), home)


def publish(net: Net, path: ResourcePath, source: BinaryIO, metadata: Metadata) -> Publication:
    """Publish a new version.

    :param source: its content, read to the end.
    :param metadata: version, length and digest are filled in.
    """
    if path.version is not None:
        raise ValueError(f"{path} is the name of an older version; publish under a name without a number")
    require_home(net, path)
    config = net.site.config
    jobs = ResourceJobs(jobs_path(config))
    try:
        with directory(root_of(config), path, create=True) as at:
            name = new_name(path)
            try:
                metadata = _written(at, name, source, metadata, config.max_resource)
                job = jobs.add(ANNOUNCE, str(path), ANNOUNCE_AFTER)
                with locked(at, exclusive=True):
                    metadata = install(at, path, name, metadata, new_version=True)
                    known = tuple(subscribers(at, path))
            finally:
                remove(at, name)
        log.info("resource %s, version %d, published; %d subscribers", path, metadata.version, len(known))
        deliveries, failures = tell(net, path, known)
        if not failures:
            jobs.finish(job)
        return Publication(path, metadata.version, metadata, known, deliveries, failures)
    finally:
        jobs.close()


def announce(net: Net, path: ResourcePath) -> Mapping[str, LonError]:
    """Tell the subscribers of a publication whose publisher did not come to it; the failures."""
    try:
        with directory(root_of(net.site.config), path) as at:
            known = subscribers(at, path)
    except FileNotFoundError:
        return {}
    return tell(net, path, known)[1]


def tell(net: Net, path: ResourcePath, known: Sequence[Subscriber]) -> tuple[dict[str, Delivery], dict[str, LonError]]:
    """Send ``update:PATH`` to subscribers; all together have lonCriticalTimeout, then it is stored for the others."""
    deadline = Deadline(limit(None, net.site.config.critical_timeout))
    deliveries: dict[str, Delivery] = {}
    failures: dict[str, LonError] = {}
    for at, subscriber in enumerate(known):
        host = subscriber.host
        reply = net.critical(f"update:{path.wire}", host, deadline.share(len(known) - at))
        if reply == "con_delayed":
            deliveries[host] = Delivery.DELAYED
        elif reply == "ok" or reply in _GONE:
            deliveries[host] = Delivery.DONE
            if reply != "ok":
                _forget(net, path, host, reply)
        else:
            failures[host] = failure(host, reply) or UnexpectedReply(host, "update", reply)
            log.warning("update of %s: %s", path, failures[host])
    return deliveries, failures


def _forget(net: Net, path: ResourcePath, host: str, reply: str) -> None:
    log.info("%s has no copy of %s (%s); its subscription ends", host, path, reply)
    with directory(root_of(net.site.config), path) as at:
        unsubscribe(at, path, host)


def _written(at: int, name: str, source: BinaryIO, metadata: Metadata, most: int) -> Metadata:
    """Writes the content, synced; the metadata with its length and digest."""
    digest, length = hashlib.sha256(), 0
    with os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE, dir_fd=at), "wb") as file:
        while data := source.read(CHUNK):
            length += len(data)
            if length > most:
                raise ValueError(f"a content of more than {most} bytes (lonMaxResource)")
            digest.update(data)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return replace(metadata, length=length, digest=f"sha256={digest.hexdigest()}")
