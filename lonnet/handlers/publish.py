"""/adm/publish: authors bring files into their construction space, publish or delete them, and see who has subscribed.

Only for authors (:mod:`lonnet.handlers.authors`), on their home server.

Promises: a file that is not understood as what its name says (a problem with a mistake) is not published. A publication
that the page reports is on disk, and each subscriber has been told or will be. A published resource that can't be read
is shown as such; the others, and the way to publish it again, stay.

Raises what :mod:`lonnet.resources` and :mod:`lonnet.records` raise. Logs uploads and deletions (info).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from functools import wraps
from typing import BinaryIO, ParamSpec, cast

from flask import Response, abort, make_response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from common.metadata import DOMAIN_ONLY, PRIVATE, PUBLIC, Metadata, MetadataError
from common.resource_directory import Busy, root_of
from common.resource_path import ResourcePath
from common.resource_tree import open_resource
from lonnet.balance import page_url
from lonnet.errors import HostUnreachable
from lonnet.handlers.access import config, current_session, logged_in, login_required, network
from lonnet.handlers.authors import is_author
from lonnet.handlers.construction import Construction, TooLarge
from lonnet.handlers.pages import page_blueprint, render
from lonnet.handlers.problem_format import MAX_BYTES, ProblemError, parse_problem

log = logging.getLogger(__name__)

publish = page_blueprint("publish")

FORM_BYTES = 65536  # of an upload that are not the file's
DAMAGED, UNREADABLE = "damaged; publish it again", "can't be read now"  # what is published of a file

P = ParamSpec("P")


def author_required(view: Callable[P, Response]) -> Callable[P, Response | AnyResponse]:
    """Only for authors on their home server."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Response | AnyResponse:
        session, net = logged_in(), network()
        if not is_author(net, session):
            abort(403, "You are not an author. Ask the administrator of your domain for the role.")
        if session.home != net.site.own.id:
            there = page_url(net.site, session.home) if session.home in net.site.table else ""
            return make_response(render("elsewhere.html", there=there), 403)
        return view(*args, **kwargs)

    return login_required(guarded)


@publish.before_request
def allow_files() -> None:
    """An author's uploads may be larger than other forms; nobody else's body is even read."""
    session = current_session() if request.endpoint == f"{publish.name}.upload" else None
    if session and is_author(network(), session):
        request.max_content_length = config().max_resource + FORM_BYTES


@publish.get("/adm/publish")
@author_required
def space() -> Response:
    """The construction space."""
    return _space()


@publish.post("/adm/publish")
@author_required
def upload() -> Response:
    """Take a file into the construction space."""
    file = request.files.get("file")
    if file is None or not file.filename:
        return _space("Choose a file first.", 422)
    name = request.form.get("name", "").strip().strip("/") or file.filename.rpartition("/")[2]
    construction = _construction()
    try:
        construction.write(name, file.stream)
    except ValueError as error:
        return _space(f"The file was not kept: {error}.", 422, name)
    except TooLarge:
        abort(413)
    except NotADirectoryError:
        return _space("The file was not kept: a part of its path is a file already.", 422, name)
    except IsADirectoryError:
        return _space("The file was not kept: its name is that of a directory already.", 422, name)
    log.info("upload of %s by %s", construction.path(name), logged_in().name)
    return cast(Response, redirect(url_for("lonnet_publish.draft", name=name), 303))


@publish.get("/adm/publish/<path:name>")
@author_required
def draft(name: str) -> Response:
    """One file: what is published of it, who has a copy, and the form to publish it."""
    path = _path(name)
    with _open(name) as file:
        return _draft(name, path, _fault(path, file))


@publish.post("/adm/publish/<path:name>")
@author_required
def publication(name: str) -> Response:
    """Publish a file."""
    path = _path(name)
    with _open(name) as file:
        try:
            metadata = _metadata()
            _check(path, file)
            done = network().resources.publish(str(path), file, metadata)
        except (ValueError, ProblemError) as error:
            return _draft(name, path, f"Not published: {error}.", 422)
    return make_response(render("published.html", name=name, publication=done))


@publish.get("/adm/delete/<path:name>")
@author_required
def delete_question(name: str) -> Response:
    """Ask before a file is deleted."""
    path = _path(name)
    with _open(name):
        return make_response(render("delete.html", name=name, path=path, published=any(_published(path))))


@publish.post("/adm/delete/<path:name>")
@author_required
def deletion(name: str) -> Response:
    """Delete a file from the construction space."""
    path = _path(name)
    with _open(name), suppress(FileNotFoundError):  # another window of the author's was faster
        _construction().delete(name)
        log.info("%s deleted from the construction space by %s", path, logged_in().name)
    return cast(Response, redirect(url_for("lonnet_publish.space"), 303))


def _construction() -> Construction:
    session = logged_in()
    return Construction(config(), session.domain, session.user)


def _path(name: str) -> ResourcePath:
    try:
        return _construction().path(name)
    except ValueError:
        abort(404)


def _open(name: str) -> BinaryIO:
    try:
        return _construction().open(name)
    except (FileNotFoundError, NotADirectoryError, OSError):
        abort(404)


def _check(path: ResourcePath, file: BinaryIO) -> None:
    """Nothing, if the file is what its name says."""
    if path.extension == "problem":
        parse_problem(file.read(MAX_BYTES + 1))
        file.seek(0)


def _fault(path: ResourcePath, file: BinaryIO) -> str:
    """Why the file can't be published as it is; empty: it can be."""
    try:
        _check(path, file)
    except ProblemError as error:
        return f"It can't be published as it is: {error}."
    return ""


def _metadata() -> Metadata:
    """What the form says.

    :raises ValueError: it can't be metadata.
    """
    form, session = request.form, logged_in()
    copyright = form.get("copyright", "")
    if copyright == "domains":
        copyright = ",".join(form.get("domains", "").replace(",", " ").split())
    return Metadata(
        title=form.get("title", "").strip(),
        author=session.name,
        copyright=copyright,
        sourceavail=form.get("sourceavail", ""),
    )


def _published(path: ResourcePath) -> tuple[Metadata | None, str]:
    """The metadata of the current version, and why they can't be had; neither: never published."""
    try:
        opened = open_resource(root_of(config()), path)
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    except MetadataError:
        return None, DAMAGED
    except (OSError, Busy):
        return None, UNREADABLE
    opened.file.close()
    return opened.metadata, ""


def _space(complaint: str = "", code: int = 200, name: str = "") -> Response:
    construction = _construction()
    rows = []
    for one in construction.drafts():
        metadata, trouble = _published(construction.path(one.name))
        row = {"name": one.name, "size": one.size, "changed": _time(one.changed)}
        rows.append({**row, "published": metadata, "trouble": trouble})
    page = render(
        "space.html",
        rows=rows,
        complaint=complaint,
        given=name if name.isprintable() else "",
        most=config().max_resource,
    )
    return make_response(page, code)


def _draft(name: str, path: ResourcePath, complaint: str = "", code: int = 200) -> Response:
    (metadata, trouble), resources = _published(path), network().resources
    values = request.form if complaint else {}
    copyright = metadata.copyright if metadata else PUBLIC
    is_list = copyright not in (PUBLIC, DOMAIN_ONLY, PRIVATE)
    page = render(
        "draft.html",
        name=name,
        path=path,
        published=metadata,
        trouble=trouble,
        subscribers=[(one, _time(one.since)) for one in resources.subscribers(str(path))],
        deliveries=_deliveries(path),
        complaint=complaint,
        title=values.get("title", metadata.title if metadata else ""),
        copyright=values.get("copyright", "domains" if is_list else copyright),
        domains=values.get("domains", copyright if is_list else ""),
        sourceavail=values.get("sourceavail", metadata.sourceavail if metadata else "open"),
    )
    return make_response(page, code)


def _deliveries(path: ResourcePath) -> dict[str, int] | None:
    """How often it was delivered, by asking domain; None: nobody can say now."""
    try:
        return network().resources.deliveries(path.author, path.domain).get(str(path), {})
    except HostUnreachable:
        return None


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
