"""Files from another host's web server: streamed, limited in size and time, and from that host alone.

Promises: the connection goes to the host's address in hosts.tab, from lonBindAddress, whatever the URL says; a URL of
another host, or of another path than the one that was asked for, is refused. No redirect is followed. A server that
stays silent for lonHttpTimeout, sends too much, or drips so that the deadline passes ends the transfer.

Raises: TransferFailed, whatever went wrong: what a web server answers says nothing certain about a resource, for it may
be set up wrongly; its lond is believed. Logs nothing.

Known limits: TLS servers are checked against the system's certificate authorities.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from threading import Timer
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from common.errors import ConfigError
from common.hosts_table import Host
from common.site import Site, bind_address
from lonnet.deadline import Deadline
from lonnet.errors import TransferFailed

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection

CHUNK = 65536  # bytes

_URL = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::([0-9]{1,5}))?(/[!-~]*|)")
_LENGTH = re.compile("[0-9]{1,15}")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class WebServer:
    """Where a host serves files.

    :param host: its entry in hosts.tab.
    :param scheme: http or https.
    """

    host: Host
    scheme: str
    port: int

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        return self.host.hostname if self.port == _PORTS[self.scheme] else f"{self.host.hostname}:{self.port}"


@dataclass(frozen=True, slots=True)
class Received:
    """What came.

    :param length: bytes.
    :param headers: by name in lower case.
    """

    length: int
    headers: dict[str, str]


def server_of(url: str, host: Host) -> tuple[WebServer, str]:
    """The web server that a URL names, and the path, decoded.

    :param host: whose URL it must be; its port is free.
    :raises TransferFailed: it is another host's, or no plain URL.
    """
    found = _URL.fullmatch(url)
    if found is None or re.search(r"[?#\\]", url):
        raise TransferFailed(host.id, "its reply is not a URL that files are fetched from")
    scheme, name, port, path = found[1], found[2], found[3], found[4]
    if name.lower() not in (host.hostname.lower(), host.ip, f"[{host.ip}]"):
        raise TransferFailed(host.id, "its reply is the URL of another host")
    number = int(port) if port else _PORTS[scheme]
    if not 0 < number < 65536:
        raise TransferFailed(host.id, "its reply is a URL without a possible port")
    return WebServer(host, scheme, number), unquote(path, errors="surrogateescape")


class Web:
    """One connection to a host's web server; made by :func:`connected`."""

    def __init__(self, server: WebServer, connection: HTTPConnection, deadline: Deadline) -> None:
        self._server, self._connection, self._deadline = server, connection, deadline
        self._channel: socket.socket | None = None  # the connection forgets it when the server says that it will close
        self._is_cut = False

    def get(self, path: str, limit: int, take: Callable[[bytes], object]) -> Received:
        """Fetch a file.

        :param path: decoded, beginning with a slash.
        :param limit: bytes at most.
        :param take: gets the content piece by piece.
        :raises TransferFailed: it did not come, came incomplete, or is too long.
        """
        from urllib3.exceptions import HTTPError

        try:
            return self._get(path, limit, take)
        except (OSError, HTTPException, HTTPError) as error:
            if self._deadline.passed:
                raise self._failed("not done within the time that it may take") from None
            raise self._failed(self._reason(error)) from None

    def cut(self) -> None:
        """End what is under way, whatever it waits for; from any thread."""
        self._is_cut = True
        if self._channel is not None:
            with suppress(OSError):
                self._channel.shutdown(socket.SHUT_RDWR)  # wakes who waits for it; close would not

    def _connect(self) -> None:
        if self._connection.sock is None:
            self._connection.connect()
        self._channel = self._connection.sock
        if self._is_cut:  # before there was a channel to shut down
            raise TimeoutError("cut while it was being connected")

    def _get(self, path: str, limit: int, take: Callable[[bytes], object]) -> Received:
        headers = {"Host": self._server.authority, "Accept-Encoding": "identity", "User-Agent": "loncapa-net"}
        self._connect()
        self._connection.request("GET", quote(path), headers=headers, preload_content=False, decode_content=False)
        response = self._connection.getresponse()
        if response.status != 200:
            raise self._failed(f"status {response.status}")
        announced = {name.lower(): value for name, value in response.headers.items()}
        expected = announced.get("content-length", "")
        is_known = _LENGTH.fullmatch(expected) is not None
        if not is_known and announced.get("transfer-encoding") != "chunked":
            raise self._failed("no length is announced, so that a part could pass for the whole")
        if is_known and int(expected) > limit:
            raise self._failed(f"{expected} bytes, at most {limit} are taken")
        length = 0
        while data := response.read1(CHUNK):
            length += len(data)
            if length > limit:
                raise self._failed(f"more than {limit} bytes")
            if self._deadline.passed:
                raise self._failed("not done within the time that it may take")
            take(data)
        if self._is_cut:  # what ended was the connection
            raise self._failed("not done within the time that it may take")
        if is_known and int(expected) != length:
            raise self._failed(f"{length} bytes of {expected}")
        return Received(length, announced)

    def _reason(self, error: Exception) -> str:
        """What the system says, if an error of urllib3 hides that; else what is wrong with the answer."""
        cause = error.__cause__ or error
        if not isinstance(cause, OSError):
            return f"{type(error).__name__}: {error}"
        return f"its web server at {self._server.host.ip}, port {self._server.port}: {cause.strerror or cause}".lower()

    def _failed(self, reason: str) -> TransferFailed:
        return TransferFailed(self._server.host.id, reason)


@contextmanager
def connected(site: Site, server: WebServer, deadline: Deadline) -> Iterator[Web]:
    """A connection to a web server; it is cut when the deadline passes, whatever it waits for then.

    :raises TransferFailed: none could be made.
    """
    from urllib3.connection import HTTPConnection, HTTPSConnection

    try:
        source = bind_address(site)
    except ConfigError as error:
        raise TransferFailed(server.host.id, str(error)) from None
    seconds = min(site.config.http_timeout, deadline.left())
    address = (source, 0) if source else None
    if server.scheme == "https":
        connection: HTTPConnection = HTTPSConnection(
            server.host.ip, server.port, timeout=seconds, source_address=address,
            cert_reqs="CERT_REQUIRED", server_hostname=server.host.hostname,
        )  # fmt: skip
    else:
        connection = HTTPConnection(server.host.ip, server.port, timeout=seconds, source_address=address)
    web = Web(server, connection, deadline)
    timer = Timer(deadline.left(), web.cut)
    timer.daemon = True
    timer.start()
    try:
        yield web
    finally:
        timer.cancel()
        connection.close()
