"""A lond child: idle until a host connects, then serving that one link to its end.

The peer is known by its source address. An unknown one is closed without a byte; a known one gets at most
`max_handshakes` children at a time before it has answered its challenge. A child whose peer never came through
goes back to being a spare; one whose link was open ends with it. All databases are opened here, after the fork.

To its parent it says ``greeting HOST``, ``serving HOST``, ``idle``, ``refused NUMBER ADDRESS REASON`` and, when it was
asked to hand over, ``link ...`` with the descriptor of its link.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable

from common.hosts_table import Host
from common.loop import READ, Loop
from common.population import Birth
from common.scoreboard import Slot
from common.site import Site
from common.title import set_title
from lond.dispatcher import Session
from lond.link import Execute, Link, Packed
from lond.refusals import OTHERS

log = logging.getLogger(__name__)

TICK = 1.0  # seconds between updates of the scoreboard
ACCEPT_PAUSE = 1.0  # seconds without accepting when no descriptor is free
REFUSALS_AT_ONCE = 50  # addresses and reasons told to the parent per second
HANDOVER_TICK = 0.05  # seconds between looks for an idle moment
HAND_OVER, RETIRE = b"hand over", b"retire"  # what the parent says

Prepare = Callable[[Session], Execute]


class Child:
    """See the module.

    :param listener: lond's listening socket, shared with the other children.
    :param prepare: makes the function that executes a session's requests.
    """

    def __init__(self, site: Site, listener: socket.socket, birth: Birth, prepare: Callable[[Loop], Prepare]) -> None:
        self.site = site
        self.loop = Loop()
        self._listener, self._birth, self._prepare = listener, birth, prepare(self.loop)
        self._slot = Slot(os.getpid(), birth.generation, started=time.time())
        self._link: Link | None = None
        self._was_open = False
        self._address = ""
        self._handing_over = False
        self._refused: Counter[tuple[str, str]] = Counter()
        self._telling = False

    def live(self, inherited: tuple[socket.socket, Packed] | None) -> int:
        """Serve one link; the exit code.

        :param inherited: a link that another child served until now.
        """
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            self.loop.on_signal(number, lambda: None)
        self.loop.on_signal(signal.SIGTERM, self._drain)
        self.loop.on_signal(signal.SIGUSR1, lambda: log.info("lond: %s", self._status()))
        self._birth.lifeline.watch(self.loop, self._on_message, self.loop.stop)
        self.loop.every(TICK, self._publish)
        if inherited:
            self._inherit(*inherited)
        else:
            self._be_idle()
        self.loop.run()
        return 0

    def _be_idle(self) -> None:
        self._link, self._address = None, ""
        self._set_state("idle", "")
        self.loop.watch(self._listener, READ, self._accept)

    def _accept(self, _mask: int) -> None:
        while self._link is None:
            try:
                channel, address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):  # another child was quicker, or the peer has gone
                return
            except OSError as error:
                log.error("can't accept links: %s; next try in %.0f s", error, ACCEPT_PAUSE)
                self.loop.forget(self._listener)
                self.loop.call_later(ACCEPT_PAUSE, lambda: self.loop.watch(self._listener, READ, self._accept))
                return
            self._greet(channel, str(address[0]))

    def _greet(self, channel: socket.socket, address: str) -> None:
        self._address = address
        peer = self.site.table.by_ip(address)
        if peer is None:
            channel.close()
            self.on_refused("is not in hosts.tab")
        elif self._greeting(peer) >= self.site.config.max_handshakes:
            channel.close()
            self.on_refused(f"has {self.site.config.max_handshakes} connections open that did not answer yet")
        else:
            self.loop.forget(self._listener)
            self._set_state("greeting", peer.id)
            self._birth.lifeline.tell(b"greeting " + peer.id.encode())
            self._link = self._serve(peer, channel, None)

    def _greeting(self, peer: Host) -> int:
        return sum(slot.state == "greeting" and slot.host == peer.id for slot in self._birth.board.all())

    def _serve(self, peer: Host, channel: socket.socket, packed: Packed | None) -> Link:
        return Link(self.loop, self.site.config, self.site.own.id, peer, channel, self, self._prepare, packed)

    def _inherit(self, channel: socket.socket, packed: Packed) -> None:
        peer = self.site.table[packed.host]
        self._address = peer.ip
        self._link = self._serve(peer, channel, packed)
        self.on_open()

    def on_open(self) -> None:
        """The peer has come through: this child is its, to the end."""
        assert self._link is not None
        host = self._link.peer.id
        self._was_open = True
        self._listener.close()
        self._set_state("serving", host)
        self._birth.lifeline.tell(b"serving " + host.encode())

    def on_refused(self, reason: str) -> None:
        """Leave it to the parent how often this is logged; a flood of refusals must not be one of messages."""
        key = (self._address, reason)
        self._refused[key if key in self._refused or len(self._refused) < REFUSALS_AT_ONCE else OTHERS] += 1
        if not self._telling:
            self._tell_refusals()

    def _tell_refusals(self) -> None:
        self._telling = bool(self._refused)
        for (address, reason), number in self._refused.items():
            self._birth.lifeline.tell(f"refused {number} {address} {reason}".encode("utf-8", "replace"))
        self._refused.clear()
        if self._telling:
            self.loop.call_later(TICK, self._tell_refusals)

    def on_closed(self) -> None:
        """The link is over."""
        if self._was_open or self._slot.state == "draining":
            self.loop.stop()
        else:
            self._birth.lifeline.tell(b"idle")
            self._be_idle()

    def _drain(self) -> None:
        if self._link is None or not self._was_open:
            self.loop.stop()
            return
        self._set_state("draining", self._slot.host)
        self.loop.call_later(self.site.config.grace * 0.9, self.loop.stop)
        self._link.drain()

    def _on_message(self, message: bytes) -> None:
        if message == RETIRE and self._link is None:
            self.loop.stop()
        elif message == HAND_OVER and self._was_open and not self._handing_over:
            self._handing_over = True
            self._hand_over()

    def _hand_over(self) -> None:
        link = self._link
        if link is None or link.fileno() < 0:
            return
        link.leave(wanted=True)
        if link.idle and self._birth.lifeline.tell(link.pack().encode(), (link.fileno(),)):
            link.close()  # our copy; what comes from now on is the next child's
            self.loop.stop()
        else:
            self.loop.call_later(HANDOVER_TICK, self._hand_over)

    def _set_state(self, state: str, host: str) -> None:
        self._slot.state, self._slot.host, self._slot.since = state, host, time.time()
        self._publish()

    def _publish(self) -> None:
        slot = self._slot
        slot.heartbeat = time.monotonic()
        slot.requests = slot.replies = self._link.requests if self._link else 0
        self._birth.board.write(self._birth.slot, slot)
        set_title(f"lond: {self._status()}")

    def _status(self) -> str:
        slot = self._slot
        return slot.host if slot.state == "serving" else f"{slot.state} {slot.host}".strip()
