"""Resources as handlers see them: ``net.resources``.

    copy = net.resources.fetch("msu/smith/kin/fall.html")       # here, or replicated now
    net.resources.publish("msu/smith/kin/fall.html", file, Metadata(title="Free fall", copyright="public"))

A path is ``DOMAIN/AUTHOR/REST``, alone or behind ``/res/`` or ``/raw/``; what names no resource is ValueError
(:mod:`common.resource_path`). How it works is told in docs/resources.md.

Promises: every call ends: `timeout` seconds, or the settings that :mod:`lonnet.replication` and
:mod:`lonnet.publishing` name.

Raises: as these two; besides what the single calls say. Logs what these log.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from common.hosts_table import Host
from common.metadata import Metadata, MetadataError
from common.resource_directory import Busy, directory, root_of
from common.resource_path import ResourcePath, split_metadata
from common.resource_tree import open_at
from common.resource_versions import current_version, older_versions
from common.subscriptions import Subscriber, subscribers
from lonnet.copies import Copy, Touches
from lonnet.deadline import Deadline, limit
from lonnet.deliveries import count, counted
from lonnet.dropping import drop
from lonnet.errors import AccessDenied, ResourceNotFound, TransferUnderWay, UnexpectedReply
from lonnet.homes import Net
from lonnet.publishing import Publication, publish
from lonnet.replication import fetch, home_of, subscribe
from lonnet.replies import Delivery, checked
from lonnet.sweeping import Sweep, sweep

__all__ = ["Copy", "Publication", "Resources", "Subscriber", "Sweep"]


class Resources:
    """The resources of the network, as one host's handlers see them; for any number of threads."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._touches = Touches()

    def fetch(self, path: str, timeout: float | None = None) -> Copy:
        """The resource on this host; if it was not here, it is replicated first.

        :raises ResourceNotFound: it does not exist.
        :raises AccessDenied: this host may not have it.
        :raises TransferUnderWay: another process fetches it and was not ready within lonTransferWait.
        :raises TransferFailed: it could not be fetched.
        :raises HostUnreachable: the home server does not answer.

        Source: classic-protocol, section 6, as for all calls here.
        """
        wanted = ResourcePath.parse(path)
        copy = fetch(self._net, wanted, timeout)
        if not copy.is_original:
            self._touches.touch(self._net.site.config, wanted)
        return copy

    def publish(self, path: str, source: BinaryIO, metadata: Metadata) -> Publication:
        """Publish a new version; on the author's home server only.

        :param source: its content, read to the end.
        :param metadata: version, length and digest are filled in.
        :raises NotHomeServer: this is another host.
        :raises NoSuchUser: there is no such author.
        :raises ValueError: the copyright names a domain that has no host in hosts.tab.
        """
        return publish(self._net, ResourcePath.parse(path), source, metadata)

    def subscribers(self, path: str) -> list[Subscriber]:
        """Who has a copy, as this host knows it: complete on the home server, empty elsewhere."""
        wanted = ResourcePath.parse(path)
        try:
            with directory(root_of(self._net.site.config), wanted) as at:
                return subscribers(at, wanted)
        except FileNotFoundError:
            return []

    def subscribe(self, path: str, timeout: float | None = None) -> str:
        """Subscribe this host; the URL of the raw file. :meth:`fetch` does it by itself."""
        return subscribe(self._net, ResourcePath.parse(path), self._deadline(timeout))[1]

    def unsubscribe(self, path: str, timeout: float | None = None) -> Delivery:
        """Delete this host's copy, if it has one, and unsubscribe at the home server; a critical message."""
        return drop(self._net, ResourcePath.parse(path), self._deadline(timeout))

    def versions(self, path: str, timeout: float | None = None) -> list[int]:
        """The numbers of all versions, in order: on the home server those that are there, else as it counts them."""
        wanted = ResourcePath.parse(path)
        if home_of(self._net, wanted, self._deadline(timeout)) != self._net.site.own.id:
            return list(range(1, self.current_version(path, timeout) + 1))
        with self._directory(wanted) as at:
            current = current_version(at, wanted)
            return [*older_versions(at, wanted), current] if current > 0 else []

    def current_version(self, path: str, timeout: float | None = None) -> int:
        """The current version's number, as the home server says.

        :raises ResourceNotFound: it knows none.
        """
        wanted = ResourcePath.parse(path)
        deadline = self._deadline(timeout)
        home = home_of(self._net, wanted, deadline)
        reply = checked(home, self._net.reply(f"currentversion:{wanted.wire}", home, deadline.left()))
        if reply == "-1":
            raise ResourceNotFound(path)
        if not reply.isdecimal():
            raise UnexpectedReply(home, "currentversion", reply)
        return int(reply)

    def may_read(self, path: str, domain: str) -> bool:
        """Whether users of a domain may read a resource that is on this host.

        A private resource is its author's alone: who lets the author read it knows who asks.

        :raises ResourceNotFound: it is not here.
        """
        wanted = ResourcePath.parse(path)
        return self._metadata(wanted).may_read(domain, wanted.domain)

    def may_read_source(self, path: str, domain: str) -> bool:
        """Whether servers of a domain may have a copy of a resource that is on this host."""
        wanted = ResourcePath.parse(path)
        return self._metadata(wanted).may_read_source(domain, wanted.domain)

    def check_requester(self, path: str, ip: str) -> Host:
        """The member that asks for /raw/..., if it may have it: subscribed, and allowed by metadata and trust.tab.

        Between this and the moment when the content is opened a new version may be published: who opens it asks its
        own metadata once more.

        :param path: of a resource, or of its metadata (``.../NAME.EXT.meta``).
        :param ip: the source address of the request.
        :raises AccessDenied: it may not.
        :raises ResourceNotFound: there is no such resource.
        """
        wanted, _ = split_metadata(path)
        host = self._net.site.table.by_ip(ip)
        if host is None or not self._net.site.trust.allows("resources", host.domain, wanted.domain):
            raise AccessDenied(str(wanted))
        with self._directory(wanted) as at:
            is_subscribed = any(one.host == host.id for one in subscribers(at, wanted))
        metadata = self._metadata(wanted)
        if not is_subscribed or not metadata.may_read_source(host.domain, wanted.domain):
            raise AccessDenied(str(wanted))
        return host

    def touch(self, path: str) -> None:
        """Note that a copy is used now; :meth:`fetch` does it by itself."""
        self._touches.touch(self._net.site.config, ResourcePath.parse(path))

    def sweep(self) -> Sweep:
        """Delete and unsubscribe copies that were not used for lonExpire, compare those in use with their home
        servers when that is due, and delete what killed processes have left."""
        return sweep(self._net)

    def count_delivery(self, path: str, domain: str, timeout: float | None = None) -> Delivery:
        """Count a delivery of a resource to a member of `domain`, in its author's records; a critical message."""
        return count(self._net, ResourcePath.parse(path), domain, timeout)

    def deliveries(self, author: str, domain: str, timeout: float | None = None) -> dict[str, dict[str, int]]:
        """By resource and asking domain, how often the resources of an author were delivered."""
        return counted(self._net, author, domain, timeout)

    def _metadata(self, path: ResourcePath) -> Metadata:
        with self._directory(path) as at:
            try:
                opened = open_at(at, path)
            except MetadataError:
                raise ResourceNotFound(str(path)) from None
            except Busy:
                raise TransferUnderWay(str(path)) from None
        opened.file.close()
        return opened.metadata

    @contextmanager
    def _directory(self, path: ResourcePath) -> Iterator[int]:
        try:
            with directory(root_of(self._net.site.config), path) as at:
                yield at
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise ResourceNotFound(str(path)) from None
            raise

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(limit(timeout, self._net.site.config.request_timeout))
