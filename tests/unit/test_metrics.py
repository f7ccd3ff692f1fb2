"""What Prometheus reads: valid by its own parser, complete, and described."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from common.counters import Counters, counters_path
from common.delayed import Fifo, Message
from common.metrics import LONC, LOND, STORED
from common.pidfile import PidFile
from common.scoreboard import Scoreboard, Slot, scoreboard_path
from common.site import Site, load_site
from lonstatus import metrics as metrics_module
from lonstatus.exposition import Family, rendered
from lonstatus.metrics import SEEN, metrics, metrics_table

ROOT = Path(__file__).resolve().parent.parent.parent
HOSTS = "msul1:msu:library:msul1.example.org:127.0.0.1\nhubl1:hub:library:hubl1.example.org:127.0.0.2\n"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "hosts.tab").write_text(HOSTS)
    conf = tmp_path / "loncapa.conf"
    names = {"lonTabDir": "", "lonSockDir": "", "lonDelayedDir": "/delayed", "lonDaemons": "", "lonDocRoot": "/html"}
    lines = [f"PerlSetVar {name} {tmp_path}{end}\n" for name, end in names.items()]
    conf.write_text("PerlSetVar lonHostID msul1\n" + "".join(lines))
    (tmp_path / "logs").mkdir()
    return load_site(conf)


def samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Sample name to the values of its labels, in the order of the labels' names, to its number."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            row = found.setdefault(sample.name, {})
            assert labels not in row, f"{sample.name}{labels} stands there twice"
            row[labels] = sample.value
    return found


def test_a_host_whose_daemons_do_not_run_tells_what_the_files_say(site: Site) -> None:
    fifo = Fifo(site.config.delayed_dir, "hubl1", now=lambda: 1.0)
    fifo.append([Message("1" * 32, b"ping")])
    fifo.close()
    Counters.create(counters_path(site.config.sock_dir, "lonc"), LONC, 2)
    found = samples(metrics(site))
    assert found["loncapa_daemon_up"] == {("lonc",): 0, ("lond",): 0}
    assert found["loncapa_peer_up"] == {("msul1",): 0, ("hubl1",): 0}
    assert found["loncapa_peer_state"] == {("msul1", "stopped"): 1, ("hubl1", "stopped"): 1}
    assert found["loncapa_delayed_messages"]["hubl1", "waiting"] == 1
    assert found["loncapa_delayed_oldest_seconds"]["hubl1",] > 1e9
    assert found["loncapa_delayed_oldest_seconds"]["msul1",] == 0
    assert [name for name in found if name.startswith("loncapa_lonc_")] == [], "numbers of a dead daemon are the past's"
    [labels] = found["loncapa_build_info"]
    assert labels[:2] == ("msu", "msul1")


def test_a_running_host_tells_what_its_daemons_count(site: Site) -> None:
    locks = [PidFile(site.config.daemons_dir / "logs" / f"{name}.pid") for name in ("lonc", "lond")]
    try:
        lonc = Counters.create(counters_path(site.config.sock_dir, "lonc"), LONC, 2)
        tally = lonc.claim(0, "hubl1")
        tally.add("requests", number=3)
        tally.observe("reply_seconds", 0.3, 2)
        tally.observe("reply_seconds", 100.0)
        tally.add("key_exchanges_failed", "wrong_host")
        tally.note("last_received", 12.5)
        lonc.total().add("reloads", "failed")
        lonc.total().note("reload_failed", 2.0)
        Counters.create(counters_path(site.config.sock_dir, "lond"), LOND, 2)
        board = Scoreboard.create(scoreboard_path(site.config.sock_dir, "lond"), 2)
        board.write(0, Slot(pid=1, state="serving", host="hubl1"))
        board.write(1, Slot(pid=2, state="idle"))
        text = metrics(site)
    finally:
        for lock in locks:
            lock.remove()
    found = samples(text)
    assert found["loncapa_lonc_requests_total"] == {("hubl1",): 3}
    buckets = found["loncapa_lonc_reply_seconds_bucket"]
    assert (buckets["0.25", "hubl1"], buckets["0.5", "hubl1"], buckets["30", "hubl1"]) == (0, 2, 2)
    assert buckets["+Inf", "hubl1"] == found["loncapa_lonc_reply_seconds_count"]["hubl1",] == 3
    assert found["loncapa_lonc_reply_seconds_sum"]["hubl1",] == pytest.approx(100.6)
    assert found["loncapa_lonc_key_exchanges_failed_total"]["hubl1", "wrong_host"] == 1
    assert found["loncapa_lonc_last_received_timestamp_seconds"] == {("hubl1",): 12.5}
    assert found["loncapa_lonc_reloads_total"] == {("ok",): 0, ("failed",): 1}
    assert found["loncapa_config_last_reload_successful"]["lonc",] == 0
    assert found["loncapa_children"] == {("lond", "idle"): 1, ("lond", "serving"): 1}
    assert found["loncapa_peer_links_served"] == {("hubl1",): 1}
    # Prometheus warns of a metric without help or type, and refuses one that stands in two places.
    for name in re.findall("^# TYPE (.*?) ", text, re.M):
        assert text.count(f"# TYPE {name} ") == text.count(f"# HELP {name} ") == 1


def test_a_fifo_that_can_t_be_read_is_not_an_empty_one(site: Site) -> None:
    site.config.delayed_dir.mkdir()
    (site.config.delayed_dir / "hubl1.db").write_bytes(b"no database at all, whatever the name says" * 100)
    found = samples(metrics(site))
    assert found["loncapa_delayed_unreadable"] == {("msul1",): 0, ("hubl1",): 1}
    assert [labels for labels in found["loncapa_delayed_messages"] if labels[0] == "hubl1"] == []


def test_labels_and_help_are_escaped() -> None:
    value = 'a"b\\c\nd'
    family = Family("loncapa_x", "gauge", "help with\na line and \\", ("name",))
    family.add(0.5, value)
    [parsed] = text_string_to_metric_families(rendered([family, Family("loncapa_empty", "gauge", "empty")]))
    assert parsed.samples[0].labels == {"name": value} and parsed.samples[0].value == 0.5
    assert parsed.documentation == family.help


def test_names_are_as_prometheus_wants_them() -> None:
    names = re.findall(r"^\| (loncapa_\w+) \| (\w+) ", metrics_table(), re.M)
    assert len(names) == len(set(names)) == len(SEEN) + sum(len(table) for table in STORED.values())
    for name, kind in names:
        assert name.endswith("_total") == (kind == "counter")


def test_the_page_has_every_metric() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert page.partition("<!-- metrics -->")[2].partition("<!-- /metrics -->")[0].strip() == metrics_table()


def test_the_table_can_be_printed() -> None:
    printed = subprocess.run([sys.executable, "-m", metrics_module.__name__], capture_output=True, text=True, cwd=ROOT)
    assert printed.stdout == metrics_table() + "\n"


def test_promtool_has_nothing_to_say(site: Site) -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("there is no promtool here (Debian: apt install prometheus)")
    rules = str(ROOT / "conf" / "prometheus" / "alerts.yml")
    for arguments, text in ((("rules", rules), ""), (("metrics",), metrics(site))):
        ran = subprocess.run([promtool, "check", *arguments], input=text, capture_output=True, text=True)
        assert (ran.returncode, ran.stderr) == (0, "")


def test_alert_rules_name_metrics_that_exist() -> None:
    rules = (ROOT / "conf" / "prometheus" / "alerts.yml").read_text()
    known: set[Any] = set(re.findall(r"^\| (loncapa_\w+) ", metrics_table(), re.M))
    used = {re.sub("_bucket$", "", name) for name in re.findall(r"\bloncapa_\w+", rules)}
    assert used and used - known == set()
    for peer in re.findall(r"expr: ?\|?\s*(.*?)\n {8}\w+:", rules, re.S):
        assert peer.count("(") == peer.count(")")
