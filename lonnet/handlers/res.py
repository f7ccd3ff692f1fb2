"""/res/DOMAIN/AUTHOR/...: resources for people who are logged in, fetched when they are first asked for.

Browsers keep what they get and ask each time whether it is still current: a new version is seen at once, and a page is
not shown from memory after log-out.

Promises: what an author wrote runs no script and sends no form in the name of its reader. Raises what
:mod:`lonnet.handlers.reading` raises. Logs nothing.
"""

from __future__ import annotations

from flask import Response, abort

from lonnet.handlers.access import logged_in, login_required
from lonnet.handlers.pages import page_blueprint
from lonnet.handlers.reading import open_for
from lonnet.handlers.sending import media_type, send

HEADERS = {
    "Content-Security-Policy": "default-src 'self' data:; script-src 'none'; style-src 'self' 'unsafe-inline'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
    "Cache-Control": "private, no-cache",
    "Vary": "Cookie",
}

PROBLEM = ".problem"

res = page_blueprint("res")


@res.get("/res/<path:path>")
@login_required
def resource(path: str) -> Response:
    """The file as its author published it."""
    if path.endswith(PROBLEM):  # its file holds the answer; another blueprint shows it
        abort(404)
    found = open_for(logged_in(), path)
    response = send(found.file, found.metadata, media_type(found.path.name))
    response.headers.update(HEADERS)
    return response
