"""A lonc child: one peer, from its fork to its end.

It waits out the delay its parent gave it, makes its socket, connects, exchanges keys, sends the delayed messages, then
puts the socket file in place and serves callers. When the link breaks it answers every caller and dies; there is no
reconnect code. TERM makes it drain: accept nobody, answer what is under way, exit 0.

To its parent it says ``serving`` and ``lost``. Logs: link lost with the reason, one status line on USR1.
"""

from __future__ import annotations

import logging
import re
import signal
import time
from collections import deque
from dataclasses import dataclass

from common.config import Config
from common.counters import Tally
from common.errors import SpoolError
from common.loop import Loop
from common.pauses import Pause
from common.permlog import ENCRYPT, PermLog, carries_password, perm_log_path
from common.population import Birth
from common.protocol import unsendable
from common.scoreboard import Slot
from common.site import Site, bind_address
from lonc.callers import Caller, CallerRequest, Callers
from lonc.delivery import Delivery
from lonc.display import Display
from lonc.latency import Latencies
from lonc.link import Link
from lonc.reasons import kind_of
from lonc.waiters import CriticalRequest

log = logging.getLogger(__name__)

EXIT_LINK_LOST = 69
TICK = 1.0  # seconds between looks at time limits, liveness and the FIFO
LEASE_TICK = 0.02  # seconds between tries to take the lease of a child that drains
CRITICAL = b"critical:"
BAD_ID = b"error: a critical message begins with critical:ID: where ID has 32 hex digits"
REFUSED = b"refused"  # a password must not be stored
_ID = re.compile(rb"[0-9A-Fa-f]{32}")


@dataclass(frozen=True, slots=True)
class Orders:
    """What the parent sends a child into life with.

    :param delay: seconds to wait before connecting.
    :param why: the reason of the last failure, for the title while waiting.
    :param failures: how many there were in a row.
    :param takes_over: an older child of this host still serves; its callers move to us as soon as our link is up.
    :param pause: an administrator wants no link; the child only shows that, and what waits.
    :param down_since: when the link was lost, or first wanted, UNIX time; 0: it stands, or nobody knows.
    """

    delay: float = 0.0
    why: str = ""
    failures: int = 0
    takes_over: bool = False
    pause: Pause | None = None
    down_since: float = 0.0


class Child:
    """See the module."""

    def __init__(self, site: Site, host: str, birth: Birth, orders: Orders, tally: Tally) -> None:
        self.config: Config = site.config
        self.host = host
        self.loop = Loop()
        self._birth, self._orders, self._tally = birth, orders, tally
        self._display = Display(host, birth, orders.failures, orders.why, self._measure)
        self._exit_code = 0
        self._draining = False
        self._no_fifo = ""  # why there is none
        self._delivery_first = True
        self._up_since = 0.0
        self._waiting: deque[CallerRequest] = deque()  # they did not fit the link's window yet
        self._paused: list[Caller] = []  # not read until fewer critical messages wait for their answers
        self.link = Link(
            self.loop, site.config, site.own.id, site.table[host], site.table.options(host), bind_address(site),
            self._on_up, self._on_lost, Latencies(tally),
        )  # fmt: skip
        self.callers = Callers(self.loop, site.config, site.config.sock_dir / host, self.on_line)
        self.delivery = Delivery(host, site.config, self.link, PermLog(perm_log_path(site.config)), tally)

    def live(self) -> int:
        """Run until the link is lost or the parent wants us no more; the exit code."""
        self.loop.on_signal(signal.SIGTERM, self._drain)
        self.loop.on_signal(signal.SIGINT, lambda: None)  # Ctrl-C reaches the whole group; the parent will say TERM
        self.loop.on_signal(signal.SIGHUP, lambda: None)
        self.loop.on_signal(signal.SIGUSR1, self._on_usr1)
        self.loop.on_signal(signal.SIGUSR2, lambda: None)
        self._birth.lifeline.watch(self.loop, lambda _message: None, self._on_orphaned)
        self.loop.at_end_of_turn(self._end_of_turn)
        self.loop.every(TICK, self._tick)
        if self._orders.pause:
            self._show_pause(self._orders.pause)
        else:
            self._wait()
        self.loop.run()
        self.delivery.close()
        return self._exit_code

    def _show_pause(self, pause: Pause) -> None:
        self._display.slot.text = str(pause)
        self._display.change("paused", pause.when)

    def _wait(self) -> None:
        self._display.slot.next_try = time.time() + self._orders.delay
        self._display.change("waiting", self._orders.down_since)
        self._wait_timer = self.loop.call_later(self._orders.delay, self._connect)

    def _connect(self) -> None:
        self._wait_timer.cancel()
        self._display.slot.next_try = 0.0
        self._display.change("connecting", self._orders.down_since)
        try:
            self.callers.listener.prepare()
        except OSError as error:
            self._on_no_socket(error)
        else:
            self.link.connect()

    def _on_up(self) -> None:
        if self._draining:
            self.link.close()
            return
        self._up_since = self.loop.clock()
        self._tally.add("links_opened")
        self._display.slot.attempts = 0
        self._display.change("delivering")
        if self._orders.takes_over:
            self._serve()
        self._take_lease()

    def _take_lease(self) -> None:
        if self._draining or not self.link.up:
            return
        try:
            taken, self._no_fifo = self.delivery.lease.try_take(), ""
        except SpoolError as error:
            self._no_fifo = f"no critical messages: {error}"
            self._serve_without_fifo(error)
            return
        if taken:
            self.delivery.start()
        else:
            self._await_lease()

    def _await_lease(self) -> None:
        waited = self.loop.clock() - self._up_since
        if waited >= self.config.grace > waited - LEASE_TICK:
            log.warning("another process still holds the FIFO of %s; critical messages wait for its end", self.host)
        self.loop.call_later(LEASE_TICK if waited < self.config.grace else TICK, self._take_lease)

    def _serve_without_fifo(self, error: SpoolError) -> None:
        # Critical messages fail, and say so; that is no reason to refuse plain requests.
        if self._display.state == "delivering":
            log.error("no critical messages to %s: %s", self.host, error)
            self._serve()
        self.loop.call_later(TICK, self._take_lease)

    def _serve(self) -> None:
        try:
            self.callers.listener.appear()
        except OSError as error:
            self._up_since = 0.0  # a link that nobody can use does not count as one that stood
            self._on_no_socket(error)
            return
        self._display.change("up")
        self._birth.lifeline.tell(b"serving")  # the parent logs it: a child's first log line costs it 0.6 MB

    def _on_no_socket(self, error: OSError) -> None:
        self.link.close()
        self._on_lost(f"its socket can't be made in {self.config.sock_dir}: {error.strerror}", False)

    def on_line(self, caller: Caller, line: bytes) -> None:
        """A caller's request line: ``[critical:ID:][encrypt:]COMMAND``."""
        if line.startswith(CRITICAL):
            self._on_critical(caller, line)
            return
        encrypt = line.startswith(ENCRYPT)
        command = line[len(ENCRYPT) :] if encrypt else line
        request = CallerRequest(caller, command, encrypt, self.loop.clock() + self.config.request_timeout)
        caller.outstanding.append(request)
        if instead := unsendable(command, encrypt, self.config.max_request):
            request.answered(instead)
        elif self.link.room and not self._waiting and not self.delivery.wants_room:
            self.link.submit(request)
        else:
            self._waiting.append(request)
            caller.paused = True

    def _on_critical(self, caller: Caller, line: bytes) -> None:
        _, id, command = line.split(b":", 2) if line.count(b":") > 1 else (b"", b"", b"")
        deadline = self.loop.clock() + self.config.critical_timeout
        request = CriticalRequest(
            caller, self.delivery.waiters, id.decode("ascii", "replace").lower(), command, deadline
        )
        caller.outstanding.append(request)
        encrypt = command.startswith(ENCRYPT)
        if not _ID.fullmatch(id) or not command:
            request.answered(BAD_ID)
        elif carries_password(command):
            request.answered(REFUSED)
        elif instead := unsendable(command.removeprefix(ENCRYPT), encrypt, self.config.max_request):
            request.answered(instead)
        else:
            self.delivery.accept(request)
            if self.delivery.waiters.full:
                caller.paused = True
                self._paused.append(caller)

    def _end_of_turn(self) -> None:
        self.delivery.record()
        if self.link.up:
            self._submit()
            self.link.flush()
        delivers = self.link.up and self._display.state == "delivering"
        if delivers and self.delivery.lease.held and self.delivery.caught_up:
            self._serve()
        if self.delivery.damaged and self.link.up:
            self.link.close()
            self._on_lost("its FIFO is damaged", False)
        if self._paused and not self.delivery.waiters.full:
            self._resume()
        self.callers.flush()
        if self._draining and not self.callers.busy and self.delivery.idle:
            self.loop.stop()

    def _submit(self) -> None:
        # On a link with room for one, critical messages and requests take turns; else both fit.
        self._delivery_first = not self._delivery_first
        if self._delivery_first:
            self.delivery.send()
            self._submit_waiting()
        else:
            self._submit_waiting()
            self.delivery.send()

    def _submit_waiting(self) -> None:
        waiting = self._waiting
        while waiting and self.link.room:
            request = waiting.popleft()
            if request.reply is None:  # not answered con_lost meanwhile
                self.link.submit(request)
            if not waiting or waiting[0].caller is not request.caller:
                request.caller.resume()

    def _resume(self) -> None:
        paused, self._paused = self._paused, []
        for caller in paused:
            caller.resume()

    def _tick(self) -> None:
        now = self.loop.clock()
        self.callers.expire(now)
        slot = self._display.slot
        slot.delayed, slot.oldest_delayed = self.delivery.look()
        self._display.refresh()
        if self.callers.listener.vanished:
            log.warning("the socket of %s had vanished and is made again", self.host)
            self.callers.listener.disappear()
            try:
                self.callers.listener.prepare()
                self.callers.listener.appear()
            except OSError as error:
                self._on_no_socket(error)
        if self.link.up:
            self.link.check_alive()

    def _on_lost(self, reason: str, suspicious: bool) -> None:
        stood = self.loop.clock() - self._up_since if self._up_since else 0.0
        self._tally.add("links_lost" if self._up_since else "key_exchanges_failed", kind_of(reason))
        if self._up_since:
            log.warning("link to %s is lost after %.0f s: %s", self.host, stood, reason)
        elif reason != self._orders.why:  # one line per reason, not one per try
            log.warning("no link to %s: %s", self.host, reason)
        self.callers.listener.disappear()
        self.delivery.on_link_lost(reason, suspicious)
        self.callers.give_up()
        self._birth.lifeline.tell(b"lost %d %s" % (stood, reason.encode("utf-8", "replace")))
        self._exit_code = EXIT_LINK_LOST
        self.loop.stop()

    def _on_orphaned(self) -> None:
        self.link.close()  # nothing may be sent any more whose reply nobody would see
        self.callers.listener.disappear()
        self.delivery.on_link_lost("our parent ended", False)
        self.callers.give_up()
        self._exit_code = EXIT_LINK_LOST
        self.loop.stop()

    def _drain(self) -> None:
        self._draining = True
        self.loop.call_later(self.config.grace * 0.9, self._cut_short)
        self.callers.drain()
        self.delivery.drain()
        self._display.change("draining")

    def _cut_short(self) -> None:
        self.link.close()
        self.delivery.on_link_lost("this child had to end", False)
        self.callers.give_up()
        self.loop.stop()

    def _on_usr1(self) -> None:
        log.info("%s", self._display.status())
        self.delivery.retry()
        if self._display.state == "waiting":
            self._connect()

    def _measure(self, slot: Slot) -> None:
        slot.trouble = self._no_fifo or self.delivery.trouble
        slot.requests, slot.replies = self.link.replies + len(self.link.pending), self.link.replies
        if self.link.up:
            slot.last_received = time.time() - (self.loop.clock() - self.link.last_received)
            self._tally.note("last_received", slot.last_received)
        slot.connections, slot.outstanding, slot.waiting = len(self.callers), len(self.link.pending), len(self._waiting)


def live(site: Site, host: str, birth: Birth, orders: Orders, tally: Tally) -> int:
    """The life of a lonc child; its exit code."""
    return Child(site, host, birth, orders, tally).live()
