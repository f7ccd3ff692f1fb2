"""The parent of lond: as many children as links, and two spares that wait for the next one.

The children accept by themselves on the socket that the parent has bound. After a reload spares are replaced at once;
a child that serves a link hands it, between two requests, to a fresh child, so that no peer notices; the links of
hosts that are no longer in the table are closed. On every new link of another host the local lonc is woken (USR1):
who can reach us can probably be reached.

Logs: links opened and ended, refused connections (once per address, reason and interval), hosts with too many links.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from common.daemon import command_line
from common.daemon import main as daemon_main
from common.errors import ConfigError
from common.notify import Notifier
from common.parent import Parent
from common.pidfile import PidFile, pid_path, signal_daemon
from common.population import Birth, Member
from common.site import Site, bind_address
from lond.authentication.hash_pool import HashPool
from lond.child import HAND_OVER, RETIRE, Child
from lond.link import Packed
from lond.refusals import Refusals, kind_of
from lond.services import prepare
from lond.updates.pool import UpdatePool

log = logging.getLogger(__name__)

BACKLOG = 1024
SPARE, LINK = "spare", "link"  # why a child was born
SURPLUS = 2  # spares beyond the wanted ones that may stay
WAKE_PAUSE = 10.0  # seconds between two signals to lonc for the same host
CRASH_PAUSE = 1.0  # seconds without new spares after one that ended unexpectedly


class LondParent(Parent):
    """See the module."""

    def __init__(self, site: Site, conf: Path, pid_file: PidFile, notifier: Notifier) -> None:
        self._listener = _listen(site)
        self._updaters = UpdatePool(site, self._release_to_updater)
        self._hashers = HashPool(site, self._release_to_hasher)
        # A link that is handed over has two children for a moment, and all may be handed over at once.
        slots = 2 * site.config.max_children + _workers(site)
        super().__init__("lond", site, conf, slots, pid_file, notifier)
        self._refusals = Refusals(site.config.refusal_log_interval)
        self._outdated: set[int] = set()  # generations from before the last reload
        self._opened: dict[int, float] = {}  # a child's generation to when it got its link
        self._homeless: list[tuple[socket.socket, Packed]] = []  # links whose next child could not be forked yet
        self._not_before = 0.0
        self._woken: dict[str, float] = {}
        self._full = False
        self.loop.every(1.0, self._log_refusals)

    def run(self, ready: Callable[[], None]) -> int:
        """As every parent; the workers' sockets go at the end."""
        try:
            return super().run(ready)
        finally:
            self._hashers.close()
            self._updaters.close()

    def _release_to_hasher(self) -> None:
        self._listener.close()
        self._updaters.close_listeners()

    def _release_to_updater(self) -> None:
        self._listener.close()
        self._hashers.close_listeners()
        self._hashers.table.close()

    def balance(self) -> None:
        """Enough spares, not too many; no child from before the last reload; no host with too many links."""
        self._find_homes()
        fresh = [m for m in self._spares() if m.generation not in self._outdated]
        for _ in range(self.site.config.spares - len(fresh)):
            self._start_spare()
        enough = len(fresh) >= self.site.config.spares
        outdated = [m for m in self._spares() if m.generation in self._outdated]
        for member in (outdated if enough else []) + fresh[self.site.config.spares + SURPLUS :]:
            self._retire(member)
        self._limit_links()
        for pool in (self._hashers, self._updaters):
            pool.balance(self.population, self.site, self.loop.clock(), self._outdated)

    def _spares(self) -> list[Member]:
        return [m for m in self.population.of(SPARE) if not m.note]

    def _retire(self, member: Member) -> None:
        # Not by TERM: at this very moment a host may have connected to it, and its link must not break.
        member.note = "retiring"
        self.population.tell(member, RETIRE)

    def _start_spare(self) -> None:
        if self.loop.clock() < self._not_before:
            return
        if len(self.population) >= self.site.config.max_children + _workers(self.site):
            if not self._full:
                log.error("%d children are the most there may be; new links wait", self.site.config.max_children)
            self._full = True
            return
        self._full = False
        self.population.start(SPARE, self._life())

    def _life(self, inherited: tuple[socket.socket, Packed] | None = None) -> Callable[[Birth], int]:
        """The life of a child that serves links.

        :param inherited: a link that another child served until now.
        """
        site, listener, counters = self.site, self._listener, self.counters
        hashers, updaters = self._hashers, self._updaters

        def live(birth: Birth) -> int:
            hashers.close_listeners()
            updaters.close_listeners()
            claim = partial(counters.claim, birth.slot)
            return Child(site, listener, birth, prepare(site, hashers, updaters, claim)).live(inherited)

        return live

    def _limit_links(self) -> None:
        links = [m for m in self.population.alive() if m.note.startswith("serving ")]
        for note, number in Counter(m.note for m in links).items():
            if number > self.site.config.max_links_per_host:
                oldest = min((m for m in links if m.note == note), key=lambda m: self._opened[m.generation])
                log.warning("%s has %d links; the oldest is closed", note.removeprefix("serving "), number)
                self.population.stop(oldest)

    def on_message(self, member: Member, message: bytes, descriptors: list[int]) -> bool:
        """What a child says; see :mod:`lond.child`."""
        word, _, rest = message.partition(b" ")
        text = rest.decode("utf-8", "replace")
        if word == b"link" and descriptors:
            self._take_link(message, descriptors[0])
            return True
        if word == b"refused":
            self._on_refused(text)
        elif word == b"idle":
            member.note = ""
        elif word == b"greeting":
            member.note = f"greeting {text}"
        elif word == b"serving":
            self._on_serving(member, text)
        else:
            self._hashers.on_message(member, word, text)
        return False

    def _on_serving(self, member: Member, host: str) -> None:
        if member.key == SPARE:
            log.info("link of %s is open", host)
            self.counters.total(host).add("links_opened")
            if host != self.site.own.id:
                self._wake_lonc(host)
        member.note = f"serving {host}"
        self._opened[member.generation] = self.loop.clock()
        if host not in self.site.table:
            self.population.stop(member)
        elif member.generation in self._outdated:
            self.population.tell(member, HAND_OVER)

    def _wake_lonc(self, host: str) -> None:
        """Who reaches us can probably be reached; but two hosts that keep failing must not keep each other awake."""
        now = self.loop.clock()
        if now >= self._woken.get(host, 0.0) and not self._is_linked(host):
            self._woken[host] = now + WAKE_PAUSE
            signal_daemon(pid_path(self.site.config, "lonc"), signal.SIGUSR1)

    def _is_linked(self, host: str) -> bool:
        return (self.site.config.sock_dir / host).exists()

    def _take_link(self, message: bytes, descriptor: int) -> None:
        channel = socket.socket(fileno=descriptor)
        try:
            packed = Packed.decode(message)
            peer = self.site.table.by_ip(channel.getpeername()[0])
        except (ValueError, TypeError, OSError) as error:
            log.error("a link could not be handed over: %s", error)
            channel.close()
            return
        if self.stopping or peer is None or peer.id != packed.host:  # no longer the host of this address
            channel.close()
            return
        self._homeless.append((channel, packed))
        self._find_homes()

    def _find_homes(self) -> None:
        while self._homeless:
            channel, packed = self._homeless.pop(0)
            if self.population.start(LINK, self._life((channel, packed))) is None:
                self._homeless.insert(0, (channel, packed))
                return
            channel.close()

    def release(self) -> None:
        """Close, in a child, what belongs to the parent or to children that are yet to be born."""
        super().release()
        for channel, _ in self._homeless:
            channel.close()

    def release_to_loader(self) -> None:
        """Close what links come in by, so that a next lond can bind it."""
        self._listener.close()
        self._hashers.close_listeners()
        self._updaters.close_listeners()

    def _on_refused(self, text: str) -> None:
        number, address, reason = text.split(" ", 2)
        self.tally.add("connections_rejected", kind_of(reason), int(number))
        if self._refusals.add(address, reason, self.loop.clock(), int(number)):
            log.warning("refused a connection: %s %s", address, reason)

    def _log_refusals(self) -> None:
        for address, reason, number in self._refusals.due(self.loop.clock()):
            log.warning("refused %d more connections: %s %s", number, address, reason)

    def on_end(self, member: Member, code: int) -> None:
        """Log links that ended; :meth:`balance` does the rest."""
        self._outdated.discard(member.generation)
        self._opened.pop(member.generation, None)
        for pool in (self._hashers, self._updaters):
            pool.on_end(member, code, self.loop)
        if code not in (0, -signal.SIGTERM):
            log.error("child %d (%s) ended unexpectedly with %d", member.pid, member.note or member.key, code)
            if not member.note:  # one that dies at once must not become a storm of forks
                self._not_before = self.loop.clock() + CRASH_PAUSE
                self.loop.call_later(CRASH_PAUSE, lambda: None)

    def on_usr1(self) -> None:
        """Have every child log its status."""
        log.info("%s", self.status())
        self.population.signal(signal.SIGUSR1)

    def on_reloaded(self, old: Site, changed: frozenset[str]) -> None:  # noqa: ARG002 - all are replaced
        """Replace every child, the busy ones by way of their links' hand-over."""
        self._refusals = Refusals(self.site.config.refusal_log_interval)
        for member in self.population.alive():
            self._outdated.add(member.generation)
            host = member.note.removeprefix("serving ")
            if host == member.note:
                continue
            if host in self.site.table and self.site.table[host].ip == old.table[host].ip:
                self.population.tell(member, HAND_OVER)
            else:
                self.population.stop(member)

    def status(self) -> str:
        """How many links are open."""
        links = sum(m.note.startswith("serving ") for m in self.population.alive())
        return f"{links} links, {len(self._spares())} spares"


def _workers(site: Site) -> int:
    return HashPool.slots(site.config) + UpdatePool.slots(site.config)


def _listen(site: Site) -> socket.socket:
    try:
        address = bind_address(site)
    except ConfigError as error:
        raise OSError(str(error)) from error
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((address, site.config.lond_port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        place = f"{address or 'any address'} port {site.config.lond_port}"
        raise OSError(error.errno, f"can't listen on {place}: {os.strerror(error.errno or 0)}") from error
    return listener


def parser() -> argparse.ArgumentParser:
    """The command line as argparse sees it."""
    return command_line(
        "lond",
        "The remote command processor: executes the commands of the other hosts of the network. Each link has a "
        "child of its own, and londSpares more wait for the next one; workers check passwords.",
        "Only the addresses of hosts.tab are answered; trust.tab limits what their hosts may do.",
        usr1="every child logs its state",
    )


def main(argv: list[str] | None = None) -> int:
    """The command ``lond``; its exit code."""
    return daemon_main(parser(), LondParent, argv)
