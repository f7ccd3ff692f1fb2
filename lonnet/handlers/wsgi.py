"""The entry point of WSGI servers: ``application``.

The configuration file is the one that the request's environment names as LONCAPA_CONF (``SetEnv`` in Apache's
configuration), else the one of the process's environment variable, else /etc/loncapa/loncapa.conf. So the application
is made with the first request, and once for each file: one group of processes can serve several hosts.

Its log goes to standard error, which under Apache is the error log. Raises ConfigError with the first request.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

from lonnet.client import Lonnet
from lonnet.handlers.application import create_app

_applications: dict[str, Flask] = {}
_making = threading.Lock()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """One request."""
    conf = environ.get("LONCAPA_CONF", "")
    return (_applications.get(conf) or _application(conf))(environ, start_response)


def _application(conf: str) -> Flask:
    with _making:
        if conf not in _applications:
            net = Lonnet.from_conf(conf or None)
            logging.basicConfig(level=net.site.config.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
            _applications[conf] = create_app(net)
        return _applications[conf]
