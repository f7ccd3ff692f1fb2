"""No core files: keys and passwords are in memory.

RLIMIT_CORE 1, not 0: where the kernel pipes cores to a program (systemd-coredump, apport) it ignores every limit but 1,
which it takes for "abort"; and no core file fits into one byte. Inherited over fork and exec.

Known limits: a process that may not raise a hard limit of 0 keeps that one; a service manager should be told 1 as well.
"""

from __future__ import annotations

import resource
from contextlib import suppress


def forbid_core_files() -> None:
    """Have this process and its children never leave their memory behind."""
    with suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
