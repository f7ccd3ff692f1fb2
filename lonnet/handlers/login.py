"""/adm/login and /adm/logout: sessions begin and end.

Who comes to the log-in of a host that has too much to do is sent to a spare (:mod:`lonnet.balance`), before any
password is typed. The password is checked at the user's home server; a session is made here, always a new one under a
new id, so that nobody can prepare a session for somebody else. The form carries a token that must equal a cookie of the
same browser, so that other sites can't log a browser in. A right log-in makes the browser a known one
(:mod:`lonnet.handlers.known_browsers`). Who guesses a user's password must not keep the user out:
:mod:`lonnet.handlers.login_tries` tells them apart.

Promises: a redirect after log-in leads to a path of this host only. Passwords and ids are logged nowhere. A wrong
password, an unknown user and a name that can't be one get the same answer; the first two after the same work.

Logs each log-in, failed log-in and log-out with user and address. Raises OSError when lonIDsDir can't be used.

Known limits: what of a name's being a user's shows all the same is in docs/authentication.md.
"""

from __future__ import annotations

import errno
import logging
import re
import secrets
import time
from typing import cast

from flask import Response, current_app, make_response, redirect, request, url_for
from werkzeug.exceptions import TooManyRequests

from common.errors import LonError
from common.login_lanes import LoginLane
from lonnet.balance import Told, page_url, spareserver
from lonnet.errors import AuthModeError, NoSuchUser, RemoteError
from lonnet.handlers.access import (
    TOKEN,
    config,
    current_session,
    login_required,
    network,
    session_cookie,
    session_id,
)
from lonnet.handlers.known_browsers import KnownBrowsers
from lonnet.handlers.login_tries import LoginTries, LoginTry, NoTries
from lonnet.handlers.pages import explained, page_blueprint, render, when_to_retry
from lonnet.sessions import Session, Sessions

log = logging.getLogger(__name__)

login = page_blueprint("login")

WRONG = "User name or password is wrong."
NOT_HERE = "This account's password can't be checked on its home server. Ask your administrator."
STILL_CHECKED = "Your password is still being checked. Please log in once more in a moment."
EXPIRED = "This form was too old. Please log in once more."
SWEEP_SECONDS = 600.0  # between two looks of a process for sessions that have ended

_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]{0,2000}")  # of this host: no second slash, no backslash, no control character
_next_sweep = 0.0


@login.get("/adm/login")
def form() -> Response:
    """The form; or a redirect to a spare, or to where the user wants to go."""
    wanted = local_path(request.args.get("next", ""))
    if current_session():
        return _redirect(wanted)
    spare = None if "offloaded" in request.args else spareserver(network(), told=_told())
    if spare is not None:
        there = page_url(network().site, spare)
        return _redirect(there + url_for("lonnet_login.form", next=wanted, offloaded=1))
    return _form(wanted)


@login.post("/adm/login")
def enter() -> Response:
    """Check the form, then the password; begin a session."""
    wanted = local_path(request.form.get("next", ""))
    user, domain = request.form.get("user", "").strip(), request.form.get("domain", "").strip()
    token = request.form.get(TOKEN, "")
    if not token or not secrets.compare_digest(token.encode(), request.cookies.get(_form_cookie(), "").encode()):
        return _form(wanted, 403, EXPIRED, user, domain)
    _sweep()
    attempt = _let_in(user, domain)
    try:
        problem = _problem(user, domain, request.form.get("password", ""), attempt.lane)
    except LonError as error:  # nobody knows whether it is right
        attempt.give_back(was_busy=_is(error, errno.EAGAIN, errno.EINPROGRESS))
        return when_to_retry(_form(wanted, *_reason(error), user, domain))
    if problem:
        return _form(wanted, 401, problem, user, domain)
    attempt.give_back()
    return _begin(user, domain, wanted)


@login.get("/adm/logout")
@login_required
def leaving() -> str:
    """Asks whether to log out: a link alone must not do it."""
    return render("logout.html")


@login.post("/adm/logout")
@login_required
def leave() -> Response:
    """End the session."""
    session = current_session()
    Sessions(config()).end(session_id())
    log.info("log-out of %s", session.name if session else "")
    response = _redirect(url_for("lonnet_login.form"))
    response.delete_cookie(session_cookie(), path="/", secure=config().secure_cookies, httponly=True, samesite="Lax")
    return response


def local_path(text: str) -> str:
    """`text` if it is a path of this host, else ``/``."""
    return text if _PATH.fullmatch(text) else "/"


def _let_in(user: str, domain: str) -> LoginTry:
    address = request.remote_addr or ""
    nonce = _known_browsers().recognise(request.cookies.get(_known_cookie(), ""), user, domain)
    try:
        return LoginTries(config()).take(user, domain, address, nonce)
    except NoTries as error:
        log.warning("log-in from %s refused: too many have failed", address)
        text = "Too many log-ins from your address have failed."
        raise TooManyRequests(text, retry_after=int(error.wait) + 1) from None


def _problem(user: str, domain: str, password: str, lane: LoginLane) -> str:
    """Why this is no log-in; empty if it is one."""
    try:
        if network().user(user, domain).authenticate(password, lane=lane):
            return ""
        log.warning("failed log-in of %s:%s from %s", user, domain, request.remote_addr)
    except (NoSuchUser, ValueError):  # some type their password where the name belongs
        log.warning("failed log-in of an unknown user from %s", request.remote_addr)
    return WRONG


def _reason(error: LonError) -> tuple[int, str]:
    """Status and words for a password of which nobody knows whether it is right."""
    if isinstance(error, AuthModeError):
        return 401, NOT_HERE
    return (503, STILL_CHECKED) if _is(error, errno.EINPROGRESS) else explained(error)


def _is(error: LonError, *numbers: int) -> bool:
    return isinstance(error, RemoteError) and error.number in numbers


def _begin(user: str, domain: str, wanted: str) -> Response:
    who = network().user(user, domain)
    sessions = Sessions(config())
    sessions.end(session_id())  # whoever was logged in with this browser
    new_id, session = sessions.create(user, domain, who.home())
    log.info("log-in of %s from %s", session.name, request.remote_addr)
    _note(session)
    response = _redirect(wanted)
    secure = config().secure_cookies
    response.set_cookie(session_cookie(), new_id, path="/", secure=secure, httponly=True, samesite="Lax")
    response.delete_cookie(_form_cookie(), path="/", secure=secure, httponly=True, samesite="Strict")
    _remember(response, user, domain)
    return response


def _remember(response: Response, user: str, domain: str) -> None:
    """Make the browser a known one, at this page alone."""
    tokens = _known_browsers().remember(request.cookies.get(_known_cookie(), ""), user, domain)
    if tokens:
        response.set_cookie(
            _known_cookie(),
            tokens,
            max_age=int(config().known_browser),
            path=url_for("lonnet_login.enter"),
            secure=config().secure_cookies,
            httponly=True,
            samesite="Strict",
        )


def _note(session: Session) -> None:
    """A line in the user's activity log; a log-in does not fail for want of it."""
    try:
        network().user(session.user, session.domain, home=session.home).log(f"Login {request.remote_addr}")
    except LonError as error:
        log.warning("log-in of %s is not in the activity log: %s", session.name, error)


def _form(wanted: str, code: int = 200, problem: str = "", user: str = "", domain: str = "") -> Response:
    """The form, with a token that the browser keeps as a cookie as well."""
    token = request.cookies.get(_form_cookie(), "")
    if not re.fullmatch("[A-Za-z0-9_-]{43}", token):
        token = secrets.token_urlsafe(32)
    domains = sorted({host.domain for host in network().site.table.hosts.values()})
    page = render(
        "login.html",
        wanted=wanted,
        problem=problem,
        token=token,
        user=user if user.isprintable() else "",
        domain=domain or config().def_domain,
        domains=domains,
    )
    response = make_response(page, code)
    secure = config().secure_cookies
    response.set_cookie(_form_cookie(), token, path="/", secure=secure, httponly=True, samesite="Strict")
    return response


def _form_cookie() -> str:
    return f"{session_cookie()}-login"


def _known_cookie() -> str:
    return "__Secure-lonKnown" if config().secure_cookies else "lonKnown"


def _known_browsers() -> KnownBrowsers:
    return KnownBrowsers(config().ids_dir, config().known_browser)


def _redirect(where: str) -> Response:
    return cast(Response, redirect(where, 303 if request.method == "POST" else 302))


def _told() -> Told:
    """What the spares have told this process's application."""
    return cast(Told, current_app.extensions.setdefault("lonnet_told", Told()))


def _sweep() -> None:
    """Now and then, delete what is not needed any more."""
    global _next_sweep
    now = time.monotonic()
    if now >= _next_sweep:
        _next_sweep = now + SWEEP_SECONDS
        Sessions(config()).sweep()
        LoginTries(config()).sweep()
