"""The records of failed log-ins, in memory that all lond children of this machine share.

lond's parent makes the table before its first child is forked; nothing of it lies on disk, and a restart of lond
forgets it. It has a fixed number of places: a key belongs to one set of eight, and a new one takes the place in it
whose last failure is the longest ago. Which set that is nobody outside can tell, because keys are hashed with a secret
of this start, so that no flood of other names can aim at a record.

Promises: memory never grows. The table holds no name. A child that dies at any moment leaves no lock behind.

Raises: OSError from :meth:`ThrottleTable.create`. Logs nothing.

Known limits: a process that is stopped while it holds a lock is waited for only through LOCK_TRIES tries; then others
go on without, and two changes of one record at the same time may count once.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from lond.authentication.throttle import Record

SETS = 2048
PLACES = 8  # in a set
LOCK_TRIES = 1000

_PLACE = struct.Struct("<16sddI4x")  # key, failed_at, free_at, failures
_SET_BYTES = PLACES * _PLACE.size
_KEY_BYTES = 16

Result = TypeVar("Result")
Change = Callable[[Record], tuple[Record, Result]]


class ThrottleTable:
    """See the module. Made by :meth:`create`, shared with every process that is forked afterwards."""

    def __init__(self, descriptor: int, memory: mmap.mmap, secret: bytes) -> None:
        self._descriptor, self._memory, self._secret = descriptor, memory, secret

    @classmethod
    def create(cls) -> ThrottleTable:
        """An empty table.

        :raises OSError: no memory or no descriptor to be had.
        """
        size = SETS * _SET_BYTES
        descriptor = os.memfd_create("lond-throttle", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, size)
            return cls(descriptor, mmap.mmap(descriptor, size), os.urandom(32))
        except OSError:
            os.close(descriptor)
            raise

    def change(self, name: bytes, change: Change[Result]) -> Result:
        """Puts what `change` makes of a record in its place.

        :param name: whose it is: the name of a :class:`lond.authentication.throttle.Lane`, or what can't be one.
        :param change: from the record (an empty one, if there is none) to the new one and a result; pure and quick.
        """
        key = hashlib.blake2b(name, key=self._secret, digest_size=_KEY_BYTES).digest()
        set_ = int.from_bytes(key[:4], "little") % SETS
        with self._locked(set_):
            place, record = self._find(set_, key)
            new, result = change(record)
            if new != record:
                _PLACE.pack_into(self._memory, place, key, new.failed_at, new.free_at, new.failures)
        return result

    def close(self) -> None:
        """Gives up this process's hold on the table."""
        self._memory.close()
        os.close(self._descriptor)

    def _find(self, set_: int, key: bytes) -> tuple[int, Record]:
        """Where the record of a key is or will be, and what it says."""
        oldest, oldest_at = 0, float("inf")
        start = set_ * _SET_BYTES
        for place in range(start, start + _SET_BYTES, _PLACE.size):
            there, failed_at, free_at, failures = _PLACE.unpack_from(self._memory, place)
            if there == key:
                return place, Record(failures, failed_at, free_at)
            if failed_at < oldest_at:  # an empty place failed at 0
                oldest, oldest_at = place, failed_at
        return oldest, Record()

    @contextmanager
    def _locked(self, set_: int) -> Iterator[None]:
        """Holds the lock on one set: a record lock, which the system takes back from a dead process."""
        held = any(self._try_lock(set_) for _ in range(LOCK_TRIES))
        try:
            yield
        finally:
            if held:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, set_)

    def _try_lock(self, set_: int) -> bool:
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, set_)  # one byte of the file for each set
        except OSError:
            os.sched_yield()
            return False
        return True
