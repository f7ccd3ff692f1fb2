"""trust.tab: which domains' hosts may use which commands on this domain's users."""

from __future__ import annotations

import signal

from tests.helpers.activity import make_user
from tests.helpers.federation import Daemon, Federation
from tests.helpers.waiting import eventually
from tests.network.conftest import FederationFactory

OWN, OTHER, THIRD = "msua1", "huba1", "dora1"
PUT, GET, AUTH = "put:msu:smith:env:lang=en", "get:msu:smith:env:lang", "encrypt:auth:msu:smith:secret"


def reload(daemon: Daemon, times: int) -> None:

    daemon.signal(signal.SIGHUP)
    eventually(lambda: daemon.log.count("configuration taken over") == times)


def test_a_domain_limits_who_may_do_what(federation: FederationFactory) -> None:
    fed: Federation = federation(["msul1", OWN, OTHER, THIRD], start=[])
    home = fed.hosts["msul1"]
    make_user(home)
    home.start_lond()
    nets = {}
    for host in (OWN, OTHER, THIRD):
        fed.hosts[host].start_lonc()
        fed.hosts[host].wait_for_link("msul1")
        nets[host] = fed.hosts[host].lonnet()

    def replied(command: str) -> dict[str, str]:
        return {host: net.reply(command, "msul1") for host, net in nets.items()}

    # No line: every member of the network may, as in the original.
    assert replied(PUT) == dict.fromkeys(nets, "ok")

    trust = fed.directory / "tables" / "trust.tab"
    trust.write_text("msu:records:hub\nmsu:auth:none\n")
    reload(home.lond, 1)
    expected = {OWN: "ok", OTHER: "ok", THIRD: "refused"}
    eventually(lambda: replied(AUTH) == {OWN: "non_authorized", OTHER: "refused", THIRD: "refused"})  # links follow
    eventually(lambda: replied(PUT) == expected)
    for _ in range(3):
        assert replied(PUT) == expected
        assert nets[THIRD].reply(GET, "msul1") == "refused"
    assert nets[THIRD].reply("home:msu:smith", "msul1") == "found", "open to every member"
    assert [home.lond.log.count(f"{host} ") > 0 for host in (OTHER, THIRD)] == [True, True]
    refusals = [line for line in home.lond.log.splitlines() if "trust.tab" in line or "refused" in line]
    assert 0 < len(refusals) <= 3 and "secret" not in home.lond.log, refusals

    trust.write_text("msu:records:*\nmsu:fear:none\n")  # a broken table keeps the old one

    home.lond.signal(signal.SIGHUP)
    eventually(lambda: "the old one stays" in home.lond.log)
    assert nets[THIRD].reply(PUT, "msul1") == "refused"
    trust.write_text("msu:records:*\n")
    reload(home.lond, 2)
    eventually(lambda: nets[THIRD].reply(PUT, "msul1") == "ok")


def test_a_path_belongs_to_the_domain_it_begins_with(federation: FederationFactory) -> None:
    fed: Federation = federation(["msul1", OWN, OTHER], start=[])
    home = fed.hosts["msul1"]
    (home.directory / "html" / "res" / "hub" / "jones").mkdir(parents=True)
    (fed.directory / "tables" / "trust.tab").write_text("hub:resources:none\n")
    home.start_lond()
    replies = {}
    for host in (OWN, OTHER):
        fed.hosts[host].start_lonc()
        fed.hosts[host].wait_for_link("msul1")
        replies[host] = fed.hosts[host].lonnet().reply("ls:/res/hub/jones", "msul1")
    assert replies == {OWN: "refused", OTHER: "empty"}
