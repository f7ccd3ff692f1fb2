"""What killed processes and ended sessions leave behind: it is deleted when it is old enough, or told.

Sockets on which nobody listens are told, not deleted: lonc removes its own when it starts, and only it knows them.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from common.config import Config
from common.durable import PREFIX
from loncron.visit import Visit
from lonnet.sessions import Sessions
from lonstatus.daemons import is_running
from lonstatus.findings import Finding, Level

log = logging.getLogger(__name__)

NAME = "leftovers"
_HIDDEN = re.compile(r"\..+\.(\d+)")  # of lonSockDir: bound or written, but not renamed into place yet


def sessions(visit: Visit) -> Iterator[Finding]:
    """Delete the files of sessions that ended; finds nothing to complain of."""
    if visit.dry:
        return
    try:
        number = Sessions(visit.site.config).sweep()
    except OSError as error:
        yield Finding(Level.WARNING, NAME, "sessions", f"ended sessions can't be deleted: {error}")
        return
    if number:
        log.info("%d ended sessions deleted", number)


def unfinished(visit: Visit) -> Iterator[Finding]:
    """Delete what unfinished writes left, once it is older than lonTemporaryExpire; a warning if that fails."""
    for path in _unfinished(visit.site.config):
        try:
            if visit.now - path.lstat().st_mtime > visit.site.config.temporary_expire and not visit.dry:
                path.unlink()
                log.info("%s, left by a process that was killed, is deleted", path)
        except FileNotFoundError:  # it has been finished meanwhile
            continue
        except OSError as error:
            text = f"{path}, left by a process that was killed, can't be deleted: {error.strerror}"
            yield Finding(Level.WARNING, NAME, str(path), text)


def _unfinished(config: Config) -> Iterator[Path]:
    for directory in (
        config.ids_dir,
        config.delayed_dir,
        config.daemons_dir / "loncron",
        config.doc_root / "lon-status",
    ):
        if directory.is_dir():
            yield from directory.glob(f"{PREFIX}*")
    for path in config.sock_dir.iterdir() if config.sock_dir.is_dir() else ():
        match = _HIDDEN.fullmatch(path.name)
        if match and not Path("/proc", match[1]).exists():
            yield path


def sockets(visit: Visit) -> Iterator[Finding]:
    """A warning for each socket of a link on which nobody listens."""
    directory = visit.site.config.sock_dir
    for host in visit.site.table.hosts:
        path = directory / host
        if _is_stale(path) and _is_stale(path):  # the second time, for one that was just being replaced
            how = "loncontrol retry" if is_running(visit.site, "lonc") else "loncontrol start"
            text = f"nobody listens on {path}, so callers wait in vain; {how} {host if 'retry' in how else ''}".rstrip()
            yield Finding(Level.WARNING, NAME, f"socket {host}", text)


def _is_stale(path: Path) -> bool:
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return True
        except OSError:  # a full backlog, no permission, or gone: somebody is there, or nothing is
            return False
    return False
