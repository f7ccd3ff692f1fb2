"""A web server that serves /raw/ as a host's handlers do, for tests without them; standard library only.

It counts what it serves, and can be told to break off, to wait, or to answer otherwise.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from common.errors import LonError
from common.metadata import MAX_BYTES
from common.resource_jobs import ResourceJobs, jobs_path
from common.resource_path import META
from lonnet import Lonnet
from lonnet.errors import AccessDenied
from tests.helpers.federation import Federation, Host
from tests.helpers.waiting import eventually

Answer = Callable[["RawHandler", str], bool]
Part = Callable[["RawHandler", bytes], bytes]


def whole(_handler: RawHandler, content: bytes) -> bytes:
    """All of it."""
    return content


class RawServer:
    """The web server of one host.

    :param net: of the host whose tree is served.
    """

    def __init__(self, host: Host, net: Lonnet, port: int = 0) -> None:
        self.net = net
        self.served: Counter[str] = Counter()  # requests for content, by path
        self.sources: Counter[tuple[str, str]] = Counter()  # the same by path and source address
        self.before: Answer | None = None  # True: it has answered itself
        self.part: Part = whole  # what is sent of a content
        server = self

        class Handler(RawHandler):
            owner = server

        self._server = _Quiet((host.ip, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def wait_until_quiet(self, federation: Federation) -> None:
        """Wait until no host has anything to fetch, and no connection is open."""

        def quiet() -> None:
            for host in federation.hosts.values():
                path = jobs_path(host.site().config)
                if path.exists():
                    jobs = ResourceJobs(path)
                    waiting = jobs.waiting()
                    jobs.close()
                    assert waiting == [], f"{host.id} has still to do: {waiting}"
            assert self._server.open == 0

        eventually(quiet)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class HalfWay:
    """A transfer that is held in its middle: `begun` when half of the content was sent, the rest after `go_on`.

    For the `part` of a server; it holds one content only.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, handler: RawHandler, content: bytes) -> bytes:
        if content != self._content or self.begun.is_set():
            return content
        middle = len(content) // 2
        handler.wfile.write(content[:middle])
        handler.wfile.flush()
        self.begun.set()
        self.go_on.wait(60)
        return content[middle:]


class _Quiet(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.open = 0
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self.open += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._lock:
            self.open -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no news."""


class RawHandler(BaseHTTPRequestHandler):
    """One connection."""

    owner: RawServer
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        path = unquote(self.path)
        try:
            if self.owner.before is None or not self.owner.before(self, path):
                self._serve(path)
        finally:
            self.owner.net.close_thread()

    def _serve(self, path: str) -> None:
        try:
            self.owner.net.resources.check_requester(path, self.client_address[0])
            file, metadata = self.owner.net.resources.fetch(path.removesuffix(META)).opened()
        except AccessDenied:
            self.send_error(403)
            return
        except (LonError, ValueError):
            self.send_error(404)
            return
        with file:
            content = metadata.encode() if path.endswith(META) else file.read()
        assert len(content) <= MAX_BYTES or not path.endswith(META)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Resource-Digest", metadata.digest)
        self.send_header("X-Resource-Version", str(metadata.version))
        self.end_headers()
        if not path.endswith(META):
            self.owner.served[path] += 1
            self.owner.sources[path, self.client_address[0]] += 1
            content = self.owner.part(self, content)
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quietly."""


@contextmanager
def raw_server(host: Host, port: int = 0) -> Iterator[RawServer]:
    """Serve a host's /raw/, and let its lond say so after its next reload or start."""
    net = host.lonnet()
    server = RawServer(host, net, port)
    host.write_conf(lonHttpBase=f"http://{host.id}.example.org:{server.port}")
    try:
        yield server
    finally:
        server.close()
