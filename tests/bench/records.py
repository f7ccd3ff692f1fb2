"""Users with records on a library server, made in its directories before anybody asks."""

from __future__ import annotations

import os
import shutil

from common.site import Site
from lond.records.databases import USER_DATABASE
from lond.records.paths import PASSWD, user_directory
from lond.storage import Storage

NAMESPACE, KEY, VALUE = "environment", "lastname", "Doe"
PASSWD_LINE = "none:\n"


def make_users(site: Site, number: int) -> list[str]:
    """Make users with a password file and a first record, each with a database of its own; their names.

    The first one's records are stored as lond stores them, the others' are copies of its closed file.
    """
    users = [f"u{at:05d}" for at in range(number)]
    directories = [user_directory(site.config.users_dir, site.own.domain.encode(), user.encode()) for user in users]
    for directory in directories:
        directory.mkdir(parents=True, mode=0o700)
        (directory / PASSWD).write_text(PASSWD_LINE)
    _store_first(site, users[0])
    original = directories[0] / USER_DATABASE
    for directory in directories[1:]:
        shutil.copy(original, directory / USER_DATABASE)
    os.sync()  # what is written back later would be measured with the rest
    return users


def _store_first(site: Site, user: str) -> None:
    storage = Storage(site)
    domain = site.own.domain.encode()

    def put() -> None:
        records = storage.user(domain, user.encode(), write=True)
        records.put(NAMESPACE.encode(), {KEY.encode(): VALUE.encode()}, 0)

    storage.perform(put)
    failures = storage.commit()
    storage.close()
    assert not failures, failures
