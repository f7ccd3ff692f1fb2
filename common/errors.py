"""The errors of this project, one tree by cause.

Three places catch by class: per command, per connection, per process. What is not in this
tree is a bug: its traceback is logged and the unit that met it ends.
"""

from __future__ import annotations


class LonError(Exception):
    """Root of all errors that are ours."""


class ConfigError(LonError):
    """A configuration or table file is wrong.

    :param file: the file's path as it was opened.
    :param line: 1-based line number, 0 if the error belongs to the whole file.
    :param name: the variable or field at fault, "" if there is none.
    :param reason: what is wrong and what would be right.
    """

    def __init__(self, file: str, line: int, name: str, reason: str) -> None:
        self.file, self.line, self.name, self.reason = file, line, name, reason
        place = f"{file}:{line}" if line else file
        super().__init__(f"{place}: {name}: {reason}" if name else f"{place}: {reason}")

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, int, str, str]]:
        return ConfigError, (self.file, self.line, self.name, self.reason)


class ProtocolError(LonError):
    """The rules of the wire were broken; the link is of no further use."""


class LocalProtocolError(ProtocolError):
    """Our own side was about to break the rules: a bug of ours, nothing was sent."""


class PeerProtocolError(ProtocolError):
    """The other side broke the rules: close, count, go on."""


class PeerUnavailable(LonError):
    """A host can't be reached now; trying again later makes sense."""


class Refused(LonError):
    """The other side said no; trying again does not help."""


class SpoolError(LonError):
    """The FIFO of delayed messages could not be read or written."""
