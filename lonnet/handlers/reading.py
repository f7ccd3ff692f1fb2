"""A resource for somebody who is logged in: fetched if it is not here, opened whole, for those who may read it.

Who may read (`copyright` of the metadata): ``public``: everybody who is logged in, on any host; ``domain``: users of
the author's domain; domains by name: their users and those of the author's domain; ``private``: the author. Who may see
the source of what is shown processed: its author, and other authors who may read it, with ``sourceavail: closed`` those
of the same domain. Learners never may: the source of a problem holds its answer.

Promises: file and metadata are of one version. Raises what :mod:`lonnet.resources` raises, and werkzeug's 404 for a
name that no resource can have. Logs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, NamedTuple

from flask import abort

from common.metadata import Metadata
from common.resource_path import ResourcePath
from lonnet.errors import AccessDenied, ResourceNotFound
from lonnet.handlers.access import network
from lonnet.sessions import Session

TRIES = 3  # a copy may be removed between its being fetched and its being opened


class Resource(NamedTuple):
    """A resource that is open for reading.

    :param file: its content; whoever gets the resource closes it.
    """

    path: ResourcePath
    file: BinaryIO
    metadata: Metadata


def parse_path(text: str) -> ResourcePath:
    """The path of an address; 404 if no resource can have it."""
    try:
        return ResourcePath.parse(text)
    except ValueError:
        abort(404)


def open_for(session: Session, text: str) -> Resource:
    """Open a resource for a user; it is fetched if it is not here.

    :param text: ``DOMAIN/AUTHOR/REST``.
    :raises AccessDenied: the user may not read it.
    """
    path = parse_path(text)
    file, metadata = _fetched(path)
    if not may_read(session, path, metadata):
        file.close()
        raise AccessDenied(str(path))
    return Resource(path, file, metadata)


@contextmanager
def reading(session: Session, text: str) -> Iterator[Resource]:
    """As :func:`open_for`, closed at the end of the block."""
    resource = open_for(session, text)
    with resource.file:
        yield resource


def may_read(session: Session, path: ResourcePath, metadata: Metadata) -> bool:
    """Whether the user may read the resource."""
    return _is_author(session, path) or metadata.may_read(session.domain, path.domain)


def may_read_source(session: Session, path: ResourcePath, metadata: Metadata, author: bool) -> bool:
    """Whether the user may see the source of a resource that is shown processed.

    :param author: the user has the role of an author.
    """
    return _is_author(session, path) or (author and metadata.may_read_source(session.domain, path.domain))


def _is_author(session: Session, path: ResourcePath) -> bool:
    return (session.user, session.domain) == (path.author, path.domain)


def _fetched(path: ResourcePath) -> tuple[BinaryIO, Metadata]:
    for _ in range(TRIES):
        copy = network().resources.fetch(str(path))
        with suppress(ResourceNotFound):
            return copy.opened()
    raise ResourceNotFound(str(path))
