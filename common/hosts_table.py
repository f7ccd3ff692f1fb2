"""hosts.tab, domain.tab, spare.tab and links.tab: text in, checked tables out.

All four tables are text with one record a line, fields separated by ``:``. Blank lines and lines that begin
with ``#`` count as absent; a comment cannot stand behind a record, because a description may hold ``#``.

Promises: pure (no files, sockets or clocks; names are looked up by a callable that the caller hands in).
Whatever the text, the result is a table or one :class:`ConfigError` for the first fault, with its line. Host
ids and domains that came through here are safe as file names. Addresses are kept in one spelling, so that
two spellings of one address cannot pass as two hosts.

Raises: :class:`ConfigError` only. Logs nothing.

Known limits: an IPv6 address must stand in brackets, since its colons would be field separators;
``NAME::1`` is an empty address and a further field "1". Ids that differ in case alone are different hosts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from common.errors import ConfigError

# Both become names of files and directories (sockets, FIFOs, users): no "/", no "..", no leading ".".
HOST_ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
HOST_ID_ALLOWED = "a host id (at most 64 of A-Z a-z 0-9 _ . -, a letter or digit first, no '..')"
DOMAIN = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
DOMAIN_ALLOWED = "a domain (at most 64 of A-Z a-z 0-9 _ . @ -, a letter, digit or _ first, no '..')"
_HOSTNAME = re.compile(r"(?=.{1,253}\Z)(?:(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!\Z)|\Z))+")
_HOSTNAME_ALLOWED = "a host name (labels of letters, digits and inner hyphens, joined by dots)"

_HTTP_PORTS: Mapping[str, int] = {"http": 80, "https": 443}

ROLES = ("library", "access")
SPARE_KINDS = ("primary", "default")
CLASSIC_SERIAL = "classic-serial"
ALIAS = "alias"
LINK_OPTIONS: Mapping[str, str] = {
    CLASSIC_SERIAL: "one request outstanding at a time",
    ALIAS: "the peer may answer with another host id than the table's",
}


@dataclass(frozen=True, slots=True)
class Host:
    """One line of hosts.tab.

    :param ip: canonical address, "" while it waits for :func:`resolve_hosts`.
    :param extra: the fields behind the address; ``http=PORT`` or ``https=PORT`` says where its web server is,
        others are kept and ignored.
    :param line: 1-based line in hosts.tab, for messages; no part of the host's identity.
    """

    id: str
    domain: str
    role: str
    hostname: str
    ip: str
    extra: tuple[str, ...] = ()
    line: int = field(default=0, compare=False)

    @property
    def http_base(self) -> str:
        """Where its web server is found: ``SCHEME://HOSTNAME[:PORT]``."""
        for entry in self.extra:
            scheme, equals, port = entry.partition("=")
            if equals and scheme in _HTTP_PORTS:
                standard = int(port) == _HTTP_PORTS[scheme]
                return f"{scheme}://{self.hostname}" + ("" if standard else f":{port}")
        return f"http://{self.hostname}"


@dataclass(frozen=True, slots=True)
class Domain:
    """One line of domain.tab; further fields are kept in `extra` and ignored."""

    id: str
    description: str
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spare:
    """One line of spare.tab: a host that may take over log-ins, `kind` is "primary" or "default"."""

    host: str
    kind: str


@dataclass(frozen=True, slots=True)
class HostsTable:
    """The four tables, with a mapping's access to the hosts by id, in the order of the file.

    :param hosts: the hosts by id, all resolved.
    :param domains: domain.tab by domain; a domain without a line there is as good as one with it.
    :param spares: spare.tab in the order of the file.
    :param links: the options of links.tab by host id.
    """

    hosts: Mapping[str, Host]
    domains: Mapping[str, Domain] = field(default_factory=dict)
    spares: tuple[Spare, ...] = ()
    links: Mapping[str, frozenset[str]] = field(default_factory=dict)
    _by_ip: Mapping[str, Host] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_ip = {host.ip: host for host in self.hosts.values() if host.ip}
        object.__setattr__(self, "_by_ip", by_ip)  # the only way to fill a derived field of a frozen class

    def __getitem__(self, host_id: str) -> Host:
        return self.hosts[host_id]

    def __contains__(self, host_id: object) -> bool:
        return host_id in self.hosts

    def __iter__(self) -> Iterator[str]:
        return iter(self.hosts)

    def __len__(self) -> int:
        return len(self.hosts)

    def by_ip(self, ip: str) -> Host | None:
        """The host with this address in any spelling (as a socket gives it), None if there is none."""
        try:
            return self._by_ip.get(ip) or self._by_ip.get(canonical_ip(ip))
        except ValueError:
            return None

    def in_domain(self, domain: str, role: str | None = None) -> tuple[Host, ...]:
        """The hosts of a domain in the order of the file; with `role`, only those of that role."""
        return tuple(h for h in self.hosts.values() if h.domain == domain and role in (None, h.role))

    def options(self, host_id: str) -> frozenset[str]:
        """What links.tab says about the link to a host; empty for a host without a line there."""
        return self.links.get(host_id, frozenset())


def parse_hosts(text: str, file: str) -> dict[str, Host]:
    """Reads hosts.tab: ``HOSTID:DOMAIN:ROLE:HOSTNAME:IP[:FURTHER...]``.

    :param file: how errors name the file.
    :returns: the hosts by id in the order of the file; `ip` is "" where the field was empty.
    :raises ConfigError: a field is wrong, or an id or address stands there twice.
    """
    hosts: dict[str, Host] = {}
    owners: dict[str, Host] = {}
    for line, content in numbered_lines(text):
        host = _parse_host(content, file, line)
        first = hosts.setdefault(host.id, host)
        if first is not host:
            raise ConfigError(file, line, "HOSTID", _twice(host.id, first.line))
        if host.ip:
            _claim_ip(owners, host, file)
    return hosts


def resolve_hosts(hosts: Mapping[str, Host], file: str, resolve: Callable[[str], str]) -> dict[str, Host]:
    """Looks up the addresses that hosts.tab leaves empty.

    :param resolve: host name to address; OSError says that it has none.
    :raises ConfigError: a name has no usable address, or its address belongs to another host.
    """
    owners = {host.ip: host for host in hosts.values() if host.ip}
    resolved: dict[str, Host] = {}
    for unresolved in hosts.values():
        host = unresolved
        if not host.ip:
            host = replace(host, ip=_look_up(host, file, resolve))
            _claim_ip(owners, host, file)
        resolved[host.id] = host
    return resolved


def parse_domains(text: str, file: str) -> dict[str, Domain]:
    """Reads domain.tab: ``DOMAIN:DESCRIPTION[:FURTHER...]``; ConfigError as for hosts.tab."""
    domains: dict[str, Domain] = {}
    lines: dict[str, int] = {}
    for line, content in numbered_lines(text):
        name, *rest = content.split(":")
        _check(DOMAIN, name, DOMAIN_ALLOWED, (file, line, "DOMAIN"))
        if not rest:
            raise ConfigError(file, line, "DESCRIPTION", "missing; a line is DOMAIN:DESCRIPTION")
        if name in lines:
            raise ConfigError(file, line, "DOMAIN", _twice(name, lines[name]))
        lines[name] = line
        domains[name] = Domain(name, rest[0], tuple(rest[1:]))
    return domains


def parse_spares(text: str, file: str, hosts: Mapping[str, Host]) -> tuple[Spare, ...]:
    """Reads spare.tab: ``HOSTID`` or ``HOSTID:primary|default``; no mark counts as default.

    :raises ConfigError: a host is unknown or named twice, or the mark is another word.
    """
    spares: list[Spare] = []
    for line, host, kind in _about_hosts(text, file, hosts):
        if kind not in (*SPARE_KINDS, None):
            raise ConfigError(file, line, "MARK", f"{shown(kind)} is not one of {', '.join(SPARE_KINDS)}")
        spares.append(Spare(host, kind or "default"))
    return tuple(spares)


def parse_links(text: str, file: str, hosts: Mapping[str, Host]) -> dict[str, frozenset[str]]:
    """Reads links.tab: ``HOSTID:OPTION,...`` with the options of :data:`LINK_OPTIONS`.

    :raises ConfigError: a host is unknown or named twice, or an option is missing or unknown.
    """
    links: dict[str, frozenset[str]] = {}
    for line, host, options in _about_hosts(text, file, hosts):
        names = [name.strip() for name in (options or "").split(",")]
        for name in names:
            if name not in LINK_OPTIONS:
                reason = f"{shown(name)} is not one of {', '.join(LINK_OPTIONS)}"
                raise ConfigError(file, line, "OPTION", reason)
        links[host] = frozenset(names)
    return links


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, stripped, each with its 1-based number.

    Lines end at LF alone (a CR before it goes with the blanks): `str.splitlines` knows more line ends than
    editors do, and the numbers in messages would be wrong.
    """
    for number, line in enumerate(text.split("\n"), 1):
        content = line.strip()
        if content and not content.startswith("#"):
            yield number, content


def canonical_ip(text: str) -> str:
    """One spelling for every IPv4 or IPv6 address; an IPv4-mapped one becomes IPv4.

    :raises ValueError: not an address, or one with a zone (``%eth0``), which means nothing on another host.
    """
    if "%" in text:
        raise ValueError("an address with a zone")
    address = ipaddress.ip_address(text)
    return str(getattr(address, "ipv4_mapped", None) or address)


def shown(text: str | None) -> str:
    """A faulty text as messages quote it: control characters escaped, at most 60 characters of it."""
    return repr(text if text is None or len(text) <= 60 else text[:60] + "...")


def _parse_host(content: str, file: str, line: int) -> Host:
    fields = content.split(":", 4)
    if len(fields) < 5:
        reason = f"{len(fields)} fields, not 5; a line is HOSTID:DOMAIN:ROLE:HOSTNAME:IP (IP may be empty)"
        raise ConfigError(file, line, "", reason)
    host_id, domain, role, hostname, rest = fields
    _check(HOST_ID, host_id, HOST_ID_ALLOWED, (file, line, "HOSTID"))
    _check(DOMAIN, domain, DOMAIN_ALLOWED, (file, line, "DOMAIN"))
    if role not in ROLES:
        raise ConfigError(file, line, "ROLE", f"{shown(role)} is not one of {', '.join(ROLES)}")
    _check(_HOSTNAME, hostname, _HOSTNAME_ALLOWED, (file, line, "HOSTNAME"))
    ip, extra = _split_ip(rest)
    try:
        ip = ip and _host_ip(ip)
    except ValueError:
        reason = f"{shown(ip)} is not the IPv4 address or [IPv6 address] of one host"
        raise ConfigError(file, line, "IP", reason) from None
    for entry in extra:
        scheme, equals, port = entry.partition("=")
        if equals and scheme in _HTTP_PORTS and not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
            raise ConfigError(file, line, "FURTHER", f"{shown(entry)}: a port is a number from 1 to 65535")
    return Host(host_id, domain, role, hostname, ip, extra, line)


def _split_ip(rest: str) -> tuple[str, tuple[str, ...]]:
    """``IP[:FURTHER...]`` -> (IP without brackets, further fields)."""
    bracketed = re.fullmatch(r"\[([^]]*)\](?::(.*))?", rest)
    ip, *extra = (bracketed[1], *(bracketed[2] or "").split(":")) if bracketed else rest.split(":")
    return ip, tuple(extra) if any(extra) else ()


def _host_ip(text: str) -> str:
    """The canonical address; ValueError also for addresses that cannot be one host's."""
    ip = canonical_ip(text)
    address = ipaddress.ip_address(ip)
    if address.is_unspecified or address.is_multicast or ip == "255.255.255.255":
        raise ValueError("not one host's address")
    return ip


def _look_up(host: Host, file: str, resolve: Callable[[str], str]) -> str:
    try:
        return _host_ip(resolve(host.hostname))
    except (OSError, ValueError) as error:
        reason = f"{shown(host.hostname)} has no address ({error}); correct it or fill in the IP of {host.id}"
        raise ConfigError(file, host.line, "HOSTNAME", reason) from error


def _claim_ip(owners: dict[str, Host], host: Host, file: str) -> None:
    first = owners.setdefault(host.ip, host)
    if first is not host:
        reason = f"{host.ip} of {host.id} is that of {first.id} in line {first.line}; one host, one address"
        raise ConfigError(file, host.line, "IP", reason)


def _about_hosts(text: str, file: str, hosts: Mapping[str, Host]) -> Iterator[tuple[int, str, str | None]]:
    """Lines ``HOSTID[:REST]`` about hosts of hosts.tab, each host once: (line, host id, rest or None)."""
    lines: dict[str, int] = {}
    for line, content in numbered_lines(text):
        host, colon, rest = content.partition(":")
        if host not in hosts:
            raise ConfigError(file, line, "HOSTID", f"{shown(host)} is not in hosts.tab")
        if host in lines:
            raise ConfigError(file, line, "HOSTID", _twice(host, lines[host]))
        lines[host] = line
        yield line, host, rest if colon else None


def _check(pattern: re.Pattern[str], text: str, allowed: str, place: tuple[str, int, str]) -> None:
    if not pattern.fullmatch(text):
        raise ConfigError(*place, f"{shown(text)} is not {allowed}")


def _twice(name: str, line: int) -> str:
    return f"{shown(name)} stands in line {line} already; delete one of the two lines"
