"""trust.tab: its lines with their exact errors, the policy, its place in a site, and how refusals are logged."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.counters import Tally
from common.errors import ConfigError
from common.metrics import LOND, Layout
from common.site import load_site
from common.trust_table import TRUST_CLASSES, TrustTable, parse_trust
from lond.commands.registry import Policy, Trust
from lond.trust import TrustPolicy
from tests.helpers.dispatching import Lond, make_site
from tests.helpers.log_ins import counted

DOMAINS = {"msu", "hub", "fsu"}
FORM = "a line is DOMAIN:CLASS:DOMAIN,DOMAIN,... or DOMAIN:CLASS:* or DOMAIN:CLASS:none"
DOMAIN_ALLOWED = "a domain (at most 64 of A-Z a-z 0-9 _ . @ -, a letter, digit or _ first, no '..')"


def parsed(*lines: str) -> TrustTable:
    return parse_trust("\n".join(lines), "trust.tab", DOMAINS)


def fault(*lines: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed(*lines)
    return str(caught.value)


class TestTable:
    def test_the_classes_are_those_of_the_commands(self) -> None:
        assert set(TRUST_CLASSES) == {trust.value for trust in Trust} - {"none"}

    def test_without_a_line_every_member_may(self) -> None:
        assert all(TrustTable().allows(class_, "hub", "msu") for class_ in TRUST_CLASSES)

    def test_a_list(self) -> None:
        table = parsed("# who may what", "", " msu:auth:hub, fsu ", "msu:records:fsu\r")
        assert table.allows("auth", "hub", "msu")
        assert table.allows("records", "fsu", "msu")
        assert not table.allows("records", "hub", "msu")
        assert table.allows("roles", "hub", "msu")
        assert table.allows("records", "msu", "hub")

    def test_everybody_and_nobody(self) -> None:
        table = parsed("msu:auth:*", "msu:roles:none")
        assert table.allows("auth", "hub", "msu")
        assert not table.allows("roles", "hub", "msu")

    def test_the_own_domain_always_may(self) -> None:
        table = parsed("msu:auth:none", "msu:roles:hub")
        assert table.allows("auth", "msu", "msu")
        assert table.allows("roles", "msu", "msu")

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("msu:auth", f"2 fields, not 3; {FORM}"),
            ("msu:auth:hub:x", f"4 fields, not 3; {FORM}"),
            ("mus:auth:hub", "DOMAIN: no host of hosts.tab is in the domain 'mus'"),
            ("../x:auth:hub", f"DOMAIN: '../x' is not {DOMAIN_ALLOWED}"),
            ("msu:Auth:hub", "CLASS: 'Auth' is not one of auth, records, roles, resources"),
            ("msu:none:hub", "CLASS: 'none' is not one of auth, records, roles, resources"),
            ("msu:auth:", f"LIST: missing; {FORM}"),
            ("msu:auth:hub,*", f"LIST: '*' must stand alone; {FORM}"),
            ("msu:auth:none,hub", f"LIST: 'none' must stand alone; {FORM}"),
            ("msu:auth:hub,hbu", "LIST: no host of hosts.tab is in the domain 'hbu'"),
            ("msu:auth:hub,", f"LIST: '' is not {DOMAIN_ALLOWED}"),
        ],
    )
    def test_faults(self, line: str, message: str) -> None:
        assert fault("# first", line) == f"trust.tab:2: {message}"

    def test_a_line_stands_there_once(self) -> None:
        lines = ("msu:auth:*", "msu:records:hub", "msu:auth:none")
        expected = "trust.tab:3: CLASS: msu:auth stands in line 1 already; delete one of the two lines"
        assert fault(*lines) == expected

    @given(st.text(alphabet="msuhb:,*none\n #autrecods", max_size=60))
    def test_any_text_is_a_table_or_one_fault(self, text: str) -> None:
        try:
            table = parse_trust(text, "trust.tab", DOMAINS)
        except ConfigError as error:
            assert error.file == "trust.tab"
            assert error.line
        else:
            assert all(table.allows(class_, "msu", "msu") for class_ in TRUST_CLASSES)


class TestSite:
    HOSTS = "msul1:msu:library:a.edu:127.0.0.1\nhubl1:hub:library:b.edu:127.0.0.2\n"

    def conf(self, directory: Path, trust: str | None) -> Path:
        conf = directory / "loncapa.conf"
        conf.write_text(f"PerlSetVar lonHostID msul1\nPerlSetVar lonTabDir {directory}\n")
        (directory / "hosts.tab").write_text(self.HOSTS)
        if trust is not None:
            (directory / "trust.tab").write_text(trust)
        return conf

    def test_it_is_loaded_with_the_other_tables(self, tmp_path: Path) -> None:
        site = load_site(self.conf(tmp_path, "msu:auth:none\n"))
        assert not site.trust.allows("auth", "hub", "msu")
        assert pickle.loads(pickle.dumps(site)) == site

    def test_it_may_be_missing(self, tmp_path: Path) -> None:
        assert load_site(self.conf(tmp_path, None)).trust == TrustTable()

    def test_its_faults_are_those_of_the_site(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            load_site(self.conf(tmp_path, "msu:auth:fsu\n"))
        expected = f"{tmp_path}/trust.tab:1: LIST: no host of hosts.tab is in the domain 'fsu'"
        assert str(caught.value) == expected

    def test_the_example_is_good_with_its_examples_too(self) -> None:
        path = Path(__file__).parents[2] / "conf" / "trust.tab"
        text = path.read_text("utf-8")
        assert parse_trust(text, "trust.tab", DOMAINS) == TrustTable()
        assert len(parse_trust(text.replace("#msu:", "msu:"), "trust.tab", DOMAINS).granted) == 3


class TestPolicy:
    @pytest.fixture
    def tally(self) -> Tally:
        return Tally(Layout(LOND))

    def policy(self, tmp_path: Path, clock: list[float], tally: Tally) -> tuple[Policy, Lond]:
        plain = make_site(tmp_path)
        site = type(plain)(plain.config, plain.table, trust=parsed("msu:records:none", "msu:auth:none"))
        policy = TrustPolicy(site, tally, lambda: clock[0])
        return policy, Lond(site, policy=policy)

    def test_other_domains_are_refused(self, tmp_path: Path, tally: Tally) -> None:
        policy, lond = self.policy(tmp_path, [0.0], tally)
        with lond:
            assert lond.ask("put:msu:smith:env:a=b") == b"ok"  # msua1 is of msu
            lond.session.peer = lond.site.table["hubl1"]
            assert lond.ask("put:msu:smith:env:a=b") == b"refused"
            assert lond.ask("get:msu:smith:env:a") == b"refused"
            assert lond.ask("home:msu:smith") == b"not_found"
        assert counted(tally, "trust_refusals") == {"records": 2}
        assert policy.allows("roles", lond.site.table["hubl1"], b"msu")

    def test_refusals_are_logged_once_per_host_class_and_interval(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, tally: Tally
    ) -> None:
        clock = [0.0]
        policy, lond = self.policy(tmp_path, clock, tally)
        lond.storage.close()
        hubl1 = lond.site.table["hubl1"]
        with caplog.at_level(logging.INFO, "lond.trust"):
            for _ in range(50):
                assert not policy.allows("records", hubl1, b"msu")
            assert not policy.allows("auth", hubl1, b"msu")
            clock[0] = 300.0
            assert not policy.allows("records", hubl1, b"msu")
        assert [record.getMessage() for record in caplog.records] == [
            "trust.tab: hubl1 may not use records on the domain msu: refused",
            "trust.tab: hubl1 may not use auth on the domain msu: refused",
            "trust.tab: 49 more requests of hubl1 in class records were refused",
        ]
