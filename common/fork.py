"""The one function of this project that forks.

A signal that arrives between the fork and the child's own handlers would be lost, or delivered to the parent's
pipe; so signals are blocked before the fork, and the child's loop unblocks them when it can deliver them. A child
never returns into its parent's frames: whatever happens, it ends in ``os._exit``.

:func:`prepare_for_children` moves everything that exists into the permanent generation of the garbage collector, so
that collections in children do not touch, and thereby copy, the memory they share with their parent.
"""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

from common.loop import OUR_SIGNALS

log = logging.getLogger(__name__)

EXIT_BUG = 70  # sysexits' EX_SOFTWARE: an exception that nobody expected


def fork(release: Callable[[], None], body: Callable[[], int]) -> int:
    """Fork; the child calls `release`, then `body`, and exits with the code that `body` returns.

    :param release: closes what the parent owns and the child does not; close(2) is the child's first act because
        close-on-exec does nothing on fork.
    :param body: the child's life. Signals stay blocked until its loop runs.
    :returns: the child's process id.
    :raises OSError: no process could be made (EAGAIN, ENOMEM).
    """
    if threading.active_count() != 1:
        raise RuntimeError("a process that forks has no threads: their locks would stay locked in the child")
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, OUR_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _live(release, body)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)


def _live(release: Callable[[], None], body: Callable[[], int]) -> None:
    code = EXIT_BUG
    try:
        for number in OUR_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        release()
        random.seed()
        code = body()
    except BaseException:
        log.exception("this process ends because of an unexpected error")
    finally:
        with suppress(Exception):
            logging.shutdown()
        os._exit(code)


def prepare_for_children() -> None:
    """Call once before the first fork, when all modules are loaded."""
    gc.collect()
    gc.freeze()
