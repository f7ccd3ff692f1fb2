"""Files that are whole or not there, and on disk once they are: written beside their place, synced, renamed.

Promises: a reader sees the old file or the new one, never a part. When :func:`replacing` has ended without an
exception, file and name survive a power cut; after an exception the old file is as it was, and nothing is left beside
it. A process that is killed in between leaves a file whose name begins with :data:`PREFIX`.

Raises: OSError. Logs nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PREFIX = ".new-"  # of the names of unfinished files


@contextmanager
def replacing(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` at the end of the block.

    :param mode: permissions of the new file, whatever the process's mask.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=PREFIX, dir=path.parent)
    except OSError as error:  # nobody knows the name that it would have had
        raise OSError(error.errno, error.strerror, str(path)) from None
    temporary = Path(name)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
