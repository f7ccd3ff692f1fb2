"""The configuration and tables as a long-lived process needs them: read again when their files have changed.

A web server's process lives for months and can be sent no signal, so it looks at the files itself, at most every
:data:`CHECK_SECONDS` and only when asked to (lonnet asks when it makes a connection or meets an unknown host, the
web handlers with each request).

Promises: :attr:`SiteWatch.site` is replaced whole or not at all. Raises nothing after its making. Logs a warning
once for each broken state of the files and keeps the old table; an info line for each reload.

Known limits: no lock (one that is held while another thread forks would stay locked in the child); two threads that
ask within the same microsecond may both reload, which does no harm. Addresses that hosts.tab leaves to DNS are kept
over a reload, so that a web request does not wait for a resolver; only names that are new are looked up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from common.config import Config
from common.errors import ConfigError
from common.site import Site, dns, load_site

log = logging.getLogger(__name__)

CHECK_SECONDS = 3.0
TABLE_FILES = ("hosts.tab", "domain.tab", "spare.tab", "links.tab", "trust.tab")

Stamp = tuple[tuple[int, int, int] | None, ...]
Loader = Callable[[Path, Callable[[str], str]], Site]


class SiteWatch:
    """The current site.

    :param site: as first loaded.
    :param path: of the configuration file; None: the site is what it is for ever.
    :param load: reads the file at `path`, with a resolver of host names; raises ConfigError.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        site: Site,
        path: Path | None,
        load: Loader = load_site,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.site = site
        self._path, self._load, self._clock = path, load, clock
        self._stamp = _stamp(path, site.config) if path else ()
        self._next_check = clock() + CHECK_SECONDS

    def refresh(self) -> None:
        """Load the site again if a file has changed and the last check is long enough ago."""
        if self._path is None or self._clock() < self._next_check:
            return
        self._next_check = self._clock() + CHECK_SECONDS
        stamp = _stamp(self._path, self.site.config)
        if stamp != self._stamp:
            self._stamp = stamp  # taken before the load: a change during it is seen by the next check
            self._reload(self._path)

    def _reload(self, path: Path) -> None:
        try:
            site = self._load(path, self._known_address)
        except ConfigError as error:
            log.warning("configuration has changed but is not usable, the old one stays in force: %s", error)
            return
        if site.config.tab_dir != self.site.config.tab_dir:
            self._stamp = _stamp(path, site.config)
        self.site = site
        log.info("configuration and tables read again: %d hosts", len(site.table))

    def _known_address(self, hostname: str) -> str:
        known = (host.ip for host in self.site.table.hosts.values() if host.hostname == hostname)
        return next(known, None) or dns(hostname)


def _stamp(path: Path, config: Config) -> Stamp:
    return tuple(_file_stamp(file) for file in (path, *(config.tab_dir / name for name in TABLE_FILES)))


def _file_stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
