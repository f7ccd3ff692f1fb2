"""A file as a response: its entity tag is its digest, and parts of it can be asked for.

Whole files leave by the web server's own way of sending files (``wsgi.file_wrapper``).

Promises: the content and the tag belong together, as file and metadata were opened together; the file is closed with
the response. Raises werkzeug's 416. Logs nothing.
"""

from __future__ import annotations

import mimetypes
from typing import BinaryIO

from flask import Response, request
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.wsgi import FileWrapper, wrap_file

from common.metadata import Metadata

CHUNK = 65536  # bytes
OCTETS = "application/octet-stream"

_TYPES = mimetypes.MimeTypes()  # Python's own table: what a file is must not depend on the machine
for _type, _extension in (
    ("text/xml", ".problem"),
    ("image/webp", ".webp"),
    ("image/avif", ".avif"),
    ("font/woff", ".woff"),
    ("font/woff2", ".woff2"),
    ("text/markdown", ".md"),
    ("text/javascript", ".js"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".docx"),
):
    _TYPES.add_type(_type, _extension)
_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


def media_type(name: str) -> str:
    """The type of a file by its name."""
    found, encoding = _TYPES.guess_type(name)
    return _COMPRESSED.get(encoding, OCTETS) if encoding else found or OCTETS


def send(file: BinaryIO, metadata: Metadata, kind: str, parts: bool = True) -> Response:
    """The response to this request: the file, a part of it, or that the client has it already.

    :param kind: its media type.
    :param parts: parts can be asked for; False: who asks for a part gets the whole.
    """
    wanted = request.range if parts else None
    in_bytes = wanted is not None and wanted.units == "bytes"  # another unit, or none: as if not asked
    body = FileWrapper(file, CHUNK) if in_bytes else wrap_file(request.environ, file, CHUNK)
    response = Response(body, mimetype=kind, direct_passthrough=True)
    response.content_length = metadata.length
    response.set_etag(metadata.digest.removeprefix("sha256="))
    try:
        response.make_conditional(request.environ, accept_ranges=in_bytes, complete_length=metadata.length)
    except RequestedRangeNotSatisfiable:
        file.close()
        raise
    response.headers["Accept-Ranges"] = "bytes" if parts else "none"
    return response
