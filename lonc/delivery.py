"""Critical messages: from the caller into the FIFO, over the link in order, and the outcome back into the FIFO.

One commit per turn of the loop carries all messages that arrived and all outcomes that came back in it. A message
is sent only after that commit, and its caller is answered only after its outcome was recorded. Nothing overtakes:
messages are sent by seq, and only while this child holds the host's lease.

After the link came up messages are sent one by one at first, then twice as many with each round of replies.
So when a message kills its receiver, it is soon found alone on the link; after `max_deliveries` such deaths it is
held and the rest goes on. What the other side refuses becomes failed if its caller has gone away; a caller that still
waits gets the refusal and decides itself. What it can't take for the moment waits (:mod:`lonc.postponement`).

An administrator may hold, release or delete messages meanwhile (common/backlog.py): before anything is sent it is
looked whether somebody else has written to the FIFO, and if so, what waits is read again.

Logs: delayed, sent later, failed, held; the same to the perm log.
"""

from __future__ import annotations

import logging
from collections import deque

from common.config import Config
from common.counters import Tally
from common.delayed import DONE, FAILED, HELD, WAITING, Fifo, Message, Outcome, Row
from common.errors import SpoolError
from common.lease import Lease
from common.metrics import LONC, Layout
from common.permlog import ENCRYPT, Event, PermLog
from common.protocol import unsendable
from lonc.link import Link
from lonc.outbox import Outbox
from lonc.postponement import NOT_NOW, Postponement
from lonc.recorder import Recorder
from lonc.waiters import CON_DELAYED, CriticalRequest, Waiters

log = logging.getLogger(__name__)

PURGE_PAUSE = 30.0  # seconds between two looks for messages that were done long ago: all that wait are passed over
REFUSALS = (b"refused", b"rejected", b"unknown_cmd", b"error:")


class Delivery:
    """The critical messages of one host, as long as one child lives."""

    def __init__(self, host: str, config: Config, link: Link, perm_log: PermLog, tally: Tally | None = None) -> None:
        self.lease = Lease(config.delayed_dir, host)
        self._host, self._config, self._link, self._perm_log = host, config, link, perm_log
        self._tally = tally or Tally(Layout(LONC))
        self._recorder = Recorder(host, config, link, self.lease, self._tally)
        self._version = -1
        self._arrived: list[CriticalRequest] = []
        self._outcomes: list[tuple[Row, bytes]] = []
        self.waiters = Waiters(host, config, perm_log)
        self._outbox = Outbox(config.window_bytes)
        self._in_flight: deque[Row] = deque()
        self._backlog_end = 0
        self._purge_at = 0.0
        self._limit = 1
        self._draining = False
        self._postponement = Postponement(link.loop.clock)

    def accept(self, request: CriticalRequest) -> None:
        """A critical message arrived; it is recorded at the end of the turn."""
        self._arrived.append(request)
        self.waiters.count(request)

    def start(self) -> None:
        """The link is up and the lease is ours: begin to send what waits."""
        # What was seen before the lease was ours, the child before us may have sent meanwhile.
        self._outbox.forget()
        self._recorder.reopen()
        try:
            if fifo := self._recorder.fifo_if_there():
                self._backlog_end = fifo.last_seq()
                self._answer_done_meanwhile(fifo)
        except SpoolError as error:
            self._recorder.complain(error)

    @property
    def caught_up(self) -> bool:
        """Whether everything that waited when the link came up has been answered."""
        if self._postponement.lasts:  # for that long plain requests need not wait
            return True
        oldest = self._in_flight[0] if self._in_flight else self._outbox.first()
        unrecorded = self._outcomes or self._recorder.unmarked
        return not (self._outbox.behind or unrecorded or (oldest and oldest.seq <= self._backlog_end))

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight and no caller of ours waits."""
        return not (self._in_flight or self._outcomes or self._recorder.unmarked or self._arrived or self.waiters)

    @property
    def wants_room(self) -> bool:
        """Whether a message waits for its turn on the link."""
        return bool(self._outbox) and len(self._in_flight) < self._limit

    def record(self) -> None:
        """Record what the turn brought, and answer; to be called at the end of every turn, before :meth:`send`."""
        if self._recorder.is_due(bool(self._arrived or self._outcomes)):
            self._commit()
        if self._outbox.behind and self.lease.held and self._link.up and not self._postponement.lasts:
            self._load()

    def _commit(self) -> None:
        arrived, self._arrived = [request for request in self._arrived if request.reply is None], []
        outcomes, self._outcomes = self._outcomes, []
        marks = [Outcome(row.seq, self._state_for(row, reply), reply) for row, reply in outcomes]
        rows = self._recorder.commit([Message(request.id, request.command) for request in arrived], marks)
        self._tell_callers(outcomes)  # what the other side answered is true, whether it could be recorded or not
        if rows is None:
            self._arrived = arrived
        elif rows:
            self._take_rows(arrived, rows)
        else:
            self._refuse(arrived)

    def _state_for(self, row: Row, reply: bytes) -> str:
        # Refused, a message that nobody hears of is kept.
        return FAILED if reply.startswith(REFUSALS) and not self.waiters.will_hear(row.id) else DONE

    def _refuse(self, arrived: list[CriticalRequest]) -> None:
        for request in arrived:
            request.failed()

    def _tell_callers(self, outcomes: list[tuple[Row, bytes]]) -> None:
        refused = 0
        for row, reply in outcomes:
            refused += reply.startswith(REFUSALS)
            if not self.waiters.answer(row.id, reply):
                self._log_sent_later(row, reply)
        self._tally.add("deliveries", "refused", refused)
        self._tally.add("deliveries", "delivered", len(outcomes) - refused)

    def _log_sent_later(self, row: Row, reply: bytes) -> None:
        if reply.startswith(REFUSALS):
            log.error(
                "delayed message %s was refused (%s) and is kept as failed", row.id, reply.decode("ascii", "replace")
            )
        else:
            self._perm_log.write(Event.SENT, self._host, row.command)

    def _take_rows(self, arrived: list[CriticalRequest], rows: list[Row]) -> None:
        for request, row in zip(arrived, rows, strict=True):
            self._attach(request, row)
        if self.lease.held:
            self._outbox.take(rows)
        else:
            self._outbox.behind = True

    def _attach(self, request: CriticalRequest, row: Row) -> None:
        request.recorded = True
        if row.state == WAITING and self._postponement.lasts:
            request.failed()
        elif row.state == WAITING:
            self.waiters.attach(request)
        else:
            request.answered(CON_DELAYED if row.reply is None else row.reply)

    def _load(self) -> None:
        if not self._outbox.has_room:
            return
        try:
            if fifo := self._recorder.fifo_if_there():
                self._read(fifo)
            else:
                self._outbox.behind = False
        except SpoolError as error:
            self._recorder.complain(error)
            self._outbox.behind, self._version = False, -1  # the next look tries again

    def _read(self, fifo: Fifo) -> None:
        self._version = fifo.data_version()  # before the query: what comes in between is found by the next one
        self._outbox.read(fifo, {row.seq for row in self._in_flight} | self._unrecorded())

    def _unrecorded(self) -> set[int]:
        marked = {row.seq for row, _ in self._outcomes} | {outcome.seq for outcome in self._recorder.unmarked}
        return marked | self._postponement.seqs()

    def _heed_others(self) -> None:
        """If another process has written to the FIFO, read what waits again; what is in flight stays so."""
        try:
            if self._recorder.fifo().data_version() != self._version:
                self._outbox.forget()
                self._load()
        except SpoolError as error:  # what can't be looked at must not be sent: it may have been held
            self._recorder.complain(error)
            self._outbox.forget()
            self._outbox.behind, self._version = False, -1

    def send(self) -> None:
        """Send what may be sent now."""
        link = self._link
        if not self.lease.held or not link.up or self._postponement.lasts or (self._draining and not self.waiters):
            return
        if self._outbox:
            self._heed_others()
        while self._outbox and not self._postponement and len(self._in_flight) < self._limit and link.room:
            row = self._outbox.pop()
            message = _OnLink(self, row)
            if instead := unsendable(message.command, message.encrypt, self._config.max_request):
                self._outcomes.append((row, instead))  # lonnet may have stored what a child would not have taken
            else:
                self._in_flight.append(row)
                link.submit(message)

    def on_reply(self, row: Row, reply: bytes) -> None:
        """The other side has executed (or refused) the message."""
        self._in_flight.popleft()  # replies come in the order of sending
        if reply.startswith(NOT_NOW) and not self.waiters.will_hear(row.id):
            self._postponement.refused(row, reply)
        else:
            self._outcomes += self._postponement.answered(row, executed=not reply.startswith(REFUSALS))
            self._outcomes.append((row, reply))
            self._limit = min(self._limit + 1, self._config.window)
        if self._postponement and not self._in_flight:
            self._postpone()

    def _postpone(self) -> None:
        row, reply = self._postponement.begin()
        self._tally.add("deliveries", "postponed")
        if self._postponement.is_news:
            log.warning("messages to %s are postponed: it answers %s", self._host, reply.decode("ascii", "replace"))
        self._outbox.forget()
        self._limit = self._postponement.limit(self._config.window)
        self.waiters.give_up({row.id for row, _ in self._outcomes})  # the pause is longer than they would wait
        try:
            self._recorder.fifo().note(row.seq, reply.decode("ascii", "replace"))
        except SpoolError as error:
            self._recorder.complain(error)

    def retry(self) -> None:
        """Send what was postponed now."""
        self._postponement.end()

    @property
    def trouble(self) -> str:
        """Why critical messages don't go on although the link is up; "" if they do."""
        if self._recorder.trouble:
            return f"critical messages can't be recorded: {self._recorder.trouble}"
        return self._postponement.words

    @property
    def damaged(self) -> bool:
        """Whether the FIFO's file is at fault, so that this child must end."""
        return self._recorder.damaged

    def on_link_lost(self, reason: str, suspicious: bool) -> None:
        """Record what is left, and count the death against the message that was alone on the link.

        :param suspicious: what was on the link may be the reason of its end.
        """
        if self._arrived or self._outcomes or self._recorder.unmarked:
            self._commit()
        if suspicious and len(self._in_flight) == len(self._link.pending) == 1:
            self._blame(self._in_flight[0], reason)

    def _blame(self, row: Row, reason: str) -> None:
        try:
            now = self._recorder.fifo().record_attempt(row.seq, reason, self._config.max_deliveries)
        except SpoolError as error:
            self._recorder.complain(error)
            return
        self._tally.add("deliveries", "interrupted")
        if now and now.state == HELD:
            self._tally.add("deliveries", "held")
            log.critical("message %s is held: the link ended %d times under it", row.id, now.attempts)

    def drain(self) -> None:
        """Send only what callers of this child wait for and what stands before it; the rest is the heir's."""
        self._draining = True

    def look(self) -> tuple[int, float]:
        """Find what others (lonnet) have put into the FIFO, forget what is long done; about every second.

        :returns: how many messages wait, and since when (UNIX time) the oldest does, or 0.
        """
        try:
            self._recorder.look_at_disk()
            fifo = self._recorder.fifo_if_there()
            if fifo is None:
                self._outbox.behind = False
                return 0, 0.0
            self.waiters.release_gone()
            if fifo.data_version() != self._version:
                self._outbox.forget()
            self._purge(fifo)
            waiting = fifo.waiting_count()
            if not waiting:  # an administrator may have deleted what was postponed
                self._postponement.over()
            return waiting, fifo.oldest() or 0.0
        except SpoolError as error:
            self._recorder.complain(error)
            return 0, 0.0

    def _purge(self, fifo: Fifo) -> None:
        now = self._link.loop.clock()
        if self.lease.held and now >= self._purge_at:
            went = fifo.purge(self._config.keep_done)
            self._purge_at = now if went else now + PURGE_PAUSE

    def _answer_done_meanwhile(self, fifo: Fifo) -> None:
        """The child before us may have sent messages that our callers brought."""
        for id in self.waiters.ids():
            row = fifo.find(id)
            if row and row.state != WAITING:
                self.waiters.answer(id, CON_DELAYED if row.reply is None else row.reply)

    def close(self) -> None:
        """Close the FIFO, then give back the lease."""
        self._recorder.close()
        self.lease.close()


class _OnLink:
    """A message that was sent and waits for its reply."""

    __slots__ = ("_delivery", "_row", "command", "encrypt", "size")

    def __init__(self, delivery: Delivery, row: Row) -> None:
        self._delivery, self._row = delivery, row
        self.encrypt = row.command.startswith(ENCRYPT)
        self.command = row.command.removeprefix(ENCRYPT)
        self.size = 0

    def answered(self, reply: bytes) -> None:
        self._delivery.on_reply(self._row, reply)
