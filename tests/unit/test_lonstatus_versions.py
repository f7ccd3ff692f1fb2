"""Which software peers run: what they tell, how it is kept and compared, and when they are asked."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

import loncontrol.command_line
from common.config import Config
from common.hosts_table import Host, HostsTable
from common.site import Site
from common.version import SOFTWARE
from loncron.checks import versions
from loncron.visit import Visit
from lonnet import Lonnet
from lonstatus.peers import Peer, peers
from lonstatus.versions import MAX_LENGTH, PeerVersion, compared, is_other, read_versions, told, write_versions

HOSTS = ("msul1", "msul2", "msul3", "msul4")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "loncron").mkdir()
    config = replace(
        Config(host_id="msul1"), daemons_dir=tmp_path, sock_dir=tmp_path, delayed_dir=tmp_path, tab_dir=tmp_path
    )
    hosts = {id: Host(id, "msu", "library", f"{id}.example.org", f"127.0.0.{n}") for n, id in enumerate(HOSTS, 1)}
    return Site(config, HostsTable(hosts))


@pytest.fixture
def visit(site: Site, tmp_path: Path) -> Visit:
    return Visit(site, tmp_path / "loncapa.conf", time.time())


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (f"version:{SOFTWARE}", SOFTWARE),
        ("version:2.11.4: a b", "2.11.4: a b"),
        ("version:", ""),
        ("version", ""),
        ("unknown_cmd", ""),
        ("refused", ""),
        ("version:\x1b[31m<b>\udc80\u202eX", "?[31m<b>??X"),
        ("version:" + "9" * 10_000, "9" * MAX_LENGTH),
    ],
)
def test_what_a_peer_tells_is_a_stranger_s_text(reply: str, text: str) -> None:
    assert told(reply) == text


@pytest.mark.parametrize(
    ("text", "words", "other"),
    [
        (None, "not known: it was not asked yet", False),
        ("", "not known: it does not tell", False),
        (SOFTWARE, "the same", False),
        (f"{SOFTWARE}.1", "another version", True),
        ("2.11.4", "another software", True),
    ],
)
def test_compared_with_this_host(text: str | None, words: str, other: bool) -> None:
    assert (compared(text), is_other(text)) == (words, other)


def test_what_is_kept_is_read_again_and_what_is_damaged_is_not_known(site: Site) -> None:
    assert read_versions(site.config) == {}
    known = {"msul2": PeerVersion("2.11.4", 7.0)}
    write_versions(site.config, known)
    assert read_versions(site.config) == known
    [peer] = [peer for peer in peers(site, running=False) if peer.host == "msul2"]
    assert (peer.version, peer.as_json()["version_asked"]) == ("2.11.4", 7.0)
    for damaged in ("", "[]", "{", '{"a": 1}', '{"a": {"text": "x"}}', '{"a": {"text": "x", "asked": "y"}}'):
        (site.config.daemons_dir / "loncron/versions.json").write_text(damaged)
        assert read_versions(site.config) == {}


def staged(monkeypatch: pytest.MonkeyPatch, found: list[Peer], replies: dict[str, str]) -> list[str]:
    """Peers as they are found, and what they answer; who was asked."""
    asked: list[str] = []

    def reply(_net: Lonnet, command: str, host: str, _timeout: float | None = None) -> str:
        assert command == f"version:{SOFTWARE}"
        asked.append(host)
        return replies[host]

    monkeypatch.setattr(Visit, "peers", lambda _visit: found)
    monkeypatch.setattr(Lonnet, "reply", reply)
    return asked


def test_each_link_is_asked_once(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        Peer("msul1", "up", 50.0),
        Peer("msul2", "up", 50.0),
        Peer("msul3", "down", 50.0),
        Peer("msul4", "up", 9.0),
    ]
    replies = {"msul1": f"version:{SOFTWARE}", "msul2": "unknown_cmd", "msul4": "con_lost"}
    asked = staged(monkeypatch, found, replies)
    assert list(versions.check(visit)) == []
    assert sorted(asked) == ["msul1", "msul2", "msul4"], "who has a link"
    known = read_versions(visit.site.config)
    assert {host: version.text for host, version in known.items()} == {"msul1": SOFTWARE, "msul2": ""}
    assert all(0 <= time.time() - version.asked < 60 for version in known.values())

    asked.clear()
    assert list(versions.check(visit)) == []
    assert asked == ["msul4"], "who did not answer"
    asked.clear()
    found[:] = [Peer("msul1", "up", -1.0), Peer("msul2", "down", 5.0)]  # a link younger than the answer
    replies["msul1"] = "version:2.11.4"
    assert list(versions.check(visit)) == []
    assert (asked, read_versions(visit.site.config)["msul1"].text) == (["msul1"], "2.11.4")


def test_an_answer_of_tomorrow_and_a_host_that_left_the_table(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = staged(monkeypatch, [Peer("msul2", "up", 5.0)], {"msul2": "version:1"})
    tomorrow = PeerVersion("0", time.time() + 86400)
    write_versions(visit.site.config, {"msul2": tomorrow, "msul9": tomorrow})
    assert list(versions.check(visit)) == []
    assert asked == ["msul2"] and list(read_versions(visit.site.config)) == ["msul2"]


def test_a_dry_run_asks_nobody(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = staged(monkeypatch, [Peer("msul2", "up", 5.0)], {"msul2": "version:1"})
    assert list(versions.check(replace(visit, dry=True))) == []
    assert (asked, read_versions(visit.site.config)) == ([], {})


def test_what_can_t_be_kept_is_told(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    staged(monkeypatch, [Peer("msul2", "up", 5.0)], {"msul2": "version:1"})
    (visit.site.config.daemons_dir / "loncron").rmdir()
    [finding] = versions.check(visit)
    assert "the versions of peers can't be kept" in finding.text


def test_peers_v_says_who_runs_another_version(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    config = site.config
    (config.tab_dir / "hosts.tab").write_text(
        "".join(f"{h.id}:{h.domain}:{h.role}:{h.hostname}:{h.ip}\n" for h in site.table.hosts.values())
    )
    conf = config.tab_dir / "loncapa.conf"
    names = ("lonDaemons", "lonSockDir", "lonDelayedDir", "lonTabDir")
    conf.write_text("PerlSetVar lonHostID msul1\n" + "".join(f"PerlSetVar {n} {config.tab_dir}\n" for n in names))
    write_versions(config, {"msul1": PeerVersion(SOFTWARE, 7.0), "msul2": PeerVersion("2.11.4", 7.0)})
    assert loncontrol.command_line.main(["--conf", str(conf), "peers", "-v"]) == 0
    paragraphs = capsys.readouterr().out.split("\n\n")
    assert paragraphs[1] == f"This host runs {SOFTWARE}.\nmsul2 runs 2.11.4: another software"
    assert loncontrol.command_line.main(["--conf", str(conf), "peers"]) == 0
    assert "2.11.4" not in capsys.readouterr().out
