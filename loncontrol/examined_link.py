"""The examination of the link to a host: route, port, greeting, identity, key, then what the other side tells on it.

The first step that fails ends it. Every wait ends: at a host that never answers it takes about 15 s, at one that is
slow with every answer about a minute.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from common.hosts_table import ALIAS, Host
from common.site import Site
from common.version import SOFTWARE
from loncontrol.findings import HERE, Ended, Finding, failed, good, warning
from loncontrol.probe import Probe, ProbeFailed
from lonstatus.text import duration
from lonstatus.versions import compared, is_other, told

ASK_SECONDS = 10.0
PONG_SECONDS = 15.0  # the other side may wait 10 s itself
HTTP_SECONDS = 3.0
CLOCK_AGREES = 2.0  # seconds; the other side tells whole ones
CLOCK_WARN = 60.0  # seconds; Kerberos bears 300
SEE_LOG = "see why in its lond.log"


class ExaminedLink:
    """See the module.

    :param bind: the address to connect from, "" for any.
    :param serving: whether our own lond runs, so that others can reach us.
    """

    def __init__(self, site: Site, host: str, bind: str, serving: bool) -> None:
        self._site, self._own, self._bind, self._serving = site, site.own, bind, serving
        self._peer: Host = site.table[host]
        self._probe = Probe(site.config, site.own.id, self._peer, bind)

    def findings(self) -> Iterator[Finding]:
        """The findings in order, each as soon as it is known."""
        try:
            yield self._route()
            yield self._port()
            yield self._greeting()
            yield self._identity()
            yield self._key()
            yield self._version()
            yield self._clock()
            yield self._load()
            yield self._reverse()
        except Ended as ended:
            yield ended.finding
        finally:
            self._probe.close()

    def _route(self) -> Finding:
        try:
            source = self._probe.route()
        except ProbeFailed as error:
            if error.kind == "local":
                words = f"links can't leave from {self._bind}: {error.words}"
                raise Ended(failed("route", words, HERE, "correct lonBindAddress")) from error
            words = f"no way to {self._peer.ip}: {error.words}"
            raise Ended(failed("route", words, HERE, "mend this machine's network (ip route)")) from error
        return good("route", f"packets to {self._peer.ip} leave from {source}")

    def _port(self) -> Finding:
        place = f"{self._peer.ip} port {self._site.config.lond_port}"
        try:
            self._probe.connect()
        except ProbeFailed as error:
            act = {
                "refused": "start lond there (loncontrol start), or have the firewall admit us",
                "timeout": "look after the machine: it is down, or a firewall drops our packets",
            }.get(error.kind, "look after the network: neither machine finds the other")
            raise Ended(failed("port", f"{place}: {error.words}", self._peer.id, act)) from error
        return good("port", f"{place} takes the connection")

    def _greeting(self) -> Finding:
        try:
            self._probe.greet()
        except ProbeFailed as error:
            finding = self._stranger(error.words) if error.kind == "stranger" else self._silent(error.words)
            raise Ended(finding) from error
        return good("greeting", f"it knows our address {self._probe.source}")

    def _stranger(self, words: str) -> Finding:
        own, host, source = self._own, self._peer.id, self._probe.source
        words = f"{words}: {host} does not know our address {source} (or has too many connections of ours that wait)"
        if source != own.ip:
            return failed("greeting", words, HERE, f"hosts.tab gives us {own.ip}: make that and {source} agree")
        line = f"{own.id}:{own.domain}:{own.role}:{own.hostname}:{own.ip}"
        return failed("greeting", words, host, f"have this line in its hosts.tab, then loncontrol reload: {line}")

    def _silent(self, words: str) -> Finding:
        return failed("greeting", words, self._peer.id, "look at its lond: it hangs, or something else listens there")

    def _identity(self) -> Finding:
        host, ip = self._peer.id, self._peer.ip
        try:
            told = self._probe.identify()
        except ProbeFailed as error:
            raise Ended(failed("identity", error.words, host, SEE_LOG)) from error
        if told == host:
            return good("identity", f"it answers as {host}")
        if ALIAS in self._site.table.options(host):
            return good("identity", f"it answers as {told}, which links.tab allows (alias)")
        act = f"correct line {self._peer.line} of hosts.tab; if {ip} is {host}'s, its lonHostID is wrong"
        raise Ended(failed("identity", f"{ip} answers as {told}, not as {host}", HERE, act))

    def _key(self) -> Finding:
        try:
            self._probe.exchange_key()
        except ProbeFailed as error:
            raise Ended(failed("key", error.words, self._peer.id, SEE_LOG)) from error
        return good("key", "the key exchange is done: a link can stand")

    def _ask(self, command: str, seconds: float = ASK_SECONDS) -> str:
        try:
            return self._probe.ask(command, seconds)
        except ProbeFailed as error:
            raise Ended(failed(command.partition(":")[0], error.words, self._peer.id, SEE_LOG)) from error

    def _version(self) -> Finding:
        reply = self._ask(f"version:{SOFTWARE}")
        if not (text := told(reply)):
            return good("version", f"it does not tell ({reply[:60]})")
        return good("version", f"{text}: {compared(text)}" if is_other(text) else text)

    def _clock(self) -> Finding:
        before = time.time()
        stamp = self._ask("journal").partition(":")[0]
        source, told = "by its lond", float(stamp) if stamp.isdigit() else None
        if told is None:
            before = time.time()
            source, told = "by its web server", http_date(self._peer)
        if told is None:
            return good("clock", "unknown: neither its lond nor its web server tells the time")
        ahead = told + 0.5 - (before + time.time()) / 2
        if abs(ahead) <= CLOCK_AGREES:
            return good("clock", f"agrees with ours within {CLOCK_AGREES:.0f} s ({source})")
        words = f"{duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} ours ({source})"
        if abs(ahead) < CLOCK_WARN:
            return good("clock", words)
        act = f"find out whose clock is wrong, ours or {self._peer.id}'s, and have NTP set it"
        return warning("clock", words, HERE, act)

    def _load(self) -> Finding:
        reply = self._ask("load")
        try:
            percent = float(reply)
        except ValueError:
            return good("load", f"it does not tell ({reply[:60]})")
        words = f"{percent:.0f} % of what it can bear"
        if percent <= 100:
            return good("load", words)
        return warning("load", words, self._peer.id, "see what keeps it busy, or whether its lonLoadLim is too low")

    def _reverse(self) -> Finding:
        host, reply = self._peer.id, self._ask("pong", PONG_SECONDS)
        answer = reply.partition(":")[2] or reply
        if answer == self._own.id:
            return good("reverse", f"{host} reaches us as well")
        words = f"{host} has no link to us ({answer[:60]})"
        if not self._serving:
            return failed("reverse", f"{words}, and our lond does not run", HERE, "loncontrol start")
        return warning("reverse", words, host, f"find out why: loncontrol doctor {self._own.id}")


def http_date(peer: Host) -> float | None:
    """The time that the host's web server tells, UNIX seconds; None if there is none that speaks plain HTTP."""
    base = urlsplit(peer.http_base)
    if base.scheme != "http":
        return None
    connection = http.client.HTTPConnection(peer.ip, base.port or http.client.HTTP_PORT, timeout=HTTP_SECONDS)
    try:
        connection.request("HEAD", "/", headers={"Host": peer.hostname})
        return parsedate_to_datetime(connection.getresponse().headers["Date"]).timestamp()
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        return None
    finally:
        connection.close()
