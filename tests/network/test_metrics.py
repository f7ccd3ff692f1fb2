"""What real daemons count: nothing is lost with a child that is killed, and every trouble has its number."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from functools import partial

from prometheus_client.parser import text_string_to_metric_families

from common.errors import ConfigError
from lonstatus.metrics import metrics
from tests.helpers.federation import Federation, Host
from tests.helpers.waiting import eventually
from tests.network.conftest import FederationFactory


def number(host: Host, name: str, **labels: str) -> float:
    """A sample of the host as it is now; 0 if there is none."""
    for family in text_string_to_metric_families(metrics(host.site())):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return 0.0


def has_another_child(host: Host, peer: str, pid: int) -> bool:
    return host.lonc.slot(peer, "up").pid != pid


def test_requests_are_counted_over_the_death_of_children(pair: Federation) -> None:
    here, peer = pair.hosts["msua1"], pair.hosts["msul1"]
    net = here.lonnet()
    sent: Callable[[], float] = lambda: number(here, "loncapa_lonc_requests_total", peer=peer.id)  # noqa: E731
    for times in range(1, 4):
        for _ in range(50):
            assert net.reply("ping", peer.id) == peer.id
        assert sent() == 50 * times
        assert number(here, "loncapa_lonc_reply_seconds_count", peer=peer.id) == 50 * times
        assert number(peer, "loncapa_lond_requests_total", peer=here.id) >= 50 * times
        assert number(here, "loncapa_lonc_links_opened_total", peer=peer.id) == times
        child = here.lonc.slot(peer.id, "up").pid
        os.kill(child, signal.SIGKILL)
        eventually(partial(has_another_child, here, peer.id, child))
        here.wait_for_link(peer.id)
    assert sent() == 150
    assert number(here, "loncapa_lonc_children_ended_total", how="unexpectedly") == 3
    assert number(here, "loncapa_lonc_last_received_timestamp_seconds", peer=peer.id) > 1e9


def test_messages_and_commits(pair: Federation) -> None:
    here, peer, down = pair.hosts["msua1"], pair.hosts["msul1"], "msul2"
    net = here.lonnet()
    assert net.reply("encrypt:makeuser:msu:smith:internal:secret", peer.id) == "ok"
    net.critical("put:msu:smith:ns:a=1", peer.id)
    assert net.critical("put:msu:smith:ns:a=1", down) == "con_delayed"
    assert number(here, "loncapa_lonc_deliveries_total", peer=peer.id, result="delivered") == 1
    assert number(here, "loncapa_lonc_commit_seconds_count", peer=peer.id) >= 1
    assert number(peer, "loncapa_lond_commit_seconds_count", peer=here.id) == 1
    assert number(here, "loncapa_delayed_messages", peer=down, state="waiting") == 1
    assert number(here, "loncapa_delayed_oldest_seconds", peer=down) > 0
    eventually(
        lambda: number(here, "loncapa_lonc_key_exchanges_failed_total", peer=down, reason="connection_refused") >= 1
    )


def test_log_ins_that_fail_and_what_trust_tab_refuses(federation: FederationFactory) -> None:
    fed = federation(["msul1", "msua1", "huba1"], start=[])
    (fed.directory / "tables" / "trust.tab").write_text("msu:auth:none\n")
    fed.start()
    home, here, other = (fed.hosts[id] for id in ("msul1", "msua1", "huba1"))
    for user, lane in (("smith", ":known"), ("smith", ""), ("jones", ":nonsense")):
        assert here.lonnet().reply(f"encrypt:auth:msu:{user}:guess{lane}", home.id) == "unknown_user"
    assert other.lonnet().reply("encrypt:auth:msu:smith:guess", home.id) == "refused"
    failed, refused = "loncapa_lond_log_ins_failed_total", "loncapa_lond_trust_refusals_total"
    assert [number(home, failed, peer=here.id, lane=lane) for lane in ("known", "fresh", "strangers")] == [1, 0, 2]
    assert number(home, failed, peer=other.id, lane="strangers") == 0
    assert number(home, refused, peer=other.id, **{"class": "auth"}) == 1


def test_strangers_and_reloads(federation: FederationFactory) -> None:
    here = federation(["msul1"]).hosts["msul1"]
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.99", 0))
        stranger.connect((here.ip, here.federation.port))
        assert stranger.recv(1) == b""
    eventually(lambda: number(here, "loncapa_lond_connections_rejected_total", reason="unknown_address") == 1)

    def reloaded(result: str, times: int) -> None:
        assert number(here, "loncapa_lonc_reloads_total", result=result) == times

    here.lonc.signal(signal.SIGHUP)
    eventually(lambda: reloaded("ok", 1))
    good = here.conf.read_text()
    here.conf.write_text(good + "PerlSetVar lonWindow nonsense\n")
    here.lonc.signal(signal.SIGHUP)
    failed = "configuration not taken over, the old one stays"
    eventually(lambda: failed in here.lonc.log)
    try:
        here.site()
        raise AssertionError("the file is broken")
    except ConfigError:
        here.conf.write_text(good)
    eventually(lambda: reloaded("failed", 1))
    eventually(lambda: number(here, "loncapa_config_last_reload_successful", daemon="lonc") == 0)
    assert number(here, "loncapa_config_last_reload_successful", daemon="lond") == 1
    here.lonc.signal(signal.SIGHUP)
    eventually(lambda: reloaded("ok", 2))
    eventually(lambda: number(here, "loncapa_config_last_reload_successful", daemon="lonc") == 1)
