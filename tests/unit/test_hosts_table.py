"""The four tables: every rule with its exact message; any text gives a table or a ConfigError."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import ConfigError
from common.hosts_table import (
    Domain,
    Host,
    HostsTable,
    Spare,
    canonical_ip,
    parse_domains,
    parse_hosts,
    parse_links,
    parse_spares,
    resolve_hosts,
)

CONF = Path(__file__).parents[2] / "conf"
HOST_ID_ALLOWED = "a host id (at most 64 of A-Z a-z 0-9 _ . -, a letter or digit first, no '..')"
DOMAIN_ALLOWED = "a domain (at most 64 of A-Z a-z 0-9 _ . @ -, a letter, digit or _ first, no '..')"
HOSTNAME_ALLOWED = "a host name (labels of letters, digits and inner hyphens, joined by dots)"
IP_ALLOWED = "the IPv4 address or [IPv6 address] of one host"
FIVE = "a line is HOSTID:DOMAIN:ROLE:HOSTNAME:IP (IP may be empty)"
HOSTS_TAB = """
a1:da:library:a1.edu:10.0.0.1
a2:da:access:a2.edu:10.0.0.2
b1:db:library:b1.edu:10.0.0.3
"""
HOSTS = parse_hosts(HOSTS_TAB, "h.tab")


def message(parse: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse()
    return str(caught.value)


class TestHosts:
    @pytest.mark.parametrize(
        ("line", "host"),
        [
            ("a1:msu:library:a.edu:10.0.0.1", Host("a1", "msu", "library", "a.edu", "10.0.0.1")),
            ("  a1:msu:access:A-b.EDU:10.0.0.1 \r", Host("a1", "msu", "access", "A-b.EDU", "10.0.0.1")),
            ("a1:msu:access:a:", Host("a1", "msu", "access", "a", "")),
            ("a1:msu:access:a::1", Host("a1", "msu", "access", "a", "", ("1",))),
            ("a1:msu:access:a:10.0.0.1:x::y", Host("a1", "msu", "access", "a", "10.0.0.1", ("x", "", "y"))),
            ("a1:msu:access:a:10.0.0.1:", Host("a1", "msu", "access", "a", "10.0.0.1")),
            ("a1:msu:access:a:[2001:DB8:0::1]", Host("a1", "msu", "access", "a", "2001:db8::1")),
            ("a1:msu:access:a:[::1]:x:y", Host("a1", "msu", "access", "a", "::1", ("x", "y"))),
            ("a1:msu:access:a:[::ffff:10.0.0.1]", Host("a1", "msu", "access", "a", "10.0.0.1")),
            ("1_.-Z:_m@s.u-:access:1.2:10.0.0.1", Host("1_.-Z", "_m@s.u-", "access", "1.2", "10.0.0.1")),
        ],
    )
    def test_good(self, line: str, host: Host) -> None:
        hosts = parse_hosts(f"# comment\n\n{line}\n", "h.tab")
        assert hosts == {host.id: host}
        assert hosts[host.id].line == 3

    @pytest.mark.parametrize(
        ("line", "wanted"),
        [
            ("a1", f"1 fields, not 5; {FIVE}"),
            ("a1:msu:access:a.edu", f"4 fields, not 5; {FIVE}"),
            (":msu:access:a:10.0.0.1", f"HOSTID: '' is not {HOST_ID_ALLOWED}"),
            ("../x:msu:access:a:10.0.0.1", f"HOSTID: '../x' is not {HOST_ID_ALLOWED}"),
            ("a..b:msu:access:a:10.0.0.1", f"HOSTID: 'a..b' is not {HOST_ID_ALLOWED}"),
            (".a:msu:access:a:10.0.0.1", f"HOSTID: '.a' is not {HOST_ID_ALLOWED}"),
            ("a1 :msu:access:a:10.0.0.1", f"HOSTID: 'a1 ' is not {HOST_ID_ALLOWED}"),
            ("a\x00:msu:access:a:10.0.0.1", f"HOSTID: 'a\\x00' is not {HOST_ID_ALLOWED}"),
            ("a" * 65 + ":msu:access:a:10.0.0.1", f"HOSTID: '{'a' * 60}...' is not {HOST_ID_ALLOWED}"),
            ("a1:m/u:access:a:10.0.0.1", f"DOMAIN: 'm/u' is not {DOMAIN_ALLOWED}"),
            ("a1:m..u:access:a:10.0.0.1", f"DOMAIN: 'm..u' is not {DOMAIN_ALLOWED}"),
            ("a1:" + "m" * 65 + ":access:a:10.0.0.1", f"DOMAIN: '{'m' * 60}...' is not {DOMAIN_ALLOWED}"),
            ("a1:msu:libary:a:10.0.0.1", "ROLE: 'libary' is not one of library, access"),
            ("a1:msu::a:10.0.0.1", "ROLE: '' is not one of library, access"),
            ("a1:msu:access::10.0.0.1", f"HOSTNAME: '' is not {HOSTNAME_ALLOWED}"),
            ("a1:msu:access:a..b:10.0.0.1", f"HOSTNAME: 'a..b' is not {HOSTNAME_ALLOWED}"),
            ("a1:msu:access:a.:10.0.0.1", f"HOSTNAME: 'a.' is not {HOSTNAME_ALLOWED}"),
            ("a1:msu:access:-a:10.0.0.1", f"HOSTNAME: '-a' is not {HOSTNAME_ALLOWED}"),
            ("a1:msu:access:a-.b:10.0.0.1", f"HOSTNAME: 'a-.b' is not {HOSTNAME_ALLOWED}"),
            ("a1:msu:access:a_b:10.0.0.1", f"HOSTNAME: 'a_b' is not {HOSTNAME_ALLOWED}"),
            ("a1:msu:access:a:10.0.0", f"IP: '10.0.0' is not {IP_ALLOWED}"),
            ("a1:msu:access:a:10.0.0.256", f"IP: '10.0.0.256' is not {IP_ALLOWED}"),
            ("a1:msu:access:a:10.0.0.01", f"IP: '10.0.0.01' is not {IP_ALLOWED}"),
            ("a1:msu:access:a:10.0.0.1 # x", f"IP: '10.0.0.1 # x' is not {IP_ALLOWED}"),
            ("a1:msu:access:a:2001:db8::1", f"IP: '2001' is not {IP_ALLOWED}"),
            ("a1:msu:access:a:[::1", f"IP: '[' is not {IP_ALLOWED}"),
            ("a1:msu:access:a:[fe80::1%eth0]", f"IP: 'fe80::1%eth0' is not {IP_ALLOWED}"),
            ("a1:msu:access:a:0.0.0.0", f"IP: '0.0.0.0' is not {IP_ALLOWED}"),
            ("a1:msu:access:a:224.0.0.1", f"IP: '224.0.0.1' is not {IP_ALLOWED}"),
            ("a1:msu:access:a:255.255.255.255", f"IP: '255.255.255.255' is not {IP_ALLOWED}"),
        ],
    )
    def test_bad(self, line: str, wanted: str) -> None:
        assert message(lambda: parse_hosts(f"\n{line}\n", "h.tab")) == f"h.tab:2: {wanted}"

    def test_limits_of_length(self) -> None:
        host_id, domain, hostname = "a" * 64, "d" * 64, ".".join(["h" * 63] * 3 + ["h" * 61])
        assert list(parse_hosts(f"{host_id}:{domain}:access:{hostname}:10.0.0.1", "h.tab")) == [host_id]
        wanted = f"h.tab:1: HOSTNAME: '{'h' * 60}...' is not {HOSTNAME_ALLOWED}"
        for too_long in ("h" * 64, hostname + "h"):
            line = f"a:d:access:{too_long}:10.0.0.1"
            assert message(partial(parse_hosts, line, "h.tab")) == wanted

    def test_duplicate_id(self) -> None:
        text = "a1:msu:access:a:10.0.0.1\n\na1:msu:access:b:10.0.0.2"
        wanted = "h.tab:3: HOSTID: 'a1' stands in line 1 already; delete one of the two lines"
        assert message(lambda: parse_hosts(text, "h.tab")) == wanted

    @pytest.mark.parametrize(
        ("first", "second"), [("10.0.0.1", "10.0.0.1"), ("10.0.0.1", "[::ffff:a00:1]"), ("[::1]", "[0::0:1]")]
    )
    def test_two_ids_on_one_address_in_any_spelling(self, first: str, second: str) -> None:
        text = f"a1:msu:access:a:{first}\n\na2:msu:access:b:{second}"
        ip = canonical_ip(first.strip("[]"))
        wanted = f"h.tab:3: IP: {ip} of a2 is that of a1 in line 1; one host, one address"
        assert message(lambda: parse_hosts(text, "h.tab")) == wanted

    def test_no_host_at_all_is_a_table_too(self) -> None:
        assert parse_hosts("# nobody\n", "h.tab") == {}

    def test_line_numbers_are_no_part_of_a_host(self) -> None:
        moved = parse_hosts("\n# moved down\n" + HOSTS_TAB, "h.tab")
        assert moved == HOSTS
        assert moved["a1"].line == HOSTS["a1"].line + 2


class TestResolving:
    TEXT = "a1:msu:access:a.edu:\na2:msu:access:b.edu:10.0.0.2\na3:msu:access:c.edu:"

    def resolved(self, **addresses: str) -> dict[str, Host]:
        def resolve(hostname: str) -> str:
            if hostname[0] not in addresses:
                raise OSError(-2, "Name or service not known")
            return addresses[hostname[0]]

        return resolve_hosts(parse_hosts(self.TEXT, "h.tab"), "h.tab", resolve)

    def test_empty_addresses_are_filled_in_and_order_is_kept(self) -> None:
        hosts = self.resolved(a="10.0.0.1", c="2001:DB8::3")
        assert [(h.id, h.ip, h.line) for h in hosts.values()] == [
            ("a1", "10.0.0.1", 1),
            ("a2", "10.0.0.2", 2),
            ("a3", "2001:db8::3", 3),
        ]

    def test_unknown_name(self) -> None:
        wanted = (
            "h.tab:3: HOSTNAME: 'c.edu' has no address ([Errno -2] Name or service not known); "
            "correct it or fill in the IP of a3"
        )
        assert message(lambda: self.resolved(a="10.0.0.1")) == wanted

    def test_a_useless_answer(self) -> None:
        wanted = "'a.edu' has no address (not one host's address); correct it or fill in the IP of a1"
        assert message(lambda: self.resolved(a="0.0.0.0")) == f"h.tab:1: HOSTNAME: {wanted}"

    @pytest.mark.parametrize(
        ("a", "c", "wanted"),
        [
            (
                "10.0.0.2",
                "10.0.0.3",
                "h.tab:1: IP: 10.0.0.2 of a1 is that of a2 in line 2; one host, one address",
            ),
            (
                "10.0.0.1",
                "10.0.0.1",
                "h.tab:3: IP: 10.0.0.1 of a3 is that of a1 in line 1; one host, one address",
            ),
        ],
    )
    def test_two_ids_on_one_address(self, a: str, c: str, wanted: str) -> None:
        assert message(lambda: self.resolved(a=a, c=c)) == wanted


class TestDomains:
    def test_good(self) -> None:
        text = "# c\nmsu:Michigan # State:internal:x\n\nhub:\n"
        assert parse_domains(text, "d.tab") == {
            "msu": Domain("msu", "Michigan # State", ("internal", "x")),
            "hub": Domain("hub", ""),
        }

    @pytest.mark.parametrize(
        ("line", "wanted"),
        [
            ("a b:x", f"DOMAIN: 'a b' is not {DOMAIN_ALLOWED}"),
            ("hub", "DESCRIPTION: missing; a line is DOMAIN:DESCRIPTION"),
            ("msu:again", "DOMAIN: 'msu' stands in line 1 already; delete one of the two lines"),
        ],
    )
    def test_bad(self, line: str, wanted: str) -> None:
        assert message(lambda: parse_domains(f"msu:Michigan\n{line}", "d.tab")) == f"d.tab:2: {wanted}"


class TestSpares:
    def test_good(self) -> None:
        text = "b1\n# c\na1:primary\na2:default\r\n"
        wanted = (Spare("b1", "default"), Spare("a1", "primary"), Spare("a2", "default"))
        assert parse_spares(text, "s.tab", HOSTS) == wanted

    @pytest.mark.parametrize(
        ("line", "wanted"),
        [
            ("zz", "HOSTID: 'zz' is not in hosts.tab"),
            ("a2:first", "MARK: 'first' is not one of primary, default"),
            ("a2:", "MARK: '' is not one of primary, default"),
            ("a1", "HOSTID: 'a1' stands in line 1 already; delete one of the two lines"),
        ],
    )
    def test_bad(self, line: str, wanted: str) -> None:
        assert message(lambda: parse_spares(f"a1:primary\n{line}", "s.tab", HOSTS)) == f"s.tab:2: {wanted}"


class TestLinks:
    def test_good(self) -> None:
        text = "a1:classic-serial\nb1: alias , classic-serial\n"
        assert parse_links(text, "l.tab", HOSTS) == {
            "a1": frozenset({"classic-serial"}),
            "b1": frozenset({"alias", "classic-serial"}),
        }

    @pytest.mark.parametrize(
        ("line", "wanted"),
        [
            ("zz:alias", "HOSTID: 'zz' is not in hosts.tab"),
            ("a2:alias,fast", "OPTION: 'fast' is not one of classic-serial, alias"),
            ("a2:", "OPTION: '' is not one of classic-serial, alias"),
            ("a2", "OPTION: '' is not one of classic-serial, alias"),
            ("a1:alias", "HOSTID: 'a1' stands in line 1 already; delete one of the two lines"),
        ],
    )
    def test_bad(self, line: str, wanted: str) -> None:
        assert message(lambda: parse_links(f"a1:alias\n{line}", "l.tab", HOSTS)) == f"l.tab:2: {wanted}"


class TestHostsTable:
    TABLE = HostsTable(HOSTS, {}, (), {"a1": frozenset({"alias"})})

    def test_is_a_mapping_by_id_in_the_order_of_the_file(self) -> None:
        table = self.TABLE
        assert (list(table), len(table)) == (["a1", "a2", "b1"], 3)
        assert [host.id for host in table.hosts.values()] == ["a1", "a2", "b1"]
        assert table["a2"].hostname == "a2.edu"
        assert ("a2" in table, "zz" in table) == (True, False)
        with pytest.raises(KeyError):
            table["zz"]

    @pytest.mark.parametrize(
        ("ip", "host_id"),
        [
            ("10.0.0.2", "a2"),
            ("::ffff:10.0.0.2", "a2"),
            ("10.0.0.9", None),
            ("", None),
            ("nonsense", None),
            ("fe80::1%lo", None),
        ],
    )
    def test_by_ip(self, ip: str, host_id: str | None) -> None:
        host = self.TABLE.by_ip(ip)
        assert (host and host.id) == host_id

    def test_an_unresolved_host_has_no_address_to_be_found_by(self) -> None:
        assert HostsTable(parse_hosts("a1:msu:access:a:", "h")).by_ip("") is None

    @pytest.mark.parametrize(
        ("domain", "role", "ids"),
        [("da", None, "a1 a2"), ("da", "library", "a1"), ("db", "access", ""), ("zz", None, "")],
    )
    def test_in_domain(self, domain: str, role: str | None, ids: str) -> None:
        assert " ".join(host.id for host in self.TABLE.in_domain(domain, role)) == ids

    def test_options(self) -> None:
        assert self.TABLE.options("a1") == {"alias"}
        assert self.TABLE.options("a2") == self.TABLE.options("zz") == frozenset()

    def test_pickles_and_compares_by_content(self) -> None:
        copy = pickle.loads(pickle.dumps(self.TABLE))
        assert copy == self.TABLE
        assert copy.by_ip("10.0.0.3") == HOSTS["b1"]
        assert HostsTable(HOSTS) != self.TABLE


class TestExamples:
    def test_the_example_network_keeps_the_original_addresses_in_comments(self) -> None:
        lines = (CONF / "hosts.tab").read_text("utf-8").split("\n")
        hosts = parse_hosts("\n".join(lines), "hosts.tab")
        assert len(hosts) == 13
        for host in hosts.values():
            original = lines[host.line - 2].removeprefix("# ")
            assert re.fullmatch(r"35\.8\.(63|116)\.\d+", original)
            assert host.ip == original.replace("35.", "127.", 1)

    def test_the_optional_tables_fit_it(self) -> None:
        hosts = parse_hosts((CONF / "hosts.tab").read_text("utf-8"), "hosts.tab")
        domains = parse_domains((CONF / "domain.tab").read_text("utf-8"), "domain.tab")
        assert set(domains) == {host.domain for host in hosts.values()}
        assert parse_spares((CONF / "spare.tab").read_text("utf-8"), "spare.tab", hosts)
        links = (CONF / "links.tab").read_text("utf-8")
        assert parse_links(links, "links.tab", hosts) == {}
        examples = re.sub(r"^#(\w+:)", r"\1", links, flags=re.MULTILINE)
        assert set(parse_links(examples, "links.tab", hosts)) == {"msul2", "hubl25"}


FIELDS = st.sampled_from(["a1", "b1", "msu", "library", "", "10.0.0.1", "[::1]", "alias", "primary"])
LINES = st.lists(FIELDS | st.text(max_size=5), max_size=7).map(":".join)
GOOD = st.builds("{}:msu:access:h.edu:{}".format, st.text("ab.1", max_size=3), st.text("1.:[]", max_size=9))


class TestAnyText:
    @given(st.text() | st.lists(LINES | GOOD, max_size=6).map("\n".join), st.text(max_size=9))
    @example("a1:msu:access:h.edu:", "\ud800")
    def test_gives_a_table_or_a_config_error(self, text: str, address: str) -> None:
        parsers: list[Callable[[], object]] = [
            lambda: HostsTable(resolve_hosts(parse_hosts(text, "t"), "t", lambda _: address)),
            lambda: parse_domains(text, "t"),
            lambda: parse_spares(text, "t", HOSTS),
            lambda: parse_links(text, "t", HOSTS),
        ]
        for parse in parsers:
            try:
                parse()
            except ConfigError as error:
                assert 1 <= error.line <= text.count("\n") + 1

    @given(st.lists(GOOD, max_size=4).map("\n".join))
    def test_ids_are_safe_file_names_and_addresses_unique(self, text: str) -> None:
        try:
            hosts = parse_hosts(text, "t")
        except ConfigError:
            return
        assert all(Path("/sockets", name).resolve().parent == Path("/sockets") for name in hosts)
        addresses = [host.ip for host in hosts.values() if host.ip]
        assert len(set(addresses)) == len(addresses)

    @given(st.ip_addresses())
    def test_canonical_addresses_stay_as_they_are(self, address: object) -> None:
        once = canonical_ip(str(address))
        assert canonical_ip(once) == once
