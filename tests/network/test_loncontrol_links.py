"""Single links: paused, resumed, tried again, under real daemons."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.helpers.activity import arrivals, make_user, message
from tests.helpers.federation import Federation, Host
from tests.helpers.loncontrol import command_line, control
from tests.helpers.waiting import eventually
from tests.network.conftest import FederationFactory


def told(host: Host, peer: str) -> dict[str, object]:
    [found] = [row for row in json.loads(control(host, "peers", "--json").stdout) if row["host"] == peer]
    return dict(found)


def paused(here: Host) -> bool:
    return told(here, "msul2")["state"] == "paused"


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


def test_a_paused_host_has_no_link_and_keeps_its_messages_in_order(federation: FederationFactory) -> None:
    fed: Federation = federation(["msua1", "msul2"])
    here = fed.hosts["msua1"]
    net = here.lonnet()
    make_user(fed.hosts["msul2"])
    assert [net.critical(message(1, number), "msul2") for number in range(2)] == ["ok"] * 2

    result = control(here, "pause", "msul2", "--why", "disk full", SUDO_USER="ada")
    assert (result.returncode, result.stdout) == (0, "msul2 is paused by ada: disk full\n")
    here.wait_for_no_link("msul2")
    eventually(lambda: paused(here))
    assert net.reply("ping", "msul2") == "con_lost"
    assert net.reply("ping", "msua1") == "msua1", "nobody else is touched"
    assert [net.critical(message(1, number), "msul2") for number in range(2, 5)] == ["con_delayed"] * 3

    row = told(here, "msul2")
    assert (row["state"], row["delayed"], row["why"]) == ("paused", 3, "by ada: disk full")
    slot = here.lonc.slot("msul2", "paused")
    eventually(lambda: title(slot.pid) == "lonc: msul2 paused by ada: disk full q=3")
    eventually(lambda: title(here.lonc.pid) == "lonc: parent, 1 of 2 links up, 1 paused")
    assert "msul2 is paused since" in control(here, "status").stdout
    assert "host msul2 is paused by ada: disk full" in here.lonc.log

    here.lonc.kill()
    here.start_lonc()
    here.wait_for_link("msua1")
    eventually(lambda: paused(here))
    assert control(here, "retry").returncode == 0
    one = control(here, "retry", "msul2")
    assert one.returncode == 1 and one.stderr.endswith("to have a link again: loncontrol resume msul2\n")
    assert control(here, "reload").returncode == 0
    eventually(lambda: "configuration taken over" in here.lonc.log)
    assert paused(here) and not here.socket_path("msul2").exists()

    assert control(here, "resume", "msul2").returncode == 0
    here.wait_for_link("msul2")
    eventually(lambda: told(here, "msul2")["delayed"] == 0)
    assert control(here, "resume", "msul2").returncode == 1
    assert arrivals(fed.hosts["msul2"]).by_caller == {1: [0, 1, 2, 3, 4]}
    assert net.reply("ping", "msul2") == "msul2"


def test_a_pause_waits_for_what_is_on_the_link_and_needs_no_daemon(federation: FederationFactory) -> None:
    fed: Federation = federation(["msua1", "msul2"], start=[])
    here = fed.hosts["msua1"]
    result = control(here, "pause", "msul2", "--why", "moved", SUDO_USER="ada")
    assert result.stdout == "msul2 is paused by ada: moved; lonc does not run, it will see it when it starts\n"
    assert told(here, "msul2")["why"] == "lonc does not run; paused by ada: moved"
    for arguments in (["nobody", "--why", "x"], ["msul2", "--why", " "], ["msul2", "--why", "a\nb"]):
        assert control(here, "pause", *arguments).returncode in (1, 2)
    assert control(here, "resume", "msul2").stdout.endswith("lonc does not run, it will see it when it starts\n")
    assert [path.name for path in (here.directory / "delayed").glob("*paused*")] == []


def test_a_lonc_whose_directory_was_replaced_is_not_said_to_be_gone(federation: FederationFactory) -> None:
    here = federation(["msua1", "msul2"], start=["msua1"]).hosts["msua1"]
    sockets = here.directory / "run"
    shutil.rmtree(sockets)
    sockets.mkdir(0o700)
    unread = f"it runs, but does not read {sockets}/.lonc.control; restart lonc and lond"
    result = control(here, "retry", "msul2")
    assert result.returncode == 1 and unread in result.stderr
    for arguments in (["pause", "msul2", "--why", "moved"], ["resume", "msul2"]):
        result = control(here, *arguments)
        assert result.returncode == 1 and unread in result.stderr


def test_a_child_that_hangs_leaves_no_socket_of_a_paused_host(federation: FederationFactory) -> None:
    here = federation(["msua1", "msul2"], settings={"lonGrace": "0.5"}).hosts["msua1"]
    os.kill(here.lonc.slot("msul2", "up").pid, signal.SIGSTOP)
    assert control(here, "pause", "msul2", "--why", "it hangs").returncode == 0
    here.wait_for_no_link("msul2")
    eventually(lambda: paused(here))


def test_only_the_host_that_is_named_is_tried_again(federation: FederationFactory) -> None:
    fed: Federation = federation(["msua1", "msul2", "msul3"], start=[])
    here = fed.hosts["msua1"]
    here.write_conf(lonMaxAttempts="2", lonRetryMax="1000")
    here.start()
    eventually(lambda: {told(here, peer)["state"] for peer in ("msul2", "msul3")} == {"given up"})
    before = here.lonc.slot("msul3", "waiting")
    fed.hosts["msul2"].write_conf(lonMaxAttempts="2", lonRetryMax="100")
    fed.hosts["msul2"].start_lond()
    fed.hosts["msul3"].start_lond()
    assert control(here, "retry", "msul2").returncode == 0
    here.wait_for_link("msul2")
    assert here.lonc.slot("msul3", "waiting").pid == before.pid
    assert control(here, "retry", "nobody").returncode == 1
    assert control(here, "retry", "msul2", "--all").returncode == 2
    assert control(here, "retry", "--all").returncode == 0
    here.wait_for_link("msul3")
    assert told(here, "msul3")["last_error"] == "connection refused", "what was before this link"
    here.lonc.stop()
    assert control(here, "retry", "msul2").returncode == 7


def test_peers_are_shown_again_and_again_until_they_are_interrupted(federation: FederationFactory) -> None:
    here = federation(["msua1"], start=[]).hosts["msua1"]
    process = subprocess.Popen(
        command_line(here, "peers", "--watch", "0.1"), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    with process:
        assert process.stdout is not None
        heads = 0
        while heads < 3:
            heads += process.stdout.readline().startswith("HOST")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
