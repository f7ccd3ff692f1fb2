"""Noticing changed files: when, what is kept, what is said."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from common.errors import ConfigError
from common.site import load_site
from lonnet import Lonnet
from lonnet.site_watch import CHECK_SECONDS, SiteWatch
from tests.unit.test_lonnet_scripted_child import ScriptedChild, a_site, echoes

TWO_HOSTS = "msul1:msu:library:one.example.org:127.0.0.1\nmsul2:msu:library:two.example.org:127.0.0.2\n"
THREE_HOSTS = TWO_HOSTS + "hubl1:hub:library:three.example.org:127.0.0.3\n"


class Clock:
    """Monotonic seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    file = tmp_path / "loncapa.conf"
    directories = "".join(f"PerlSetVar {name} {tmp_path}\n" for name in ("lonTabDir", "lonSockDir", "lonDaemons"))
    file.write_text("PerlSetVar lonHostID msul1\n" + directories)
    replace_file(tmp_path / "hosts.tab", TWO_HOSTS)
    return file


def replace_file(path: Path, text: str) -> None:
    """As editors do: a new inode, so that the change shows whatever the clock's resolution."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watch(conf: Path, clock: Clock) -> SiteWatch:
    return SiteWatch(load_site(conf), conf, clock=clock)


def test_change_is_seen_when_the_time_has_come(conf: Path, clock: Clock) -> None:
    watched = watch(conf, clock)
    replace_file(conf.with_name("hosts.tab"), THREE_HOSTS)
    watched.refresh()
    assert len(watched.site.table) == 2
    clock.now += CHECK_SECONDS
    watched.refresh()
    assert "hubl1" in watched.site.table


def test_files_are_looked_at_once_in_a_while(conf: Path, clock: Clock) -> None:
    watched = watch(conf, clock)
    clock.now += CHECK_SECONDS
    watched.refresh()
    replace_file(conf.with_name("hosts.tab"), THREE_HOSTS)
    clock.now += CHECK_SECONDS / 2
    watched.refresh()
    assert len(watched.site.table) == 2
    clock.now += CHECK_SECONDS / 2
    watched.refresh()
    assert len(watched.site.table) == 3


def test_unchanged_files_are_not_read(conf: Path, clock: Clock) -> None:
    watched = watch(conf, clock)
    site = watched.site
    clock.now += CHECK_SECONDS
    watched.refresh()
    assert watched.site is site


@pytest.mark.parametrize("name", ["hosts.tab", "loncapa.conf", "spare.tab", "domain.tab", "links.tab"])
def test_broken_file_keeps_the_old_table_with_one_warning(
    conf: Path, clock: Clock, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    watched, file = watch(conf, clock), conf.with_name(name)
    old_site, old_text = watched.site, file.read_text() if file.exists() else ""
    replace_file(file, "PerlSetVar lonHostID ?\n")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            clock.now += CHECK_SECONDS
            watched.refresh()
    assert watched.site is old_site
    (record,) = caplog.records
    assert f"{file}:1" in record.getMessage()
    replace_file(file, old_text)
    clock.now += CHECK_SECONDS
    watched.refresh()
    assert watched.site is not old_site


def test_file_that_vanished_is_broken_too(conf: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    watched = watch(conf, clock)
    conf.unlink()
    clock.now += CHECK_SECONDS
    with caplog.at_level(logging.WARNING):
        watched.refresh()
    assert len(watched.site.table) == 2
    assert str(conf) in caplog.text


def test_tables_are_looked_for_where_the_new_configuration_says(conf: Path, clock: Clock) -> None:
    watched, elsewhere = watch(conf, clock), conf.parent / "elsewhere"
    elsewhere.mkdir()
    replace_file(elsewhere / "hosts.tab", THREE_HOSTS)
    replace_file(conf, conf.read_text().replace(f"lonTabDir {conf.parent}", f"lonTabDir {elsewhere}"))
    clock.now += CHECK_SECONDS
    watched.refresh()
    assert len(watched.site.table) == 3
    replace_file(elsewhere / "hosts.tab", TWO_HOSTS)
    clock.now += CHECK_SECONDS
    watched.refresh()
    assert len(watched.site.table) == 2


def test_known_names_are_not_looked_up_again(conf: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def resolve(name: str) -> str:
        asked.append(name)
        return f"127.0.1.{len(asked)}"

    monkeypatch.setattr("lonnet.site_watch.dns", resolve)
    without_ip = "msul1:msu:library:one.example.org:\n"
    replace_file(conf.with_name("hosts.tab"), without_ip)
    watched = SiteWatch(load_site(conf, resolve), conf, clock=clock)
    replace_file(conf.with_name("hosts.tab"), without_ip + "msul2:msu:library:two.example.org:\n")
    clock.now += CHECK_SECONDS
    watched.refresh()
    assert {host.id: host.ip for host in watched.site.table.hosts.values()} == {
        "msul1": "127.0.1.1",
        "msul2": "127.0.1.2",
    }
    assert asked == ["one.example.org", "two.example.org"]


def test_site_without_a_file_stays(tmp_path: Path, clock: Clock) -> None:
    watched = SiteWatch(a_site(tmp_path, "msul1"), None, clock=clock)
    site = watched.site
    clock.now += CHECK_SECONDS
    watched.refresh()
    assert watched.site is site


def test_lonnet_learns_of_a_new_host(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lonnet.site_watch.CHECK_SECONDS", 0.0)
    net = Lonnet.from_conf(conf)
    assert net.reply("ping", "hubl1") == "no_such_host"
    replace_file(conf.with_name("hosts.tab"), THREE_HOSTS)
    with ScriptedChild(conf.with_name("hubl1"), echoes):
        assert net.reply("ping", "hubl1") == "ping"
        net.close()
    assert net.site.table["hubl1"].domain == "hub"


def test_from_conf_finds_the_file_of_the_environment(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "LONCAPA_CONF", str(conf))
    assert Lonnet.from_conf().site.config.host_id == "msul1"


def test_from_conf_says_what_is_wrong(conf: Path) -> None:
    replace_file(conf.with_name("hosts.tab"), "msul1:msu\n")
    with pytest.raises(ConfigError, match=r"hosts\.tab:1"):
        Lonnet.from_conf(str(conf))
