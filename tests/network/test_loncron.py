"""loncron on a host of 13: daemons that were killed, hosts that are dead, one mail, one page."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import Message
from functools import partial
from pathlib import Path

import html5lib
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler
from prometheus_client.parser import text_string_to_metric_families

from common.pidfile import running_pid
from common.version import SOFTWARE
from tests.conftest import Measured
from tests.helpers.daemons import kill_parent
from tests.helpers.federation import QUICK, ROOT, Federation, Host
from tests.helpers.waiting import eventually

HERE = "msul1"
ALIVE = ["msua1", "msua2", "hubl1", "hubl2", "ostl1", "ostl2"]  # their londs
REFUSING = ["deadl1", "deadl2", "deadl3"]
SILENT = ["mutel1", "mutel2", "mutel3"]
CHECK_SECONDS = 6.0  # in which those that live must answer, however busy the machine is


class Inbox(MessageHandler):
    """What the mail server has taken."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []

    def handle_message(self, message: Message) -> None:
        self.messages.append(message)


@pytest.fixture
def inbox(network: Federation) -> Iterator[Inbox]:
    """A mail server for the time of a test."""
    inbox = Inbox()
    server = Controller(inbox, hostname=network.hosts[HERE].ip, port=2525, ready_timeout=60)
    server.start()
    yield inbox
    server.stop()


@pytest.fixture(scope="module")
def network() -> Iterator[Federation]:
    """13 hosts: this one, whose daemons loncron starts; six londs; three that refuse and three that say nothing."""
    made = Federation([HERE, *ALIVE, *REFUSING, *SILENT], settings={**QUICK, "lonCheckTimeout": str(CHECK_SECONDS)})
    here = made.hosts[HERE]
    with contextlib.ExitStack() as stack:
        stack.callback(made.close)
        for host in SILENT:  # the kernel takes connections up to the backlog of one; then their SYNs are dropped
            listener = stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((made.hosts[host].ip, made.port))
            listener.listen(0)
        londs = [made.hosts[host].lond for host in ALIVE]
        for lond in londs:
            lond.launch()
        for lond in londs:
            lond.wait_for("READY=1")
        here.write_conf(
            lonAdmEMail="root@example.org",
            lonSMTPServer=f"{here.ip}:2525",
            lonLoadLim="10000",  # of what else this machine does nothing shall be told
            lonDiskWarning="100",
            lonDiskCritical="100",
            lonMetricsFile=str(here.directory / "loncapa.prom"),
        )
        stack.callback(stop, here)
        yield made


def command(host: Host, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-W", "error", str(ROOT / "scripts" / name), "--conf", str(host.conf), *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, cwd="/")


def stop(host: Host) -> None:
    stopped = command(host, "loncontrol", "stop")
    assert stopped.returncode == 0, stopped.stderr


def silent_run(host: Host, *arguments: str) -> str:
    """A run of loncron, of which cron must see nothing; what its log says of it, with the time that it took."""
    ran = command(host, "loncron", *arguments)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    log = (host.directory / "logs" / "loncron.log").read_text()
    return str(re.findall(r"INFO: (found .* in [\d.]+ s)$", log, re.M)[-1])


def pid(host: Host, name: str) -> int:
    found = running_pid(host.directory / "logs" / f"{name}.pid")
    assert found is not None, f"{name} does not run"
    return found


def kill_both(host: Host) -> None:
    for name in ("lonc", "lond"):
        kill_parent(pid(host, name))


def findings(host: Host) -> dict[str, list[str]]:
    """Texts of the last run, by their level."""
    values = json.loads((host.directory / "html" / "lon-status" / "status.json").read_text())
    found: dict[str, list[str]] = {}
    for finding in values["findings"]:
        found.setdefault(finding["level"], []).append(f"{finding['check']}: {finding['text']}")
    return found


def unreached(host: Host) -> set[str]:
    texts = [text for text in findings(host)["warning"] if text.startswith("connections: ")]
    return {text.removeprefix("connections: ").partition(" ")[0] for text in texts}


def test_killed_daemons_run_again_and_are_told_once(network: Federation, inbox: Inbox) -> None:
    here = network.hosts[HERE]
    silent_run(here)
    assert [text for text in findings(here)["warning"] if text.startswith("daemons: ")] == [
        f"daemons: {name} is not running; it was started and runs with pid {pid(here, name)}"
        for name in ("lond", "lonc")
    ]
    assert unreached(here) == {*REFUSING, *SILENT}, "of 13 hosts, six are dead"
    assert inbox.messages == [], "there is not enough to tell"
    for host in (HERE, *ALIVE):
        here.wait_for_link(host)

    kill_both(here)
    assert command(here, "loncontrol", "status").returncode == 1
    silent_run(here)
    told = [f"lond is dead, its pid file is left; it was started and runs with pid {pid(here, 'lond')}",
            f"lonc is dead, its pid file is left; it was started and runs with pid {pid(here, 'lonc')}"]  # fmt: skip
    assert findings(here)["error"] == [f"daemons: {text}" for text in told]
    assert command(here, "loncontrol", "status").returncode == 0
    [message] = inbox.messages
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    body = payload.decode()
    assert message["To"] == "root@example.org" and message["Subject"].startswith("[msul1] 2 errors, ")
    assert all(f"ERROR    daemons: {text}" in body for text in told)
    assert all(f"{host} (" in body for host in (*REFUSING, *SILENT))
    for host in (HERE, *ALIVE):
        here.wait_for_link(host)

    silent_run(here)
    assert "error" not in findings(here) and len(inbox.messages) == 1
    kill_both(here)
    silent_run(here, "--noemail")
    assert len(findings(here)["error"]) == 2 and len(inbox.messages) == 1
    kill_both(here)
    silent_run(here)
    assert len(inbox.messages) == 2, "to die again is news"


def test_a_run_waits_for_all_the_dead_at_once(network: Federation, measured: Measured) -> None:
    """With the default time limit, from which a run has its time: 10 s are allowed with 6 of 13 hosts dead."""
    here = network.hosts[HERE]
    command(here, "loncron", "--justcheckdaemons")
    for host in (HERE, *ALIVE):
        here.wait_for_link(host)
    del here.settings["lonCheckTimeout"]
    here.write_conf()
    limit = here.site().config.check_timeout

    def only_the_dead() -> str:  # on a busy machine one that lives may not answer in time
        said = silent_run(here, "--noemail")
        assert unreached(here) == {*REFUSING, *SILENT}
        return said

    try:
        measured(f"{len(REFUSING) + len(SILENT)} of {len(network.hosts)} hosts dead: {eventually(only_the_dead)}")
    finally:
        here.write_conf(lonCheckTimeout=str(CHECK_SECONDS))
    why = {text.split(" ")[1]: text for text in findings(here)["warning"] if " can't be reached: " in text}
    assert all(why[host].endswith(": connection refused") for host in REFUSING)
    # Each had the whole time, and all had the same: had one been tried after another, the later ones were "not tried".
    assert all(why[host].endswith(f" within {limit:g} s") for host in SILENT)


def test_page_json_and_metrics_are_whole_and_for_nobody_else(network: Federation) -> None:
    here = network.hosts[HERE]
    command(here, "loncron", "--justcheckdaemons")
    here.wait_for_link(HERE)
    for _ in range(2):
        silent_run(here, "--noemail")
    directory = here.directory / "html" / "lon-status"
    page = (directory / "index.html").read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    assert all(f">{host}<" in page for host in network.hosts)
    assert "<polyline" in page or "<circle" in page
    assert [stat.S_IMODE((directory / name).stat().st_mode) for name in ("index.html", "status.json")] == [0o640] * 2
    assert sorted(path.name for path in directory.iterdir()) == ["index.html", "status.json"]
    values = json.loads((directory / "status.json").read_text())
    told = {peer["host"]: peer for peer in values["peers"]}
    assert (told[HERE]["state"], told[HERE]["version"]) == ("up", SOFTWARE)
    assert time.time() - 600 < told[HERE]["version_asked"] <= values["at"]
    assert {told[host]["version"] for host in (*REFUSING, *SILENT)} == {None}
    metrics = (here.directory / "loncapa.prom").read_text()
    found = {family.name: family.samples for family in text_string_to_metric_families(metrics)}
    assert {sample.labels["peer"] for sample in found["loncapa_peer_up"]} == set(network.hosts)
    [failed] = [
        sample.value
        for sample in found["loncapa_lonc_key_exchanges_failed"]
        if sample.labels == {"peer": "deadl1", "reason": "connection_refused"}
    ]
    assert failed >= 1
    assert max(sample.value for sample in found["loncapa_loncron_last_run_timestamp_seconds"]) > 0


def test_a_dry_run_says_what_it_sees_and_changes_nothing(network: Federation) -> None:
    here = network.hosts[HERE]
    command(here, "loncron", "--justcheckdaemons")
    kill_both(here)
    before = snapshot(here.directory)
    ran = command(here, "loncron", "--dry-run")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "error    daemons: lonc is dead, its pid file is left; it would be started" in ran.stdout.splitlines()
    assert re.search(r"^sum \d{3}; a mail would go to root@example.org$", ran.stdout, re.M)
    assert snapshot(here.directory) == before
    assert command(here, "loncontrol", "status").returncode == 1
    assert command(here, "loncron", "--justcheckdaemons").stdout.count("it was started and runs with pid") == 2
    assert command(here, "loncron", "--justcheckdaemons").stdout == ""


def snapshot(directory: Path) -> dict[str, bytes]:
    files = [path for path in directory.rglob("*") if path.is_file() and "run" not in path.parts]
    return {str(path): path.read_bytes() for path in files}


def test_connections_alone(network: Federation) -> None:
    here = network.hosts[HERE]
    command(here, "loncron", "--justcheckdaemons")
    here.wait_for_link(HERE)
    before = refused_by_those_that_live(network)
    ran = command(here, "loncron", "--justcheckconnections")
    assert (ran.returncode, ran.stderr) == (1, "")
    rows = [re.split("  +", line, maxsplit=3) for line in ran.stdout.splitlines()[1:]]
    answers = {row[0]: row[3] for row in rows}
    assert {host for host, answer in answers.items() if answer == "good"} == {HERE, *ALIVE}
    assert {answers[host] for host in REFUSING} == {"connection refused"}
    # One time limit for all: had they been waited for one after the other, some would not have been tried.
    assert all(answers[host].endswith(f"within {CHECK_SECONDS:g} s") for host in SILENT)
    # It went as it came, in good order: nothing that a log should hold.
    assert refused_by_those_that_live(network) == before


def refused_by_those_that_live(network: Federation) -> list[int]:
    return [network.hosts[host].lond.log.count("refused a connection") for host in ALIVE]


def reloads(log: Path) -> int:
    return log.read_text().count("configuration taken over")


def has_reloaded(log: Path, times: int) -> bool:
    return reloads(log) == times


def test_reload_alone(network: Federation) -> None:
    here = network.hosts[HERE]
    command(here, "loncron", "--justcheckdaemons")
    logs = [here.directory / "logs" / f"{name}.log" for name in ("lonc", "lond")]
    before = [reloads(log) for log in logs]
    assert command(here, "loncron", "--justreload").returncode == 0
    for log, number in zip(logs, before, strict=True):
        eventually(partial(has_reloaded, log, number + 1))
    table = network.directory / "tables" / "hosts.tab"
    good = table.read_text()
    try:
        table.write_text(good + "broken\n")
        broken = command(here, "loncron", "--justreload")
    finally:
        table.write_text(good)
    assert broken.returncode == 6 and f"{table}:14: " in broken.stderr


def test_a_daemon_that_hangs_is_told(network: Federation) -> None:
    here = network.hosts[HERE]
    command(here, "loncron", "--justcheckdaemons")
    here.write_conf(lonHungAfter="2")
    lond = pid(here, "lond")
    os.kill(lond, signal.SIGSTOP)
    try:

        def told() -> None:
            ran = command(here, "loncron", "--dry-run")
            assert f"error    daemons: lond, pid {lond}, has not turned its loop for " in ran.stdout, ran

        eventually(told)
        status = command(here, "loncontrol", "status")
        assert status.returncode == 4 and re.search(rf"^lond: running, pid {lond}, hangs since ", status.stdout, re.M)
        assert "CRITICAL - lond hangs since " in command(here, "loncontrol", "check").stdout
        silent_run(here, "--noemail")
        page = (here.directory / "html" / "lon-status" / "index.html").read_text()
        assert ">hangs since " in page and "<title>msul1: in trouble</title>" in page
    finally:
        os.kill(lond, signal.SIGCONT)
    eventually(lambda: "has not turned" not in command(here, "loncron", "--dry-run").stdout)
