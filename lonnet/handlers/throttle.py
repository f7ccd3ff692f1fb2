"""How many log-ins may fail from one address, say, or with one known browser: a bucket of tries for each.

The buckets are shared by all processes of the web server.
A bucket has `burst` tries. A try is taken before a password is checked, so that many at once don't get more, and
given back if it was right; every `interval` seconds one comes back by itself. lond's own throttle stands beside this
one: it counts by user, asking host and lane, which is all it sees.

A bucket is a file of eight bytes, the time at which it will be full again. Full ones need no file.

Promises: exact with any number of processes and threads. Raises OSError when the directory can't be used. Logs nothing.

Known limits: who shares an address shares its tries. All addresses of an IPv6 /64 count as one.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FULL_AT = struct.Struct("<d")


class Throttle:
    """The buckets of one host.

    :param directory: where they are; made when it is first needed.
    :param burst: tries in a full bucket.
    :param interval: seconds after which one comes back; 0: there is no limit.
    :param clock: UNIX seconds, the same for all processes.
    """

    def __init__(self, directory: Path, burst: int, interval: float, clock: Callable[[], float] = time.time) -> None:
        self._directory, self._burst, self._interval, self._clock = directory, burst, interval, clock

    def take(self, bucket: str) -> float:
        """Take one try.

        :param bucket: of one of the functions below.
        :returns: 0.0; or the seconds until there is one, then none was taken.
        """
        if not self._interval:
            return 0.0
        with self._opened(bucket) as descriptor:
            now = self._clock()
            full_at = self._full_at(descriptor, now) + self._interval
            wait = full_at - now - self._burst * self._interval
            if wait <= 0:
                os.pwrite(descriptor, _FULL_AT.pack(full_at), 0)
            return max(wait, 0.0)

    def give_back(self, bucket: str) -> None:
        """Give one try back."""
        if self._interval:
            self._change(bucket, -self._interval)

    def sweep(self) -> None:
        """Delete the files of buckets that are full."""
        with suppress(FileNotFoundError):
            for path in self._directory.iterdir():
                self._change(path.name, 0.0)

    def _change(self, bucket: str, seconds: float) -> None:
        with self._opened(bucket) as descriptor:
            now = self._clock()
            full_at = self._full_at(descriptor, now) + seconds
            if full_at > now:
                os.pwrite(descriptor, _FULL_AT.pack(full_at), 0)
            else:
                (self._directory / bucket).unlink()  # ours to delete, for we have its lock

    def _full_at(self, descriptor: int, now: float) -> float:
        """When a bucket will be full; now if it is, or if what stands there is impossible (a wrong clock, a fault)."""
        data = os.pread(descriptor, _FULL_AT.size, 0)
        full_at: float = _FULL_AT.unpack(data)[0] if len(data) == _FULL_AT.size else now
        return full_at if now < full_at <= now + self._burst * self._interval else now

    @contextmanager
    def _opened(self, bucket: str) -> Iterator[int]:
        """The locked file of a bucket, made if there is none."""
        self._directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # the mode is the last one's alone
        self._directory.mkdir(mode=0o700, exist_ok=True)
        while True:
            descriptor = os.open(self._directory / bucket, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_nlink:  # else it was deleted before its lock was ours
                    yield descriptor
                    return
            finally:
                os.close(descriptor)


def of_browser(nonce: bytes) -> str:
    """The bucket of a known browser's token, which is no address's."""
    return f"browser-{nonce.hex()}"


def of_address(address: str) -> str:
    """The bucket of an address; what is none shares one."""
    return _network(address, 32, 64)


def of_strangers_at(address: str) -> str:
    """The bucket of an address for those who are strangers to the user as whom they log in."""
    return f"strangers-{of_address(address)}"


def of_network_and_user(address: str, user: str, domain: str) -> str:
    """The bucket of those who log in as a user from somewhere near an address."""
    who = hashlib.blake2b(f"{domain}\0{user}".encode("utf-8", "surrogatepass"), digest_size=16)
    return f"{_network(address, 24, 48)}-{who.hexdigest()}"


def _network(address: str, prefix_4: int, prefix_6: int) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    prefix = prefix_4 if parsed.version == 4 else prefix_6
    return str(ipaddress.ip_network((parsed, prefix), strict=False).network_address)
