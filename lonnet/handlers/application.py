"""The web application of one host, made of blueprints on one Lonnet.

:func:`create_app` is all of it, for a WSGI server; :func:`mount` puts the blueprints, or some of them, into an
application that exists already.

Promises: nothing is read or opened but the configuration; making an application sends nothing. What no view expects is
answered with a page that shows nothing of the inside.

Raises: ConfigError. Logs nothing itself.
"""

from __future__ import annotations

import os

from flask import Blueprint, Flask, Response
from werkzeug.exceptions import HTTPException

from common.errors import LonError
from lonnet.client import Lonnet
from lonnet.handlers.home import home
from lonnet.handlers.login import login
from lonnet.handlers.pages import guard, http_error, network_error
from lonnet.handlers.problem import problem
from lonnet.handlers.publish import publish
from lonnet.handlers.raw import raw
from lonnet.handlers.res import res
from lonnet.handlers.status import status

BLUEPRINTS: tuple[Blueprint, ...] = (home, login, raw, res, problem, publish, status)

FORM_BYTES = 65536  # of a request's body; views that take files allow themselves more


def create_app(net: Lonnet | str | os.PathLike[str] | None = None) -> Flask:
    """The application of a host.

    :param net: a Lonnet, or the configuration file of one; None: ``$LONCAPA_CONF``, else /etc/loncapa/loncapa.conf.
    :raises ConfigError: the configuration is missing or wrong.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = FORM_BYTES
    app.url_map.merge_slashes = False  # a path with two is none of ours
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(LonError, network_error)
    app.after_request(_guard)
    mount(app, net if isinstance(net, Lonnet) else Lonnet.from_conf(net))
    return app


def mount(app: Flask, net: Lonnet, *blueprints: Blueprint) -> None:
    """Put blueprints into an application.

    :param blueprints: none: all of :data:`BLUEPRINTS`. ``raw`` can be mounted alone; those for people link to each
        other.
    """
    app.extensions["lonnet"] = net
    app.before_request(net.refresh)  # limits, members and spares are those of the files, not of the process's start
    for blueprint in blueprints or BLUEPRINTS:
        app.register_blueprint(blueprint)


def _guard(response: Response) -> Response:
    return guard(response)
