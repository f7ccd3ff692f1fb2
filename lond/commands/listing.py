"""`ls`: what lies in a directory of published resources, or one file's state.

Callers name a path as the original's did, below their own document root; what counts is the part from ``/res/`` on.
Nothing outside lonDocRoot/res is ever told: the path is resolved first, symbolic links included.
"""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import NamedTuple

from common.hosts_table import DOMAIN
from common.resource_path import below_res, checked_parts
from lond.commands.registry import Argument, Context, RequestError, Trust, command
from lond.records.trouble import trouble_with

_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)

_BORDERS = re.compile(r"[&:%\x00-\x1f\x7f]")


class TreePath(NamedTuple):
    """The names below ``res``; the first of them is the domain."""

    parts: tuple[str, ...]

    @property
    def domain(self) -> str:
        """Whose resources these are; "" for the list of domains."""
        return self.parts[0] if self.parts else ""


def _tree_path(field: bytes) -> TreePath:
    try:
        names = [name for name in below_res(field).split("/") if name not in ("", ".")]
        path = TreePath(checked_parts("/".join(names)) if names else ())
    except ValueError:
        raise RequestError("not a path below /res/") from None
    if names and not DOMAIN.fullmatch(path.domain):
        raise RequestError("not a domain")
    return path


PATH = Argument("path", _tree_path, is_domain=True, is_rest=True)


@command(
    "ls",
    PATH,
    trust=Trust.RESOURCES,
    replies="`name&stat...:name&stat...:` (the thirteen numbers of stat), `empty`, `no_such_dir`, `no_such_file`",
)
def ls(context: Context, wanted: TreePath) -> bytes:
    root = (context.site.config.doc_root / "res").resolve()
    path = root.joinpath(*wanted.parts)
    with trouble_with(path):
        return _listed(path, root)


def _listed(path: Path, root: Path) -> bytes:
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        if isinstance(error, OSError) and error.errno not in _NOTHING_THERE:
            raise
        return b"no_such_file" if _is_directory_below(path.parent, root) else b"no_such_dir"
    if not real.is_relative_to(root):
        return b"no_such_file"
    entries = sorted(real.iterdir()) if real.is_dir() else [real]
    entries = [entry for entry in entries if not entry.name.startswith(".")]  # parts of what is not complete
    lines = [_entry(entry, root) for entry in entries]
    return "".join(lines).encode("utf-8", "surrogateescape") or b"empty"


def _is_directory_below(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root) and path.is_dir()
    except (OSError, RuntimeError):
        return False


def _entry(path: Path, root: Path) -> str:
    """``name&stat...:``; nothing for what has vanished, or leads out of the tree."""
    try:
        if not path.resolve(strict=True).is_relative_to(root):
            return ""
        state = path.stat()
    except (OSError, RuntimeError):
        return ""
    numbers = [
        state.st_dev, state.st_ino, state.st_mode, state.st_nlink, state.st_uid, state.st_gid, state.st_rdev,
        state.st_size, int(state.st_atime), int(state.st_mtime), int(state.st_ctime), state.st_blksize, state.st_blocks,
    ]  # fmt: skip
    name = _BORDERS.sub(lambda found: f"%{ord(found[0]):02x}", path.name)
    return "&".join([name, *map(str, numbers)]) + ":"
