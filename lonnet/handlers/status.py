"""/lon-status/ and /metrics: how this host is, for hosts of the network and for administrators who are logged in.

Each is made when it is asked for, from pid files, scoreboards, counters and FIFOs (:mod:`lonstatus`): no daemon is
asked, so a hanging one keeps no page waiting. The checks on the page are those of loncron's last run.

Raises what werkzeug makes of 403. Logs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Response, make_response
from werkzeug.wrappers import Response as AnyResponse

from lonnet.handlers.access import administrators_only, asking_host, network
from lonnet.handlers.pages import mounted, page_blueprint

P = ParamSpec("P")
R = TypeVar("R")

status = page_blueprint("status")


def members_or_administrators(view: Callable[P, R]) -> Callable[P, R | AnyResponse]:
    """For hosts of the network by their address, and for administrators who are logged in."""
    for_administrators = administrators_only(view)

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R | AnyResponse:
        return view(*args, **kwargs) if asking_host() else for_administrators(*args, **kwargs)

    return guarded


@status.get("/lon-status/")
@members_or_administrators
def page() -> Response:
    """The status page."""
    from lonstatus.page import rendered
    from lonstatus.page_style import POLICY
    from lonstatus.report import collect

    response = make_response(rendered(collect(network().site), live=True, start=mounted("lonnet_home.index")))
    response.headers["Content-Security-Policy"] = f"{POLICY}; frame-ancestors 'none'"
    return response


@status.get("/lon-status/status.json")
@members_or_administrators
def data() -> Response:
    """The same for programs."""
    from lonstatus.report import collect

    return _text(collect(network().site).as_json(), "application/json")


@status.get("/metrics")
@members_or_administrators
def metrics() -> Response:
    """The same for Prometheus."""
    from lonstatus import exposition
    from lonstatus.metrics import metrics as rendered

    return _text(rendered(network().site), exposition.CONTENT_TYPE)


def _text(content: str | bytes, content_type: str) -> Response:
    response = make_response(content)
    response.headers["Content-Type"] = content_type
    return response
