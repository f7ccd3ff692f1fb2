"""One connection to a lonc child's UNIX socket: a request line out, its reply line back.

The common case is one send and one recv on a blocking socket. The time limit is the kernel's (SO_RCVTIMEO,
SO_SNDTIMEO), as Python's own time-outs cost a poll for each call; it is set again only when another one is wanted.

What is known when it fails (stream sockets of the UNIX domain on Linux; a lonc child answers every request that
it has read before it closes, and closes over unread data only if it never looked at it):

==========================================  ========================================================  ===============
what happens                                what it means                                             raised
==========================================  ========================================================  ===============
connect: ENOENT, ECONNREFUSED               no child: the link is down, or lonc is not running        NoChild
connect: EAGAIN                             the child accepts nobody (backlog full) until the limit   NoReply
connect: any other error                    this machine's fault: permission, descriptors, path       Unusable
send: EPIPE, ECONNRESET                     closed by the child while idle, or before the end of the  NotExecuted
                                            line was sent: no whole request reached it
send: ENOTCONN                              a signal ended the connect's waiting: never connected     NotExecuted
recv: ECONNRESET before any reply byte      closed by the child over the unread request, or its       NotExecuted
                                            listener closed before it accepted us
recv: end of file before any reply byte     read, then closed: executed or not, nobody can say        NoReply
recv: end of file, ECONNRESET after some    executed, but the reply is cut                            NoReply
send or recv: EAGAIN                        the limit has passed                                      NoReply
recv: bytes after the line's end            the order of the replies is lost                          NoReply
recv: longer than the limit for replies     not a reply, or not one that memory should hold           NoReply
==========================================  ========================================================  ===============

Promises: an exchange that raised, whatever it raised, has closed the connection, so that a late reply is never read
by another request. The limit covers the whole exchange. Logs nothing.

Known limits: a signal handler that runs in the waiting thread makes the kernel's limit start anew (recv is called
again, PEP 475); signals that come more often than the limit is long can prolong the wait until the lonc child's own
time-out answers. A connection belongs to one thread; nothing here locks.
"""

from __future__ import annotations

import errno
import socket
import struct
from time import monotonic

from common.config import Config
from common.errors import PeerUnavailable

RECEIVE_BYTES = 4096  # of the first recv: most replies are shorter, and a small buffer costs no time to make
RECEIVE_MORE_BYTES = 262144  # of each further recv of a long reply
SEND_BYTES = 32768  # of one send: the kernel applies its limit to every 32 KiB anew, so longer lines go in pieces

_UNSET = -1.0
_CLOSED_UNREAD = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)


class NoChild(PeerUnavailable):
    """Nobody listens at the socket's path: the request was not sent."""


class Unusable(NoChild):
    """The socket can't be reached for a reason on this machine that an administrator should hear of."""


class NotExecuted(PeerUnavailable):
    """The request was certainly not executed; trying again on a new connection is safe."""


class NoReply(PeerUnavailable):
    """No whole reply came; the request may have been executed or not."""


def socket_path(config: Config, host: str) -> str:
    """Where the lonc child of `host` listens while its link is up."""
    return str(config.sock_dir / host)


def seconds_left(deadline: float) -> float:
    """Seconds until `deadline` (monotonic clock), more than 0.

    :raises NoReply: it has passed.
    """
    left = deadline - monotonic()
    if left <= 0:
        raise NoReply("time limit passed")
    return left


class Connection:
    """A connected UNIX socket with at most one request outstanding.

    :param path: of the child's socket.
    :param deadline: until when the child must have accepted (monotonic clock).
    :param max_reply: bytes of the longest reply that is read.
    :raises PeerUnavailable: NoChild, Unusable or NoReply; see the table.
    """

    __slots__ = ("_limit", "_max_reply", "_recv", "_sendall", "_socket")

    def __init__(self, path: str, deadline: float, max_reply: int) -> None:
        self._socket = _connected(path, deadline)
        self._sendall, self._recv = self._socket.sendall, self._socket.recv
        self._limit = _UNSET
        self._max_reply = max_reply

    def exchange(self, line: bytes, limit: float, deadline: float) -> bytes:
        """Send `line` (with its LF), return the reply line without its LF.

        :param limit: seconds for the reply to begin; a value that stays the same from call to call is cheapest.
        :param deadline: when all must be over (monotonic clock).
        :raises PeerUnavailable: NotExecuted or NoReply; the connection is closed then.
        """
        try:
            if limit != self._limit:
                self._set_limit(limit)
            if len(line) <= SEND_BYTES:  # fits the socket's empty buffer: never waits
                self._sendall(line)
            else:
                self._send_pieces(line, deadline)
            reply = self._recv(RECEIVE_BYTES)
            end = reply.find(b"\n")
            if end >= 0 and end == len(reply) - 1:
                return reply[:end]
        except BlockingIOError:
            self.close()
            raise NoReply("time limit passed") from None
        except OSError as error:
            self.close()
            raise _meaning(error) from error
        except BaseException:  # raised by a signal handler, say: a reply may still be on its way
            self.close()
            raise
        return self._read_on(reply, deadline)

    def _set_limit(self, limit: float) -> None:
        _limit_wait(self._socket, socket.SO_RCVTIMEO, limit)
        _limit_wait(self._socket, socket.SO_SNDTIMEO, limit)
        self._limit = limit

    def _send_pieces(self, line: bytes, deadline: float) -> None:
        rest = memoryview(line)
        self._limit = _UNSET
        while rest:
            _limit_wait(self._socket, socket.SO_SNDTIMEO, seconds_left(deadline))
            rest = rest[self._socket.send(rest[:SEND_BYTES]) :]
        _limit_wait(self._socket, socket.SO_RCVTIMEO, seconds_left(deadline))

    def _read_on(self, begun: bytes, deadline: float) -> bytes:
        reply = bytearray()
        self._limit = _UNSET
        try:
            piece = begun
            while piece:
                self._take_piece(reply, piece)
                if reply.endswith(b"\n"):
                    del reply[-1:]
                    return bytes(reply)
                _limit_wait(self._socket, socket.SO_RCVTIMEO, seconds_left(deadline))
                piece = self._recv(RECEIVE_MORE_BYTES)
            raise NoReply("closed within a reply" if reply else "closed without a reply")
        except BlockingIOError:
            self.close()
            raise NoReply("time limit passed") from None
        except OSError as error:
            self.close()
            raise NoReply(f"lost within a reply: {error}") from error
        except BaseException:
            self.close()
            raise

    def _take_piece(self, reply: bytearray, piece: bytes) -> None:
        if -1 < piece.find(b"\n") < len(piece) - 1:
            raise NoReply("more than one reply to one request")
        reply += piece
        if len(reply) > self._max_reply:
            raise NoReply(f"reply longer than {self._max_reply} bytes (lonMaxReply)")

    def close(self) -> None:
        """Close the descriptor, and nothing more: a shutdown() would cut off the process it was inherited from."""
        self._socket.close()


def _connected(path: str, deadline: float) -> socket.socket:
    limit = seconds_left(deadline)
    try:
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as error:
        raise Unusable(f"{path}: {error}") from error
    try:
        connecting.settimeout(None)  # whatever socket.setdefaulttimeout() says
        _limit_wait(connecting, socket.SO_SNDTIMEO, limit)
        connecting.connect(path)
    except BlockingIOError:
        connecting.close()
        raise NoReply("time limit passed before the child accepted") from None
    except (FileNotFoundError, ConnectionRefusedError) as error:
        connecting.close()
        raise NoChild(f"{path}: {error}") from error
    except OSError as error:
        connecting.close()
        raise Unusable(f"{path}: {error}") from error
    except BaseException:
        connecting.close()
        raise
    return connecting


def _limit_wait(waiting: socket.socket, option: int, seconds: float) -> None:
    # 0 would mean "no limit" to the kernel, hence at least a microsecond
    microseconds = max(1, int(seconds * 1_000_000))
    waiting.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", *divmod(microseconds, 1_000_000)))


def _meaning(error: OSError) -> PeerUnavailable:
    if error.errno in _CLOSED_UNREAD:
        return NotExecuted(f"closed by the child before it read the request: {error}")
    return NoReply(str(error))
