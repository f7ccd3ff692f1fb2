"""Fetching files: from the host that was meant and from no other, whole, and with an end."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config import Config
from common.hosts_table import Host, HostsTable
from common.site import Site
from lonnet.deadline import Deadline
from lonnet.errors import TransferFailed
from lonnet.transfer import WebServer, connected, server_of
from tests.helpers.waiting import eventually

HOST = Host("msul1", "msu", "library", "lon.msu.edu", "127.0.0.1")
SIX = Host("hubl1", "hub", "library", "lon.hub.edu", "::1")


@pytest.mark.parametrize(
    ("url", "scheme", "port", "path", "authority"),
    [
        ("http://lon.msu.edu/raw/msu/smith/a.html", "http", 80, "/raw/msu/smith/a.html", "lon.msu.edu"),
        ("http://LON.msu.edu:8080/raw/x", "http", 8080, "/raw/x", "lon.msu.edu:8080"),
        ("https://127.0.0.1/raw/a%20b", "https", 443, "/raw/a b", "lon.msu.edu"),
        ("http://lon.msu.edu", "http", 80, "", "lon.msu.edu"),
    ],
)
def test_urls_of_the_host(url: str, scheme: str, port: int, path: str, authority: str) -> None:
    server, found = server_of(url, HOST)
    assert (server, found, server.authority) == (WebServer(HOST, scheme, port), path, authority)


def test_an_address_in_brackets() -> None:
    assert server_of("http://[::1]:81/x", SIX)[0].port == 81


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example.org/raw/msu/smith/a.html",
        "http://lon.msu.edu.evil.org/raw/x",
        "http://lon.msu.edu@evil.org/raw/x",
        "http://evil.org#@lon.msu.edu/raw/x",
        "http://evil.org\\@lon.msu.edu/raw/x",
        "http://lon.msu.edu:0/raw/x",
        "http://lon.msu.edu:99999/raw/x",
        "http://lon.msu.edu:80:81/raw/x",
        "http://lon.msu.edu/raw/x?y",
        "http://lon.msu.edu/raw/x#y",
        "http://lon.msu.edu/raw/x y",
        "http://lon.msu.edu/raw/x\r\nHost: evil.org",
        "http://127.0.0.2/raw/x",
        "http://127.1/raw/x",
        "http://2130706433/raw/x",
        "ftp://lon.msu.edu/raw/x",
        "file:///etc/passwd",
        "//lon.msu.edu/raw/x",
        "http:/raw/x",
        "",
    ],
)
def test_urls_of_others(url: str) -> None:
    with pytest.raises(TransferFailed):
        server_of(url, HOST)


@given(st.text() | st.text(st.sampled_from("htp:/@lon.msuedvi[]%#?0")).map(lambda rest: f"http://{rest}"))
def test_whatever_the_url_it_is_the_host_s_or_an_error(url: str) -> None:
    with suppress(TransferFailed):
        server, path = server_of(url, HOST)
        assert server.host is HOST and 0 < server.port < 65536 and (path.startswith("/") or not path)
        assert url.lower().startswith((f"{server.scheme}://lon.msu.edu", f"{server.scheme}://127.0.0.1"))


@contextmanager
def answering(*parts: bytes, hold: bool = False, drip: bytes = b"", tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that answers each connection with some bytes.

    :param hold: keep the connection open afterwards.
    :param drip: sent again and again until the client has gone.
    """
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def serve() -> None:
            with suppress(OSError):
                accepted, _ = listener.accept()
                with tls.wrap_socket(accepted, server_side=True) if tls else accepted as channel:
                    channel.recv(65536)
                    for part in parts:
                        channel.sendall(part)
                    while drip and not over.wait(0.01):
                        channel.sendall(drip)
                    if hold:
                        over.wait(20)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
            thread.join()


def get(
    port: int,
    limit: int = 1000,
    seconds: float = 60.0,
    http_timeout: float = 20.0,
    host: Host = HOST,
    scheme: str = "http",
) -> bytes:
    config = Config(host_id="msul1", bind_address="127.0.0.1", http_timeout=http_timeout)
    site = Site(config, HostsTable({"msul1": host}))
    parts: list[bytes] = []
    with connected(site, WebServer(host, scheme, port), Deadline(seconds)) as web:
        received = web.get("/raw/a", limit, parts.append)
    assert received.length == len(b"".join(parts))
    return b"".join(parts)


OK = b"HTTP/1.1 200 OK\r\n"


def test_a_file() -> None:
    with answering(OK, b"Content-Length: 5\r\n\r\nhel", b"lo") as port:
        assert get(port) == b"hello"
    with answering(OK, b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n") as port:
        assert get(port) == b"hello"
    with answering(OK, b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello") as port:
        assert get(port) == b"hello", "as it came: its digest is that of the content"


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ((OK, b"Content-Length: 6\r\n\r\nhello"), "5 bytes of 6|Incomplete"),
        ((OK, b"Content-Length: 1001\r\n\r\n"), "1001 bytes, at most 1000"),
        ((OK, b"\r\nhello"), "no length"),
        ((OK, b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"), "no length"),
        ((OK, b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n", b"x" * 1001), "more than 1000"),
        ((OK, b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel"), "."),
        ((b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",), "status 302"),
        ((b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",), "status 404"),
        ((b"HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\nhello",), "status 206"),
        ((b"nonsense\r\n\r\n",), "."),
        ((b"",), "."),
    ],
)
def test_what_is_not_a_whole_file(parts: tuple[bytes, ...], reason: str) -> None:
    with answering(*parts) as port, pytest.raises(TransferFailed, match=reason):
        get(port)


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(TransferFailed) as caught:
            get(port)
    assert str(caught.value) == f"msul1: transfer failed: its web server at 127.0.0.1, port {port}: connection refused"


@pytest.mark.parametrize("begin", [b"", OK, OK + b"Content-Length: 100\r\n\r\nhello"])
def test_silence_ends(begin: bytes) -> None:
    with answering(begin, hold=True) as port, pytest.raises(TransferFailed):
        get(port, http_timeout=0.05)


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (OK, b"X-A: b\r\n"),
        (OK + b"Content-Length: 900\r\n\r\n", b"x"),
        (b"", b"H"),
        (OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", b"X-A: b\r\n"),
    ],
)
def test_dripping_ends(begin: bytes, drip: bytes) -> None:
    with answering(begin, drip=drip) as port, pytest.raises(TransferFailed):
        get(port, seconds=0.2)


def test_no_thread_stays() -> None:
    before = threading.active_count()
    with answering(OK, b"Content-Length: 5\r\n\r\nhello") as port:
        get(port)
    eventually(lambda: threading.active_count() <= before)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of the host's name with its key, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    name = ["-subj", "/CN=lon.msu.edu", "-addext", "subjectAltName=DNS:lon.msu.edu"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name]
    subprocess.run([*command, "-keyout", f"{file}.key", "-out", file], check=True, capture_output=True)
    with file.open("a") as both:
        both.write(Path(f"{file}.key").read_text())
    return file


@pytest.mark.parametrize(
    ("trusted", "name", "comes"),
    [(True, "lon.msu.edu", True), (True, "lon.other.edu", False), (False, "lon.msu.edu", False)],
)
def test_a_server_with_tls_must_be_who_it_says(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool, name: str, comes: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate) if trusted else "/dev/null")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with answering(OK, b"Content-Length: 5\r\n\r\nhello", tls=context) as port:
        host = replace(HOST, hostname=name)
        if comes:
            assert get(port, host=host, scheme="https") == b"hello"
        else:
            with pytest.raises(TransferFailed, match=r"(?i)certificate|hostname"):
                get(port, host=host, scheme="https")
