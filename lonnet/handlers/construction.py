"""An author's construction space on the home server: the files that resources are published from.

It lies at lonConstructionDir/DOMAIN/AUTHOR/; a file there has the name of the resource that it becomes.

Promises: nothing outside of the space is read or written, whatever names come in and whatever symbolic links are
there. An uploaded file is on disk, whole, before it takes its place.

Raises: ValueError for a name that no resource can have, TooLarge, OSError: FileNotFoundError, NotADirectoryError (a
part of the path is a file), IsADirectoryError (there are files below the name). Logs nothing.

Known limits: at most :data:`MAX_FILES` files are listed. The directories of deleted files stay.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from common.config import Config
from common.errors import LonError
from common.resource_directory import directory
from common.resource_files import new_name, open_regular, remove, rename
from common.resource_path import ResourcePath

MAX_FILES = 2000
CHUNK = 262144  # bytes
FORGOTTEN_SECONDS = 86400.0  # after which the rest of an upload that was killed may go


class TooLarge(LonError):
    """A file has more bytes than are allowed."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A file of the space.

    :param name: below the space, which is below ``DOMAIN/AUTHOR/`` as well.
    :param size: bytes.
    :param changed: UNIX seconds.
    """

    name: str
    size: int
    changed: float


class Construction:
    """The space of one author.

    :param config: where the spaces are, and how large a file may be.
    :param domain: the author's domain, a checked name.
    :param author: the author's user name, as well.
    """

    def __init__(self, config: Config, domain: str, author: str) -> None:
        self._root, self._most = config.construction_dir, config.max_resource
        self._domain, self._author = domain, author

    def path(self, name: str) -> ResourcePath:
        """The resource that the file of this name becomes.

        :raises ValueError: no resource can have the name.
        """
        path = ResourcePath.parse(f"{self._domain}/{self._author}/{name}")
        if path.version is not None:
            raise ValueError(f"{path.name} is the name of an older version; choose one without a number before the dot")
        return path

    def write(self, name: str, source: IO[bytes]) -> None:
        """Take a file in; it replaces the one of the same name."""
        path = self.path(name)
        with directory(self._root, path, create=True) as at:
            _sweep(at)
            unfinished = new_name(path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            try:
                with os.fdopen(os.open(unfinished, flags, 0o600, dir_fd=at), "wb") as file:
                    self._copy(source, file)
                    file.flush()
                    os.fsync(file.fileno())
                with suppress(OSError):
                    os.rmdir(path.name, dir_fd=at)  # empty: an upload to below it has failed
                rename(at, unfinished, path.name)
            except BaseException:
                remove(at, unfinished)
                raise
            os.fsync(at)

    def _copy(self, source: IO[bytes], file: BinaryIO) -> None:
        size = 0
        while data := source.read(CHUNK):
            size += len(data)
            if size > self._most:
                raise TooLarge(f"more than {self._most} bytes")
            file.write(data)

    def open(self, name: str) -> BinaryIO:
        """A file for reading.

        :raises FileNotFoundError: there is none.
        """
        path = self.path(name)
        with directory(self._root, path) as at:
            return os.fdopen(open_regular(at, path.name), "rb")

    def delete(self, name: str) -> None:
        """Delete a file; what is published of it stays.

        :raises FileNotFoundError: there is none.
        """
        path = self.path(name)
        with directory(self._root, path) as at:
            os.unlink(path.name, dir_fd=at)
            os.fsync(at)

    def drafts(self) -> list[Draft]:
        """All files, by name."""
        top = self._root / self._domain / self._author
        found: list[Draft] = []
        for here, below, names in os.walk(top):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in sorted(names):
                draft = self._draft(top, Path(here, name))
                if draft and len(found) < MAX_FILES:
                    found.append(draft)
        return found

    def _draft(self, top: Path, file: Path) -> Draft | None:
        name = file.relative_to(top).as_posix()
        with suppress(ValueError, OSError):
            self.path(name)
            status = file.lstat()
            if not file.is_symlink() and file.is_file():
                return Draft(name, status.st_size, status.st_mtime)
        return None


def _sweep(at: int) -> None:
    """Remove what killed uploads have left in a directory."""
    for name in os.listdir(at):
        if name.startswith(".") and name.endswith(".new"):
            with suppress(OSError):
                if os.stat(name, dir_fd=at, follow_symlinks=False).st_mtime < time.time() - FORGOTTEN_SECONDS:
                    remove(at, name)
