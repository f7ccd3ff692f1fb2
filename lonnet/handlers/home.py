"""/ and the style sheet: where a log-in leads to when it has no other aim."""

from __future__ import annotations

from typing import cast

from flask import Response, redirect, request, url_for

from lonnet.balance import page_url
from lonnet.errors import HostUnreachable
from lonnet.handlers.access import logged_in, login_required, network
from lonnet.handlers.authors import is_author
from lonnet.handlers.pages import page_blueprint, render
from lonnet.handlers.reading import parse_path
from lonnet.handlers.work import overview

home = page_blueprint("home", static=True)


@home.get("/")
@login_required
def index() -> str:
    """What there is to do."""
    session, net = logged_in(), network()
    try:
        work, author = overview(net, session), is_author(net, session)
    except HostUnreachable:
        work, author = None, False
    known = session.home in net.site.table
    return render("home.html", work=work, author=author, home_url=page_url(net.site, session.home) if known else "")


@home.get("/adm/open")
@login_required
def open_resource() -> Response:
    """Leads to the resource that a path names."""
    path = parse_path(request.args.get("path", "").strip())
    return cast(Response, redirect(url_for("lonnet_res.resource", path=str(path)), 302))
