"""What one host knows of itself and of the network: configuration and tables, loaded together.

:func:`load_site` is what daemons, lonnet and ``--check`` have in common: it reads loncapa.conf, then
hosts.tab and the optional tables of `lonTabDir`, checks them against each other, and fills in what the
configuration leaves to hosts.tab.

Promises: all or nothing; a :class:`Site` is complete, immutable and can be pickled, so that a forked
loader can hand it to its parent.

Raises: :class:`ConfigError` only, one for the first fault. Logs nothing: warnings are in `Site.warnings`.

Known limits: hosts without an IP in hosts.tab are looked up in DNS, one after the other, each for as long as
the system's resolver takes; who must not wait loads in a child with a time limit (`lonReloadTimeout`). With
the sysctl net.ipv4.ip_nonlocal_bind every address counts as local.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.config import Config, read_config
from common.errors import ConfigError
from common.hosts_table import (
    Host,
    HostsTable,
    parse_domains,
    parse_hosts,
    parse_links,
    parse_spares,
    resolve_hosts,
)
from common.settings import SETTINGS
from common.text_file import read_text
from common.trust_table import TrustTable, parse_trust

# Linux' sun_path has 108 bytes with its final NUL; bind() would fail only when the link comes up.
_MAX_SOCKET_PATH = 107


@dataclass(frozen=True, slots=True)
class Site:
    """This host's configuration and its view of the network.

    :param config: complete: domain, role and http_base are filled in.
    :param warnings: ``FILE:LINE: ...``, what an administrator should look at.
    :param file: the configuration file, for messages; "" if there is none.
    :param trust: which domains may do what on whose users.
    """

    config: Config
    table: HostsTable
    warnings: tuple[str, ...] = ()
    file: str = ""
    trust: TrustTable = field(default_factory=TrustTable)

    @property
    def own(self) -> Host:
        """This host's line in hosts.tab."""
        return self.table[self.config.host_id]


def dns(hostname: str) -> str:
    """The address of a name by the system's resolver: IPv4 before IPv6, then the lowest.

    Not simply the first: answers rotate, and the table would change with every reload.

    :raises OSError: the name has no address, or no name server answered in the resolver's own time limit.
    """
    found = socket.getaddrinfo(hostname, None, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
    return str(min(addresses, key=lambda address: (address.version, int(address))))


def load_site(path: Path, resolve: Callable[[str], str] = dns) -> Site:
    """Loads the configuration file and all tables.

    :param path: the configuration file (:func:`common.config.config_path` finds it).
    :param resolve: host name to address, OSError if it has none.
    :raises ConfigError: the first fault of any file, or between two of them.
    """
    site = load_files(path)
    hosts_tab = str(site.config.tab_dir / "hosts.tab")
    # Last, because it may wait: a fault in any file shows at once.
    return replace(site, table=replace(site.table, hosts=resolve_hosts(site.table.hosts, hosts_tab, resolve)))


def load_files(path: Path) -> Site:
    """As :func:`load_site`, but DNS is not asked: what hosts.tab gives no address has none."""
    config, warnings = read_config(path)
    table, trust = _load_tables(config.tab_dir)
    file = str(path)
    config = _completed(config, table, file)
    _check_directories(config, file)
    _check_socket_paths(config, table, file)
    if not table.in_domain(config.def_domain):
        place = f"{file}:{config.sources['lonDefDomain']}"
        warnings += (f"{place}: lonDefDomain: no host of hosts.tab is in {config.def_domain!r}",)
    return Site(config, table, warnings, file, trust)


def bind_address(site: Site) -> str:
    """The address that lond listens on and lonc connects from; "" for any.

    It is lonBindAddress if that is set, else the own IP of hosts.tab if it is an address of this machine.

    :raises ConfigError: it cannot be found out whether the own IP is local (out of descriptors, say);
        listening on every address instead would be a guess.
    """
    if site.config.bind_address:
        return site.config.bind_address
    ip = site.own.ip
    try:
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((ip, 0))
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return ""
        reason = f"set it: whether {ip} is an address of this machine is unknown ({error.strerror})"
        line = site.config.sources["lonBindAddress"]
        raise ConfigError(site.file, line, "lonBindAddress", reason) from error
    return ip


def _load_tables(directory: Path) -> tuple[HostsTable, TrustTable]:
    hosts_tab = directory / "hosts.tab"
    hosts = parse_hosts(read_text(hosts_tab), str(hosts_tab))
    names = ("domain", "spare", "links", "trust")
    domain_tab, spare_tab, links_tab, trust_tab = (directory / f"{name}.tab" for name in names)
    domains = parse_domains(_optional_text(domain_tab), str(domain_tab))
    spares = parse_spares(_optional_text(spare_tab), str(spare_tab), hosts)
    links = parse_links(_optional_text(links_tab), str(links_tab), hosts)
    trust = parse_trust(_optional_text(trust_tab), str(trust_tab), {host.domain for host in hosts.values()})
    return HostsTable(hosts, domains, spares, links), trust


def _optional_text(path: Path) -> str:
    """The text of a file that may be missing; one that is there must be readable all the same."""
    try:
        return read_text(path)
    except ConfigError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return ""
        raise


def _completed(config: Config, table: HostsTable, file: str) -> Config:
    """Fills in from hosts.tab what loncapa.conf left open, and checks what it did not."""
    hosts_tab = config.tab_dir / "hosts.tab"
    if config.host_id not in table:
        reason = f"{config.host_id!r} is not in {hosts_tab}; correct the id or add its line there"
        raise ConfigError(file, config.sources["lonHostID"], "lonHostID", reason)
    own = table[config.host_id]
    if config.role not in ("", own.role):
        reason = f"{config.role!r}, but {hosts_tab}:{own.line} says {own.role!r}; make them agree"
        raise ConfigError(file, config.sources["lonRole"], "lonRole", reason)
    return replace(
        config,
        role=own.role,
        def_domain=config.def_domain or own.domain,
        http_base=config.http_base or own.http_base,
    )


def _check_directories(config: Config, file: str) -> None:
    """Nothing else may stand where a directory is set; what is not there is made by who needs it."""
    for setting in SETTINGS:
        path = getattr(config, setting.field)
        if isinstance(path, Path) and _is_something_else(path):
            reason = f"{path} is not a directory; name another one, or move away what is there"
            raise ConfigError(file, config.sources[setting.name], setting.name, reason)


def _is_something_else(path: Path) -> bool:
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except NotADirectoryError:
        return True
    except OSError:  # not there, or not for this user to look at
        return False


def _check_socket_paths(config: Config, table: HostsTable, file: str) -> None:
    path = config.sock_dir / max(table, key=len)
    size = len(os.fsencode(path))
    if size > _MAX_SOCKET_PATH:
        reason = f"{path} has {size} bytes, a socket's path at most {_MAX_SOCKET_PATH}; shorten the directory"
        raise ConfigError(file, config.sources["lonSockDir"], "lonSockDir", reason)
