"""Reading the GDBM files of the original, whatever of this machine can.

Python's `dbm.gnu`, if Python was built with it, else one perl process with its module GDBM_File. Perl gets file names
on its input, each after its length, and answers with frames: ``D`` a key and a value, ``Z`` the end of the file, ``E``
why it can't be read.

Promises: files are opened for reading only and not changed. A damaged file ends in an error, not in a loop: more data
than the file is long can't be right. Waiting for perl ends after :data:`READ_SECONDS` without an answer.

Raises: :class:`NotPossible` if neither is there, saying how to get them; :class:`BadData` for a file that can't be
read. Logs nothing.
"""

from __future__ import annotations

import importlib
import os
import select
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from lonuser.errors import BadData, NotPossible

READ_SECONDS = 60.0
CHECK_SECONDS = 30.0  # for perl to say whether it has the module

Item = tuple[bytes, bytes]

_MISSING = (
    "GDBM files can not be read on this machine: it needs Python's module dbm.gnu (Debian: python3-gdbm) or perl with "
    "GDBM_File (Debian: perl; Red Hat: perl-GDBM_File); install one of them, then repeat the command"
)
_LENGTH = struct.Struct(">I")
_PROGRAM = r"""
use strict; use GDBM_File; use IO::Handle; binmode STDIN; binmode STDOUT;
sub frame { print pack('a N/a* N/a*', @_); }
sub show {
    my %hash;
    open(my $file, '<', $_[0]) or die "$!\n";  # $! says nothing certain of what GDBM complains of
    tie(%hash, 'GDBM_File', $_[0], &GDBM_READER, 0) or die(($GDBM_File::gdbm_errno || 'no word from GDBM') . "\n");
    while (my ($key, $value) = each %hash) { frame('D', $key, $value); }
    untie %hash;
}
while (read(STDIN, my $head, 4) == 4) {
    my $length = unpack('N', $head);
    read(STDIN, my $file, $length) == $length or exit 1;
    if (eval { show($file); 1 }) { frame('Z', '', ''); } else { frame('E', "$@", ''); }
    STDOUT->flush();
}
"""


class Reader(Protocol):
    """Something that reads GDBM files; used in a `with` statement."""

    def read(self, path: Path) -> Iterator[Item]:
        """All keys and values of a file, in the file's order."""

    def __enter__(self) -> Reader:
        """Starts what has to be started."""

    def __exit__(self, *_: object) -> None:
        """Ends it."""


def import_gnu() -> Any:
    """The module dbm.gnu, None if this Python lacks it."""
    try:
        return importlib.import_module("dbm.gnu")
    except ImportError:
        return None


def find_perl() -> str | None:
    """The path of a perl that has GDBM_File."""
    perl = shutil.which("perl")
    if perl is None:
        return None
    try:
        check = subprocess.run([perl, "-MGDBM_File", "-e", "1"], capture_output=True, timeout=CHECK_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return perl if check.returncode == 0 else None


def find_reader(gnu: Callable[[], Any] = import_gnu, perl: Callable[[], str | None] = find_perl) -> Reader:
    """What this machine can read GDBM files with.

    :raises NotPossible: nothing.
    """
    module = gnu()
    if module is not None:
        return GnuReader(module)
    program = perl()
    if program is not None:
        return PerlReader(program)
    raise NotPossible(_MISSING)


class GnuReader:
    """Reads by Python's own module."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def read(self, path: Path) -> Iterator[Item]:
        """See :class:`Reader`."""
        try:
            with self._module.open(str(path), "r") as file:
                yield from _bounded(path, self._items(file))
        except (self._module.error, OSError) as error:
            raise _unreadable(path, str(error)) from None

    @staticmethod
    def _items(file: Any) -> Iterator[Item]:
        key = file.firstkey()
        while key is not None:
            yield key, file[key]
            key = file.nextkey(key)

    def __enter__(self) -> GnuReader:
        return self

    def __exit__(self, *_: object) -> None:
        return


class PerlReader:
    """Reads by one perl process, which lives as long as the `with` statement.

    :param perl: the path of a perl that has GDBM_File.
    """

    def __init__(self, perl: str) -> None:
        self._perl = perl
        self._process: subprocess.Popen[bytes] | None = None
        self._received = bytearray()

    def read(self, path: Path) -> Iterator[Item]:
        """See :class:`Reader`. After a file that was not read to its end another perl is started for the next one."""
        ended = False
        try:
            self._ask(path)
            yield from _bounded(path, self._answers(path))
            ended = True
        except OSError as error:
            raise _unreadable(path, f"perl: {error}") from None
        finally:
            if not ended:
                self._stop()

    def __enter__(self) -> PerlReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _ask(self, path: Path) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [self._perl, "-e", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        name = os.fsencode(path)
        assert self._process.stdin is not None
        self._process.stdin.write(_LENGTH.pack(len(name)) + name)
        self._process.stdin.flush()

    def _answers(self, path: Path) -> Iterator[Item]:
        while True:
            kind = self._bytes(path, 1)
            first, second = (self._bytes(path, _LENGTH.unpack(self._bytes(path, 4))[0]) for _ in range(2))
            if kind == b"Z":
                return
            if kind == b"E":
                raise _unreadable(path, first.decode("utf-8", "replace").partition("\n")[0])
            yield first, second

    def _bytes(self, path: Path, size: int) -> bytes:
        """The next `size` bytes of perl's output."""
        assert self._process is not None and self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while len(self._received) < size:
            if not select.select([descriptor], [], [], READ_SECONDS)[0]:
                raise _unreadable(path, f"no answer from perl within {READ_SECONDS:.0f} s")
            data = os.read(descriptor, 65536)
            if not data:
                raise _unreadable(path, "perl ended in the middle of it")
            self._received += data
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _stop(self) -> None:
        process, self._process = self._process, None
        self._received.clear()
        if process is not None:
            process.kill()
            process.communicate()


def _bounded(path: Path, items: Iterator[Item]) -> Iterator[Item]:
    """Passes items on as long as they can all be in the file: a damaged one may lead round and round."""
    room = path.stat().st_size
    for key, value in items:
        room -= len(key) + len(value) + 1
        if room < 0:
            raise _unreadable(path, "it says more than it can hold")
        yield key, value


def _unreadable(path: Path, reason: str) -> BadData:
    return BadData(f"{path} can not be read as a GDBM file ({reason}); restore it from a backup or take it away")
