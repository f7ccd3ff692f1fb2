"""/raw/DOMAIN/AUTHOR/...: resources and their metadata as they are, for hosts that have subscribed to them.

Whoever asks must come from the address of a host of hosts.tab, and that host must be among the subscribers. The reply
says in ``X-Resource-Digest`` and ``X-Resource-Version`` which version its body is of. Each delivery of a content is
counted in the author's records, by the asking host's domain. Contents are sent whole or not at all, whatever part is
asked for: so each count is one content, and no content leaves uncounted.

Promises: content and headers are of one version. The counter holds a content up for a fifth of lonHttpTimeout at most.
Raises what :mod:`lonnet.resources` raises. Logs a warning for a delivery that could not be counted.

Source: classic-protocol, section 6, step 5.
"""

from __future__ import annotations

import logging
from io import BytesIO

from flask import Response, abort, request

from common.errors import LonError
from common.hosts_table import Host
from common.resource_directory import root_of
from common.resource_path import ResourcePath, split_metadata
from common.resource_tree import open_resource
from lonnet.errors import AccessDenied
from lonnet.handlers.access import config, members_only, network
from lonnet.handlers.pages import page_blueprint
from lonnet.handlers.sending import OCTETS, send

log = logging.getLogger(__name__)

WAIT_SHARE = 0.2  # of lonHttpTimeout, after which the asking host gives up: what the counter may take of it

raw = page_blueprint("raw")


@raw.get("/raw/<path:path>")
@members_only
def raw_file(path: str) -> Response:
    """The file, or its metadata."""
    try:
        resource, is_metadata = split_metadata(path)
    except ValueError:
        abort(404)
    asking = network().resources.check_requester(str(resource), request.remote_addr or "")
    try:
        opened = open_resource(root_of(config()), resource)
    except FileNotFoundError:
        abort(404)
    if not opened.metadata.may_read_source(asking.domain, resource.domain):  # published since the requester was checked
        opened.file.close()
        raise AccessDenied(str(resource))
    if is_metadata:
        opened.file.close()
        data = opened.metadata.encode()
        response = Response(BytesIO(data), mimetype="text/plain", direct_passthrough=True)
        response.content_length = len(data)
    else:
        response = send(opened.file, opened.metadata, OCTETS, parts=False)
        if request.method == "GET" and response.status_code == 200:
            _count(resource, asking)
    response.headers["X-Resource-Digest"] = opened.metadata.digest
    response.headers["X-Resource-Version"] = str(opened.metadata.version)
    return response


def _count(resource: ResourcePath, asking: Host) -> None:
    """Count a delivery; a reader does not have to wait for the counter to be mended."""
    try:
        network().resources.count_delivery(str(resource), asking.domain, config().http_timeout * WAIT_SHARE)
    except LonError as error:
        log.warning("the delivery of %s to %s is not counted: %s", resource, asking.id, error)
