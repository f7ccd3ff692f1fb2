"""What one run of loncron leaves to the next, and that there is never more than one run.

The files are in ``loncron/`` below lonDaemons; while nothing can be written there (a full disk), what the next run
must know is in lonSockDir, which is on no disk: else the same mail would go out at every run. What can't be read
counts as never written: a run then sees everything as new, and mails once more than it had to.

Raises: :class:`AnotherRuns`, OSError.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common.config import Config
from common.durable import replacing
from lonstatus.findings import Finding


class AnotherRuns(Exception):
    """Another loncron of this host is at work."""


@dataclass(slots=True)
class Mark:
    """How far a log has been read: which file, and up to which byte."""

    device: int
    inode: int
    offset: int


@dataclass(slots=True)
class Memory:
    """See the module.

    :param logs: by the name of the log.
    :param mailed: keys of the warnings and errors that were mailed; None: nothing since all was well.
    :param copies: what the last look at unused copies found; it comes last in a run, so it is told in the next one.
    """

    logs: dict[str, Mark] = field(default_factory=dict)
    mailed: list[str] | None = None
    copies: list[Finding] = field(default_factory=list)

    @classmethod
    def read(cls, config: Config) -> Memory:
        """What the last run left."""
        path = _second_path(config)
        try:
            values = json.loads((path if path.exists() else _path(config)).read_bytes())
            logs = {str(name): Mark(*(int(number) for number in mark)) for name, mark in values["logs"].items()}
            mailed = None if values["mailed"] is None else [str(key) for key in values["mailed"]]
            return cls(logs, mailed, [Finding.from_json(copy) for copy in values["copies"]])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def write(self, config: Config) -> None:
        """Leave it to the next run.

        :raises OSError: it can't be written, to neither place.
        """
        values = {
            "logs": {name: (mark.device, mark.inode, mark.offset) for name, mark in self.logs.items()},
            "mailed": self.mailed,
            "copies": [finding.as_json() for finding in self.copies],
        }
        data = json.dumps(values, indent=1).encode()
        try:
            _replace(_path(config), data)
        except OSError as error:
            try:
                _replace(_second_path(config), data)
            except OSError:
                raise error from None
        else:
            _second_path(config).unlink(missing_ok=True)  # as long as it is there, it is the newer one


def directory(config: Config) -> Path:
    """Where loncron keeps its files."""
    return config.daemons_dir / "loncron"


def _path(config: Config) -> Path:
    return directory(config) / "state.json"


def _second_path(config: Config) -> Path:
    return config.sock_dir / ".loncron.json"  # host ids never begin with a dot


def _replace(path: Path, data: bytes) -> None:
    with replacing(path, 0o640) as file:
        file.write(data)


@contextmanager
def alone(config: Config) -> Iterator[None]:
    """Be the only loncron of this host.

    :raises AnotherRuns: one is at work already.
    :raises OSError: the lock can't be made.
    """
    directory(config).mkdir(mode=0o750, parents=True, exist_ok=True)
    fd = os.open(directory(config) / "lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AnotherRuns("another loncron is at work") from None
        yield
    finally:
        os.close(fd)
