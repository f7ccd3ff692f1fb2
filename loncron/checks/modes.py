"""Can anybody read or change what only this host should? Modes of configuration, tables, keys and data."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from common.config import Config
from loncron.visit import Visit
from lonstatus.findings import Finding, Level

NAME = "modes"
TABLES = ("hosts.tab", "domain.tab", "spare.tab", "links.tab", "trust.tab")
GROUP_WRITES, OTHERS_WRITE = stat.S_IWGRP, stat.S_IWOTH
OTHERS = stat.S_IRWXO
ALL_BUT_OWNER = stat.S_IRWXG | stat.S_IRWXO
KEYS = (Path("/etc/krb5.keytab"), Path("/etc/ssl/private/loncapa.key"))  # of Kerberos, and of conf/apache2/loncapa.conf


def check(visit: Visit) -> Iterator[Finding]:
    """A finding for each file or directory that is open to more than it should be."""
    config = visit.site.config
    for path, forbidden, level in _rules(config, visit.conf):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue  # not there, or not ours to look at: whoever needs it will say so
        if mode & forbidden:
            right = mode & ~forbidden
            text = f"{path} has mode {mode:04o}: {_who(mode & forbidden)}; chmod {right:04o} {path}"
            yield Finding(level, NAME, str(path), text)


def _rules(config: Config, conf: Path) -> Iterator[tuple[Path, int, Level]]:
    """Path, what its mode must not have, and how bad it is if it has."""
    for table in (conf, *(config.tab_dir / name for name in TABLES)):
        yield table, GROUP_WRITES | OTHERS_WRITE, Level.WARNING
    yield config.tab_dir, OTHERS_WRITE, Level.ERROR
    for key in KEYS:
        yield key, OTHERS, Level.ERROR
    for directory in (config.delayed_dir, config.users_dir, config.ids_dir):
        yield directory, ALL_BUT_OWNER, Level.ERROR
    for fifo in sorted(config.delayed_dir.glob("*.db*")) if config.delayed_dir.is_dir() else ():
        yield fifo, ALL_BUT_OWNER, Level.ERROR
    for directory in (config.sock_dir, config.daemons_dir / "logs"):
        yield directory, OTHERS, Level.ERROR


def _who(bits: int) -> str:
    who = "everybody" if bits & OTHERS else "its group"
    return f"{who} may {'write' if bits & (GROUP_WRITES | OTHERS_WRITE) else 'read'} there"
