"""Who waits for the answer to a critical message: callers of this child, by the id of their message.

Beyond lonWindow of them, or lonWindowBytes of what they brought, they are *full*: then no caller that brings more is
read any further. A caller waits until it is answered, until its time is over (the message stays in the FIFO, it hears
``con_delayed``), or until it is gone.

Logs: messages whose callers are told that they are delayed or could not be stored, to the perm log.
"""

from __future__ import annotations

from common.config import Config
from common.permlog import Event, PermLog
from lonc.callers import Caller, CallerRequest

CON_DELAYED, CON_FAILED = b"con_delayed", b"con_failed"


class CriticalRequest(CallerRequest):
    """A critical message that a caller of this child brought."""

    __slots__ = ("_waiters", "counted", "id", "recorded")

    def __init__(self, caller: Caller, waiters: Waiters, id: str, command: bytes, deadline: float) -> None:
        super().__init__(caller, command, False, deadline)
        self.id = id
        self.counted = self.recorded = False
        self._waiters = waiters

    def answered(self, reply: bytes) -> None:
        """Take the answer, unless the caller has got one already."""
        if self.reply is None:
            if self.counted:
                self._waiters.release(self)
            super().answered(reply)

    def failed(self) -> None:
        """No reply in time, or the link is lost: the message stays in the FIFO, if it is there."""
        if self.reply is None:
            self._waiters.log_failed(self)
            self.answered(CON_DELAYED if self.recorded else CON_FAILED)


class Waiters:
    """See the module."""

    def __init__(self, host: str, config: Config, perm_log: PermLog) -> None:
        self._host, self._config, self._perm_log = host, config, perm_log
        self._of: dict[str, list[CriticalRequest]] = {}
        self._count = self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._of)

    def ids(self) -> list[str]:
        """The messages that somebody waits for."""
        return list(self._of)

    def count(self, request: CriticalRequest) -> None:
        """A caller begins to wait, for its message to be recorded first."""
        request.counted = True
        self._count += 1
        self._bytes += request.size

    def attach(self, request: CriticalRequest) -> None:
        """Its message is recorded: it waits for the reply."""
        self._of.setdefault(request.id, []).append(request)

    def release(self, request: CriticalRequest) -> None:
        """A caller waits no longer."""
        request.counted = False
        self._count -= 1
        self._bytes -= request.size
        requests = self._of.get(request.id)
        if requests and request in requests:
            requests.remove(request)
            if not requests:
                del self._of[request.id]

    def release_gone(self) -> None:
        """Let go of those whose connection is closed; nobody else would, for they have no deadline any more."""
        for request in [request for requests in self._of.values() for request in requests if request.caller.gone]:
            self.release(request)

    def give_up(self, answered: set[str]) -> None:
        """Nothing will be sent for a while: tell all that wait that their messages are delayed.

        :param answered: ids of messages that have their replies, which will be told at the end of the turn.
        """
        waiting = [request for id, requests in self._of.items() if id not in answered for request in requests]
        for request in waiting:
            request.failed()

    @property
    def full(self) -> bool:
        """See the module."""
        return self._count >= self._config.window or self._bytes >= self._config.window_bytes

    def will_hear(self, id: str) -> bool:
        """Whether anybody will hear the reply, as far as we can know."""
        return any(_hears(request) for request in self._of.get(id, ()))

    def answer(self, id: str, reply: bytes) -> bool:
        """Answer all who wait for a message; whether one of them hears it."""
        heard = False
        for request in self._of.pop(id, ()):
            heard = heard or _hears(request)
            request.answered(reply)
        return heard

    def log_failed(self, request: CriticalRequest) -> None:
        """A caller is told that its message is delayed, or nowhere."""
        self._perm_log.write(Event.DELAYED if request.recorded else Event.FAILED, self._host, request.command)


def _hears(request: CriticalRequest) -> bool:
    return request.reply is None and not request.caller.hung_up
