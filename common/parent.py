"""What the parents of lonc and lond have in common: signals, reload, stop.

A parent holds no link and does nothing that can block. Every turn ends with :meth:`Parent.balance`, in which it
compares the children it wants with those it has, so that an event that was missed heals itself. Configuration and
tables are read again by a forked child, because a look-up in DNS may take its time; only a site that passed the same
check as ``--check`` replaces the old one.

Logs: start, reload (good or bad), what is odd in the configuration, stop. Raises nothing while it runs; a bug ends
the daemon.
"""

from __future__ import annotations

import abc
import logging
import os
import pickle
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from common.config import Config, differences
from common.counters import Counters, counters_path
from common.errors import ConfigError
from common.fork import prepare_for_children
from common.loop import OUR_SIGNALS, Loop
from common.metrics import STORED
from common.notify import Notifier
from common.pidfile import PidFile
from common.population import FORK_PAUSE, Birth, Member, Phase, Population
from common.scoreboard import Scoreboard, scoreboard_path
from common.settings import SETTINGS
from common.site import Site, load_site
from common.title import set_title

log = logging.getLogger(__name__)

LOADER = "+loader"  # the key of the child that reads the configuration; no host id begins with a plus sign
EXIT_CONFIG = 78
ORDERLY_ENDS = (0, 69, EXIT_CONFIG, -signal.SIGTERM)  # of a child that had a reason to end; 69: its link was lost


class Parent(abc.ABC):
    """A daemon's parent process.

    :param name: ``lonc`` or ``lond``.
    :param site: the checked configuration and tables.
    :param conf: where they were read from, for reading them again.
    :param slots: how many children there can be at most, beside the one that reads the configuration.
    :param pid_file: our lock; children close it.
    """

    def __init__(self, name: str, site: Site, conf: Path, slots: int, pid_file: PidFile, notifier: Notifier) -> None:
        self.name, self.site, self.conf = name, site, conf
        self.stopping = False
        self.notifier = notifier
        self._pid_file = pid_file
        self._loader_text = bytearray()
        self._reload_again = self._tables_only = False
        self.loop = Loop()
        slots += 1
        self.board = Scoreboard.create(scoreboard_path(site.config.sock_dir, name), slots)
        self.counters = Counters.create(counters_path(site.config.sock_dir, name), STORED[name], slots)
        self.tally = self.counters.total()
        self.tally.note("reload_succeeded", time.time())
        self.population = Population(
            self.loop, self.board, site.config.grace, self._on_message, self._on_end, self.release, reserved=LOADER
        )

    @abc.abstractmethod
    def balance(self) -> None:
        """Compare the children that are wanted with those that live; start and stop accordingly."""

    @abc.abstractmethod
    def on_message(self, member: Member, message: bytes, descriptors: list[int]) -> bool:
        """A child told something; True if the descriptors that came with it were taken."""

    @abc.abstractmethod
    def on_end(self, member: Member, code: int) -> None:
        """A child was reaped."""

    @abc.abstractmethod
    def on_reloaded(self, old: Site, changed: frozenset[str]) -> None:
        """`self.site` is a new one; `changed` names the settings that differ."""

    @abc.abstractmethod
    def on_usr1(self) -> None:
        """The administrator (or lond) asks to try again and to log the state."""

    @abc.abstractmethod
    def status(self) -> str:
        """One line on how things are, for the process title and the service manager."""

    def run(self, ready: Callable[[], None]) -> int:
        """Live until TERM or INT; the exit code. `ready` is called once everything is in place."""
        for number, call in (
            (signal.SIGTERM, self._stop),
            (signal.SIGINT, self._stop),
            (signal.SIGHUP, lambda: self._reload(tables_only=False)),
            (signal.SIGUSR1, self.on_usr1),
            (signal.SIGUSR2, lambda: self._reload(tables_only=True)),
            (signal.SIGCHLD, self.population.reap),
        ):
            self.loop.on_signal(number, call)
        self.loop.at_end_of_turn(self._end_of_turn)
        self.loop.every(1.0, self._show_status)
        self.tally.note("turned", time.time())
        if self.notifier.ping_seconds:
            self.loop.every(self.notifier.ping_seconds, self.notifier.alive)
        prepare_for_children()
        log.info("%s of %s started with pid %d", self.name, self.site.own.id, os.getpid())
        _tell_warnings(self.site)
        ready()
        self.notifier.ready(self.status())
        self.balance()
        self.loop.run()
        # From here on a second TERM must not turn an orderly end into a death by signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, OUR_SIGNALS)
        log.info("%s of %s ended", self.name, self.site.own.id)
        return 0

    def _show_status(self) -> None:
        self.tally.note("turned", time.time())
        status = self.status()
        set_title(f"{self.name}: parent, {status}")
        if not self.stopping:
            self.notifier.status(status)

    def release(self) -> None:
        """Close, in a child, what belongs to the parent alone."""
        self._pid_file.release()

    def release_to_loader(self) -> None:  # noqa: B027 - lonc has nothing of the kind
        """Close, in the child that reads the configuration, what only serving children need: it may wait for DNS for
        longer than the parent lives."""

    def _end_of_turn(self) -> None:
        if not self.stopping:
            self.balance()
            return
        self.population.stop_all()  # whoever was born in the turn in which we were asked to stop
        if not self.population:
            self.loop.stop()

    def _stop(self) -> None:
        if not self.stopping:
            log.info("asked to stop")
            self.stopping = True
            self.notifier.stopping()
            self.population.stop_all()

    def _on_message(self, member: Member, message: bytes, descriptors: list[int]) -> None:
        if member.key == LOADER:
            self._loader_text += message
        elif self.on_message(member, message, descriptors):
            return
        for descriptor in descriptors:
            os.close(descriptor)

    def _on_end(self, member: Member, code: int) -> None:
        self.counters.fold(member.slot)
        orderly = code in ORDERLY_ENDS or member.phase is not Phase.ALIVE
        self.tally.add("children_ended", "orderly" if orderly else "unexpectedly")
        if member.key == LOADER:
            self._loaded(code)
        else:
            self.on_end(member, code)

    def _reload(self, tables_only: bool) -> None:
        if self.stopping:
            return
        pending = any(self.population.of(LOADER))
        self._tables_only = tables_only and (self._tables_only or not pending)
        if pending:
            self._reload_again = True  # the files may have changed after the loader read them
            return
        self._reload_again = False
        self._loader_text.clear()
        loader = self.population.start(LOADER, self._load)
        if loader is None:
            self.loop.call_later(FORK_PAUSE, lambda: self._reload(tables_only))
            return
        self.notifier.reloading()
        self.loop.call_later(self.site.config.reload_timeout, lambda: self._abandon(loader))

    def _abandon(self, loader: Member) -> None:
        if loader.pid in self.population.members:
            log.error("reading the configuration took over %.0f s", self.site.config.reload_timeout)
            self.population.stop(loader)

    def _load(self, birth: Birth) -> int:
        self.release_to_loader()
        set_title(f"{self.name}: reading the configuration")
        for number in OUR_SIGNALS - {signal.SIGTERM}:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OUR_SIGNALS)  # it has no loop that would
        try:
            result: Site | ConfigError = load_site(self.conf)
        except ConfigError as error:
            result = error
        birth.lifeline.tell_all(pickle.dumps(result))
        return EXIT_CONFIG if isinstance(result, ConfigError) else 0

    def _loaded(self, code: int) -> None:
        if self.stopping:
            return
        if code == 0:
            self._take_over(pickle.loads(self._loader_text))  # noqa: S301 - our own child wrote it
        elif code == EXIT_CONFIG:
            log.error("configuration not taken over, the old one stays: %s", pickle.loads(self._loader_text))  # noqa: S301
        else:
            log.error("configuration not taken over, the old one stays: its reader ended with %d", code)
        self.tally.add("reloads", "failed" if code else "ok")
        self.tally.note("reload_failed" if code else "reload_succeeded", time.time())
        self.notifier.ready(self.status())
        if self._reload_again:
            self._reload(self._tables_only)

    def _take_over(self, new: Site) -> None:
        old = self.site
        if needs := differences(old.config, new.config) & RESTART_ONLY:
            log.warning("these settings count only after a restart: %s", ", ".join(sorted(needs)))
        new = replace(new, config=old.config if self._tables_only else keep_bound(old.config, new.config))
        self.site = new
        changed = differences(old.config, new.config)
        log.info("configuration taken over: %d hosts, %d settings changed", len(new.table.hosts), len(changed))
        _tell_warnings(new)
        self.population.grace = new.config.grace
        self.on_reloaded(old, changed)


def _tell_warnings(site: Site) -> None:
    for warning in site.warnings:
        log.warning("in the configuration: %s", warning)


# What a running parent has bound, locked or opened already.
RESTART_ONLY = frozenset(
    ("lonHostID", "lonSockDir", "lonDaemons", "lonDelayedDir", "londPort", "lonBindAddress", "londMaxChildren")
)


def keep_bound(old: Config, new: Config) -> Config:
    """The new configuration with the old values of what a running parent can't change."""
    kept = {setting.field: getattr(old, setting.field) for setting in SETTINGS if setting.name in RESTART_ONLY}
    return replace(new, **kept)
