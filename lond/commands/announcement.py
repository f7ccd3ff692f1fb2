"""The announcement that this host shows to everybody: ``lonDocRoot/announcement.txt``."""

from __future__ import annotations

from common.durable import replacing
from lond.commands.arguments import TEXT
from lond.commands.registry import Context, Trust, command
from lond.records.faults import system_error

FILE = "announcement.txt"


@command("setannounce", TEXT, trust=Trust.RESOURCES, writes=True, replies="`ok`, `error: ...`")
def setannounce(context: Context, text: bytes) -> bytes:
    try:
        with replacing(context.site.config.doc_root / FILE, 0o640) as file:
            file.write(text)
    except OSError as error:
        raise system_error(error) from error
    return b"ok"
