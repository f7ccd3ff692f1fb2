"""The queue commands, on the FIFOs of a host whose peer is down, up, and dies of a message."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from common.backlog import Backlog
from common.delayed import FAILED, Message, Outcome
from tests.helpers.activity import arrivals, make_user, message
from tests.helpers.classic_peer import ClassicLond
from tests.helpers.federation import Federation, Host
from tests.helpers.loncontrol import control, control_on_terminal
from tests.helpers.waiting import eventually
from tests.network.conftest import FederationFactory

SECRET = "encrypt:rolesput:msu:adam:msu:smith:secret=1"


@pytest.fixture
def fed(federation: FederationFactory) -> Iterator[Federation]:
    """msul2 is down; four messages wait for it, the third is a secret."""
    made = federation(["msua1", "msul2"], start=["msua1"])
    net = made.hosts["msua1"].lonnet()
    commands = [message(1, 0), message(1, 1), SECRET, message(1, 3)]
    assert [net.critical(command, "msul2") for command in commands] == ["con_delayed"] * 4
    yield made


@pytest.fixture
def here(fed: Federation) -> Host:
    return fed.hosts["msua1"]


def listed(here: Host, *arguments: str) -> list[dict[str, object]]:
    result = control(here, "queue", "ls", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return list(json.loads(result.stdout))


def ids(here: Host, *arguments: str) -> list[str]:
    return [str(row["id"]) for row in listed(here, *arguments)]


def test_messages_are_listed_and_shown_without_their_secrets(here: Host) -> None:
    rows = listed(here, "msul2")
    assert [(row["host"], row["seq"], row["state"]) for row in rows] == [("msul2", n, "waiting") for n in range(1, 5)]
    assert [row["command"] for row in rows] == [message(1, 0), message(1, 1), "rolesput", message(1, 3)]
    text = control(here, "queue", "ls").stdout
    assert text.splitlines()[0].split() == ["HOST", "SEQ", "ID", "STATE", "AGE", "ATTEMPTS", "COMMAND", "ERROR"]
    shown = control(here, "queue", "show", "msul2", ids(here)[2][:20])
    assert ["bytes", "44"] in [line.split() for line in shown.stdout.splitlines()]
    assert "secret" not in text + shown.stdout
    assert control(here, "queue", "ls", "msua1").stderr == "loncontrol: msua1 has no messages, and never had any\n"
    assert listed(here, "msul2", "--state", "held") == [] and len(listed(here, "msul2", "--limit", "2")) == 2


WRONG = (
    ("show msul2 0000000", 1, "no message for msul2 has an id that begins with 0000000"),
    ("show msul2 xyz!", 1, "'xyz!' is not the id of a message, nor its first 4 digits or more"),
    ("hold nobody", 1, "'nobody' is not in "),
    ("hold ../msul2", 1, "'../msul2' is not in "),
    ("release msul2", 1, "no message for msul2 is held and can be released"),
    ("requeue msul2 --yes", 1, "no message for msul2 is failed and can be requeued"),
    ("requeue msul2 --to msua1 --yes", 2, "--to: name the messages of the user who has moved to msua1 by ID"),
    ("delete msul2 --yes", 2, "name messages by ID, or all in a state by --state"),
    ("delete msul2 --state waiting", 2, "nothing was deleted: a person at a terminal must say yes"),
    ("hold msul2 --why a\x1bb", 2, "--why takes one line"),
)


def test_what_can_not_be_done_is_said(here: Host) -> None:
    for line, code, words in WRONG:  # one network for all
        result = control(here, "queue", *line.split(" "), typed="yes\n")
        assert (result.returncode, words in result.stderr) == (code, True), (line, result.stderr)
    assert len(listed(here, "--state", "waiting")) == 4, "nothing has changed"


def test_held_messages_are_passed_over_and_released_ones_keep_their_place(fed: Federation, here: Host) -> None:
    first, second, *_ = ids(here)
    would = control(here, "queue", "hold", "msul2", second, "--dry-run")
    assert would.returncode == 0 and would.stdout.startswith("1 of msul2's messages would be held:\n")
    assert len(listed(here, "--state", "waiting")) == 4
    held = control(here, "queue", "hold", "msul2", second, "--why", "ask first", SUDO_USER="ada")
    assert (held.returncode, held.stdout) == (0, "1 of msul2's messages held\n")
    [row] = listed(here, "--state", "held")
    assert (row["id"], row["last_error"]) == (second, "held by hand by ada: ask first")
    assert (
        "can't be held: it is held (held by hand by ada: ask first)"
        in control(here, "queue", "hold", "msul2", second).stderr
    )
    requeued = control(here, "queue", "requeue", "msul2", second, "--yes")
    assert requeued.returncode == 1 and requeued.stderr.endswith("to send it: queue release\n")

    make_user(fed.hosts["msul2"])
    fed.hosts["msul2"].start_lond()
    assert control(here, "retry", "msul2").returncode == 0
    here.wait_for_link("msul2")
    eventually(lambda: arrivals(fed.hosts["msul2"]).by_caller == {1: [0, 3]})
    peers = {row["host"]: row for row in json.loads(control(here, "peers", "--json").stdout)}
    assert (peers["msul2"]["held"], peers["msul2"]["delayed"]) == (1, 0)
    assert control(here, "queue", "release", "msul2").stdout == "1 of msul2's messages released\n"
    eventually(lambda: arrivals(fed.hosts["msul2"]).by_caller == {1: [0, 3, 1]})
    eventually(lambda: ids(here, "--state", "done")[:2] == [first, second])
    assert "can't be deleted: it is done" in control(here, "queue", "delete", "msul2", first, "--yes").stderr


def test_what_was_refused_is_tried_again_at_the_end(fed: Federation, here: Host) -> None:
    with_backlog(here, lambda backlog: backlog.commit([], [Outcome(2, FAILED, b"error: 2 no such user")]))
    second = ids(here, "--state", "failed")[0]
    assert "error: 2 no such user" in control(here, "queue", "ls").stdout
    assert [row["attempts"] for row in listed(here)] == [0, 1, 0, 0], "it was sent, or nobody could have refused it"
    assert control(here, "queue", "requeue", "msul2", "--yes").returncode == 0
    last = listed(here)[-1]
    assert (last["id"], last["seq"], last["last_error"]) == (second, 5, "refused: error: 2 no such user")
    make_user(fed.hosts["msul2"])
    fed.hosts["msul2"].start_lond()
    assert control(here, "retry", "msul2").returncode == 0
    eventually(lambda: arrivals(fed.hosts["msul2"]).by_caller == {1: [0, 3, 1]})


def test_of_a_refused_message_nobody_fears_that_it_is_on_the_link(fed: Federation, here: Host) -> None:
    with_backlog(here, lambda backlog: backlog.commit([], [Outcome(2, FAILED, b"error: 2 no such user")]))
    make_user(fed.hosts["msul2"])
    fed.hosts["msul2"].start_lond()
    assert control(here, "retry", "msul2").returncode == 0
    here.wait_for_link("msul2")
    gone = control(here, "queue", "delete", "msul2", "--state", "failed", "--yes")
    assert gone.stdout.endswith("1 of msul2's messages deleted\n")


def test_deleted_messages_leave_a_line_in_the_perm_log_and_are_not_sent(fed: Federation, here: Host) -> None:
    second, third = ids(here)[1:3]
    result = control(here, "queue", "delete", "msul2", second[:16], third, "--yes")
    assert result.returncode == 0 and "2 of msul2's messages will be deleted:" in result.stdout
    assert result.stdout.endswith("2 of msul2's messages deleted\n")
    removed = [line.split(":")[1:4] for line in perm_log(here) if ":R:" in line]
    assert removed == [["R", "msul2", "log"], ["R", "msul2", "rolesput"]] and "secret" not in "".join(perm_log(here))
    make_user(fed.hosts["msul2"])
    fed.hosts["msul2"].start_lond()
    assert control(here, "retry", "msul2").returncode == 0
    here.wait_for_link("msul2")
    assert arrivals(fed.hosts["msul2"]).by_caller == {1: [0, 3]}
    late = control(here, "queue", "hold", "msul2")
    assert late.stderr == "loncontrol: no message for msul2 is waiting and can be held\n"


def test_the_shape_of_the_queue(here: Host) -> None:
    def stored_long_ago(backlog: Backlog) -> None:
        backlog._now = lambda: time.time() - 3000
        backlog.append([Message(f"{number:032x}", b"ping") for number in range(3)])

    with_backlog(here, stored_long_ago)
    rows = [line.split() for line in control(here, "queue", "shape").stdout.splitlines()]
    assert rows[0] == ["HOST", "T", "5", "10", "20", "40", "80", "160", "320", "640", "1280", "1280+"]
    assert rows[1:] == [[host, "7", "4", "0", "0", "0", "3", *"00000"] for host in ("TOTAL", "msul2")]
    assert control(here, "queue", "shape", "--state", "held").stdout.splitlines()[1].split()[:2] == ["TOTAL", "0"]


def test_what_is_on_the_link_is_executed_all_the_same(federation: FederationFactory) -> None:
    made = federation(["msua1", "msul2"], start=[])
    here, there = made.hosts["msua1"], made.hosts["msul2"]
    with ClassicLond("msul2", {here.ip: "msua1"}, there.ip, made.port) as lond:
        here.start_lonc()
        here.wait_for_link("msul2")
        lond.hold()
        net = here.lonnet()
        assert net.critical("put:msu:smith:env:n=1", "msul2", timeout=0.2) == "con_delayed"
        lond.wait_until(lambda lond: any(received.command.startswith(b"put:") for received in lond.received))
        held = control(here, "queue", "hold", "msul2")
        assert held.stdout == (
            "1 of msul2's messages held; the link to msul2 is up, "
            "and what was on it at that moment is executed all the same\n"
        )
        assert len(listed(here, "--state", "held")) == 1
        lond.release()
        eventually(lambda: [row["reply"] for row in listed(here, "--state", "done")] == ["ok"])
        assert [command for command in lond.commands() if command.startswith(b"put:")] == [b"put:msu:smith:env:n=1"]
        here.lonc.stop()


def test_a_person_is_asked_before_messages_are_deleted(here: Host) -> None:
    first = ids(here)[0]
    code, shown = control_on_terminal(here, "queue", "delete", "msul2", first, typed=b"n\n")
    assert code == 2 and "Go on? [y/N]" in shown and first in ids(here)
    code, shown = control_on_terminal(here, "queue", "delete", "msul2", first, typed=b"y\n")
    assert code == 0 and "1 of msul2's messages deleted" in shown and first not in ids(here)
    _, shown = control_on_terminal(here, "queue", "ls")
    assert "\x1b[1mHOST" in shown and "──────" in shown


def test_a_damaged_fifo_hides_no_other(here: Host) -> None:
    (here.directory / "delayed" / "aaa1.db").write_bytes(b"no database" * 100)
    for arguments in (["queue", "ls"], ["queue", "shape"]):
        result = control(here, *arguments)
        assert result.returncode == 1 and "aaa1.db: file is not a database" in result.stderr
        assert "msul2" in result.stdout
    assert control(here, "trace", ids_of(control(here, "queue", "ls", "--json").stdout)[0]).returncode == 0


def ids_of(listing: str) -> list[str]:
    return [str(row["id"]) for row in json.loads(listing)]


def with_backlog(here: Host, act: Callable[[Backlog], object]) -> None:
    backlog = Backlog(here.directory / "delayed", "msul2")
    try:
        act(backlog)
    finally:
        backlog.close()


def perm_log(here: Host) -> list[str]:
    return (here.directory / "logs" / "lonnet.perm.log").read_text().splitlines()
