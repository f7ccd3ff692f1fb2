"""The parent of lonc: one child per host of hosts.tab, and the policy of trying again.

A child that ended is replaced at once; the fresh one waits out the delay that :mod:`lonc.retry` chose, under a title
that says so. USR1 ends all waiting, a line on the control pipe that for one host. A paused host has a child without
a link, which shows the pause. After a reload only the hosts whose entry has changed get fresh children, or all
of them if a setting has; a fresh child brings its link up and takes the socket over before the old one is asked to go.

Logs: links that are up, hosts given up (critical, once), paused and resumed, added and removed, children that ended
unexpectedly, and once after each reload that a host gets no child since all slots are taken.
"""

from __future__ import annotations

import argparse
import logging
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from common.daemon import command_line
from common.daemon import main as daemon_main
from common.loop import READ
from common.notify import Notifier
from common.parent import RESTART_ONLY, Parent
from common.pauses import Pause, pauses
from common.pidfile import PidFile
from common.population import Birth, Member, Phase
from common.site import Site
from lonc import child
from lonc.control import LOOK, RETRY, ControlPipe
from lonc.listener import hidden_path
from lonc.retry import Retry

log = logging.getLogger(__name__)

SERVING = "serving"
LOND_PREFIX = ".lond."  # sockets in lonSockDir that are lond's; no host id begins with a dot
CRASH_PAUSE = 1.0  # seconds before a child is replaced that ended without saying why
SPARE_SLOTS = 256  # more hosts that may join by HUP before lonc has to be restarted


@dataclass(slots=True)
class Peer:
    """What the parent knows of one host."""

    retry: Retry
    delay: float = 0.0
    why: str = ""
    not_before: float = 0.0
    outdated: set[int] = field(default_factory=set)  # generations to be replaced since a reload or a pause
    down_since: float = field(default_factory=time.time)  # UNIX time; 0: it is not down

    def wake(self) -> None:
        """The next child tries at once."""
        self.retry.wake()
        self.delay = self.not_before = 0.0

    def failed(self, stood: float, why: str) -> None:
        """A try failed, or a link that stood for `stood` seconds is lost."""
        self.delay, self.why = self.retry.failed(stood), why
        self.down_since = self.down_since or time.time()


class LoncParent(Parent):
    """See the module."""

    def __init__(self, site: Site, conf: Path, pid_file: PidFile, notifier: Notifier) -> None:
        self.peers: dict[str, Peer] = {}
        self._pauses: dict[str, Pause] = {}
        self._full = False  # and this was said
        super().__init__("lonc", site, conf, 2 * len(site.table.hosts) + SPARE_SLOTS, pid_file, notifier)
        self._remove_stale_sockets()
        self._control = ControlPipe(site.config.sock_dir)
        self.loop.watch(self._control, READ, self._on_asked)
        self._look_at_pauses()

    def release(self) -> None:
        """Close, in a child, what belongs to the parent alone."""
        super().release()
        self._control.close()

    def _remove_stale_sockets(self) -> None:
        # The pid file is locked: whatever socket lies here belonged to a lonc that was killed.
        for path in self.site.config.sock_dir.iterdir():
            if path.is_socket() and not path.name.startswith(LOND_PREFIX):
                path.unlink()

    def balance(self) -> None:
        """One serving child per host, and at most one more that is about to take over."""
        for host in self.site.table.hosts:
            self._balance_host(host, self.peers.setdefault(host, self._new_peer()))
        for host in [host for host in self.peers if host not in self.site.table]:
            self._dismiss(host)

    def _new_peer(self) -> Peer:
        config = self.site.config
        return Peer(Retry(config.retry_first, config.retry_max, config.stable_after, config.max_attempts))

    def _balance_host(self, host: str, peer: Peer) -> None:
        members = list(self.population.of(host))
        current = [m for m in members if m.generation not in peer.outdated]
        if not current and self.loop.clock() >= peer.not_before:
            self._start(host, peer, takes_over=any(m.note == SERVING for m in members))
        for member in members:
            superseded = any(m.note == SERVING for m in current) or member.note != SERVING or host in self._pauses
            if member.generation in peer.outdated and superseded:
                self.population.stop(member)

    def _start(self, host: str, peer: Peer, takes_over: bool) -> None:
        if not self.population.has_slot(host):
            self._on_full(host)
            return
        site, counters, pause = self.site, self.counters, self._pauses.get(host)
        takes_over = takes_over and not pause
        orders = child.Orders(peer.delay, peer.why, peer.retry.failures, takes_over, pause, peer.down_since)

        def live(birth: Birth) -> int:
            return child.live(site, host, birth, orders, counters.claim(birth.slot, host))

        if self.population.start(host, live) is not None:
            peer.delay = 0.0

    def _on_full(self, host: str) -> None:
        if not self._full:
            log.error("no slot is free for a child of %s: restart lonc, so that it makes room for all hosts", host)
        self._full = True

    def _dismiss(self, host: str) -> None:
        for member in self.population.of(host):
            self.population.stop(member)
        log.info("host %s is no longer in hosts.tab; its link is closed", host)
        del self.peers[host]

    def on_message(self, member: Member, message: bytes, descriptors: list[int]) -> bool:  # noqa: ARG002 - lond's need
        """``serving``, or ``lost STOOD REASON``."""
        word, _, rest = message.decode("utf-8", "replace").partition(" ")
        if word == "serving":
            member.note = SERVING
            if peer := self.peers.get(member.key):
                peer.down_since = 0.0
            log.info("link to %s is up", member.key)
        elif word == "lost" and (peer := self.peers.get(member.key)):
            stood, _, reason = rest.partition(" ")
            self._on_lost(member, peer, float(stood), reason)
        return False

    def _on_lost(self, member: Member, peer: Peer, stood: float, reason: str) -> None:
        member.note = "lost"
        was_given_up = peer.retry.given_up
        peer.failed(stood, reason)
        if peer.retry.given_up and not was_given_up:
            log.critical("host %s is given up after %d failures: %s", member.key, peer.retry.failures, reason)

    def on_end(self, member: Member, code: int) -> None:
        """Note how a child ended; :meth:`balance` does the rest."""
        if code != 0:
            self._remove_sockets_of_dead(member)
        peer = self.peers.get(member.key)
        if peer is not None:
            peer.outdated.discard(member.generation)
        if peer is None or member.phase is not Phase.ALIVE:
            return
        if member.note != "lost":
            log.error("child %d of %s ended unexpectedly with %d", member.pid, member.key, code)
            peer.failed(self.loop.clock() - member.started, f"its child ended with {code}")
            if peer.retry.failures > 1:
                self._pause(peer)

    def _pause(self, peer: Peer) -> None:
        # A child that dies before it could wait must not become a storm of forks.
        peer.not_before = self.loop.clock() + CRASH_PAUSE
        self.loop.call_later(CRASH_PAUSE, lambda: None)

    def _remove_sockets_of_dead(self, member: Member) -> None:
        # A killed child could not do it itself; if another one of this host lives, the path may be its. That of a
        # paused host never has one.
        path = self.site.config.sock_dir / member.key
        unused = [hidden_path(path, member.pid)]
        if member.key in self._pauses or not any(self.population.of(member.key)):
            unused.append(path)
        for socket_file in unused:
            with suppress(OSError):  # as when the whole directory is gone, or closed to us
                socket_file.unlink()

    def on_usr1(self) -> None:
        """Try every lost link again now."""
        for peer in self.peers.values():
            peer.wake()
        self._look_at_pauses()
        log.info("%s", self.status())
        self.population.signal(signal.SIGUSR1)

    def _on_asked(self, _mask: int) -> None:
        for word, host in self._control.read():
            if word == LOOK:
                self._look_at_pauses()
            elif word == RETRY and (peer := self.peers.get(host)):
                peer.wake()
                self.population.signal(signal.SIGUSR1, host)

    def _look_at_pauses(self) -> None:
        before = self._pauses
        try:
            self._pauses = pauses(self.site.config.delayed_dir)
        except OSError as error:
            log.error("pauses can't be read, those that were known stay: %s", error)
            return
        for host in sorted(before.keys() | self._pauses.keys()):
            pause = self._pauses.get(host)
            if pause == before.get(host):
                continue
            if host in self.site.table:
                log.info("host %s is paused %s", host, pause) if pause else log.info("host %s is resumed", host)
            if peer := self.peers.get(host):
                self._replace_children(host, peer)

    def on_reloaded(self, old: Site, changed: frozenset[str]) -> None:
        """Mark the children whose settings or host have changed."""
        self._full = False
        table = self.site.table
        everyone = bool(changed - RESTART_ONLY) or old.own != self.site.own
        for host, peer in self.peers.items():
            if host in table and (
                everyone or table[host] != old.table[host] or table.options(host) != old.table.options(host)
            ):
                self._replace_children(host, peer)
        self._look_at_pauses()
        for host in set(table.hosts) - set(old.table.hosts):
            log.info("host %s is new in hosts.tab", host)

    def _replace_children(self, host: str, peer: Peer) -> None:
        peer.retry = self._new_peer().retry
        peer.delay = peer.not_before = 0.0
        peer.outdated |= {m.generation for m in self.population.of(host)}

    def status(self) -> str:
        """How many links are up."""
        serving = {m.key for m in self.population.alive() if m.note == SERVING}
        paused = sum(host in self._pauses for host in self.site.table.hosts)
        return f"{len(serving)} of {len(self.site.table.hosts)} links up" + (f", {paused} paused" if paused else "")


def parser() -> argparse.ArgumentParser:
    """The command line as argparse sees it."""
    return command_line(
        "lonc",
        "The proxy daemon: keeps persistent links to the lond of every host of the network, this one included. "
        "Each host has a child of its own, which owns the link, the UNIX socket that callers write to, and the FIFO "
        "of the critical messages that could not be delivered yet.",
        "A link that is lost is tried again at once, then after 1 s doubling to lonRetryMax. After lonMaxAttempts "
        "failures in a row the host is given up: tried every lonRetryMax seconds, on USR1, and when it connects to us.",
        usr1="try every lost link again now, also those given up; every child logs its state",
    )


def main(argv: list[str] | None = None) -> int:
    """The command ``lonc``; its exit code."""
    make: Callable[[Site, Path, PidFile, Notifier], LoncParent] = LoncParent
    return daemon_main(parser(), make, argv)
