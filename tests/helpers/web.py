"""The web handlers without processes: a Lonnet on hosts in memory, and a browser that keeps cookies and reads forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import html5lib
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from common.hosts_table import Host, HostsTable
from common.site import Site
from lonnet.client import Lonnet
from lonnet.handlers import create_app
from tests.helpers.fake_net import FakeNet
from tests.helpers.forms import hidden

HERE, HOME, OTHER = "msua1", "msul1", "msul2"
CLIENT = "127.9.9.9"  # no host


class NetInMemory(Lonnet):
    """A Lonnet whose requests go to hosts in memory."""

    def __init__(self, site: Site, fake: FakeNet) -> None:
        super().__init__(site)
        self.fake = fake

    def reply(self, command: str, host: str, timeout: float | None = None) -> str:
        return self.fake.reply(command, host, timeout)

    def critical(self, command: str, host: str, timeout: float | None = None) -> str:
        return self.fake.critical(command, host, timeout)


def network(directory: Path, own: str = HERE, others: Sequence[str] = (), **settings: Any) -> NetInMemory:
    """Three hosts of msu; smith (password secret) and jones live on msul1.

    :param others: further domains, of one host each, which nobody asks.
    """
    fake = FakeNet([HERE, HOME, OTHER], own)
    for user, password in (("smith", "secret"), ("jones", "another")):
        fake.londs[HOME].do_makeuser("msu", user, "internal", password)
    settings = {
        "daemons_dir": directory / "jobs",
        "ids_dir": directory / "ids",
        "doc_root": directory / "html",
        "construction_dir": directory / "construction",
        "secure_cookies": False,
        **settings,
    }
    strangers = {f"{name}l1": Host(f"{name}l1", name, "library", f"{name}.example.org", "") for name in others}
    table = HostsTable({**fake.site.table.hosts, **strangers})
    site = replace(fake.site, table=table, config=replace(fake.site.config, **settings, def_domain="msu"))
    return NetInMemory(site, fake)


class Browser:
    """A browser: it keeps cookies, fills in forms, and looks whether pages are valid."""

    def __init__(self, app: Flask, address: str = CLIENT, base: str = "http://msua1.example.org") -> None:
        self.client: FlaskClient = app.test_client()
        self._environ = {"REMOTE_ADDR": address}
        self._base = base

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> TestResponse:
        """Fetch a page."""
        found = self.client.get(path, headers=headers, environ_base=self._environ, base_url=self._base, buffered=True)
        return checked(found)

    def post(self, path: str, fields: Mapping[str, Any]) -> TestResponse:
        """Send a form as it is."""
        found = self.client.post(path, data=fields, environ_base=self._environ, base_url=self._base, buffered=True)
        return checked(found)

    def submit(self, page: str, fields: Mapping[str, Any], to: str | None = None) -> TestResponse:
        """Load a page and send its form with these fields; hidden ones are as the page has them."""
        return self.post(to or page.partition("?")[0], {**hidden(self.get(page).text), **fields})

    def log_in(self, user: str = "smith", password: str = "secret", page: str = "/adm/login") -> TestResponse:
        """Log in by the form."""
        return self.submit(page, {"user": user, "password": password, "domain": "msu"})

    def cookie(self, name: str) -> str | None:
        """A cookie that the browser has."""
        found = self.client.get_cookie(name, domain=self._base.partition("//")[2])
        return found.value if found else None


def checked(response: TestResponse) -> TestResponse:
    """A response; a page must be valid HTML, hold no script, and have the guarding headers."""
    if response.mimetype == "text/html" and not response.request.path.startswith(("/res/", "/raw/")):
        html5lib.HTMLParser(strict=True).parse(response.text)
        assert "<script" not in response.text and " onclick" not in response.text and " style=" not in response.text
    if not response.request.path.startswith("/res/"):
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    return response


def app_of(net: Lonnet) -> Flask:
    """The application; errors become pages, as in production."""
    app = create_app(net)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app
