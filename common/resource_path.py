"""The path of a resource as a checked value, and the names of the files that stand beside it.

A resource is published as ``/res/DOMAIN/AUTHOR/REST``; the last part of REST is ``NAME.EXT``. Beside it lie

==========================  ====================================================================
``NAME.EXT.meta``           its metadata (:mod:`common.metadata`)
``NAME.N.EXT``              version N, once there is a newer one; a resource that never changes
``NAME.EXT.subscription``   on the home server: who has a copy (:mod:`common.subscriptions`)
``NAME.EXT.copy``           elsewhere: says that this is a copy; its time is that of the last access
``NAME.EXT.in.transfer``    a copy on its way here
``.NAME...``                files of a publication or a transfer that is not complete
==========================  ====================================================================

Promises: pure. Whatever bytes or text come in, the result is a path that names a file below the tree of resources
and none of the files beside resources, or ValueError, which says what is wrong; so one check at the border is enough.

Raises: ValueError. Logs nothing.

Known limits: names hold no ``%`` and no ``\\``, so that no second decoding can make another name of them; no character
that can't be seen, and no blank at either end. A resource needs an extension of letters and digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from common.hosts_table import DOMAIN, shown

MAX_NAME = 200  # bytes; a file name has 255, and the names beside a resource are longer
MAX_PATH = 1024  # bytes

META, SUBSCRIPTION, COPY, IN_TRANSFER = ".meta", ".subscription", ".copy", ".in.transfer"
_RESERVED = (META, SUBSCRIPTION, COPY, IN_TRANSFER)
_PREFIXES = ("/res/", "/raw/")
_ON_THE_WIRE = "/home/httpd/html/res/"  # the original's document root: what its servers send and expect

_FILE = re.compile(r"(.+)\.((?=[0-9]*[A-Za-z])[A-Za-z0-9]{1,16})")
_VERSION = re.compile(r"(.+)\.([1-9][0-9]{0,8})\.([A-Za-z0-9]+)")
_FORBIDDEN = re.compile(r"[\\%]")


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """A resource; made by :meth:`parse` or :meth:`from_wire` alone.

    :param domain: the author's domain.
    :param author: the author's user name.
    :param parts: the names below the author's directory, the file's last.
    """

    domain: str
    author: str
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str | bytes) -> ResourcePath:
        """The path that a text names.

        :param text: ``DOMAIN/AUTHOR/REST``, alone or behind ``/res/`` or ``/raw/``, decoded already; bytes are UTF-8.
        :raises ValueError: it names no resource; the message says why, and holds at most the beginning of the text.
        """
        path = decoded(text)
        for prefix in _PREFIXES:
            if path.startswith(prefix):
                path = path.removeprefix(prefix)
                break
        return cls._of(checked_parts(path))

    @classmethod
    def from_wire(cls, field: bytes) -> ResourcePath:
        """The path in a request: what stands behind the first ``/res/``, for callers name it below their own root.

        :raises ValueError: as :meth:`parse`.
        """
        return cls._of(checked_parts(below_res(field)))

    @classmethod
    def _of(cls, parts: tuple[str, ...]) -> ResourcePath:
        if len(parts) < 3:
            raise ValueError(f"{shown('/'.join(parts))} is not DOMAIN/AUTHOR/NAME.EXT")
        domain, author, *rest = parts
        for name, kind in ((domain, "domain"), (author, "user name")):
            if not DOMAIN.fullmatch(name):
                raise ValueError(f"{shown(name)} is not a {kind}")
        for name in rest:
            if name.endswith(_RESERVED):  # a directory of such a name would stand in the way of the file
                raise ValueError(f"{shown(name)} is the name of a file that stands beside a resource")
        if not _FILE.fullmatch(rest[-1]):
            raise ValueError(f"{shown(rest[-1])} has no extension of letters and digits")
        return cls(domain, author, tuple(rest))

    def __str__(self) -> str:
        return "/".join((self.domain, self.author, *self.parts))

    @property
    def wire(self) -> str:
        """As the original names it in requests."""
        return f"{_ON_THE_WIRE}{self}"

    @property
    def name(self) -> str:
        """The file's name."""
        return self.parts[-1]

    @property
    def directories(self) -> tuple[str, ...]:
        """The directories from the tree's root down to the file."""
        return (self.domain, self.author, *self.parts[:-1])

    @property
    def extension(self) -> str:
        """What stands behind the name's last dot."""
        return self.name.rpartition(".")[2]

    @property
    def version(self) -> int | None:
        """N, if this is ``NAME.N.EXT``, an older version; None for the current one."""
        found = _VERSION.fullmatch(self.name)
        return int(found[2]) if found else None

    def version_name(self, number: int) -> str:
        """The file's name as version `number`, once there is a newer one."""
        stem, _, extension = self.name.rpartition(".")
        return f"{stem}.{number}.{extension}"

    def number_of(self, name: str) -> int | None:
        """N, if `name` is :meth:`version_name` of N."""
        found = _VERSION.fullmatch(name)
        return int(found[2]) if found and self.name == f"{found[1]}.{found[3]}" else None


def split_metadata(text: str | bytes) -> tuple[ResourcePath, bool]:
    """The resource, and whether it is its metadata that the text names (``.../NAME.EXT.meta``).

    :raises ValueError: as :meth:`ResourcePath.parse`.
    """
    path = decoded(text)
    return ResourcePath.parse(path.removesuffix(META)), path.endswith(META)


def below_res(field: bytes) -> str:
    """What stands in a request behind ``/res/``.

    :raises ValueError: there is none, or what stands before it climbs.
    """
    before, found, below = (b"/" + field.lstrip(b"/")).partition(b"/res/")
    if not found and before.endswith(b"/res"):
        before, found = before.removesuffix(b"/res"), b"/res/"
    if not found or b".." in before.split(b"/"):
        raise ValueError("not a path below /res/")
    return decoded(below)


def checked_parts(path: str) -> tuple[str, ...]:
    """The names of a path, each of which is safe in a file system.

    :param path: names joined by single slashes.
    :raises ValueError: the path is too long, or one of the names can't be one.
    """
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH:
        raise ValueError(f"a path of more than {MAX_PATH} bytes")
    parts = tuple(path.split("/"))
    for part in parts:
        _check_part(part)
    return parts


def decoded(text: str | bytes) -> str:
    """Text, of bytes that are UTF-8.

    :raises ValueError: they are not.
    """
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("a path that is not UTF-8") from None


def _check_part(part: str) -> None:
    if part in ("", ".", ".."):
        raise ValueError(f"{part!r} can't be a name in a path")
    if part.startswith("."):
        raise ValueError(f"{shown(part)} is a hidden name")
    if not part.isprintable() or part != part.strip() or _FORBIDDEN.search(part):
        raise ValueError(f"{shown(part)} holds a character that names of resources can't have")
    if len(part.encode()) > MAX_NAME:
        raise ValueError(f"{shown(part)} has more than {MAX_NAME} bytes")
