"""reconlonc: ask this machine's lonc to try every lost link again now, and wait for one host's socket.

Promises: a process is signalled only if it holds the lock of lonc.pid (common.pidfile); a stale or reused number is
never hit. The wait ends after :data:`FIRST_WAIT` plus :data:`SECOND_WAIT` seconds. Raises nothing. Logs a warning
when nobody could be signalled, and an info line when the first wait was in vain.

Known limit: looking at the lock takes it, shared, for some microseconds; a lonc that starts just then finds its
pid file locked and has to try again.
"""

from __future__ import annotations

import logging
import signal
import time
from pathlib import Path

from common.pidfile import pid_path, signal_daemon
from common.site import Site
from lonnet.connection import socket_path

log = logging.getLogger(__name__)

FIRST_WAIT = 1.0  # seconds, as classic: enough for a peer that answers
SECOND_WAIT = 5.0  # seconds: for a peer that is slow, or was just being tried
LOOK_EVERY = 0.02  # seconds between two looks for the socket


def reconlonc(
    site: Site, host: str | None = None, first_wait: float = FIRST_WAIT, second_wait: float = SECOND_WAIT
) -> bool:
    """Send USR1 to lonc; with `host`, then wait for its socket.

    :param host: host id; None: do not wait.
    :returns: lonc was signalled, and the socket of `host` (if given) is there.

    Source: classic-protocol, section 3.
    """
    if host is not None and host not in site.table:
        return False
    if not signal_daemon(pid_path(site.config, "lonc"), signal.SIGUSR1):
        log.warning("lonc can't be signalled: it does not run, or belongs to another user")
        return False
    if host is None:
        return True
    socket_file = Path(socket_path(site.config, host))
    if _appears(socket_file, first_wait):
        return True
    log.info("no socket of %s after %.0f s, waiting longer", host, first_wait)
    return _appears(socket_file, second_wait)


def _appears(socket_file: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not socket_file.is_socket():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(LOOK_EVERY, left))
    return True
