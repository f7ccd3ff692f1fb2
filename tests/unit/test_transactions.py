"""Who plays which part in the demonstration's transactions."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.hosts_table import parse_hosts
from tests.helpers.federation import Federation
from tests.transactions import Cast, cast, prepare

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_example_network_has_a_part_for_everybody() -> None:
    parts = cast(parse_hosts((ROOT / "conf" / "hosts.tab").read_text(), "hosts.tab"))
    assert parts and (parts.home, parts.records) == ("msul1", "msul2")
    assert parts.subscribed == ("msua1", "msua2", "huba20") and parts.web == ("msul1", *parts.subscribed)
    assert len(parts.others) == 9 and "msul2" in parts.others


@pytest.mark.parametrize("roles", [("library", "access"), ("library", "library"), ("access", "access")])
def test_two_hosts_are_too_few(roles: tuple[str, str]) -> None:
    table = "".join(f"h{n}:msu:{role}:h{n}.edu:127.0.0.{n}\n" for n, role in enumerate(roles, 1))
    assert cast(parse_hosts(table, "hosts.tab")) is None


def test_one_library_server_has_both_parts() -> None:
    table = "l1:msu:library:l1.edu:127.0.0.1\na1:hub:access:a1.edu:127.0.0.2\na2:msu:access:a2.edu:127.0.0.3\n"
    parts = cast(parse_hosts(table, "hosts.tab"))
    assert parts and (parts.home, parts.records, parts.subscribed) == ("l1", "l1", ("a2", "a1"))


def test_the_instructor_looks_after_the_hosts_with_pages(tmp_path: Path) -> None:
    federation = Federation(["msul1", "msua1", "msua2"], directory=tmp_path)
    prepare(federation, Cast("msul1", "msul1", ("msua1", "msua2"), ()), "msu")
    assert {host.site().config.administrators for host in federation.hosts.values()} == {"green:msu"}
