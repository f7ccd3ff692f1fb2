"""A network in which something is wrong with every peer but one; what loncontrol says of each names the cause.

msul1 holds back a message, msul2 is paused, msul3 is dead, and hubl1 has a wrong address of ours in its table. The
tests that only look come first; the last one acts, with all commands that change something.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from loncontrol import command_line  # noqa: F401 (makes the commands known)
from loncontrol.control import COMMANDS
from tests.helpers.activity import message
from tests.helpers.classic_peer import ClassicLond
from tests.helpers.federation import QUICK, Federation, Host
from tests.helpers.golden import assert_golden
from tests.helpers.loncontrol import control
from tests.helpers.waiting import eventually

SETTINGS = {
    **QUICK,
    "lonMaxAttempts": "2",
    "lonRetryMax": "1000",  # whoever is given up stays so
    "lonPingAfter": "2000",  # so that the number of requests is known
    "lonDeadAfter": "3000",
    "lonLoadLim": "10000",  # whatever else this machine does
}
TROUBLE = {"msua1": "up", "msul1": "up", "msul2": "paused", "msul3": "given up", "hubl1": "given up"}


@pytest.fixture(scope="module")
def fed() -> Iterator[Federation]:
    made = Federation(["msua1", "msul1", "msul2", "msul3", "hubl1"], settings=SETTINGS)
    try:
        bring_into_trouble(made)
        yield made
    finally:
        control(made.hosts["msua1"], "stop")  # what the last test has started
        made.close()


def bring_into_trouble(made: Federation) -> None:
    for id, host in made.hosts.items():  # a name that is resolved without a name server
        made.lines[id] = made.lines[id].replace(f"{id}.example.org", host.ip)
    made.write_tables()
    tables = made.directory / "other"
    shutil.copytree(made.directory / "tables", tables)
    here, wrong = made.hosts["msua1"], made.hosts["hubl1"]
    table = tables / "hosts.tab"
    table.write_text(table.read_text().replace(f"{here.ip}:{here.ip}", f"{here.ip}:{here.ip.rpartition('.')[0]}.99"))
    wrong.write_conf(lonTabDir=str(tables))

    wrong.start_lond()
    here.start()
    here.wait_for_link("msua1")
    assert here.lonnet().critical(message(1, 0), "msul1") == "con_delayed"
    assert control(here, "queue", "hold", "msul1", "--why", "ask first", SUDO_USER="ada").returncode == 0
    made.hosts["msul1"].start()
    made.hosts["msul2"].start()
    assert control(here, "pause", "msul2", "--why", "disk full", SUDO_USER="ada").returncode == 0
    made.hosts["msul2"].wait_for_link("msua1")
    made.hosts["msul1"].wait_for_link("msua1")
    assert control(here, "retry", "msul1").returncode == 0
    here.wait_for_link("msul1")
    eventually(lambda: states(here) == TROUBLE, 60)


def states(here: Host) -> dict[str, str]:
    return {row["host"]: row["state"] for row in json.loads(control(here, "peers", "--json").stdout)}


@pytest.fixture
def here(fed: Federation) -> Host:
    return fed.hosts["msua1"]


def golden(name: str, text: str, fed: Federation) -> None:
    assert_golden(name, text, dir=str(fed.directory), net=fed.hosts["msua1"].ip.rpartition(".")[0])


def test_peers_name_the_cause_of_each(fed: Federation, here: Host) -> None:
    golden("peers.txt", control(here, "peers", "--verbose").stdout, fed)


@pytest.mark.parametrize(("peer", "code"), [("msua1", 0), ("msul1", 3), ("msul2", 3), ("msul3", 1), ("hubl1", 1)])
def test_the_doctor_names_the_cause_and_who_must_act(fed: Federation, here: Host, peer: str, code: int) -> None:
    result = control(here, "doctor", peer)
    assert (result.returncode, result.stderr) == (code, "")
    golden(f"doctor-{peer}.txt", result.stdout, fed)


def test_the_doctor_for_programs(here: Host) -> None:
    found = {row["step"]: row for row in json.loads(control(here, "doctor", "msul3", "--json").stdout)}
    assert (found["port"]["level"], found["port"]["who"]) == ("failed", "msul3")
    assert "greeting" not in found and found["our lonc"]["level"] == "warning"
    assert control(here, "doctor", "nobody").returncode == 1


def test_the_doctor_sees_daemons_that_do_not_run_here(fed: Federation) -> None:
    alone = fed.hosts["hubl1"]
    result = control(alone, "doctor", "msul1")
    assert result.returncode == 1
    assert "reverse     FAILED" not in result.stdout, "its lond runs"
    golden("doctor-without-lonc.txt", result.stdout, fed)


def test_a_peer_that_takes_connections_and_says_nothing(fed: Federation, here: Host) -> None:
    here.write_conf(lonKeyExchangeTimeout="1")
    lond = fed.hosts["msul1"].lond
    try:
        for pid in lond.session():
            os.kill(pid, signal.SIGSTOP)
        result = control(here, "doctor", "msul1")
    finally:
        for pid in lond.session():
            os.kill(pid, signal.SIGCONT)
        here.write_conf(lonKeyExchangeTimeout="10")
    assert result.returncode == 1
    golden("doctor-hung.txt", result.stdout, fed)


def test_one_line_for_a_monitoring_system(fed: Federation, here: Host) -> None:
    result = control(here, "check", "--warn", "0", "--crit", "100000")
    assert result.returncode == 2
    golden("check.txt", result.stdout, fed)
    assert control(fed.hosts["msul1"], "check").returncode in (1, 2)
    assert control(fed.hosts["msul3"], "check").stdout.startswith(
        "LONCAPA CRITICAL - lond does not run, lonc does not run"
    )
    broken = fed.directory / "broken.conf"
    broken.write_text("PerlSetVar lonHostID\n")
    unknown = control(here, "--conf", str(broken), "check")
    assert (unknown.returncode, unknown.stdout.startswith("LONCAPA UNKNOWN - ")) == (3, True)
    assert control(here, "check", "--warn", "soon").returncode == 2


def test_the_table_is_shown_checked(fed: Federation, here: Host) -> None:
    golden("hosts.txt", control(here, "hosts").stdout, fed)
    rows = {row["host"]: row for row in json.loads(control(here, "hosts", "--json").stdout)}
    assert [host for host, row in rows.items() if row["own"]] == ["msua1"]
    assert rows["msul2"]["paused"] == "paused by ada: disk full"


def test_an_original_server_tells_what_it_can(fed: Federation, here: Host) -> None:
    dead = fed.hosts["msul3"]
    with ClassicLond("msul3", {here.ip: "msua1"}, dead.ip, fed.port) as lond:
        lond.pong_reply = b"msua1"
        golden("doctor-original.txt", control(here, "doctor", "msul3").stdout, fed)
    with ClassicLond("msul3", {}, dead.ip, fed.port):
        refused = control(here, "doctor", "msul3").stdout
    assert "the other side does not accept our address: msul3 does not know our address" in refused
    with ClassicLond("msul9", {here.ip: "msua1"}, dead.ip, fed.port):
        golden("doctor-other.txt", control(here, "doctor", "msul3").stdout, fed)


def test_settings_are_shown_with_their_origins(fed: Federation, here: Host) -> None:
    changed = [line.split() for line in control(here, "config", "show", "--changed").stdout.splitlines()]
    assert changed[0] == ["SETTING", "VALUE", "FROM"]
    assert ["lonRetryMax", "1000"] in [row[:2] for row in changed]
    assert "lonMaxReply" not in [row[0] for row in changed]
    rows = {row["name"]: row for row in json.loads(control(here, "config", "show", "--json").stdout)}
    assert rows["lonMaxReply"] == {"name": "lonMaxReply", "value": "67108864", "source": "default"}
    assert rows["lonRole"]["source"] == f"{fed.directory}/tables/hosts.tab:1"
    assert rows["lonHostID"]["source"] == f"{here.conf}:1"


def test_nothing_but_text_goes_into_a_pipe(here: Host) -> None:
    for arguments in (["peers"], ["hosts"], ["queue", "ls"], ["queue", "shape"], ["config", "show"], ["children"]):
        result = control(here, *arguments, TERM="xterm")
        assert result.returncode == 0 and "\x1b" not in result.stdout and "─" not in result.stdout


# What is typed on msua1, one after the other: line, exit code, words that are told. ID is the held message. smith is
# nobody on msul1, so that the message is refused as soon as it is sent.
ON_DAEMONS = [
    ("status", 0, "msul2 is paused since"),
    ("configtest", 0, ""),
    ("try-restart", 0, "lonc started"),
    ("reload", 0, ""),
    ("force-reload", 0, ""),
    ("restart", 0, "lonc started"),
    ("stop", 0, "lonc stopped"),
    ("status", 3, "lonc: stopped"),
    ("trace ID --peer", 0, "msul1 can't be asked"),
    ("start", 0, "lonc started"),
]
ON_LINKS_AND_MESSAGES = [
    ("trace ID --peer", 0, "held by hand by ada: ask first"),
    ("queue show msul1 ID", 0, "state       held"),
    ("queue hold msul1", 1, "no message for msul1 is waiting and can be held"),
    ("queue requeue msul1 ID --yes", 1, "queue release"),
    ("retry msul2", 1, "loncontrol resume msul2"),
    ("retry --all", 0, ""),
    ("pause msul3 --why 'it is dead'", 0, "msul3 is paused"),
    ("resume msul3", 0, "msul3 is resumed"),
    ("queue release msul1 --dry-run", 0, "1 of msul1's messages would be released"),
    ("queue release msul1 ID", 0, "1 of msul1's messages released"),
    ("queue requeue msul1 ID --yes", 0, "1 of msul1's messages requeued"),
    ("queue delete msul1 ID --yes", 0, "1 of msul1's messages deleted"),
    ("trace ID", 0, "was refused (error: 2 "),
    ("resume msul2", 0, "msul2 is resumed"),
]
ON_FILES = [
    ("remove-host msul3", 0, "msul3"),
    ("add-host msul3:msu:library:msul3.example.org:192.0.2.3", 0, "msul3"),
    ("install --root ROOT --dry-run", 0, "would"),
    (
        "setup --root ROOT --yes --host-id msul9 --domain msu --role library --hostname localhost --address 192.0.2.9",
        0,
        "",
    ),
]
LOOKING = ("peers", "doctor", "check", "hosts", "config show", "queue ls", "queue shape", "children")  # above


def test_every_command_is_typed_in_this_network() -> None:
    lines = [f"{line} " for line, _, _ in (*ON_DAEMONS, *ON_LINKS_AND_MESSAGES, *ON_FILES)]
    typed = {name for name in COMMANDS if any(line.startswith(f"{name} ") for line in lines)}
    assert typed | {*LOOKING} == {*COMMANDS} and not typed & {*LOOKING}


def test_all_that_can_be_done_about_it(fed: Federation, here: Host) -> None:
    [row] = json.loads(control(here, "queue", "ls", "msul1", "--json").stdout)
    values = {"ID": row["id"], "ROOT": str(fed.directory / "root")}

    def type_all(acts: Sequence[tuple[str, int, str]]) -> None:
        for line, code, words in acts:
            arguments = [values.get(word, word) for word in shlex.split(line)]
            eventually(partial(type_one, here, arguments, code, words))

    type_all(ON_DAEMONS)
    eventually(lambda: states(here) == TROUBLE, 60)
    type_all(ON_LINKS_AND_MESSAGES)
    eventually(lambda: states(here)["msul2"] == "up")
    assert json.loads(control(here, "queue", "ls", "msul1", "--json").stdout) == []
    type_all(ON_FILES)


def type_one(here: Host, arguments: Sequence[str], code: int, words: str) -> None:
    """Type a line; what a daemon does about the one before may take a moment, and this one says so and does nothing."""
    result = control(here, *arguments)
    assert (result.returncode, words in result.stdout + result.stderr) == (code, True), (arguments, result)
