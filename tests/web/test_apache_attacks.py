"""Attacks on the handlers under Apache with mod_wsgi: what is forged, foreign, too large, or markup.

Requests that a client library would put right are written to the connection as they are. After all of it nothing lies
outside the trees that are made for it, and no log holds a session id, a token or a password.
"""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.helpers.forms import hidden
from tests.helpers.http_browser import HttpBrowser
from tests.helpers.waiting import eventually
from tests.helpers.web_servers import Apache
from tests.web.conftest import ACCESS, AUTHOR, HOME, LEARNER, Site

SECONDS = 60.0  # only a test that fails waits so long
PASSING = ("updates.", "web-wsgi.")  # what names of files begin with that come and go
MARKUP = "<script>alert(1)</script>"
MOST = 100_000  # bytes of an upload
PROBLEM = b"""<problem><startouttext />How fast is light in vacuum?<endouttext />
<numericalresponse answer="299792458" unit="m/s"><textline /></numericalresponse></problem>"""

Enter = Callable[[str, tuple[str, str]], HttpBrowser]


def sent_as_it_is(site: Site, host: str, target: bytes, *headers: bytes, source: str = "") -> tuple[int, bytes]:
    """Ask with a request line and headers that nobody puts right; the status and all that came.

    :param source: the address that it comes from.
    """
    address = (site.host(host).ip, site.apaches[host].port)
    with socket.create_connection(address, SECONDS, (source, 0) if source else None) as channel:
        lines = [b"GET " + target + b" HTTP/1.1", b"Host: " + host.encode(), b"Connection: close", *headers]
        channel.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        with channel.makefile("rb") as file:
            answer = file.read()
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert found, answer[:200]
    return int(found[1]), answer


def cookie_of(browser: HttpBrowser) -> bytes:
    return b"Cookie: lonID=" + browser.cookies["lonID"].encode()


def texts(directory: Path) -> dict[str, bytes]:
    """All files below a directory, by path."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def around(site: Site) -> set[Path]:
    """What lies in the directories of the network and of its hosts; some databases and sockets come and go."""
    places = [site.federation.directory, *(host.directory for host in site.federation.hosts.values())]
    return {path for place in places for path in place.iterdir() if not path.name.startswith(PASSING)}


@pytest.fixture(scope="module", autouse=True)
def outside(site: Site) -> Iterator[None]:
    """Symbolic links in the trees lead to a directory outside; after all tests there is nothing new there or around."""
    directory = site.federation.directory / "outside"
    directory.mkdir()
    (directory / "secret.html").write_text("the secret")
    assert site.browser(ACCESS, LEARNER).get(f"/res/{site.publish('fall.html', b'fall')}").status == 200
    trees = [host.directory / "html/res/msu/smith" for host in site.federation.hosts.values()]
    for tree in trees:
        (tree / "way").symlink_to(directory)
        (tree / "secret.html").symlink_to(directory / "secret.html")
    before = around(site)
    yield
    assert around(site) == before and texts(directory) == {"secret.html": b"the secret"}
    for host, tree in zip(site.federation.hosts.values(), trees, strict=True):
        authors = (tree, host.directory / "construction/msu/smith")
        found = [path for top in ("html", "construction") for path in (host.directory / top).rglob("*")]
        wrong = {path for path in found if not path.is_relative_to(authors[0]) and not path.is_relative_to(authors[1])}
        assert wrong <= {*authors[0].parents, *authors[1].parents}


@pytest.fixture(scope="module")
def enter(site: Site) -> Iterator[Enter]:
    """Log in at a host; nothing of what only the browser may know is in any log after all tests."""
    secrets = {AUTHOR[1], LEARNER[1]}

    def log_in(host: str, who: tuple[str, str]) -> HttpBrowser:
        browser = site.browser(host, who)
        secrets.update(browser.cookies.values(), [hidden(browser.get("/adm/logout").text)["token"]])
        return browser

    yield log_in
    for id, host in site.federation.hosts.items():
        sent_as_it_is(site, id, b"/the-last-request")
        eventually(partial(has_the_last_request, site.apaches[id]))
        logs = [*host.directory.glob("*.log"), *host.directory.glob("*.stderr"), *host.directory.glob("logs/*")]
        assert {"web-access.log", "web-error.log", "lonc.log", "lond.log"} <= {path.name for path in logs}
        for path in logs:
            text = path.read_text(errors="replace")
            assert not [secret for secret in secrets if secret in text], path
            assert "Traceback" not in text, path


def has_the_last_request(apache: Apache) -> bool:
    return "/the-last-request" in apache.log


TRICKS = (
    b"/../../../loncapa.conf",
    b"/msu/smith/../../../../loncapa.conf",
    b"/msu/smith/..\\..\\..\\..\\loncapa.conf",
    b"/msu/smith/.%2e/%2e./%2e%2e/loncapa.conf",
    b"/msu/smith/%c0%ae%c0%ae/%c0%ae%c0%ae/loncapa.conf",
    b"//msu//smith//..//..//loncapa.conf",
    b"/msu/smith/secret.html",
    b"/msu/smith/way/secret.html",
    b"/msu/smith/fall.html.copy",
    b"/msu/smith/fall.html.subscription",
    b"/msu/smith/fall.html\0.png",
    b"/msu/smith/fall.html%00",
    b"/msu/smith/fall.html%0d%0aSet-Cookie:%20a=b",
    b"/msu/smith/\xff\xfe.html",
    b"/msu/smith/" + b"x" * 10_000,
)


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: quote(trick)[:50])
def test_no_path_that_is_sent_as_it_is_leads_out_of_the_tree(site: Site, enter: Enter, trick: bytes) -> None:
    learner, member = cookie_of(enter(HOME, LEARNER)), site.host(ACCESS).ip
    absolute = b"http://elsewhere.example.org/res" + trick
    for status, answer in (
        sent_as_it_is(site, HOME, b"/res" + trick, learner),
        sent_as_it_is(site, HOME, absolute, learner),
        sent_as_it_is(site, HOME, b"/raw" + trick, source=member),
    ):
        assert status in (400, 403, 404, 414)
        assert b"PerlSetVar" not in answer and b"the secret" not in answer and b"\r\nSet-Cookie: a" not in answer


def test_a_forged_cookie_is_nobody_s(site: Site, enter: Enter) -> None:
    browser = enter(HOME, LEARNER)
    good = browser.cookies["lonID"].encode()
    assert sent_as_it_is(site, HOME, b"/", b"Cookie: lonID=" + good)[0] == 200
    on_disk = sha256(good).hexdigest().encode()
    assert (site.host(HOME).directory / "ids" / f"{on_disk.decode()}.session").exists()
    forgeries = (
        b"", b"A" * 43, good[:-1], good + b"A", good[::-1], good.swapcase(), b'"', b'"' + good[:-1], b"\xff" * 43,
        b"%00", on_disk, on_disk + b".session", b"../ids/" + on_disk + b".session", b"known-browsers.key", b"x" * 7000,
    )  # fmt: skip
    for forged in forgeries:
        assert sent_as_it_is(site, HOME, b"/", b"Cookie: lonID=" + forged)[0] == 302, forged
    assert sent_as_it_is(site, HOME, b"/", b"Cookie: lonID=\0" + good)[0] == 400
    assert sent_as_it_is(site, HOME, b"/", b"Cookie: lonID=" + b"x" * 10_000)[0] == 400
    assert sent_as_it_is(site, ACCESS, b"/", b"Cookie: lonID=" + good)[0] == 302, "a session is one host's"
    known = browser.cookies["lonKnown"]
    assert sent_as_it_is(site, HOME, b"/", f"Cookie: lonID={known}; lonKnown={known}".encode())[0] == 302


def test_another_site_s_forms_change_nothing(site: Site, enter: Enter) -> None:
    problem = site.publish("light.problem", PROBLEM)
    author, learner, other = enter(HOME, AUTHOR), enter(HOME, LEARNER), enter(HOME, LEARNER)
    form = {"title": "Mine", "copyright": "public", "sourceavail": "open", "domains": "", "answer": "3e8"}
    foreign = hidden(other.get("/adm/logout").text)["token"]
    for browser, page in (
        (author, "/adm/publish"),
        (author, "/adm/publish/light.problem"),
        (author, "/adm/delete/light.problem"),
        (learner, f"/res/{problem}"),
        (learner, "/adm/logout"),
    ):
        for token in ({}, {"token": ""}, {"token": "x" * 43}, {"token": foreign}):
            assert browser.post(page, {**form, **token}).status == 403, (page, token)
    victim = HttpBrowser(site.apaches[HOME].base)
    fields = {"user": LEARNER[0], "password": LEARNER[1], "domain": "msu"}
    for token in ({}, {"token": ""}, {"token": foreign}, {"token": hidden(other.get("/adm/logout").text)["token"]}):
        assert victim.post("/adm/login", {**fields, **token}).status == 403
    assert "lonID" not in victim.cookies and learner.get("/").status == 200
    with site.net() as net:
        assert not net.user(LEARNER[0], "msu").restore("problems", problem)
        assert net.resources.fetch(problem).metadata.title == "light.problem"


def test_markup_is_text_wherever_it_is_shown(site: Site, enter: Enter) -> None:
    problem = site.publish("markup.problem", PROBLEM, title=MARKUP)
    author, learner = enter(HOME, AUTHOR), enter(HOME, LEARNER)
    stranger = HttpBrowser(site.apaches[HOME].base)
    name = f"{MARKUP}.html"  # a name like others
    assert author.upload("/adm/publish", name, b"x").status == 303
    pages = [
        stranger.log_in(MARKUP, "guess", MARKUP),
        author.upload("/adm/publish", f"../{MARKUP}.html", b"x"),
        author.get("/adm/publish"),
        author.get(f"/adm/publish/{quote(name)}"),
        author.submit("/adm/publish/markup.problem", {"title": "x\0" + MARKUP, "copyright": MARKUP}),
        author.get("/adm/publish/markup.problem"),
        learner.submit(f"/res/{problem}", {"answer": MARKUP}),
        learner.get(f"/res/{problem}"),
    ]
    assert [page.status for page in pages] == [401, 422, 200, 200, 422, 200, 422, 200]
    for page in pages:
        assert "alert(1)" in page.text and MARKUP not in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none';")
    for target in (f"/{MARKUP}", f"/adm/login?next={MARKUP}", f"/res/{MARKUP}?{MARKUP}", f"//{MARKUP}", f"{MARKUP}"):
        assert MARKUP.encode() not in sent_as_it_is(site, HOME, target.encode(), cookie_of(learner))[1]
        assert MARKUP.encode() not in sent_as_it_is(site, HOME, target.encode())[1]


@contextmanager
def configured(site: Site, host: str, usual: str, **setting: str) -> Iterator[None]:
    """Another value for a setting, in all processes of a host's handlers at once."""
    [name] = setting
    site.host(host).write_conf(**setting)
    site.apaches[host].graceful()
    try:
        yield
    finally:
        site.host(host).write_conf(**{name: usual})
        site.apaches[host].graceful()


def test_uploads_over_the_limit_leave_nothing(site: Site, enter: Enter) -> None:
    author, learner = enter(HOME, AUTHOR), enter(HOME, LEARNER)
    space = site.host(HOME).directory / "construction"
    with configured(site, HOME, "536870912", lonMaxResource=str(MOST)):
        before = texts(space)
        for length in (MOST + 1, 2 * MOST):
            assert author.upload("/adm/publish", "large.bin", bytes(length)).status == 413
        assert learner.upload("/adm/publish", "large.bin", bytes(MOST)).status in (403, 413)
        assert HttpBrowser(site.apaches[HOME].base).post("/adm/login", {"user": "x" * MOST}).status == 413
        assert texts(space) == before
        assert author.upload("/adm/publish", "large.bin", bytes(MOST)).status == 303
    assert texts(space) == {**before, "msu/smith/large.bin": bytes(MOST)}


def test_dead_spares_keep_nobody_from_logging_in(site: Site, enter: Enter) -> None:
    """One spare never lived, the other one hangs, and comes back."""
    federation, tables = site.federation, site.federation.directory / "tables"
    for _ in range(2):
        enter(ACCESS, LEARNER)
    federation.lines["msul9"] = f"msul9:msu:library:msul9.example.org:{site.host(HOME).ip.rpartition('.')[0]}.99"
    federation.write_tables()
    usual = (tables / "spare.tab").read_text()
    (tables / "spare.tab").write_text(f"msul9:primary\n{usual}")

    def status() -> int:
        return HttpBrowser(site.apaches[ACCESS].base).get("/adm/login").status

    def is_always(wanted: int) -> None:  # in each of the processes, whatever it was told a moment ago
        assert [status() for _ in range(12)] == [wanted] * 12

    stopped = site.host(HOME).lond.session()
    try:
        with configured(site, ACCESS, "0", lonUserLoadLim="1"):
            eventually(lambda: is_always(302), SECONDS)
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            eventually(lambda: is_always(200), SECONDS)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        del federation.lines["msul9"]
        federation.write_tables()
        (tables / "spare.tab").write_text(usual)
    eventually(lambda: is_always(200), SECONDS)
