"""Reaching hosts as lonc does, many at once: connect, key exchange, host id, and a polite end.

All hosts are tried at the same time and have the same time limit, so that hosts that do not answer cost it once. A
host that answers as another one counts as not reached. lond sees a link that comes and ends in good order, and wakes
its lonc, which may have given us up.

Known limits: names in hosts.tab without an address were looked up when the table was read. A process can have so many
connections open as it has descriptors; hosts beyond are tried when others are done.
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

from common.config import Config
from common.errors import LonError
from common.hosts_table import Host
from common.link_states import Event, Failed, Identified, KeyBuilt, Refused
from common.protocol import LoncConnection
from common.site import Site, bind_address

AT_ONCE = 512  # of the usual 1024 descriptors
RECEIVE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """How the try to reach a host ended.

    :param why: not reached, in words; "": reached.
    :param seconds: that it took.
    """

    host: str
    why: str
    seconds: float

    @property
    def reached(self) -> bool:
        """Whether the host answered as itself."""
        return not self.why


class _Try:
    """The try to reach one host."""

    def __init__(self, host: Host, own: str, config: Config, bind: str, alias: bool) -> None:
        self.host = host
        self.begun = time.monotonic()
        self._alias = alias
        self._protocol = LoncConnection(own, config.max_reply)
        family = socket.AF_INET6 if ":" in host.ip else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.stage = "no connection"
        try:
            if bind:
                self.socket.bind((bind, 0))
            self.socket.connect((host.ip, config.lond_port))
        except BlockingIOError:
            pass
        except OSError:
            self.socket.close()
            raise

    def on_connected(self) -> str | None:
        """The connection is there or has failed; the reason, or None to go on."""
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            return os.strerror(error).lower()
        self.stage = "connected, but no key exchange"
        self.socket.send(self._protocol.outgoing())
        return None

    def on_readable(self) -> str | None:
        """Bytes have come; the reason of the end ("" for good), or None to go on."""
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            return "it closes the connection: it does not know our address, or has no room"
        for event in self._protocol.receive(data):
            if (end := self._judged(event)) is not None:
                return end
        self.socket.send(self._protocol.outgoing())
        return None

    def _judged(self, event: Event) -> str | None:
        if isinstance(event, Identified) and event.host != self.host.id and not self._alias:
            return f"it answers as {event.host}: hosts.tab has a wrong address for it"
        if isinstance(event, Refused):
            return f"it refuses us: {event.reason}"
        if isinstance(event, Failed):
            return f"it does not speak our protocol: {event.error}"
        if isinstance(event, KeyBuilt):
            self.socket.send(b"exit\n")
            return ""
        return None


def reach(site: Site, hosts: Iterable[str]) -> dict[str, Answer]:
    """Try to reach hosts within lonCheckTimeout; an answer for each, in the order given."""
    bind = bind_address(site)
    deadline = time.monotonic() + site.config.check_timeout
    waiting = [site.table[host] for host in hosts]
    answers: dict[str, Answer] = {host.id: Answer(host.id, "not tried", 0.0) for host in waiting}
    with selectors.DefaultSelector() as selector:
        while waiting or selector.get_map():
            while waiting and len(selector.get_map()) < AT_ONCE:
                _begin(site, waiting.pop(0), bind, selector, answers)
            left = deadline - time.monotonic()
            if left <= 0:
                break
            for key, mask in selector.select(left):
                _advance(key.data, mask, selector, answers)
        for key in list(selector.get_map().values()):
            attempt: _Try = key.data
            _end(attempt, f"{attempt.stage} within {site.config.check_timeout:g} s", selector, answers)
    return answers


def _begin(site: Site, host: Host, bind: str, selector: selectors.BaseSelector, answers: dict[str, Answer]) -> None:
    begun = time.monotonic()
    try:
        attempt = _Try(host, site.own.id, site.config, bind, "alias" in site.table.options(host.id))
    except OSError as error:
        answers[host.id] = Answer(host.id, _words(error), time.monotonic() - begun)
        return
    selector.register(attempt.socket, selectors.EVENT_WRITE, attempt)


def _advance(attempt: _Try, mask: int, selector: selectors.BaseSelector, answers: dict[str, Answer]) -> None:
    try:
        if mask & selectors.EVENT_WRITE:
            why = attempt.on_connected()
            selector.modify(attempt.socket, selectors.EVENT_READ, attempt)
        else:
            why = attempt.on_readable()
    except BlockingIOError:
        return
    except OSError as error:
        why = _words(error)
    except LonError as error:
        why = str(error)
    if why is not None:
        _end(attempt, why, selector, answers)


def _end(attempt: _Try, why: str, selector: selectors.BaseSelector, answers: dict[str, Answer]) -> None:
    selector.unregister(attempt.socket)
    attempt.socket.close()
    answers[attempt.host.id] = Answer(attempt.host.id, why, time.monotonic() - attempt.begun)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
