"""Copies of resources that nobody uses any more are deleted, and their home servers told.

This may take long on a host with many copies, so it comes last in a run, and what it found is told by the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from common.errors import LonError
from loncron.visit import Visit
from lonnet import Lonnet
from lonstatus.findings import Finding, Level

log = logging.getLogger(__name__)

NAME = "copies"
SHOWN = 3  # of the copies that could not be deleted


def check(visit: Visit) -> Iterator[Finding]:
    """What the last run found."""
    yield from visit.memory.copies


def sweep(visit: Visit) -> None:
    """Delete unused copies; what went wrong is left to the next run."""
    net = Lonnet(visit.site)
    try:
        swept = net.resources.sweep()
    except (LonError, OSError) as error:
        visit.memory.copies = [Finding(Level.WARNING, NAME, "sweep", f"unused copies can't be looked for: {error}")]
        return
    finally:
        net.close()
    if swept.deleted or swept.leftovers:
        log.info("%d unused copies and %d incomplete files deleted", len(swept.deleted), swept.leftovers)
    failed = [f"{path} ({why})" for path, why in sorted(swept.failed.items())]
    text = f"{len(failed)} unused copies can't be deleted: {', '.join(failed[:SHOWN])}"
    visit.memory.copies = [Finding(Level.NOTICE, NAME, "failed", text)] if failed else []
