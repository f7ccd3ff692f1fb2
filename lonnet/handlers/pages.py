"""What all pages have in common: the headers that guard them, and what is said when something fails.

:func:`page_blueprint` makes a blueprint that has both, wherever it is mounted.

Promises: no page can be framed by other sites, runs a script, or is kept by a cache unless its view says so. An error
tells its reader what to do, and nothing of the inside of this host.

Logs a warning for each answer of the network that a handler can't use, and the traceback of a bug.
"""

from __future__ import annotations

import errno
import logging
from http import HTTPStatus

from flask import Blueprint, Response, current_app, make_response, render_template, request, url_for
from werkzeug.exceptions import HTTPException

from common.errors import LonError, PeerUnavailable
from lonnet.errors import DeliveryFailed, Refused, RemoteError, ResourceNotFound
from lonnet.handlers.access import TOKEN, current_session, is_administrator, network

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

RETRY_SECONDS = 5

_EXPLANATIONS = {
    400: "The address or the form is not one that this page understands.",
    403: "You may not see this.",
    404: "There is nothing at this address.",
    405: "This address does not take such a request.",
    413: "What you sent is larger than this host takes.",
    429: "Too many tries.",
    500: "Something went wrong on this host. Its administrator finds the reason in the log.",
}
_UNREACHABLE = "A server that is needed for this does not answer now. Try again in a moment."
_BUSY = "A server that is needed for this has too much to do now. Try again in a moment."
_REFUSED = "The server that is asked for this does not allow it."
_UNUSABLE = "A server of the network gave an answer that can't be used."


def page_blueprint(name: str, static: bool = False) -> Blueprint:
    """A blueprint ``lonnet_NAME`` with the headers and the error pages.

    :param static: it serves the style sheet as well.
    """
    blueprint = Blueprint(
        f"lonnet_{name}",
        __name__,
        template_folder="templates",
        static_folder="static" if static else None,
        static_url_path="/adm/static" if static else None,
    )
    blueprint.after_request(guard)
    blueprint.register_error_handler(HTTPException, http_error)
    blueprint.register_error_handler(LonError, network_error)
    return blueprint


def guard(response: Response) -> Response:
    """Set the guarding headers that a view has not set itself."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def http_error(error: HTTPException) -> Response:
    """The page for an error that a view or the routing has raised."""
    if error.response is not None or error.code is None or error.code < 400:
        return make_response(error.get_response())
    own_words = error.description if error.description != type(error).description else None
    response = error_page(error.code, own_words or _EXPLANATIONS.get(error.code, ""))
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def network_error(error: LonError) -> Response:
    """The page for what lonnet raises and no view has an own answer for."""
    return when_to_retry(error_page(*explained(error)))


def explained(error: LonError) -> tuple[int, str]:
    """The status that tells browsers of what lonnet raises, and the words that tell people."""
    if isinstance(error, (PeerUnavailable, DeliveryFailed)):
        return 503, _UNREACHABLE
    if isinstance(error, RemoteError) and error.number == errno.EAGAIN:
        return 503, _BUSY
    if isinstance(error, ResourceNotFound):
        return 404, _EXPLANATIONS[404]
    if isinstance(error, Refused):
        return 403, _REFUSED
    log.warning("%s %s: %s", request.method, request.path, error)
    return 502, _UNUSABLE


def when_to_retry(response: Response) -> Response:
    """The same; if it is 503, it says when to come again."""
    if response.status_code == 503:
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


def error_page(code: int, text: str) -> Response:
    """A page that says what is wrong; also for requests that no blueprint knows."""
    title = HTTPStatus(code).phrase if code in HTTPStatus._value2member_map_ else "Error"
    return guard(make_response(render("error.html", code=code, title=title, text=text), code))


def render(template: str, **values: object) -> str:
    """A page from a template, which gets what all pages show beside `values`."""
    session = current_session()
    return render_template(
        f"lonnet/{template}",
        host=network().site.own,
        session=session,
        administrator=session is not None and is_administrator(session),
        token_name=TOKEN,
        start=mounted("lonnet_home.index"),
        leave=mounted("lonnet_login.leave"),
        **values,
    )


def mounted(endpoint: str) -> str:
    """The address of a view; empty if its blueprint is not mounted."""
    return url_for(endpoint) if endpoint in current_app.view_functions else ""
