"""The examination of a host: table, pause, name, own address, the link, our own lonc, and what waits for the host.

The order is that of a connection. A step that fails ends the examination of the link; the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from common.errors import ConfigError
from common.hosts_table import Host
from common.pauses import pauses
from common.site import bind_address
from loncontrol.control import Control
from loncontrol.examined_link import ExaminedLink
from loncontrol.findings import HERE, Finding, failed, good, warning
from loncontrol.names import addresses_of
from lonstatus.daemons import State
from lonstatus.peers import Peer, peers
from lonstatus.text import duration


class Examination:
    """See the module.

    :param host: a host of the table.
    """

    def __init__(self, control: Control, host: str) -> None:
        self._control, self._site = control, control.site
        self._peer: Host = control.site.table[host]

    def findings(self) -> Iterator[Finding]:
        """The findings in order, each as soon as it is known."""
        yield self._table()
        yield from self._pause()
        yield self._name()
        serving = self._control.lond.state is State.RUNNING
        try:
            bind = bind_address(self._site)
        except ConfigError as error:
            yield failed("own address", str(error), HERE, "correct lonBindAddress")
        else:
            yield self._own_address(bind)
            yield from ExaminedLink(self._site, self._peer.id, bind, serving).findings()
        running = self._control.lonc.state is State.RUNNING
        [peer] = [peer for peer in peers(self._site, running) if peer.host == self._peer.id]
        yield self._own_lonc(peer) if running else failed("our lonc", "does not run", HERE, "loncontrol start")
        yield from self._messages(peer)

    def _table(self) -> Finding:
        peer, options = self._peer, sorted(self._site.table.options(self._peer.id))
        place = f"{self._site.config.tab_dir / 'hosts.tab'}:{peer.line}"
        noted = f"; links.tab: {', '.join(options)}" if options else ""
        return good("table", f"{peer.role} server of {peer.domain}, {peer.hostname}, {peer.ip} ({place}){noted}")

    def _pause(self) -> Iterator[Finding]:
        if pause := pauses(self._site.config.delayed_dir).get(self._peer.id):
            act = f"when its reason is gone: loncontrol resume {self._peer.id}"
            yield warning("pause", f"paused since {time.ctime(pause.when)} {pause}", HERE, act)

    def _name(self) -> Finding:
        name, ip = self._peer.hostname, self._peer.ip
        found, trouble = addresses_of([name])[name]
        if trouble:
            words = f"{name}: {trouble}; a link needs the address of hosts.tab alone, but web pages need the name"
            return warning("name", words, HERE, f"correct the name in line {self._peer.line} of hosts.tab, or DNS")
        if ip in found:
            return good("name", f"{name} is {ip}, as hosts.tab says")
        words = f"{name} is {', '.join(found)}, but hosts.tab says {ip}"
        return warning("name", words, HERE, f"ask which is right; correct line {self._peer.line} of hosts.tab, or DNS")

    def _own_address(self, bind: str) -> Finding:
        own = self._site.own
        if bind == own.ip:
            return good("own address", f"links leave from {bind}, which hosts.tab gives to {own.id}")
        if bind:
            words = f"links leave from {bind} (lonBindAddress), but hosts.tab gives {own.ip} to {own.id}"
        else:
            words = f"{own.ip}, which hosts.tab gives to {own.id}, is no address of this machine"
        act = "correct our own line of hosts.tab, unless addresses are translated on the way"
        return warning("own address", words, HERE, act)

    def _own_lonc(self, peer: Peer) -> Finding:
        words = f"{peer.state} for {duration(peer.since)}" + (f": {peer.why}" if peer.why else "")
        if peer.state == "hung":
            act = f"see what holds that process, then end it, for lonc to make another: kill -9 {peer.pid}"
            return failed("our lonc", words, HERE, act)
        if peer.state in ("down", "given up", "stopped"):
            return warning("our lonc", words, HERE, f"when the cause is gone: loncontrol retry {peer.host}")
        return good("our lonc", words)

    def _messages(self, peer: Peer) -> Iterator[Finding]:
        host, oldest = peer.host, duration(peer.oldest)
        if peer.unreadable:
            act = "mend what it says; a damaged FIFO is set aside by lonc itself when the link comes up"
            yield failed("messages", peer.last_error, HERE, act)
            return
        if peer.trouble:
            act = f"mend what it says, at {host} if it answers so; then loncontrol retry {host}"
            yield failed("messages", peer.trouble, HERE, act)
            return
        yield good("messages", f"{peer.delayed} wait, the oldest for {oldest}" if peer.delayed else "none waits")
        if peer.held:
            act = f"loncontrol queue ls {host} --state held, then queue release, requeue or delete"
            yield warning("held", f"{peer.held} passed over until somebody decides", HERE, act)
        if peer.failed:
            act = f"loncontrol queue ls {host} --state failed, then queue requeue or delete"
            yield warning("failed", f"{peer.failed} refused by {host}", HERE, act)
