"""Site: what loncapa.conf and the tables say together, and the address to bind."""

from __future__ import annotations

import dataclasses
import errno
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.config import Config
from common.errors import ConfigError
from common.hosts_table import HostsTable, Spare, parse_hosts
from common.site import Site, bind_address, dns, load_site

CONF = Path(__file__).parents[2] / "conf"
HOSTS = "msul1:msu:library:a.edu:127.0.0.1\nmsua1:msu:access:b.edu:127.0.0.2\n"


def no_dns(hostname: str) -> str:
    raise AssertionError(f"{hostname} was looked up")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """write(*lines, hosts=...) -> loncapa.conf of host msul1 (lines from the third on) with its hosts.tab."""

    def write(*lines: str, hosts: str = HOSTS, host_id: str = "msul1") -> Path:
        conf = tmp_path / "loncapa.conf"
        head = (f"PerlSetVar lonHostID {host_id}", f"PerlSetVar lonTabDir {tmp_path}")
        conf.write_text("\n".join((*head, *lines)))
        (tmp_path / "hosts.tab").write_text(hosts)
        return conf

    return write


def fault(path: Path, resolve: Callable[[str], str] = no_dns) -> str:
    """The message with the test's directory cut out."""
    with pytest.raises(ConfigError) as caught:
        load_site(path, resolve)
    return str(caught.value).replace(f"{path.parent}/", "")


def site_on(ip: str, bind: str = "") -> Site:
    hosts = parse_hosts(f"msul1:msu:library:a.edu:{ip}", "hosts.tab")
    config = Config(host_id="msul1", bind_address=bind)
    return Site(config, HostsTable(hosts), file="x.conf")


class TestLoading:
    def test_hosts_tab_fills_in_what_the_configuration_leaves_open(self, write: Callable[..., Path]) -> None:
        path = write()
        site = load_site(path, no_dns)
        assert (site.config.def_domain, site.config.role, site.config.http_base) == (
            "msu",
            "library",
            "http://a.edu",
        )
        assert site.config.sources["lonRole"] == 0
        assert (site.own.id, site.own.ip) == ("msul1", "127.0.0.1")
        assert (site.warnings, site.file) == ((), str(path))
        assert (site.table.spares, site.table.domains, site.table.links) == ((), {}, {})

    def test_what_the_configuration_says_stays(self, write: Callable[..., Path]) -> None:
        settings = {"lonRole": "library", "lonHttpBase": "https://x:1", "lonDefDomain": "msu"}
        site = load_site(write(*(f"PerlSetVar {name} {value}" for name, value in settings.items())), no_dns)
        config = site.config
        assert [config.role, config.http_base, config.def_domain] == list(settings.values())
        assert site.warnings == ()

    def test_all_tables(self, write: Callable[..., Path], tmp_path: Path) -> None:
        path = write()
        (tmp_path / "domain.tab").write_text("msu:Michigan")
        (tmp_path / "spare.tab").write_text("msua1:primary")
        (tmp_path / "links.tab").write_text("msua1:classic-serial")
        table = load_site(path, no_dns).table
        assert table.domains["msu"].description == "Michigan"
        assert table.spares == (Spare("msua1", "primary"),)
        assert table.options("msua1") == {"classic-serial"}

    def test_warnings_of_file_and_domain(self, write: Callable[..., Path]) -> None:
        path = write("PerlSetVar lonWindwo 1", "PerlSetVar lonDefDomain mus")
        assert load_site(path, no_dns).warnings == (
            f"{path}:3: 'lonWindwo' is unknown and ignored; did you mean lonWindow?",
            f"{path}:4: lonDefDomain: no host of hosts.tab is in 'mus'",
        )

    def test_empty_addresses_are_looked_up(self, write: Callable[..., Path]) -> None:
        path = write(hosts="msul1:msu:library:a.edu:\n")
        assert load_site(path, {"a.edu": "10.0.0.1"}.__getitem__).own.ip == "10.0.0.1"

    def test_faults_of_tables_come_before_dns(self, write: Callable[..., Path], tmp_path: Path) -> None:
        path = write(hosts="msul1:msu:library:a.edu:\n")
        (tmp_path / "links.tab").write_text("msul1:fast")
        assert fault(path) == "links.tab:1: OPTION: 'fast' is not one of classic-serial, alias"

    def test_the_example_files_make_a_site_of_each_host(self, tmp_path: Path) -> None:
        ids = list(parse_hosts((CONF / "hosts.tab").read_text("utf-8"), "hosts.tab"))
        for host_id in ids:
            path = tmp_path / host_id
            path.write_text(f"PerlSetVar lonHostID {host_id}\nPerlSetVar lonTabDir {CONF}\n")
            site = load_site(path, no_dns)
            assert (site.own.id, list(site.table), site.warnings) == (host_id, ids, ())

    def test_survives_a_pipe(self, write: Callable[..., Path]) -> None:
        site = load_site(write("PerlSetVar zzz 1"), no_dns)
        copy = pickle.loads(pickle.dumps(site))
        assert copy == site
        assert copy.config.sources == site.config.sources
        assert copy.table.by_ip("127.0.0.1") == site.own

    def test_is_frozen_and_slotted(self, write: Callable[..., Path]) -> None:
        site = load_site(write(), no_dns)
        with pytest.raises(dataclasses.FrozenInstanceError):
            site.file = ""  # type: ignore[misc]
        assert not hasattr(site, "__dict__")


class TestFaults:
    def test_own_id_not_in_hosts_tab(self, write: Callable[..., Path]) -> None:
        wanted = "lonHostID: 'msul9' is not in hosts.tab; correct the id or add its line there"
        assert fault(write(host_id="msul9")) == f"loncapa.conf:1: {wanted}"

    def test_role_contradicts_hosts_tab(self, write: Callable[..., Path]) -> None:
        wanted = "lonRole: 'access', but hosts.tab:1 says 'library'; make them agree"
        assert fault(write("", "PerlSetVar lonRole access")) == f"loncapa.conf:4: {wanted}"

    def test_no_hosts_tab(self, write: Callable[..., Path], tmp_path: Path) -> None:
        path = write()
        (tmp_path / "hosts.tab").unlink()
        assert fault(path) == "hosts.tab: cannot be read: No such file or directory"

    @pytest.mark.parametrize("name", ["domain.tab", "spare.tab", "links.tab"])
    def test_an_optional_table_may_be_missing_but_not_unreadable(
        self, write: Callable[..., Path], tmp_path: Path, name: str
    ) -> None:
        path = write()
        (tmp_path / name).mkdir()
        assert fault(path) == f"{name}: is not a regular file"

    def test_unknown_name(self, write: Callable[..., Path]) -> None:
        def resolve(hostname: str) -> str:
            raise socket.gaierror(-2, "Name or service not known")

        assert fault(write(hosts="\nmsul1:msu:library:a.edu:\n"), resolve) == (
            "hosts.tab:2: HOSTNAME: 'a.edu' has no address ([Errno -2] Name or service not known); "
            "correct it or fill in the IP of msul1"
        )

    def test_a_socket_path_of_108_bytes_is_too_long(self, write: Callable[..., Path]) -> None:
        fits = "/" + "s" * (107 - len("//msul1"))
        assert load_site(write(f"PerlSetVar lonSockDir {fits}"), no_dns).config.sock_dir == Path(fits)
        wanted = f"{fits}s/msul1 has 108 bytes, a socket's path at most 107; shorten the directory"
        assert fault(write(f"PerlSetVar lonSockDir {fits}s")) == f"loncapa.conf:3: lonSockDir: {wanted}"


class TestDns:
    @pytest.mark.parametrize(
        ("answers", "address"),
        [
            (["10.0.0.10", "10.0.0.9"], "10.0.0.9"),
            (["2001:db8::1", "10.0.0.9"], "10.0.0.9"),
            (["2001:db8::2", "2001:db8::1"], "2001:db8::1"),
        ],
    )
    def test_order(self, monkeypatch: pytest.MonkeyPatch, answers: list[str], address: str) -> None:
        def getaddrinfo(host: str, port: None, type: int) -> list[Any]:
            assert host == "a.edu"
            return [(0, type, 6, "", (answer, 0)) for answer in answers]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        assert dns("a.edu") == address

    def test_a_numeric_name_needs_no_network(self) -> None:
        assert dns("127.0.0.1") == "127.0.0.1"


class TestBindAddress:
    def test_the_configured_one_comes_first(self) -> None:
        assert bind_address(site_on("127.0.0.1", bind="127.0.0.9")) == "127.0.0.9"

    def test_own_address_of_this_machine(self) -> None:
        assert bind_address(site_on("127.8.63.51")) == "127.8.63.51"

    def test_own_address_of_another_machine(self) -> None:
        assert bind_address(site_on("192.0.2.1")) == ""

    @pytest.mark.parametrize("code", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
    def test_ipv6_that_is_not_here(self, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        self.refuse(monkeypatch, code)
        assert bind_address(site_on("[2001:db8::1]")) == ""

    def test_not_knowing_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuse(monkeypatch, errno.EMFILE)
        with pytest.raises(ConfigError) as caught:
            bind_address(site_on("[2001:db8::1]"))
        wanted = "set it: whether 2001:db8::1 is an address of this machine is unknown (staged)"
        assert str(caught.value) == f"x.conf: lonBindAddress: {wanted}"

    def refuse(self, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        def refused(family: int, kind: int) -> socket.socket:
            assert (family, kind) == (socket.AF_INET6, socket.SOCK_DGRAM)
            raise OSError(code, "staged")

        monkeypatch.setattr(socket, "socket", refused)
