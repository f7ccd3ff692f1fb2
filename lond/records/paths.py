"""Where a user's directory lies, and how directories come into being so that a power cut does not undo it.

``lonUsersDir/DOMAIN/c1/c2/c3/USER`` with the first three characters of the name, ``_`` for missing
ones (classic-protocol.md, section 5). A name ``a.b`` has ``.`` as its second character; as in the original
that path component then says "here", which is harmless and unambiguous.

Promises: names are checked again here, as the last gate before the file system; whatever is returned lies below
`users_dir`. A directory that :func:`make_user_directory` has returned from survives a power cut.

Raises: :class:`ValueError` for a name that no check at the border should have let through, OSError from the system.
"""

from __future__ import annotations

import re
from pathlib import Path

from common.durable import sync_directory

PASSWD = "passwd"  # noqa: S105 (the name of the file)

# classic-protocol.md, end of section 4: domains, users and namespaces.
_NAME = re.compile(rb"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")


def is_name(name: bytes) -> bool:
    """Whether `name` may be a domain, a user or a namespace."""
    return _NAME.fullmatch(name) is not None


def domain_directory(users_dir: Path, domain: bytes) -> Path:
    """The directory of a domain, whether it is there or not."""
    return users_dir / _checked(domain)


def user_directory(users_dir: Path, domain: bytes, user: bytes) -> Path:
    """The directory of a user, whether it is there or not."""
    name = _checked(user)
    return domain_directory(users_dir, domain).joinpath(*f"{name}__"[:3], name)


def make_user_directory(users_dir: Path, domain: bytes, user: bytes) -> Path:
    """Makes a user's directory (mode 0700) with its parents; does nothing if it is there.

    For the commands that create users; data commands never call it.

    :returns: the directory, durable.
    :raises OSError: it could not be made.
    """
    directory = user_directory(users_dir, domain, user)
    make_directory(directory)
    return directory


def make_directory(directory: Path) -> None:
    """Makes a directory and its missing parents, mode 0700, each one durable before the next is made."""
    if directory.is_dir():
        return
    make_directory(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
    sync_directory(directory.parent)


def _checked(name: bytes) -> str:
    if not is_name(name):
        raise ValueError("a name passed the border unchecked")
    return name.decode("ascii")
