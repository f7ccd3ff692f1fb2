"""The text of a configuration file or table, or what keeps anybody from reading it.

Only regular files are opened, so that no reader can hang. Raises: :class:`ConfigError` only. Logs nothing.
"""

from __future__ import annotations

import codecs
import stat
from pathlib import Path

from common.errors import ConfigError


def read_text(path: Path) -> str:
    """The text of a regular UTF-8 file, a byte order mark removed.

    :raises ConfigError: it is missing, unreadable, not a regular file, or not UTF-8 (with the line).
    """
    data = read_file(path)
    if (fault := wrong_byte(data, str(path))) is not None:
        raise fault
    return data.decode("utf-8")


def read_file(path: Path) -> bytes:
    """The bytes of a regular file, a byte order mark removed.

    :raises ConfigError: it is missing, unreadable or not a regular file.
    """
    try:
        # A FIFO or a terminal would keep the reader waiting without end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(str(path), 0, "", "is not a regular file")
        return path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise ConfigError(str(path), 0, "", f"cannot be read: {error.strerror}") from error


def wrong_byte(data: bytes, file: str) -> ConfigError | None:
    """Where it is not UTF-8, None if it is."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return ConfigError(file, line, "", f"byte 0x{data[error.start]:02x} is not UTF-8; save the file in UTF-8")
    return None
