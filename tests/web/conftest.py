"""What the web tests share: two hosts on loopback addresses, each with an Apache of its own, and people.

They are skipped, with the reason, where Apache, its module, or an unprivileged user that can run the daemons is
missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lonnet import Lonnet
from lonnet.handlers.authors import author_role
from tests.helpers.federation import QUICK, ROOT, Federation, Host
from tests.helpers.http_browser import HttpBrowser
from tests.helpers.unprivileged import Account, unprivileged
from tests.helpers.waiting import open_descriptors
from tests.helpers.web_servers import Apache, web_settings

HOME, ACCESS = "msul1", "msua1"
AUTHOR, LEARNER = ("smith", "projectile"), ("jones", "motion")
ARTIFACTS = ROOT / ".artifacts" / "web"


@dataclass
class Site:
    """Two hosts and their web servers; smith is an author, jones a learner, both at home on msul1."""

    federation: Federation
    apaches: dict[str, Apache]

    def host(self, id: str) -> Host:
        return self.federation.hosts[id]

    @contextmanager
    def net(self, id: str = HOME) -> Iterator[Lonnet]:
        """lonnet as a handler of a host has it."""
        net = Lonnet(self.host(id).site())
        try:
            yield net
        finally:
            net.close()

    def browser(self, id: str, who: tuple[str, str] | None = None) -> HttpBrowser:
        """A browser at a host, logged in."""
        browser = HttpBrowser(self.apaches[id].base)
        if who:
            reply = browser.log_in(*who)
            assert reply.status == 303, reply.text
        return browser

    def publish(self, name: str, content: bytes, **form: str) -> str:
        """Publish a file as smith does it; its path below /res/."""
        author = self.browser(HOME, AUTHOR)
        reply = author.upload("/adm/publish", name, content)
        assert reply.status == 303, reply.text
        fields = {"title": name, "copyright": "public", "sourceavail": "open", "domains": "", **form}
        reply = author.submit(f"/adm/publish/{name}", fields)
        assert reply.status == 200 and "is published" in reply.text, reply.text
        return f"msu/smith/{name}"


@pytest.fixture(scope="session")
def account() -> Account | None:
    """Whom daemons and handlers run as; None: as the tests. Skips where there can be no Apache."""
    missing = Apache.missing()
    found = None if os.getuid() else unprivileged()
    if missing or isinstance(found, str):
        pytest.skip(missing or str(found))
    return found


@pytest.fixture(scope="module")
def site(account: Account | None) -> Iterator[Site]:
    """The network of a module; nothing of it is left behind."""
    before = open_descriptors()
    with ExitStack() as stack:
        federation = Federation([HOME, ACCESS], settings={**QUICK, "lonLoadLim": "10000"}, account=account)
        stack.callback(federation.close)
        (federation.directory / "tables" / "spare.tab").write_text(f"{HOME}:primary\n")
        apaches = {}
        for host in federation.hosts.values():
            host.write_conf(**web_settings(host))
            apaches[host.id] = Apache(host)
            stack.callback(apaches[host.id].stop)
        federation.start()
        for apache in apaches.values():
            apache.launch()
        made = Site(federation, apaches)
        with made.net() as net:
            make_people(net)
        for apache in apaches.values():
            apache.wait()
        yield made
    after = open_descriptors()
    assert after == before, f"descriptors of the test process: {before} before, {after} after"


def make_people(net: Lonnet) -> None:
    """smith and jones."""
    for name, password in (AUTHOR, LEARNER):
        net.user(name, "msu").create("internal", password)
    smith = net.user(AUTHOR[0], "msu")
    smith.rolesput({author_role("msu"): "0_0"}, by=smith)


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where screenshots are kept; git does not look there."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    return ARTIFACTS
