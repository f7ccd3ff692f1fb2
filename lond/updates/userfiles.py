"""An uploaded file comes to its user's home server: fetched from the host that took it, into the user's directory.

``userfiles/FILE`` below the user's directory; FILE may have directories of its own.

Promises: nothing outside the user's directory is written; the file is whole and on disk when :func:`fetch` returns,
an earlier one of that name stays until then.

Raises: TransferFailed, OSError, ValueError for a name that can't be a file's. Logs nothing.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass

from common.resource_directory import open_directory
from common.resource_files import remove, rename
from common.resource_path import checked_parts
from common.site import Site
from lond.records.paths import user_directory
from lonnet.deadline import Deadline
from lonnet.transfer import connected, server_of

DIRECTORY = "userfiles"  # in the user's directory, and in the URL
FILE_MODE = 0o600


@dataclass(frozen=True, slots=True)
class UserFile:
    """A file to be fetched.

    :param host: the host id of the host that has it.
    :param domain: of the user.
    :param user: user name.
    :param parts: the file's name below the user's files, directories first.
    """

    host: str
    domain: str
    user: str
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, host: str, text: str) -> UserFile:
        """The file that ``DOMAIN/USER/FILE`` names.

        :raises ValueError: it names none.
        """
        parts = checked_parts(text)
        if len(parts) < 3:
            raise ValueError("not DOMAIN/USER/FILE")
        return cls(host, parts[0], parts[1], parts[2:])

    def encode(self) -> bytes:
        """One line."""
        return json.dumps(asdict(self)).encode("ascii") + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> UserFile:
        """The reverse of :meth:`encode`."""
        values = json.loads(line)
        return cls(values["host"], values["domain"], values["user"], tuple(values["parts"]))


def fetch(site: Site, wanted: UserFile, seconds: float) -> None:
    """Fetch the file.

    :param seconds: that it may take.
    """
    host = site.table[wanted.host]
    path = "/".join((f"/{DIRECTORY}", wanted.domain, wanted.user, *wanted.parts))
    root = user_directory(site.config.users_dir, wanted.domain.encode("ascii"), wanted.user.encode("ascii"))
    server, _ = server_of(host.http_base, host)
    *directories, name = wanted.parts
    with open_directory(root, (DIRECTORY, *directories), create=True) as at:
        unnamed = f".{name}.{secrets.token_hex(4)}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(unnamed, flags, FILE_MODE, dir_fd=at), "wb") as file:
                with connected(site, server, Deadline(seconds)) as web:
                    web.get(path, site.config.max_resource, file.write)
                file.flush()
                os.fsync(file.fileno())
            rename(at, unnamed, name)
            os.fsync(at)
        finally:
            remove(at, unnamed)
