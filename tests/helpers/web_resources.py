"""Resources of the author smith as the web handlers meet them, and what readers, hosts and authors do with them."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO
from typing import Any

from werkzeug.test import TestResponse

from common.metadata import Metadata
from lonnet.sessions import Sessions
from tests.helpers.web import HERE, HOME, Browser, NetInMemory, app_of

MEMBER = "127.0.0.1"  # the address of HERE
CONTENT = bytes(range(256)) * 1000
PATH = "msu/smith/kin/fall.html"
PROBLEM = "msu/smith/kin/light.problem"
LIGHT = b"""<problem><startouttext />How fast is light in vacuum?<endouttext />
<numericalresponse answer="299792458" unit="m/s"><responseparam type="tolerance" default="1%" /></numericalresponse>
</problem>"""
FORM = {"title": "Free fall", "copyright": "public", "domains": "", "sourceavail": "open"}


def publish(net: NetInMemory, path: str = PATH, content: bytes = CONTENT, **metadata: Any) -> None:
    """Publish a resource without a browser; for all readers, if nothing else is said."""
    values = {"title": "Free fall", "author": "smith:msu", "copyright": "public", **metadata}
    net.resources.publish(path, BytesIO(content), Metadata(**values))


def digest(content: bytes) -> str:
    """Hex digits."""
    return sha256(content).hexdigest()


def subscribe(net: NetInMemory, path: str = PATH) -> None:
    """HERE has a copy of what is published at this path."""
    subscription = net.site.config.doc_root / "res" / f"{path}.subscription"
    subscription.write_text(f"{HERE}:{MEMBER}:1700000000\n")


def make_author(net: NetInMemory, user: str = "smith", host: str = HOME) -> None:
    """Give the role of an author to a user of msu, at the user's home server."""
    net.fake.londs[host].users[f"msu:{user}"]["roles"] = {"%2fmsu%2f_au": "0_0"}


def an_author(net: NetInMemory) -> Browser:
    """smith's browser on a network of the test's own, logged in; smith is an author."""
    make_author(net)
    browser = Browser(app_of(net))
    browser.log_in()
    return browser


def log_in_from_elsewhere(net: NetInMemory, browser: Browser) -> None:
    """A session of a user of the domain other, without asking that domain."""
    session_id, _ = Sessions(net.site.config).create("doe", "other", "otherl1")
    browser.client.set_cookie("lonID", session_id, domain="msua1.example.org")


def upload(browser: Browser, content: bytes = CONTENT, filename: str = "fall.html", name: str = "") -> TestResponse:
    """Bring a file into the author's construction space; `name` is what the author writes into the form."""
    return browser.submit("/adm/publish", {"file": (BytesIO(content), filename), "name": name})
