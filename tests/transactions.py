"""The example transactions of the original's description on real servers: the second part of the demonstration.

(a) An instructor publishes a new version on her home server. It is replicated to the servers that have subscribed; one
of them is off-line, and gets it when it is back. Servers that have not subscribed get nothing.
(b) A learner wants an access server that is down, gets a session on another one, which replicates what it lacks.
(c) A learner solves a problem on an access server, and the record is on the home library server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from common.hosts_table import Host as Entry
from lonnet.handlers.authors import author_role
from lonnet.handlers.work import NAMESPACE
from tests.helpers.federation import Federation, Host
from tests.helpers.http_browser import HttpBrowser
from tests.helpers.waiting import eventually
from tests.helpers.web_servers import Waitress, web_settings

INSTRUCTOR, LEARNER, PASSWORD = "green", "jones", "demo"
PAGE, PROBLEM = "kinematics/fall.html", "kinematics/ball.problem"
TEXT = "<!DOCTYPE html>\n<html lang='en'><title>Free fall</title>\n<h1>Free fall</h1>\n<p>Version {}.</p></html>\n"
BALL = b"""<problem>
<startouttext /><p>A ball falls from rest, without friction. How fast is it after 2 s?</p>
<p>Take g = 9.81 m/s<sup>2</sup>.</p><endouttext />
<numericalresponse answer="19.62" unit="m/s"><responseparam type="tolerance" default="1%" /></numericalresponse>
</problem>
"""


class Screen(Protocol):
    """Who tells the reader."""

    def step(self, text: str) -> None:
        """Say what happens now."""

    def progress(self, text: str) -> None:
        """Say how far it is."""

    def check(self, good: bool, text: str) -> None:
        """A result."""


@dataclass(frozen=True)
class Cast:
    """Which host plays which part.

    :param home: library server of the instructor.
    :param records: library server of the learner.
    :param subscribed: access servers that will have copies; the first one goes off-line.
    :param others: servers that won't.
    """

    home: str
    records: str
    subscribed: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def web(self) -> tuple[str, ...]:
        """The hosts whose pages are needed."""
        return (self.home, *self.subscribed)


def cast(hosts: Mapping[str, Entry]) -> Cast | None:
    """Who plays, in this table; None: it is too small."""
    domains = list(dict.fromkeys(host.domain for host in hosts.values() if host.role == "library"))
    for domain in domains:
        libraries = [host.id for host in hosts.values() if (host.domain, host.role) == (domain, "library")]
        access = [host.id for host in hosts.values() if host.role == "access"]
        access.sort(key=lambda id: hosts[id].domain != domain)  # its own ones first
        if len(access) >= 2:
            playing = (libraries[0], *access[:3])
            others = tuple(id for id in hosts if id not in playing)
            return Cast(libraries[0], libraries[-1], tuple(access[:3]), others)
    return None


class Play:
    """The transactions, one after the other, on hosts that are up."""

    def __init__(self, screen: Screen, federation: Federation, parts: Cast, domain: str) -> None:
        self._screen, self._hosts, self._cast, self.domain = screen, federation.hosts, parts, domain
        self.servers = {id: Waitress(federation.hosts[id]) for id in parts.web}

    @contextmanager
    def pages(self) -> Iterator[None]:
        """Web servers and people."""
        web = ", ".join(self._cast.web)
        self._screen.step(f"Web servers come up on {web}; {INSTRUCTOR} and {LEARNER} get their accounts")
        try:
            for server in self.servers.values():
                server.launch()
            self._make_people()
            for server in self.servers.values():
                server.wait()
                self._screen.progress(f"{server.base} answers")
            self._screen.check(True, f"{len(self.servers)} hosts serve pages")
            yield
        finally:
            for server in self.servers.values():
                server.stop()

    def _make_people(self) -> None:
        for host in (self._cast.home, *self._cast.subscribed):
            for peer in self._hosts:
                self._hosts[host].wait_for_link(peer)  # all are up again after what was done to them before
        net = self._hosts[self._cast.home].lonnet()
        for name, home in ((INSTRUCTOR, self._cast.home), (LEARNER, self._cast.records)):
            net.user(name, self.domain).create("internal", PASSWORD, host=home)
        instructor = net.user(INSTRUCTOR, self.domain)
        instructor.rolesput({author_role(self.domain): "0_0"}, by=instructor)

    def play(self) -> None:
        """All three."""
        self._first_version()
        self._new_version()
        self._another_server()
        self._problem()

    def _browser(self, host: str, user: str) -> HttpBrowser:
        browser = HttpBrowser(self.servers[host].base)
        reply = browser.log_in(user, PASSWORD, self.domain)
        assert reply.status == 303, f"log-in of {user} on {host}: {reply.status}"
        return browser

    def _publish(self, name: str, content: bytes, title: str) -> str:
        """Publish as the instructor does; what her page says."""
        author = self._browser(self._cast.home, INSTRUCTOR)
        author.upload("/adm/publish", name, content)
        fields = {"title": title, "copyright": "public", "domains": "", "sourceavail": "open"}
        reply = author.submit(f"/adm/publish/{name}", fields)
        assert reply.status == 200, reply.text
        return reply.text

    def _res(self, name: str) -> str:
        return f"{self.domain}/{INSTRUCTOR}/{name}"

    def _file(self, host: str, name: str) -> Path:
        return self._hosts[host].directory / "html" / "res" / self._res(name)

    def _have(self, hosts: Sequence[str], name: str, content: bytes) -> bool:
        wanted = sha256(content).digest()
        files = [self._file(host, name) for host in hosts]
        return all(file.exists() and sha256(file.read_bytes()).digest() == wanted for file in files)

    def _first_version(self) -> None:
        parts = self._cast
        self._screen.step(
            f"(a) {INSTRUCTOR} publishes on {parts.home}; readers on {', '.join(parts.subscribed)} open it"
        )
        self._publish(PAGE, TEXT.format(1).encode(), "Free fall")
        for host in parts.subscribed:
            reply = self._browser(host, LEARNER).get(f"/res/{self._res(PAGE)}")
            self._screen.check(b"Version 1." in reply.body, f"{host} has fetched it for its reader, and has subscribed")

    def _new_version(self) -> None:
        parts = self._cast
        away, *present = parts.subscribed
        self._screen.step(f"(a) {away} goes off-line; {INSTRUCTOR} publishes a new version, and then another one")
        self._go_off_line(self._hosts[away])
        for version in (2, 3):
            page = self._publish(PAGE, TEXT.format(version).encode(), "Free fall")
            told = "has been told" in page and "as soon as it can be reached" in page
            self._screen.check(
                told, f"version {version}: {', '.join(present)} told at once, {away} as soon as it can be"
            )
        newest = TEXT.format(3).encode()
        eventually(lambda: self._have(present, PAGE, newest), 60)
        self._screen.check(True, f"version 3 is on {', '.join(present)}")
        self._screen.check(self._have([away], PAGE, TEXT.format(1).encode()), f"{away} still has version 1")
        self._screen.step(f"(a) {away} comes back")
        self._hosts[away].start()
        self.servers[away].start()
        self._hosts[parts.home].wait_for_link(away)
        eventually(lambda: self._have([away], PAGE, newest), 60)
        self._screen.check(True, f"{away} has version 3: the buffered messages have arrived")
        have = [host for host in parts.others if self._file(host, PAGE).exists()]
        self._screen.check(not have, f"copies on hosts that have not subscribed: {len(have)} of {len(parts.others)}")

    def _go_off_line(self, host: Host) -> None:
        self.servers[host.id].stop()
        host.kill()
        self._hosts[self._cast.home].wait_for_no_link(host.id)

    def _another_server(self) -> None:
        parts = self._cast
        down, other = parts.subscribed[0], parts.subscribed[1]
        self._publish(PROBLEM, BALL, "A falling ball")
        self._screen.step(f"(b) {LEARNER} wants {down}, which is down")
        self._go_off_line(self._hosts[down])
        try:
            HttpBrowser(self.servers[down].base).get("/")
            refused = False
        except OSError:
            refused = True
        self._screen.check(refused, f"{down} does not answer")
        before = self._file(other, PROBLEM).exists()
        browser = self._browser(other, LEARNER)
        self._screen.check(True, f"{LEARNER} gets a session on {other}")
        reply = browser.get(f"/res/{self._res(PROBLEM)}")
        fetched = not before and reply.status == 200 and self._file(other, PROBLEM).exists()
        self._screen.check(fetched, f"{other} did not have /res/{self._res(PROBLEM)}, and has fetched it")

    def _problem(self) -> None:
        parts = self._cast
        where, path = parts.subscribed[1], self._res(PROBLEM)
        self._screen.step(f"(c) {LEARNER} solves the problem on {where}; home is {parts.records}")
        browser = self._browser(where, LEARNER)
        for answer in ("9.81", "19.6"):
            browser.submit(f"/res/{path}", {"answer": answer})
            page = browser.get(f"/res/{path}").text
            verdict = "right" if "You have solved this problem" in page else "not right yet"
            self._screen.check(
                verdict == ("right" if answer == "19.6" else "not right yet"), f"{answer} m/s: {verdict}"
            )
        net = self._hosts[parts.records].lonnet()
        learner = net.user(LEARNER, self.domain)
        stored = [(one.values["answer"], one.values["award"]) for one in learner.restore(NAMESPACE, path).versions]
        good = learner.home() == parts.records and stored == [("9.81", "incorrect"), ("19.6", "correct")]
        self._screen.check(good, f"{parts.records} has both answers on record: {', '.join(a for a, _ in stored)}")
        down = parts.subscribed[0]
        self._hosts[down].start()
        self.servers[down].start()

    def addresses(self) -> str:
        """What to type into a browser."""
        lines = [f"   {server.base}/   {id}" for id, server in self.servers.items()]
        lines += [f"   {INSTRUCTOR} (an author, at home on {self._cast.home}), {LEARNER}; the password is {PASSWORD}"]
        base = self.servers[self._cast.subscribed[1]].base
        lines += [f"   {base}/res/{self._res(PROBLEM)}", f"   {base}/lon-status/   how that host is, for {INSTRUCTOR}"]
        return "\n".join(lines)


def prepare(federation: Federation, parts: Cast, domain: str) -> None:
    """What the pages need before the daemons start: settings."""
    for id in parts.web:
        host = federation.hosts[id]
        host.write_conf(**web_settings(host), lonAdministrators=f"{INSTRUCTOR}:{domain}")
