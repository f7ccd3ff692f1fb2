"""What the system refuses, as the request hears of it and the log tells.

Logs one error line for each refusal.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lond.records.faults import system_error

_log = logging.getLogger(__name__)


@contextmanager
def trouble_with(path: Path) -> Iterator[None]:
    """An OSError in the block, which reads `path`, becomes the StorageError of its number."""
    try:
        yield
    except OSError as error:
        _log.error("%s can't be read: %s", path, error.strerror)
        raise system_error(error) from error
