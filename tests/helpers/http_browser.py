"""A browser without a window, for real web servers: it keeps cookies and sends forms. Each request has a connection."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.helpers.forms import hidden

SECONDS = 60.0


@dataclass(frozen=True)
class Reply:
    """What came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def location(self) -> str:
        return self.headers.get("location", "")


class HttpBrowser:
    """One person's browser, which stays at one server.

    :param base: ``http://HOST:PORT``.
    :param source: the address that it connects from.
    """

    def __init__(self, base: str, source: str = "") -> None:
        self.base, self._source = base, source
        self.cookies: dict[str, str] = {}
        self._tls: dict[str, Any] = {}
        if base.startswith("https:"):
            self._tls["context"] = ssl._create_unverified_context()  # a test's certificate

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Fetch what is at a path; redirects are not followed."""
        return self._request("GET", path, None, headers or {})

    def post(self, path: str, fields: Mapping[str, str]) -> Reply:
        """Send a form as it is."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._request("POST", path, urlencode(fields).encode(), kind)

    def submit(self, page: str, fields: Mapping[str, str]) -> Reply:
        """Load a page and send its form with these fields."""
        return self.post(page, {**hidden(self.get(page).text), **fields})

    def log_in(self, user: str, password: str, domain: str = "msu") -> Reply:
        """Log in by the form."""
        return self.submit("/adm/login", {"user": user, "password": password, "domain": domain})

    def upload(self, page: str, name: str, content: bytes) -> Reply:
        """Load a page and send a file by its form, under a name."""
        boundary = secrets.token_hex(16)
        fields = {**hidden(self.get(page).text), "name": name}
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
            for field, value in fields.items()
        ]
        disposition = 'Content-Disposition: form-data; name="file"; filename="upload.bin"'
        parts += [f"--{boundary}\r\n{disposition}\r\n\r\n".encode(), content, f"\r\n--{boundary}--\r\n".encode()]
        return self._request(
            "POST", page, b"".join(parts), {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        )

    def _request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        address = urlsplit(self.base)
        source = (self._source, 0) if self._source else None
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        connection = kind(address.hostname or "", address.port, timeout=SECONDS, source_address=source, **self._tls)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            sent = {"Connection": "close", **({"Cookie": cookies} if cookies else {}), **headers}
            connection.request(method, quote(path, safe="/%?&=:~;"), body, sent)
            response = connection.getresponse()
            reply = Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
            for text in response.msg.get_all("Set-Cookie") or []:
                self._keep(text)
        finally:
            connection.close()
        return reply

    def _keep(self, text: str) -> None:
        for name, cookie in SimpleCookie(text).items():
            if cookie.value:
                self.cookies[name] = cookie.value
            else:
                self.cookies.pop(name, None)
