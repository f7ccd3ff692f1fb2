"""What becomes of critical messages that can't simply be delivered."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

from common.delayed import Fifo, Message, Row
from tests.helpers.activity import arrivals, make_user, message
from tests.helpers.classic_peer import ClassicLond
from tests.helpers.federation import Federation, Host
from tests.helpers.members import make_member, user_directory
from tests.helpers.waiting import eventually

MakeFederation = Callable[..., Federation]


def rows(host: Host, peer: str) -> list[tuple[str, str, int]]:
    """(command, state, attempts) of everything in a FIFO."""
    db = sqlite3.connect(host.directory / "delayed" / f"{peer}.db")
    try:
        return [
            (bytes(command).decode(), state, attempts)
            for command, state, attempts in db.execute("SELECT command, state, attempts FROM message ORDER BY seq")
        ]
    finally:
        db.close()


def store(host: Host, peer: str, commands: list[str]) -> list[Row]:
    """Put messages into a FIFO, as lonnet does it when there is no child."""
    fifo = Fifo(host.directory / "delayed", peer)
    try:
        return fifo.append([Message(f"{number:032x}", command.encode()) for number, command in enumerate(commands)])
    finally:
        fifo.close()


def test_a_message_that_kills_its_receiver_is_held_and_the_rest_goes_on(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"], start=[])
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    commands = [message(0, 0), message(0, 1), "put:msu:smith:env:poison=1", message(0, 2), message(0, 3)]
    store(here, "msul1", commands)
    with ClassicLond("msul1", {here.ip: "msua1"}, there.ip, fed.port) as lond:
        lond.dies_of = b"put"
        here.start_lonc()
        here.wait_for_link("msul1", 60)
        assert rows(here, "msul1") == [
            (commands[0], "done", 0),
            (commands[1], "done", 0),
            (commands[2], "held", 5),
            (commands[3], "done", 0),
            (commands[4], "done", 0),
        ]
        assert lond.commands().count(commands[2].encode()) >= 5
        assert here.lonc.log.count("is held: the link ended 5 times under it") == 1


def test_a_delayed_message_that_is_refused_is_kept_as_failed(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"])
    here = fed.hosts["msua1"]
    make_user(fed.hosts["msul1"])
    here.lonc.stop()
    net = here.lonnet()
    assert [net.critical(command, "msul1") for command in ("nonsense", message(0, 1))] == ["con_delayed"] * 2
    here.start_lonc()
    here.wait_for_link("msul1")
    assert rows(here, "msul1") == [("nonsense", "failed", 0), (message(0, 1), "done", 0)]
    assert here.lonc.log.count("was refused (unknown_cmd) and is kept as failed") == 1
    assert net.critical("nonsense", "msul1") == "unknown_cmd"  # who waits gets the refusal, and decides
    assert rows(here, "msul1")[2] == ("nonsense", "done", 0)


def test_one_user_s_damaged_records_hold_up_nobody_else(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"])
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    for user in ("smith", "green"):
        make_member(there, user)
    net = here.lonnet()
    assert net.critical("put:msu:green:env:a=1", "msul1") == "ok"
    there.lond.stop()
    for file in user_directory(there, "green").glob("records.db*"):
        file.write_bytes(b"this is no database" * 1000)
    here.lonc.stop()
    store(here, "msul1", ["put:msu:green:env:a=2", "put:msu:smith:env:a=3"])
    there.start_lond()
    here.start_lonc()
    here.wait_for_link("msul1")

    def ended() -> None:
        assert [state for _, state, _ in rows(here, "msul1")] == ["done", "failed", "done"], rows(here, "msul1")

    eventually(ended)
    assert here.lonc.log.count("was refused (error: 117 database damaged") == 1
    assert net.reply("get:msu:smith:env:a", "msul1") == "3"


def test_a_fifo_that_can_not_be_written_fails_messages_but_no_requests(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"])
    here = fed.hosts["msua1"]
    make_user(fed.hosts["msul1"])
    net = here.lonnet()
    blocked = here.directory / "delayed" / "msul1.db"
    blocked.mkdir()
    assert net.critical(message(0, 0), "msul1") == "con_failed"
    assert net.reply("ping", "msul1") == "msul1"
    assert ":F:msul1:log:" in (here.directory / "logs" / "lonnet.perm.log").read_text()
    blocked.rmdir()
    assert net.critical(message(0, 1), "msul1") == "ok"
    assert arrivals(fed.hosts["msul1"]).by_caller == {0: [1]}


def test_a_damaged_fifo_is_set_aside(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"], start=["msul1"])
    here = fed.hosts["msua1"]
    make_user(fed.hosts["msul1"])
    (here.directory / "delayed").mkdir()
    damaged: Path = here.directory / "delayed" / "msul1.db"
    damaged.write_bytes(b"this is no database" * 100)
    here.start()
    here.wait_for_link("msul1")
    assert here.lonnet().critical(message(0, 0), "msul1") == "ok"
    kept = list(damaged.parent.glob("msul1.db.damaged-*"))
    assert [path.read_bytes()[:7] for path in kept] == [b"this is"]
    assert here.lonc.log.count("FIFO was unreadable") == 1


def test_a_fifo_that_was_damaged_inside_while_the_host_was_down_is_set_aside(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"], start=["msul1"])
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    make_user(there)
    there.lond.stop()
    here.write_conf(lonRetryFirst="3", lonRetryMax="3")  # the child looks at its FIFO once a second
    store(here, "msul1", [message(0, number) for number in range(500)])
    here.start()
    eventually(lambda: here.lonc.slot("msul1", "waiting").delayed == 500)  # the child that waits has opened it
    file = here.directory / "delayed" / "msul1.db"
    with file.open("r+b") as opened:
        opened.seek(3 * 4096)
        opened.write(b"x" * (file.stat().st_size - 3 * 4096))
    there.start_lond()
    here.lonc.signal(signal.SIGUSR1)
    here.wait_for_link("msul1")
    assert len(list(file.parent.glob("msul1.db.damaged-*"))) == 1
    assert here.lonnet().critical(message(0, 0), "msul1") == "ok"


def test_a_long_backlog_arrives_in_order_before_the_socket_appears(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"], start=["msul1"])
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    make_user(there)
    backlog = 5000
    store(here, "msul1", [message(0, number) for number in range(backlog)])
    here.start()
    here.wait_for_link("msul1")
    assert arrivals(there).by_caller == {0: list(range(backlog))}
    assert arrivals(there).duplicates == 0


def test_the_same_message_twice_is_executed_once(federation: MakeFederation) -> None:
    fed = federation(["msua1", "msul1"])
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    make_user(there)
    net = here.lonnet()
    line = f"critical:{'ab' * 16}:{message(0, 7)}"
    # lonnet itself never sends an id twice; a caller that lost its connection to lonc may.
    assert [net.reply(line, "msul1") for _ in range(3)] == ["ok"] * 3
    eventually(lambda: arrivals(there).by_caller == {0: [7]} and arrivals(there).duplicates == 0)
