"""Writing what an administrator may have open in an editor: a file is there as a whole, old or new, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from common.durable import replacing


def digest(data: bytes) -> str:
    """What tells one content from another, as sha256sum prints it."""
    return hashlib.sha256(data).hexdigest()


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Write a file so that it is on disk when this returns; nobody ever reads half of it.

    A symbolic link is not followed but replaced.

    :raises OSError: it could not be written; what was there before is there still.
    """
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with replacing(path, mode) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """As :func:`write_whole`, with the mode and the owner that the file has."""
    try:
        status = path.stat()
    except FileNotFoundError:
        write_whole(path, text.encode(), 0o644)
        return
    write_whole(path, text.encode(), status.st_mode & 0o777)
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        with contextlib.suppress(PermissionError):  # only root can give files away
            os.chown(path, status.st_uid, status.st_gid)
