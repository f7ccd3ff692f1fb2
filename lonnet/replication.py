"""A resource that is wanted here comes here: six steps, from "is it here" to "it has its name".

1. It is here: done. Otherwise its author's home server is found.
2. Who gets the lock on NAME.in.transfer transfers; everybody else waits for that, up to lonTransferWait.
3. ``sub:PATH`` to the home server, whose reply is the URL of the raw file.
4. Metadata, then content, over HTTP from the home server's address, into NAME.in.transfer.
5. Length and digest must be those of the metadata; if a new version was published meanwhile: once more from 4.
6. Both take their names, on disk, under the directory's lock.

Promises: one transfer at a time of a resource on this host, whoever asks; a transfer that is killed leaves no lock, and
the next one takes over. Readers have the old version or the new one.

Raises: ResourceNotFound, AccessDenied, TransferUnderWay, TransferFailed, HostUnreachable and what else
:mod:`lonnet.replies` says; OSError for trouble of this machine. Logs each transfer (info).
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from time import sleep
from typing import BinaryIO

from common.metadata import MAX_BYTES, Metadata, MetadataError, parse_metadata
from common.resource_directory import Busy, directory, locked, prune, root_of
from common.resource_path import IN_TRANSFER, META, ResourcePath
from common.resource_tree import install
from common.transfer_file import begin_transfer, end_transfer
from lonnet.copies import Copy, present
from lonnet.deadline import Deadline
from lonnet.errors import AccessDenied, NoSuchUser, ResourceNotFound, TransferFailed, TransferUnderWay, UnexpectedReply
from lonnet.home_calls import TRY_AGAIN
from lonnet.homes import Net, UserName, home_server, is_home, search
from lonnet.replies import failure
from lonnet.transfer import Web, connected, server_of

log = logging.getLogger(__name__)

LOOK_AGAIN = 0.05  # seconds between two looks at a transfer of another process
TRIES = 3  # transfers until content and metadata are those of one version, and requests until no lock is in the way


def home_of(net: Net, path: ResourcePath, deadline: Deadline) -> str:
    """The host id of the author's home server.

    :raises ResourceNotFound: there is no such author.
    """
    try:
        return home_server(net, UserName(path.author, path.domain), deadline)
    except NoSuchUser:
        raise ResourceNotFound(str(path)) from None


def fetch(net: Net, path: ResourcePath, timeout: float | None) -> Copy:
    """The resource on this host, replicated if it was not there.

    :param timeout: seconds; None: lonTransferTimeout for a transfer, lonTransferWait for one that is under way.
    """
    config = net.site.config
    found = present(root_of(config), path)
    if found is not None:
        return found
    deadline = Deadline(config.transfer_timeout if timeout is None else timeout)
    if home_of(net, path, deadline) == net.site.own.id:
        raise ResourceNotFound(str(path))
    if not _has_directory(root_of(config), path):  # none is made for what nobody has published
        subscribe(net, path, deadline)
    patience = Deadline(config.transfer_wait if timeout is None else min(timeout, config.transfer_wait))
    return _transferred(net, path, deadline, patience, refresh=False)


def _has_directory(root: Path, path: ResourcePath) -> bool:
    try:
        with directory(root, path):
            return True
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        raise ResourceNotFound(str(path)) from None


def refresh(net: Net, path: ResourcePath) -> Copy:
    """The newest version of a copy, fetched if this host has an older one.

    :raises TransferUnderWay: another process has the resource for longer than lonTransferTimeout.
    """
    deadline = Deadline(net.site.config.transfer_timeout)
    return _transferred(net, path, deadline, deadline, refresh=True)


def _transferred(net: Net, path: ResourcePath, deadline: Deadline, patience: Deadline, *, refresh: bool) -> Copy:
    """The copy, when it is our turn or another one's transfer has ended.

    :param patience: the end of waiting for that.
    """
    while True:
        copy = _in_turn(net, path, deadline, refresh)
        if copy is not None:
            return copy
        if patience.passed:
            raise TransferUnderWay(str(path))
        sleep(LOOK_AGAIN)


def _in_turn(net: Net, path: ResourcePath, deadline: Deadline, refresh: bool) -> Copy | None:
    """The copy, transferred unless it is there and need not be refreshed; None: it is another one's turn."""
    root = root_of(net.site.config)
    try:
        with directory(root, path, create=True) as at:
            fd = begin_transfer(at, path)
            if fd is None:
                return None if refresh else present(root, path)
            with os.fdopen(fd, "r+b") as file:
                try:
                    there = present(root, path)
                    if there is None or refresh:
                        _Transfer(net, path, at, file, deadline, there.metadata if there else None).run()
                finally:
                    end_transfer(at, path, fd)
    except FileNotFoundError:  # somebody removed a directory that was empty
        return None
    except Busy:
        return None
    except NotADirectoryError:
        raise ResourceNotFound(str(path)) from None
    except IsADirectoryError:  # which says nothing about what its home server has
        raise TransferFailed(net.site.own.id, f"a directory lies in the place of {path}") from None
    except BaseException:
        prune(root, path)
        raise
    return present(root, path)


class _Transfer:
    """One transfer, by who holds its file's lock."""

    def __init__(
        self, net: Net, path: ResourcePath, at: int, file: BinaryIO, deadline: Deadline, known: Metadata | None
    ) -> None:
        self._net, self._path, self._at, self._file = net, path, at, file
        self._deadline, self._known = deadline, known

    def run(self) -> None:
        """From the subscription to the final name."""
        home, url = subscribe(self._net, self._path, self._deadline)
        server, path = server_of(url, self._net.site.table[home])
        if path != f"/raw/{self._path}":
            raise TransferFailed(home, "its reply is the URL of another resource")
        with connected(self._net.site, server, self._deadline) as web:
            metadata = self._one_version(web, path, home)
        if metadata is not None:
            with locked(self._at, exclusive=True):
                install(self._at, self._path, self._path.name + IN_TRANSFER, metadata, copy_of=home)
            log.info("resource %s, version %d, fetched from %s", self._path, metadata.version, home)

    def _one_version(self, web: Web, path: str, home: str) -> Metadata | None:
        """The metadata of what is in the file then; None: this host has that version already."""
        for _ in range(TRIES):
            metadata = self._metadata(web, path, home)
            if metadata == self._known:
                return None
            if self._content(web, path, metadata):
                return metadata
        raise TransferFailed(home, "content and metadata are not of one version")

    def _metadata(self, web: Web, path: str, home: str) -> Metadata:
        parts: list[bytes] = []
        web.get(path + META, MAX_BYTES, parts.append)
        try:
            metadata = parse_metadata(b"".join(parts), f"{self._path}{META}")
        except MetadataError as error:
            raise TransferFailed(home, str(error)) from None
        if not metadata.digest:
            raise TransferFailed(home, f"{self._path}{META}: digest: missing")
        return metadata

    def _content(self, web: Web, path: str, metadata: Metadata) -> bool:
        """Whether what came, and is on disk now, is the content that the metadata are of."""
        file, digest = self._file, hashlib.sha256()
        file.seek(0)
        file.truncate()

        def take(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        received = web.get(path, self._net.site.config.max_resource, take)
        file.flush()
        os.fsync(file.fileno())
        announced = received.headers.get("x-resource-digest", metadata.digest)
        return announced == metadata.digest == f"sha256={digest.hexdigest()}" and received.length == metadata.length


def subscribe(net: Net, path: ResourcePath, deadline: Deadline) -> tuple[str, str]:
    """Subscribe at the home server.

    :returns: its host id, and the URL of the raw file.
    :raises ResourceNotFound: there is no such resource, or it is a directory.
    :raises AccessDenied: this host may not have it.

    Source: classic-protocol, section 6.
    """
    home = home_of(net, path, deadline)
    reply = _asked(net, path, home, deadline)
    if reply == "not_found":  # not believed of a host that is the home server no more
        user = UserName(path.author, path.domain)
        if not is_home(net, user, home, deadline.left()):
            net.homes.forget(user)
            try:
                home = search(net, user, deadline)
            except NoSuchUser:
                raise ResourceNotFound(str(path)) from None
            reply = _asked(net, path, home, deadline)
    if reply in ("not_found", "directory"):
        raise ResourceNotFound(str(path))
    if reply in ("rejected", "refused"):
        raise AccessDenied(str(path))
    if not reply.startswith("http"):
        raise failure(home, reply) or UnexpectedReply(home, "sub", reply)
    return home, reply


def _asked(net: Net, path: ResourcePath, home: str, deadline: Deadline) -> str:
    """The reply to `sub`; its directory may be locked there for a moment, by a publication."""
    for _ in range(TRIES):
        reply = net.reply(f"sub:{path.wire}", home, deadline.left())
        if not reply.startswith(TRY_AGAIN):
            break
        sleep(LOOK_AGAIN)
    return reply
