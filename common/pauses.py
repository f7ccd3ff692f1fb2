"""Hosts that an administrator has paused: no link, until somebody resumes them.

One file per host, ``HOST.paused`` in lonDelayedDir, says since when, by whom and why; so a pause outlives restarts, and
two administrators can't overwrite each other's. lonc's parent reads the files when it starts, reloads, or is asked to.

Promises: a file is there whole or not at all, and on disk when :func:`pause` or :func:`resume` returns. A file that
can't be understood counts as a pause all the same: nobody should be surprised by a link that he took away.

Raises OSError where a file or the directory can't be written. Logs nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from common.durable import replacing, sync_directory

ENDING = ".paused"
MAX_WHY = 200  # characters
MAX_BYTES = 4096  # of a file that are read


class Pause(NamedTuple):
    """One paused host; `when` is UNIX time in seconds."""

    host: str
    when: float
    who: str
    why: str

    def __str__(self) -> str:
        return f"by {self.who}: {self.why}"


def pauses(directory: Path) -> dict[str, Pause]:
    """All paused hosts by id.

    :param directory: lonDelayedDir; it need not exist.
    :raises OSError: it can't be read, so that nobody knows.
    """
    try:
        paths = sorted(path for path in directory.iterdir() if path.name.endswith(ENDING))
    except FileNotFoundError:
        return {}
    found = [_read(path, path.name.removesuffix(ENDING)) for path in paths if not path.name.startswith(".")]
    return {pause.host: pause for pause in found}


def _read(path: Path, host: str) -> Pause:
    try:
        with path.open("rb") as file:
            written = json.loads(file.read(MAX_BYTES))
        return Pause(host, float(written["when"]), str(written["who"]), str(written["why"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Pause(host, 0.0, "?", f"{path} can't be read")


def pause(directory: Path, wanted: Pause) -> None:
    """Write down that a host is paused, in place of an earlier pause of it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = json.dumps({"when": wanted.when, "who": wanted.who, "why": wanted.why[:MAX_WHY]})
    # For all to read: lonc may run as another user than the administrator, and the directory is closed.
    with replacing(directory / f"{wanted.host}{ENDING}", 0o644) as file:
        file.write(f"{content}\n".encode())


def resume(directory: Path, host: str) -> bool:
    """Forget the pause of a host; False if it is not paused."""
    try:
        (directory / f"{host}{ENDING}").unlink()
    except FileNotFoundError:
        return False
    sync_directory(directory)
    return True
