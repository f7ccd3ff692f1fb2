"""Commands about published resources: sub, unsub, currentversion on the author's home server, update elsewhere.

A path is what stands behind the first ``/res/``. Who may use these commands on a domain's resources is trust.tab's
class `resources`; who may have a copy of one is in its metadata.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from urllib.parse import quote

from common.errors import SpoolError
from common.metadata import MetadataError
from common.resource_directory import Busy, directory, root_of
from common.resource_files import exists
from common.resource_jobs import UPDATE
from common.resource_path import COPY, IN_TRANSFER, ResourcePath
from common.resource_tree import open_at
from common.resource_versions import current_version
from common.subscriptions import Subscriber, subscribe, unsubscribe
from lond.commands.homes import is_home
from lond.commands.listing import PATH, TreePath
from lond.commands.registry import Argument, Context, RequestError, Trust, command
from lond.records.faults import system_error
from lond.records.trouble import trouble_with

NOT_FOUND = b"not_found"
REJECTED = b"rejected"

PATIENCE = 0.2  # seconds that a directory's lock is waited for: the link's other requests wait as well

_log = logging.getLogger(__name__)

_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def _resource(field: bytes) -> ResourcePath:
    try:
        return ResourcePath.from_wire(field)
    except ValueError:
        raise RequestError("not the path of a resource") from None


def _resource_or_directory(field: bytes) -> ResourcePath | TreePath:
    try:
        return ResourcePath.from_wire(field)
    except ValueError:
        path = PATH.parse(field)
        assert isinstance(path, TreePath)
        return path


RESOURCE = Argument("path", _resource, is_domain=True, is_rest=True)
RESOURCE_OR_DIRECTORY = Argument("path", _resource_or_directory, is_domain=True, is_rest=True)


@command(
    "sub",
    RESOURCE_OR_DIRECTORY,
    trust=Trust.RESOURCES,
    writes=True,
    replies="URL of the raw file, `directory`, `not_found`, `rejected` (by the resource's metadata)",
)
def sub(context: Context, path: ResourcePath | TreePath) -> bytes:
    root = root_of(context.site.config).resolve()
    names = path.parts if isinstance(path, TreePath) else (*path.directories, path.name)
    where = root.joinpath(*names).resolve()
    with trouble_with(where):
        is_directory = where.is_dir()
    if is_directory and where.is_relative_to(root):
        return b"directory"
    if isinstance(path, TreePath) or not is_at_home(context, path):
        return NOT_FOUND
    return in_directory(context, path, lambda at: _subscribed(context, path, at), NOT_FOUND)


def _subscribed(context: Context, path: ResourcePath, at: int) -> bytes:
    peer = context.session.peer
    try:
        opened = open_at(at, path, PATIENCE)
    except MetadataError:
        return NOT_FOUND
    opened.file.close()
    if not opened.metadata.may_read_source(peer.domain, path.domain):
        return REJECTED
    subscribe(at, path, Subscriber(peer.id, peer.ip, context.now()), PATIENCE)
    return f"{context.site.config.http_base}/raw/{quote(str(path))}".encode("ascii")


@command("unsub", RESOURCE, trust=Trust.RESOURCES, writes=True, replies="`ok`, `not_subscribed`, `not_found`")
def unsub(context: Context, path: ResourcePath) -> bytes:
    def unsubscribed(at: int) -> bytes:
        if not is_at_home(context, path) or current_version(at, path) < 0:
            return NOT_FOUND
        return b"ok" if unsubscribe(at, path, context.session.peer.id, PATIENCE) else b"not_subscribed"

    return in_directory(context, path, unsubscribed, NOT_FOUND)


@command(
    "currentversion",
    RESOURCE,
    trust=Trust.RESOURCES,
    replies="the number of the current version: 1 if there is no older one; `-1` if there is none",
)
def currentversion(context: Context, path: ResourcePath) -> bytes:
    return in_directory(context, path, lambda at: b"%d" % current_version(at, path), b"-1")


@command(
    "update",
    RESOURCE,
    trust=Trust.RESOURCES,
    writes=True,
    replies="`ok`: noted on disk, the new version is fetched soon; `not_found` (no copy here), `rejected` (we are the "
    "home server, or the asking host can't be)",
)
def update(context: Context, path: ResourcePath) -> bytes:
    peer = context.session.peer
    if is_at_home(context, path) or (peer.domain, peer.role) != (path.domain, "library"):
        return REJECTED

    def noted(at: int) -> bytes:
        if not exists(at, path.name + COPY) and not exists(at, path.name + IN_TRANSFER):
            return NOT_FOUND
        try:
            context.services.updates.add(UPDATE, str(path))
        except SpoolError as error:
            _log.error("an update could not be noted: %s", error)
            raise RequestError("the update could not be noted", errno.EIO) from None
        return b"ok"

    return in_directory(context, path, noted, NOT_FOUND)


def is_at_home(context: Context, path: ResourcePath) -> bool:
    """Whether this host is the author's home server."""
    return is_home(context, path.domain.encode("ascii"), path.author.encode("ascii"))


def in_directory(context: Context, path: ResourcePath, action: Callable[[int], bytes], missing: bytes) -> bytes:
    """What `action` answers, called with the open directory of a resource; `missing`, if something is not there.

    :raises StorageError: this machine has trouble.
    :raises RequestError: the directory stays locked.
    """
    try:
        with directory(root_of(context.site.config), path) as at:
            return action(at)
    except Busy:
        raise RequestError("the directory is locked, try again", errno.EAGAIN) from None
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return missing
        raise system_error(error) from error
