"""The UNIX socket of one host, on which callers connect.

Its file exists exactly while the link is up. It is bound under a hidden name before a link is made, so that nothing is
sent over one that nobody could use, and renamed into place when the link stands; that is also how a fresh child takes
the path over from the one before it. Only a path that is still ours is unlinked.

Logs: why nobody can be accepted for the moment.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from common.loop import READ, Loop

log = logging.getLogger(__name__)

ACCEPT_PAUSE = 1.0  # seconds without accepting when no descriptor is free
BACKLOG = 1024


def hidden_path(path: Path, pid: int) -> Path:
    """Where the socket of a child is until its link stands."""
    return path.with_name(f".{path.name}.{pid}")


class Listener:
    """See the module.

    :param path: lonSockDir/HOST.
    :param has_room: whether one more may connect.
    :param on_connection: takes each connection, which does not block.
    """

    def __init__(
        self, loop: Loop, path: Path, has_room: Callable[[], bool], on_connection: Callable[[socket.socket], None]
    ) -> None:
        self._loop, self._has_room, self._on_connection = loop, has_room, on_connection
        self._path = self._file = path
        self._socket: socket.socket | None = None
        self._identity = (0, 0)

    def prepare(self) -> None:
        """Make the socket, under a name that no caller looks for.

        :raises OSError: the directory is gone, or takes no file.
        """
        hidden = hidden_path(self._path, os.getpid())
        with suppress(FileNotFoundError):
            hidden.unlink()  # of an earlier process with our number
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listener.bind(str(hidden))
            hidden.chmod(0o660)
            listener.listen(BACKLOG)
            status = hidden.stat()
        except OSError:
            listener.close()
            with suppress(OSError):
                hidden.unlink()
            raise
        self._identity = (status.st_dev, status.st_ino)
        self._socket, self._file = listener, hidden

    def appear(self) -> None:
        """Put the prepared socket file in place: from now on there is a link.

        :raises OSError: the directory is gone, or takes no file any more.
        """
        assert self._socket is not None
        self._file.rename(self._path)
        self._file = self._path
        self._loop.watch(self._socket, READ, self._accept)

    def disappear(self) -> None:
        """Take the socket file away, unless another child has put its own there; accept nobody any more."""
        if self._socket is None:
            return
        with suppress(OSError):  # the directory may be gone too, or closed to us
            status = self._file.stat()
            if (status.st_dev, status.st_ino) == self._identity:
                self._file.unlink()
        self._loop.forget(self._socket)
        self._socket.close()
        self._socket = None

    @property
    def vanished(self) -> bool:
        """Whether nobody finds the socket file though we serve; another child's in its place is all right."""
        serves = self._socket is not None and self._file == self._path
        return serves and not os.path.exists(self._path)  # noqa: PTH110 - Path.exists may raise

    def _accept(self, _mask: int) -> None:
        assert self._socket is not None
        while self._has_room():
            try:
                channel, _ = self._socket.accept()
            except BlockingIOError:  # nobody left
                return
            except OSError as error:
                log.error("can't accept callers: %s; next try in %.0f s", error, ACCEPT_PAUSE)
                self._loop.call_later(ACCEPT_PAUSE, self.accept_again)
                break
            channel.setblocking(False)
            self._on_connection(channel)
        self._loop.forget(self._socket)

    def accept_again(self) -> None:
        """There is room."""
        if self._socket is not None:
            self._loop.forget(self._socket)
            self._loop.watch(self._socket, READ, self._accept)
