"""The handlers under Apache with mod_wsgi, as shipped: 4 processes of 15 threads on each of two hosts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Event

import pytest

from tests.conftest import Measured
from tests.helpers.federation import ROOT
from tests.helpers.http_browser import HttpBrowser, Reply
from tests.helpers.waiting import eventually
from tests.helpers.web_servers import Apache
from tests.web.conftest import ACCESS, AUTHOR, HOME, LEARNER, Site

CLIENTS, PROCESSES, THREADS = 32, 4, 15
SECONDS = 100.0  # only a test that fails waits so long


def on_disk(site: Site, host: str, path: str) -> bytes:
    """The file of a resource on a host."""
    return (site.host(host).directory / "html" / "res" / path).read_bytes()


def connections(site: Site, host: str) -> int:
    """How many connections of callers the lonc children of a host have."""
    directory = str(site.host(host).directory / "run")
    entries = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return sum(len(entry) > 7 and entry[7].startswith(directory) and entry[5] == "03" for entry in entries)


def test_a_resource_is_published_replicated_and_replaced(site: Site) -> None:
    path = site.publish("kin/fall.html", b"first")
    reader = site.browser(ACCESS, LEARNER)
    reply = reader.get(f"/res/{path}")
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"first", "text/html; charset=utf-8")
    assert reply.headers["etag"] == f'"{sha256(b"first").hexdigest()}"'
    assert on_disk(site, ACCESS, path) == b"first"
    with site.net() as net:
        assert [one.host for one in net.resources.subscribers(path)] == [ACCESS]
    site.publish("kin/fall.html", b"second")
    eventually(lambda: on_disk(site, ACCESS, path) == b"second")
    assert reader.get(f"/res/{path}", {"If-None-Match": reply.headers["etag"]}).body == b"second"
    assert reader.get(f"/res/{path}", {"Range": "bytes=1-3"}).body == b"eco"
    page = site.browser(HOME, AUTHOR).get("/adm/publish/kin/fall.html").text
    assert ACCESS in page and "Version</dt><dd>2" in page
    with site.net() as net:
        eventually(lambda: net.resources.deliveries("smith", "msu").get(path) == {"msu": 2})


def test_a_large_file_comes_whole(site: Site) -> None:
    content = bytes(range(256)) * 40_000
    path = site.publish("large.bin", content)
    reply = site.browser(ACCESS, LEARNER).get(f"/res/{path}")
    assert (reply.status, sha256(reply.body).digest()) == (200, sha256(content).digest())


def test_raw_is_for_subscribers_alone(site: Site) -> None:
    path = site.publish("raw.html", b"raw")
    home, member = site.apaches[HOME].base, site.host(ACCESS).ip
    assert HttpBrowser(home).get(f"/raw/{path}").status == 403
    assert HttpBrowser(home, member).get(f"/raw/{path}").status == 403
    site.browser(ACCESS, LEARNER).get(f"/res/{path}")
    assert HttpBrowser(home, member).get(f"/raw/{path}").body == b"raw"
    assert HttpBrowser(home, member).get(f"/raw/{path}.meta").status == 200
    assert HttpBrowser(home).get(f"/raw/{path}").status == 403


TRICKS = (
    "../../../loncapa.conf",
    "msu/smith/%2e%2e/%2e%2e/%2e%2e/%2e%2e/loncapa.conf",
    "msu/smith/..%2f..%2f..%2f..%2floncapa.conf",
    "msu/smith/..%5c..%5cloncapa.conf",
    "msu/smith/%252e%252e/loncapa.conf",
    "msu/smith/a.html%00.png",
    "msu/smith/" + "x" * 10_000 + ".html",
)


@pytest.mark.parametrize("trick", TRICKS)
def test_no_path_leads_out_of_the_tree(site: Site, trick: str) -> None:
    learner, member = site.browser(HOME, LEARNER), HttpBrowser(site.apaches[HOME].base, site.host(ACCESS).ip)
    for reply in (learner.get(f"/res/{trick}"), member.get(f"/raw/{trick}")):
        assert reply.status in (400, 403, 404, 414)
        assert b"PerlSetVar" not in reply.body


def test_a_log_in_is_sent_to_the_spare_when_there_are_too_many(site: Site) -> None:
    full = site.host(ACCESS)
    for _ in range(2):
        site.browser(ACCESS, LEARNER)
    full.write_conf(lonUserLoadLim="1", lonBalanceTimeout="10")  # the spare's answer must not be late
    site.apaches[ACCESS].graceful()
    try:
        reply = HttpBrowser(site.apaches[ACCESS].base).get("/adm/login?next=/res/a")
        there = f"{site.apaches[HOME].base}/adm/login?next=/res/a&offloaded=1"
        assert (reply.status, reply.location) == (302, there)
    finally:
        full.write_conf(lonUserLoadLim="0", lonBalanceTimeout="0.2")
        site.apaches[ACCESS].graceful()
    assert HttpBrowser(site.apaches[ACCESS].base).get("/adm/login").status == 200


class Readers:
    """Clients of one host, who read files of all lengths and their own user's page, again and again.

    Each reply must be the one to its request. What Apache itself answers while it restarts (it has none of the
    handlers' headers) is counted apart.
    """

    def __init__(self, site: Site, host: str) -> None:
        names = [site.publish(f"many/{n}.txt", f"file {n} ".encode() * (n * 300 + 1)) for n in range(8)]
        self._tags = {path: f'"{sha256(on_disk(site, HOME, path)).hexdigest()}"' for path in names}
        self._people = {who[0]: site.browser(host, who).cookies for who in (AUTHOR, LEARNER)}
        self._base = site.apaches[host].base
        self.rounds = [0] * CLIENTS
        self.wrong: list[str] = []
        self.refused: list[int] = []
        self._stop = Event()

    def read(self, number: int) -> None:
        """What one client does until it is stopped."""
        browser, name = HttpBrowser(self._base), sorted(self._people)[number % 2]
        browser.cookies.update(self._people[name])
        while not self._stop.is_set():
            path = sorted(self._tags)[(self.rounds[number] + number) % len(self._tags)]
            file = browser.get(f"/res/{path}")
            self._check(file, self._is_file(file, path))
            page = browser.get("/")
            self._check(page, f"Hello, {name}<".encode() in page.body)
            self.rounds[number] += 1

    def _is_file(self, reply: Reply, path: str) -> bool:
        return reply.headers.get("etag") == self._tags[path] == f'"{sha256(reply.body).hexdigest()}"'

    def _check(self, reply: Reply, is_right: bool) -> None:
        if reply.status in (500, 503) and "content-security-policy" not in reply.headers:
            self.refused.append(reply.status)
        elif reply.status != 200 or not is_right:
            self.wrong.append(f"{reply.status} {reply.headers} {reply.body[:100]!r}")

    def read_on(self) -> None:
        """Wait until each client has read twice more."""
        before = list(self.rounds)

        def have_read() -> None:
            assert all(now >= then + 2 for now, then in zip(self.rounds, before, strict=True)), (before, self.rounds)

        eventually(have_read, SECONDS)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All of them read until the block ends."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            under_way = [pool.submit(self.read, number) for number in range(CLIENTS)]
            try:
                self.read_on()
                yield
                self.read_on()
            finally:
                self._stop.set()
        for future in under_way:
            future.result()


def replaced(apache: Apache, before: list[int]) -> None:
    """Wait until the old processes are gone and as many new ones are there."""

    def are_new() -> None:
        now = apache.processes()
        assert len(now) == PROCESSES and not set(now) & set(before), (before, now)

    eventually(are_new, SECONDS)  # each may take graceful-timeout and shutdown-timeout of its WSGIDaemonProcess


def test_a_graceful_restart_mixes_nothing_and_leaks_no_connection(site: Site, measured: Measured) -> None:
    apache, readers = site.apaches[ACCESS], Readers(site, ACCESS)
    with readers.reading():
        for _ in range(2):
            before = apache.processes()
            apache.graceful()
            replaced(apache, before)
            readers.read_on()
    measured(f"{sum(readers.rounds)} rounds, {len(readers.refused)} requests were refused by Apache while it restarted")
    assert readers.wrong == []
    eventually(lambda: connections(site, ACCESS) <= 2 * PROCESSES * THREADS)  # one for each thread and link, at most


def test_new_code_is_taken_without_a_refusal(site: Site) -> None:
    """A touch of wsgi.py replaces the processes one by one, on the socket that they share."""
    apache, readers = site.apaches[ACCESS], Readers(site, ACCESS)
    with readers.reading():
        before = apache.processes()
        os.utime(ROOT / "lonnet" / "handlers" / "wsgi.py")
        replaced(apache, before)
    assert (readers.wrong, readers.refused) == ([], [])


def test_guessing_is_slowed_down_over_all_processes(site: Site) -> None:
    """Forty guesses at once from one address, for as many users, so that lond's own throttle sees none of them."""
    burst = site.host(ACCESS).site().config.login_burst
    guesser = "127.99.0.1"

    def guess(number: int) -> Reply:
        return HttpBrowser(site.apaches[ACCESS].base, guesser).log_in(f"nobody{number}", "guess")

    with ThreadPoolExecutor(CLIENTS) as pool:
        replies = list(pool.map(guess, range(2 * burst)))
    refused = [reply for reply in replies if reply.status == 429]
    assert {reply.status for reply in replies} == {401, 429}
    assert len(refused) >= burst / 2, "some tries may have come back meanwhile"
    assert all(int(reply.headers["retry-after"]) > 0 for reply in refused)
    assert site.browser(ACCESS, LEARNER), "others need not wait"


def test_people_are_sent_to_https_and_hosts_are_not(site: Site) -> None:
    """The file as it is used in production, beside the plain one."""
    host = site.host(ACCESS)
    apache = Apache(host, 8081, tls_port=8443)
    apache.start()
    try:
        plain, member = HttpBrowser(apache.base), HttpBrowser(apache.base, site.host(HOME).ip)
        for path in ("/", "/adm/login?next=/res/a", "/res/msu/smith/a.html", "/rawer/x"):
            reply = plain.get(path)
            assert (reply.status, reply.location) == (301, f"https://{ACCESS}.example.org{path}")
        assert (plain.get("/raw/msu/smith/a.html").status, member.get("/raw/msu/smith/a.html").status) == (403, 404)
        reply = HttpBrowser(f"https://{host.ip}:8443").get("/adm/login")
        assert reply.status == 200 and reply.headers["strict-transport-security"] == "max-age=31536000"
    finally:
        apache.stop()


def test_no_session_id_or_password_is_in_any_log(site: Site) -> None:
    browser = site.browser(ACCESS, LEARNER)
    browser.get("/")
    session = browser.cookies["lonID"]
    browser.submit("/adm/logout", {})
    assert "lonID" not in browser.cookies
    again = site.browser(ACCESS, LEARNER)
    secrets = [again.cookies["lonID"], LEARNER[1], AUTHOR[1], session]
    for host in site.federation.hosts.values():
        for path in [*host.directory.glob("*.log"), *(host.directory / "logs").glob("*.log")]:
            text = path.read_text(errors="replace")
            assert not [secret for secret in secrets if secret in text], path
        assert "Traceback" not in site.apaches[host.id].errors
    eventually(lambda: re.search(r'"GET / HTTP/1.1" 200', site.apaches[ACCESS].log) is not None)


def test_no_connection_is_left_when_apache_ends(site: Site) -> None:
    """The last test of this module: it leaves one host without pages."""
    apache = site.apaches[ACCESS]
    site.browser(ACCESS, LEARNER).get("/")
    assert connections(site, ACCESS) > 0
    apache.stop()
    eventually(lambda: connections(site, ACCESS) == 0)
