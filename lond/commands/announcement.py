"""The announcement that this host shows to everybody: ``lonDocRoot/announcement.txt``."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from lond.commands.arguments import TEXT
from lond.commands.registry import Context, RequestError, Trust, command
from lond.records.paths import sync_directory

FILE = "announcement.txt"


@command("setannounce", TEXT, trust=Trust.RESOURCES, writes=True, replies="`ok`, `error: ...`")
def setannounce(context: Context, text: bytes) -> bytes:
    try:
        _replace(context.site.config.doc_root / FILE, text)
    except OSError as error:
        number = error.errno or errno.EIO
        raise RequestError(os.strerror(number).lower(), number) from error
    return b"ok"


def _replace(path: Path, text: bytes) -> None:
    """Writes a file so that readers and a power cut find the old text or the new one."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    sync_directory(path.parent)
