"""Who may see a page: sessions from cookies, tokens of forms, members by address, administrators by name.

A view is guarded by a decorator below its route: :func:`login_required`, :func:`members_only`,
:func:`administrators_only`. Those for people check the form's token of every request that may change something.

Promises: a cookie is looked up, never believed; nothing of it is logged. Raises what werkzeug makes of 400, 403, and
OSError when lonIDsDir can't be read.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast
from urllib.parse import quote

from flask import Response, abort, current_app, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from common.config import Config
from common.hosts_table import Host
from lonnet.client import Lonnet
from lonnet.sessions import Session, Sessions

TOKEN = "token"  # noqa: S105 - the name of the form's field
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

P = ParamSpec("P")
R = TypeVar("R")


def network() -> Lonnet:
    """The Lonnet of the application."""
    return cast(Lonnet, current_app.extensions["lonnet"])


def config() -> Config:
    """The configuration that is in force."""
    return network().site.config


def session_cookie() -> str:
    """The name of the session's cookie; browsers take ``__Host-`` from this very host over https only."""
    return "__Host-lonID" if config().secure_cookies else "lonID"


def session_id() -> str:
    """What the browser says its session is; anything."""
    return request.cookies.get(session_cookie(), "")


def current_session() -> Session | None:
    """The session of this request; None: nobody is logged in."""
    if "lonnet_session" not in g:
        g.lonnet_session = Sessions(config()).find(session_id())
    return cast("Session | None", g.lonnet_session)


def logged_in() -> Session:
    """The session of this request, in a view for which a log-in is required."""
    session = current_session()
    assert session is not None
    return session


def login_required(view: Callable[P, R]) -> Callable[P, R | AnyResponse]:
    """Only for people who are logged in; others are sent to the log-in and come back afterwards."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R | AnyResponse:
        session = current_session()
        if session is None and request.method in SAFE_METHODS:
            return to_login()
        if session is None:
            abort(403, "Your session has ended. Log in again; nothing of this form was kept.")
        check_form(session.csrf)
        return view(*args, **kwargs)

    return guarded


def administrators_only(view: Callable[P, R]) -> Callable[P, R | AnyResponse]:
    """Only for those whom lonAdministrators names, logged in."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R | AnyResponse:
        if not is_administrator(logged_in()):
            abort(403, "This page is for the administrators of this host.")
        return view(*args, **kwargs)

    return login_required(guarded)


def members_only(view: Callable[P, R]) -> Callable[P, R]:
    """Only for hosts of the network: the address that the request comes from is one of hosts.tab."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if asking_host() is None:
            abort(403, "This address is for the hosts of the network.")
        return view(*args, **kwargs)

    return guarded


def asking_host() -> Host | None:
    """The host of hosts.tab that the request comes from; None: no host does."""
    return network().site.table.by_ip(request.remote_addr or "")


def is_administrator(session: Session) -> bool:
    """Whether lonAdministrators names the user."""
    return session.name in [name.strip() for name in config().administrators.split(",")]


def check_form(expected: str) -> None:
    """End the request with 403 unless it changes nothing or its form carries the token."""
    if request.method in SAFE_METHODS:
        return
    if not hmac.compare_digest(request.form.get(TOKEN, "").encode(), expected.encode()):
        abort(403, "This form is not from this session. Go back, load the page again, and send the form once more.")


def to_login() -> Response:
    """A redirect to the log-in, which leads back to this request's address."""
    here = quote(request.path) + ("?" + request.query_string.decode("latin-1") if request.query_string else "")
    return cast(Response, redirect(url_for("lonnet_login.form", next=here), 302))
