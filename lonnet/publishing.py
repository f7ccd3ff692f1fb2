"""An author's resource on the home server: a new version takes its place, and every subscriber is told.

A publication is on disk as a job (:mod:`common.resource_jobs`) before the new version takes its place, and is deleted
when all subscribers have been told, or have jobs of their own because they could not be; if the publishing process is
killed in between, lond's workers tell them. Where access became narrower, older versions are for nobody else either
(:func:`common.resource_tree.install`), and their subscribers are told as well.

Promises: what :func:`publish` has returned from is on disk, the version before it kept as NAME.N.EXT; each
subscriber has been sent ``update:PATH`` as a critical message, which is done or on disk.

Raises: NotHomeServer, NoSuchUser (the author), HostUnreachable; ValueError for a content over lonMaxResource, a path
that is no current version, or readers of a domain that has no host; TypeError; SpoolError, Busy, OSError for trouble of
this machine: the old version stands then. Logs each publication (info), and what a subscriber answers that it should
not (warning).
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import BinaryIO, NamedTuple

from common.errors import LonError, SpoolError
from common.hosts_table import shown
from common.metadata import Metadata, MetadataError
from common.resource_directory import directory, locked, root_of
from common.resource_files import FILE_MODE, new_name, read_metadata, remove
from common.resource_jobs import ANNOUNCE, ResourceJobs, jobs_path
from common.resource_path import ResourcePath
from common.resource_tree import install
from common.resource_versions import older_paths
from common.subscriptions import Subscriber, forget, subscribers
from lonnet.deadline import Deadline, limit
from lonnet.errors import DeliveryFailed, NotHomeServer, RemoteError, UnexpectedReply
from lonnet.homes import Net, UserName, home_server
from lonnet.replies import Delivery, failure

log = logging.getLogger(__name__)

CHUNK = 262144  # bytes
ANNOUNCE_AFTER = 60.0  # seconds that the publisher has for telling the subscribers before a worker does it

TELL_AGAIN = 1.0  # seconds until who could not be told is told again

_NOT_NOW = (errno.EIO, errno.EAGAIN, errno.ENOSPC)  # errors of a subscriber that pass
_GONE = ("not_found", "rejected", "no_such_host")  # replies after which a host is a subscriber no more


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published.

    :param subscribers: as they were when the new version took its place.
    :param deliveries: what became of ``update:PATH``, by host id.
    :param failures: why it could be neither delivered nor stored, by host id; these are told later.
    :param refusals: what those answered that will not hear of it, by host id; they are not asked again.
    """

    path: ResourcePath
    version: int
    metadata: Metadata
    subscribers: tuple[Subscriber, ...] = ()
    deliveries: Mapping[str, Delivery] = field(default_factory=dict)
    failures: Mapping[str, LonError] = field(default_factory=dict)
    refusals: Mapping[str, LonError] = field(default_factory=dict)


class Told(NamedTuple):
    """What became of ``update:PATH``, by host id; see :class:`Publication`."""

    deliveries: dict[str, Delivery]
    failures: dict[str, LonError]
    refusals: dict[str, LonError]


def require_home(net: Net, path: ResourcePath) -> None:
    """Nothing, if this host is the author's home server.

    :raises NotHomeServer: it is not.
    :raises NoSuchUser: there is no such author.
    """
    author = UserName(path.author, path.domain)
    home = home_server(net, author, Deadline(limit(None, net.site.config.request_timeout)))
    if home != net.site.own.id:
        raise NotHomeServer(str(path), home)


def publish(net: Net, path: ResourcePath, source: BinaryIO, metadata: Metadata) -> Publication:
    """Publish a new version.

    :param source: its content, read to the end.
    :param metadata: version, length and digest are filled in.
    """
    if path.version is not None:
        raise ValueError(f"{path} is the name of an older version; publish under a name without a number")
    _check(net, source, metadata)
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
                    before = _older(at, path)
                    metadata = install(at, path, name, metadata, new_version=True)
                    known = tuple(subscribers(at, path))
                    narrowed = [older for older, access in _older(at, path).items() if before.get(older) != access]
                    told_too = {older: subscribers(at, older) for older in narrowed}
            finally:
                remove(at, name)
        log.info("resource %s, version %d, published; %d subscribers", path, metadata.version, len(known))
        told = tell(net, path, known)
        try:
            _have_told_later(jobs, path, told)
            for older, others in told_too.items():
                _have_told_later(jobs, older, tell(net, older, others))
            jobs.finish(job)
        except SpoolError as error:  # it is published; the job that is on disk tells everybody once more
            log.warning("the subscribers of %s are told once more: %s", path, error)
        return Publication(path, metadata.version, metadata, known, told.deliveries, told.failures, told.refusals)
    finally:
        jobs.close()


def _check(net: Net, source: BinaryIO, metadata: Metadata) -> None:
    """Nothing, if a publication can be made of these.

    :raises TypeError: they are something else.
    :raises ValueError: they let a domain read that has no host.
    """
    if not hasattr(source, "read"):
        raise TypeError(f"source must be a file that is open for reading bytes, not {type(source).__name__}")
    if not isinstance(metadata, Metadata):
        raise TypeError(f"metadata must be common.metadata.Metadata, not {type(metadata).__name__}")
    for domain in metadata.domains:
        if not net.site.table.in_domain(domain):
            raise ValueError(f"{shown(domain)} may not read: no host of hosts.tab is of this domain")


def _older(at: int, path: ResourcePath) -> dict[ResourcePath, Metadata]:
    found = {}
    for older in older_paths(at, path):
        with suppress(OSError, MetadataError):
            found[older] = read_metadata(at, older)
    return found


def announce(net: Net, path: ResourcePath, host: str = "") -> None:
    """Tell the subscribers of a publication, and of the versions before it, whose publisher did not come to it.

    :param host: only this one, which could not be told before.
    :raises LonError: it could not be told now either; without `host`, who could not is told later.
    """
    try:
        with directory(root_of(net.site.config), path) as at:
            known = {one: subscribers(at, one) for one in (path, *([] if host else older_paths(at, path)))}
    except FileNotFoundError:
        return
    if host:
        told = tell(net, path, [one for one in known[path] if one.host == host])
        for error in told.failures.values():
            raise error
        return
    jobs = ResourceJobs(jobs_path(net.site.config))
    try:
        for one, them in known.items():
            _have_told_later(jobs, one, tell(net, one, them))
    finally:
        jobs.close()


def _have_told_later(jobs: ResourceJobs, path: ResourcePath, told: Told) -> None:
    """A job for each subscriber that could not be told, so that nobody is told again because of another one."""
    for host in told.failures:
        jobs.add(f"{ANNOUNCE} {host}", str(path), TELL_AGAIN)


def tell(net: Net, path: ResourcePath, known: Sequence[Subscriber]) -> Told:
    """Send ``update:PATH`` to subscribers; all together have lonCriticalTimeout, then it is stored for the others."""
    deadline = Deadline(limit(None, net.site.config.critical_timeout))
    told = Told({}, {}, {})
    for at, subscriber in enumerate(known):
        host = subscriber.host
        reply = net.critical(f"update:{path.wire}", host, deadline.share(len(known) - at))
        if reply == "con_delayed":
            told.deliveries[host] = Delivery.DELAYED
        elif reply == "ok" or reply in _GONE:
            told.deliveries[host] = Delivery.DONE
            if reply != "ok":
                _forget(net, path, subscriber, reply)
        else:
            error = failure(host, reply) or UnexpectedReply(host, "update", reply)
            if isinstance(error, DeliveryFailed) or (isinstance(error, RemoteError) and error.number in _NOT_NOW):
                told.failures[host] = error
                log.warning("update of %s: %s", path, error)
            else:
                told.refusals[host] = error
                log.warning("%s refuses to hear of the update of %s: %s", host, path, error)
    return told


def _forget(net: Net, path: ResourcePath, subscriber: Subscriber, reply: str) -> None:
    """End a subscription, unless the host has subscribed once more since it was told."""
    log.info("%s has no copy of %s (%s); its subscription ends", subscriber.host, path, reply)
    with directory(root_of(net.site.config), path) as at:
        forget(at, path, subscriber)


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
