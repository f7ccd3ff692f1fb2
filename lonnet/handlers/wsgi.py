"""The entry point of WSGI servers: ``application``, on the configuration that ``$LONCAPA_CONF`` names.

Its log goes to standard error, which under Apache is the error log.
"""

from __future__ import annotations

import logging

from lonnet.client import Lonnet
from lonnet.handlers.application import create_app

_net = Lonnet.from_conf()
logging.basicConfig(level=_net.site.config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
application = create_app(_net)
