"""Resources as they lie on this host: originals and copies, when they were last used, and their end.

A copy's last access is the time of its file NAME.EXT.copy, which is set here and by nothing else: backups and mount
options (noatime) don't change it. A process writes it at most every :data:`TOUCH_SECONDS` for one resource.

Promises: what :func:`present` returns was whole and belonged together when it was opened.

Raises: ResourceNotFound for a path that leads through what is no directory or no file; TransferUnderWay if its
directory stays locked; OSError for trouble of this machine. Logs nothing.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import BinaryIO

from common.config import Config
from common.metadata import Metadata, MetadataError
from common.resource_directory import Busy, directory, root_of
from common.resource_path import COPY, ResourcePath
from common.resource_tree import Opened, open_resource
from lonnet.errors import ResourceNotFound, TransferUnderWay

TOUCH_SECONDS = 60.0
MAX_TOUCHED = 10_000  # resources whose last touch a process remembers

_NO_WAY = (errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG, errno.ENXIO)


@dataclass(frozen=True, slots=True)
class Copy:
    """A resource that is on this host.

    :param file: its content, which may be replaced as a whole at any time; see :meth:`opened`.
    :param copy_of: the host id of the home server that it came from; "": it is the original.
    """

    path: ResourcePath
    file: Path
    metadata: Metadata
    copy_of: str
    root: Path

    @property
    def is_original(self) -> bool:
        """It was published here."""
        return not self.copy_of

    def opened(self) -> tuple[BinaryIO, Metadata]:
        """The content, open at its beginning, and the metadata that belong to it, as they are now.

        :raises ResourceNotFound: it has been removed meanwhile.
        """
        opened = _opened(self.root, self.path)
        if opened is None:
            raise ResourceNotFound(str(self.path))
        return opened.file, opened.metadata


def present(root: Path, path: ResourcePath) -> Copy | None:
    """The resource as it lies on this host; None: it does not, or is damaged."""
    opened = _opened(root, path)
    if opened is None:
        return None
    opened.file.close()
    return Copy(path, root.joinpath(*path.directories, path.name), opened.metadata, opened.copy_of, root)


def _opened(root: Path, path: ResourcePath) -> Opened | None:
    try:
        return open_resource(root, path)
    except (FileNotFoundError, MetadataError):
        return None
    except Busy:
        raise TransferUnderWay(str(path)) from None
    except OSError as error:
        if error.errno in _NO_WAY:
            raise ResourceNotFound(str(path)) from None
        raise


class Touches:
    """When copies were last used; for any number of threads."""

    def __init__(self) -> None:
        self._last: dict[ResourcePath, float] = {}

    def touch(self, config: Config, path: ResourcePath) -> None:
        """A copy is used now; nothing for what is no copy."""
        now, interval = monotonic(), min(TOUCH_SECONDS, config.expire / 2)
        if now - self._last.get(path, -interval) < interval:
            return
        if len(self._last) >= MAX_TOUCHED:
            self._last.clear()
        self._last[path] = now
        with suppress(OSError), directory(root_of(config), path) as at:
            os.utime(path.name + COPY, dir_fd=at, follow_symlinks=False)


def last_access(at: int, path: ResourcePath) -> float | None:
    """The UNIX time of a copy's last access; None: there is no copy.

    :param at: its directory, open.
    """
    try:
        return os.stat(path.name + COPY, dir_fd=at, follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return None
