"""A lond without sockets: a site in a temporary directory, and dispatchers that are asked directly."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from common.config import parse_config
from common.hosts_table import HostsTable, parse_hosts
from common.site import Site
from lond.commands.registry import Pending, Policy
from lond.dispatcher import Dispatcher, Session
from lond.records.database import Opening
from lond.records.paths import make_user_directory
from lond.storage import Storage
from lond.updates.client import OnDone, Updates
from lond.updates.userfiles import UserFile
from tests.helpers.log_ins import LogInsInProcess

HOSTS = """
msul1:msu:library:msul1.test:127.0.0.1
msua1:msu:access:msua1.test:127.0.0.2
hubl1:hub:library:hubl1.test:127.0.0.3
"""
NOW = 1_000_000_000


def make_site(directory: Path, **settings: object) -> Site:
    """The library server msul1 with its data below `directory`; further settings by their classic names."""
    values = {
        "lonHostID": "msul1",
        "lonUsersDir": directory / "users",
        "lonDocRoot": directory / "html",
        "lonDaemons": directory,
        **settings,
    }
    text = "".join(f"PerlSetVar {name} {value}\n" for name, value in values.items())
    config, _ = parse_config(text, "test.conf")
    (directory / "html").mkdir(exist_ok=True)
    return Site(config, HostsTable(parse_hosts(HOSTS, "hosts.tab")))


class UpdatesInProcess(Updates):
    """Jobs that are noted and not worked off; files that come or do not, as the test says."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, str]] = []
        self.wanted: list[UserFile] = []
        self.comes = True

    def add(self, kind: str, path: str) -> None:
        self.jobs.append((kind, path))

    def fetch(self, wanted: UserFile, on_done: OnDone) -> None:
        self.wanted.append(wanted)
        on_done(self.comes)


class FixedServices:
    """A world outside that does what the test says."""

    def __init__(self) -> None:
        self.time = NOW
        self.load = 0.5
        self.active = 3
        self.pinged: list[str] = []

    @cached_property
    def log_ins(self) -> LogInsInProcess:
        return LogInsInProcess()

    @cached_property
    def updates(self) -> UpdatesInProcess:
        return UpdatesInProcess()

    def load_average(self) -> float:
        return self.load

    def sessions(self) -> int:
        return self.active

    def now(self) -> int:
        return self.time

    def ping_back(self, host_id: str) -> str:
        self.pinged.append(host_id)
        return host_id


class Lond:
    """One lond child as its link sees it."""

    def __init__(
        self,
        site: Site,
        *,
        opening: Opening | None = None,
        policy: Policy | None = None,
        users: Iterable[str] = ("smith", "jones"),
    ) -> None:
        self.site = site
        self.services = FixedServices()
        self.session = Session(site.table["msua1"])
        self.storage = Storage(site, opening)
        self.dispatcher = Dispatcher(site, self.storage, self.session, self.services, policy)
        for user in users:
            make_user_directory(site.config.users_dir, b"msu", user.encode())

    def ask(self, line: bytes | str, *, encrypted: bool = False) -> bytes:
        """The reply to one request."""
        return self.batch(line, encrypted=encrypted)[0]

    def batch(self, *lines: bytes | str, encrypted: bool = False) -> list[bytes]:
        """The replies to requests that were readable at once."""
        requests = [(line.encode() if isinstance(line, str) else line, encrypted) for line in lines]
        replies = self.dispatcher.execute(requests)
        assert len(replies) == len(lines)
        return [(reply.reply or b"") if isinstance(reply, Pending) else reply for reply in replies]

    def user_path(self, user: str) -> Path:
        """Where the user's database lies."""
        return self.storage.user_directory(b"msu", user.encode()) / "records.db"

    def __enter__(self) -> Lond:
        return self

    def __exit__(self, *_: object) -> None:
        self.storage.close()
        if "log_ins" in vars(self.services):
            self.services.log_ins.close()


def sqlite_error(kind: type[sqlite3.DatabaseError], message: str, code: int) -> sqlite3.DatabaseError:
    """An error as SQLite raises it, with its code; Python 3.10 has only the message."""
    error = kind(message)
    error.sqlite_errorcode = code  # type: ignore[attr-defined]
    return error


class Connection(sqlite3.Connection):
    """A connection that counts, and fails where it is told to. Use a subclass per test: :func:`connection_class`."""

    failing: ClassVar[dict[str, tuple[int, str]]]  # beginning of a statement: SQLite's code and message
    seen: ClassVar[list[str]]
    pages: ClassVar[int]

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        if self.pages:
            super().execute(f"PRAGMA max_page_count = {self.pages}")

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self._check(sql)
        return super().execute(sql, *parameters)

    def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self._check(sql)
        return super().executemany(sql, *parameters)

    def _check(self, sql: str) -> None:
        self.seen.append(sql)
        for beginning, (code, message) in self.failing.items():
            if sql.startswith(beginning):
                kind = sqlite3.DatabaseError if code in (11, 26) else sqlite3.OperationalError
                raise sqlite_error(kind, message, code)


def connection_class(pages: int = 0) -> type[Connection]:
    """A class of connections with counters and faults of its own; `pages` limits the size of each database."""
    return type("TestConnection", (Connection,), {"failing": {}, "seen": [], "pages": pages})
