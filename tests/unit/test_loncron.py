"""loncron without daemons: logs, memory, mail, modes, disks, leftovers, and reaching hosts that are not there."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import pytest

from common import durable
from common.delayed import FAILED, Fifo, Message, Outcome
from common.site import Site, load_site
from loncron import command_line, mail, memory, run
from loncron.checks import connections, copies, leftovers, logs, machine, modes, queue
from loncron.command_line import main
from loncron.memory import AnotherRuns, Mark, Memory, alone
from loncron.reach import Answer, reach
from loncron.visit import Visit
from lonnet.resources import Resources
from lonnet.sessions import Sessions
from lonnet.sweeping import Sweep
from lonstatus.findings import Finding, Level
from lonstatus.peers import Peer

NET = f"127.{1 + os.getpid() % 200}.{1 + os.getpid() // 200 % 200}"  # of this run alone
OWN, PEER, OTHER = (f"{NET}.{number}" for number in (201, 202, 203))
NOW = 1_000_000_000.0


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    lines = [
        f"{id}:msu:library:{id}.example.org:{ip}" for id, ip in (("msul1", OWN), ("msul2", PEER), ("msul3", OTHER))
    ]
    names = {
        "lonTabDir": "tab", "lonSockDir": "run", "lonDelayedDir": "delayed", "lonDaemons": "daemons",
        "lonIDsDir": "ids", "lonDocRoot": "html", "lonUsersDir": "users", "lonConstructionDir": "construction",
    }  # fmt: skip
    for directory in names.values():
        (tmp_path / directory).mkdir(mode=0o700)
    (tmp_path / "daemons" / "logs").mkdir(mode=0o750)
    (tmp_path / "tab" / "hosts.tab").write_text("\n".join(lines) + "\n")
    conf = tmp_path / "loncapa.conf"
    values = {name: tmp_path / directory for name, directory in names.items()}
    conf.write_text(
        "PerlSetVar lonHostID msul1\nPerlSetVar lonCheckTimeout 1\nPerlSetVar lonAdmEMail root@example.org\n"
        + "".join(f"PerlSetVar {name} {value}\n" for name, value in values.items())
    )
    return conf


@pytest.fixture
def site(conf: Path) -> Site:
    return load_site(conf)


@pytest.fixture
def visit(site: Site, conf: Path) -> Visit:
    return Visit(site, conf, NOW)


def shown(findings: Iterator[Finding]) -> list[str]:
    return [f"{finding.level.word}: {finding.text}" for finding in findings]


# --- logs -------------------------------------------------------------------------------------------------


def line(level: str, text: str) -> str:
    return f"2026-11-22 17:00:00,123 lonc[4711] {level}: {text}\n"


@pytest.fixture
def log_file(site: Site) -> Path:
    return site.config.daemons_dir / "logs" / "lonc.log"


def test_each_line_of_a_log_is_read_once(log_file: Path) -> None:
    log_file.write_text("one\ntwo\nhal")
    lines, mark = logs.read_new(log_file, None, 1000)
    assert lines == ["one", "two"]
    with log_file.open("a") as file:
        file.write("f\nfour\n")
    lines, mark = logs.read_new(log_file, mark, 1000)
    assert lines == ["half", "four"]
    assert logs.read_new(log_file, mark, 1000)[0] == []


def test_a_rotated_log_is_read_to_its_end(log_file: Path) -> None:
    log_file.write_text("one\n")
    _, mark = logs.read_new(log_file, None, 1000)
    with log_file.open("a") as file:
        file.write("two\n")
    log_file.rename(log_file.with_name("lonc.log.1"))
    log_file.write_text("three\n")
    lines, mark = logs.read_new(log_file, mark, 1000)
    assert lines == ["two", "three"]
    assert logs.read_new(log_file, mark, 1000)[0] == []


def test_a_log_that_was_emptied_or_taken_away(log_file: Path) -> None:
    log_file.write_text("one\ntwo\n")
    _, mark = logs.read_new(log_file, None, 1000)
    log_file.write_text("new\n")
    assert logs.read_new(log_file, mark, 1000)[0] == ["new"]
    log_file.unlink()
    assert logs.read_new(log_file, mark, 1000) == ([], None)


def test_of_a_huge_log_the_end_is_read(log_file: Path) -> None:
    log_file.write_text("".join(f"line {number}\n" for number in range(1000)))
    lines, mark = logs.read_new(log_file, None, 100)
    assert lines[-1] == "line 999" and re.fullmatch(r"line \d+", lines[0]) and len(lines) < 15
    assert mark is not None and mark.offset == log_file.stat().st_size


def test_complaints_are_grouped_and_weighed(visit: Visit, log_file: Path) -> None:
    log_file.write_text(
        line("INFO", "link to msul2 is up")
        + line("WARNING", "link to msul2 is lost after 17 s: closed")
        + line("WARNING", "link to msul2 is lost after 18 s: closed")
        + line("ERROR", "child 7 of msul2 ended unexpectedly with -11")
        + line("CRITICAL", "host msul2 is given up after 15 failures: refused")
        + "a line of somebody else WARNING: yes\n"
    )
    assert shown(logs.check(visit)) == [
        "notice: link to msul2 is lost after 18 s: closed (2 times, this is the last)",
        "warning: child 7 of msul2 ended unexpectedly with -11",
        "error: host msul2 is given up after 15 failures: refused",
    ]
    assert list(logs.check(visit)) == []
    with log_file.open("a") as file:
        file.write("".join(line("ERROR", f"trouble {'x' * number}") for number in range(100)))
    found = list(logs.check(visit))
    assert len(found) == logs.MOST_KINDS + 1 and sum(finding.number for finding in found) == 100


# --- memory and mail --------------------------------------------------------------------------------------


def test_what_a_run_leaves_the_next_finds(site: Site) -> None:
    assert Memory.read(site.config) == Memory()
    memory = Memory({"lonc.log": Mark(1, 2, 3)}, ["a", "b"], [Finding(Level.NOTICE, "copies", "x", "y")])
    with alone(site.config):
        memory.write(site.config)
    assert Memory.read(site.config) == memory
    for garbage in (b"", b"[]", b'{"logs": {"a": [1]}, "mailed": null, "copies": []}', b"\xff"):
        (site.config.daemons_dir / "loncron" / "state.json").write_bytes(garbage)
        assert Memory.read(site.config) == Memory()


def test_on_a_full_disk_the_next_run_knows_all_the_same(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    config = visit.site.config
    sent: list[str] = []
    monkeypatch.setattr(mail, "send", lambda _site, message: sent.append(message["Subject"]))
    monkeypatch.setattr(run, "CHECKS", (lambda _visit: iter(ERRORS),))
    with alone(config):
        Memory().write(config)  # of better days
    room = durable.replacing

    def full(path: Path, mode: int) -> contextlib.AbstractContextManager[BinaryIO]:
        if path.is_relative_to(config.daemons_dir):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return room(path, mode)

    monkeypatch.setattr(memory, "replacing", full)
    for _ in range(2):
        assert run.full_run(visit, with_mail=True) == run.OK
        assert len(sent) == 1
    monkeypatch.setattr(memory, "replacing", room)
    assert run.full_run(visit, with_mail=True) == run.OK
    assert (len(sent), list(config.sock_dir.glob(".loncron*"))) == (1, []), "back on the disk, and known there"
    assert run.full_run(visit, with_mail=True) == run.OK and len(sent) == 1


def test_what_can_be_left_nowhere_is_an_error(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, mode: int) -> contextlib.AbstractContextManager[BinaryIO]:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(memory, "replacing", full)
    with pytest.raises(OSError, match=r"No space left on device: .*state\.json"):
        Memory().write(site.config)


def test_there_is_one_loncron_at_a_time(site: Site, conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with alone(site.config):
        with pytest.raises(AnotherRuns), alone(site.config):
            pass
        with pytest.raises(AnotherRuns):
            run.full_run(Visit(site, conf, NOW), with_mail=False)
    with alone(site.config):
        pass


ERRORS = [Finding(Level.ERROR, "daemons", f"lonc of {n}", f"lonc is dead ({n})") for n in range(3)]
NOTICE = Finding(Level.NOTICE, "load", "load", "much to do")


def test_a_mail_is_due_when_there_is_enough_and_something_new(site: Site) -> None:
    memory = Memory()
    assert not mail.is_due(site, [*ERRORS[:2]], memory), "200 is not more than 200"
    assert mail.is_due(site, [*ERRORS[:2], NOTICE], memory)
    memory.mailed = mail.keys(ERRORS[:2])
    assert not mail.is_due(site, [*ERRORS[:2], NOTICE], memory)
    assert not mail.is_due(site, [replace(error, text="in other words") for error in ERRORS[:2]] + [NOTICE], memory)
    assert mail.is_due(site, ERRORS, memory)
    assert mail.is_due(site, [ERRORS[0], ERRORS[2], NOTICE], memory)


def test_trouble_that_comes_again_is_news(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(mail, "send", lambda _site, message: sent.append(message["Subject"]))
    for findings, number in ((ERRORS, 1), (ERRORS, 1), ([NOTICE], 1), (ERRORS, 2), (ERRORS[1:], 2), ([], 2)):
        monkeypatch.setattr(run, "CHECKS", (lambda _visit, findings=findings: iter(findings),))
        assert run.full_run(visit, with_mail=True) == run.OK
        assert len(sent) == number


def test_lasting_trouble_is_one_mail_whatever_comes_and_goes_beside_it(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(mail, "send", lambda _site, message: sent.append(message["Subject"]))
    lines = [Finding(Level.WARNING, "lonc.log", f"lonc.log ERROR {what}", what) for what in ("one", "two")]
    host = Finding(Level.WARNING, "connections", "msul2 unreached", "msul2 can't be reached")
    for beside, number in (
        ([host], 1),
        ([], 1),  # that a trouble has gone is no news
        (lines[:1], 2),
        (lines[1:], 3),
        *[([line], 3) for line in lines * 3],  # lines were told once
        ([host], 4),  # a host that was well in between is news
        ([host, lines[0]], 4),
    ):
        monkeypatch.setattr(run, "CHECKS", (lambda _visit, beside=beside: iter([*ERRORS, *beside]),))
        assert run.full_run(visit, with_mail=True) == run.OK
        assert len(sent) == number, beside


def test_the_mail_says_the_worst_first_and_no_text_becomes_a_header(site: Site) -> None:
    found = [NOTICE, *ERRORS, Finding(Level.ERROR, "x", "x", "evil\r\nBcc: everybody@example.org")]
    message = mail.message(site, sorted(found, key=lambda finding: finding.check, reverse=True))
    assert message["To"] == "root@example.org" and message["From"] == "loncron@msul1.example.org"
    assert message["Subject"].startswith("[msul1] 4 errors, 1 notice: ")
    assert message["Bcc"] is None and b"\nBcc:" not in message.as_bytes().partition(b"\n\n")[0]
    text = message.get_content()
    assert text.index("ERROR ") < text.index("NOTICE") and "Sum 401" in text


# --- machine, modes, leftovers, queue ---------------------------------------------------------------------


@pytest.mark.parametrize(("average", "level"), [(1.9, None), (2.5, Level.NOTICE), (9.0, Level.WARNING)])
def test_load(visit: Visit, monkeypatch: pytest.MonkeyPatch, average: float, level: Level | None) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, average, 0.0))
    assert [finding.level for finding in machine.load(visit)] == ([level] if level else [])


def test_disks(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = SimpleNamespace(f_blocks=1000, f_bfree=100, f_bavail=80, f_files=100, f_ffree=2, f_favail=2)
    monkeypatch.setattr(os, "statvfs", lambda _: figures)
    assert [text.replace(str(visit.conf.parent), "") for text in shown(machine.disks(visit))] == [
        "warning: 92 % of the space of the disk with /daemons are in use",
        "error: 98 % of the inodes of the disk with /daemons are in use",
    ]
    figures.f_bfree, figures.f_bavail, figures.f_files, figures.f_ffree, figures.f_favail = 900, 900, 0, 0, 0
    assert shown(machine.disks(visit)) == []


def test_modes(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    keytab = visit.conf.with_name("krb5.keytab")
    monkeypatch.setattr(modes, "KEYS", (keytab, visit.conf.with_name("none")))
    keytab.touch(0o640)
    assert list(modes.check(visit)) == []
    keytab.chmod(0o644)
    config = visit.site.config
    config.users_dir.chmod(0o755)
    visit.conf.chmod(0o660)
    (config.delayed_dir / "msul2.db").touch(0o640)
    assert [text.replace(str(visit.conf.parent), "") for text in shown(modes.check(visit))] == [
        "warning: /loncapa.conf has mode 0660: its group may write there; chmod 0640 /loncapa.conf",
        "error: /krb5.keytab has mode 0644: everybody may read there; chmod 0640 /krb5.keytab",
        "error: /users has mode 0755: everybody may read there; chmod 0700 /users",
        "error: /delayed/msul2.db has mode 0640: its group may read there; chmod 0600 /delayed/msul2.db",
    ]


def test_what_killed_processes_left_is_deleted_when_it_is_old(visit: Visit) -> None:
    config = visit.site.config
    old, young = config.ids_dir / ".new-old", config.ids_dir / ".new-young"
    dead = config.sock_dir / ".msul2.999999999"
    alive = config.sock_dir / f".msul2.{os.getpid()}"
    kept = config.sock_dir / ".lonc.scoreboard"
    for path in (old, young, dead, alive, kept):
        path.touch()
        os.utime(path, (NOW, NOW - 2 * config.temporary_expire))
    os.utime(young, (NOW, NOW - 10))
    visit.dry = True
    assert list(leftovers.unfinished(visit)) == [] and old.exists()
    visit.dry = False
    assert list(leftovers.unfinished(visit)) == []
    assert [path.exists() for path in (old, young, dead, alive, kept)] == [False, True, False, True, True]


def test_ended_sessions_are_deleted(visit: Visit) -> None:
    sessions = Sessions(visit.site.config)
    ended, _ = sessions.create("smith", "msu", "msul1")
    for path in visit.site.config.ids_dir.glob("*.session"):
        os.utime(path, (1, 1))
    active, _ = sessions.create("jones", "msu", "msul1")
    assert list(leftovers.sessions(visit)) == []
    assert len(list(visit.site.config.ids_dir.glob("*.session"))) == 1
    assert sessions.find(active) is not None and sessions.find(ended) is None


def test_sockets_on_which_nobody_listens_are_told(visit: Visit) -> None:
    run_directory = visit.site.config.sock_dir
    with socket.socket(socket.AF_UNIX) as served, socket.socket(socket.AF_UNIX) as dead:
        served.bind(str(run_directory / "msul2"))
        served.listen()
        dead.bind(str(run_directory / "msul3"))
    assert [finding.key for finding in leftovers.sockets(visit)] == ["socket msul2", "socket msul3"]
    (run_directory / "msul2").unlink()
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(run_directory / "msul2"))
        served.listen()
        [finding] = leftovers.sockets(visit)
    assert finding.key == "socket msul3" and finding.text.endswith("loncontrol start")


def test_messages_that_wait_too_long_or_for_a_decision(visit: Visit) -> None:
    with contextlib.closing(Fifo(visit.site.config.delayed_dir, "msul2", now=lambda: 1.0)) as fifo:
        rows = fifo.append([Message(f"{n:032x}", b"ping") for n in range(3)])
        fifo.commit([], [Outcome(rows[0].seq, FAILED, b"refused")])
    (visit.site.config.delayed_dir / "msul3.db").write_bytes(b"this is no database" * 1000)
    found = list(queue.check(visit))
    assert [(finding.level, finding.key) for finding in found] == [
        (Level.WARNING, "msul2 waiting"),
        (Level.WARNING, "msul2 failed"),
        (Level.ERROR, "msul3 unreadable"),
    ]
    assert found[0].text.startswith("2 messages to msul2 wait, the oldest for ")
    assert found[1].text.endswith("loncontrol queue ls msul2")


# --- the run ----------------------------------------------------------------------------------------------


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_visit: Visit) -> Iterator[Finding]:
        yield from ()
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(run, "CHECKS", (broken, lambda _visit: iter([NOTICE])))
    found = run.look(visit)
    assert [finding.text for finding in found][1:] == ["much to do"]
    assert "ZeroDivisionError: by nothing" in found[0].text


def test_what_cannot_be_told_is_said_on_standard_error(
    visit: Visit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "CHECKS", (lambda _visit: iter(ERRORS),))
    with socket.socket() as nobody:
        nobody.bind((OWN, 0))  # bound, but nobody listens
        server = f"{OWN}:{nobody.getsockname()[1]}"
        visit.site = replace(visit.site, config=replace(visit.site.config, smtp_server=server))
        for _ in range(2):
            assert run.full_run(visit, with_mail=True) == run.FAILED
            assert capsys.readouterr().err.startswith(f"loncron: {server} does not take the mail: ")
    assert run.full_run(visit, with_mail=False) == run.OK
    assert capsys.readouterr() == ("", "")
    page = (visit.site.config.doc_root / "lon-status" / "index.html").read_text()
    assert "lonc is dead (2)" in page


def test_a_broken_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--conf", str(tmp_path / "none")]) == 6
    assert "none: cannot be read" in capsys.readouterr().err


def test_a_broken_table_is_told_and_the_daemons_are_looked_after_all_the_same(
    conf: Path, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = site.config.tab_dir / "hosts.tab"
    table.write_text("broken\n")
    sent: list[str] = []
    monkeypatch.setattr(mail, "send", lambda _site, message: sent.append(message.get_content()))
    monkeypatch.setattr(command_line, "open_log", lambda *_arguments, **_options: None)
    for number in (1, 1):
        assert main(["--conf", str(conf)]) == 6
        assert capsys.readouterr().err.startswith(f"loncron: {table}:1: ")
        assert len(sent) == number
    assert f"ERROR    tables: {table}:1: " in sent[0]
    for name in ("lonc", "lond"):
        assert f"ERROR    daemons: {name} is not running; it could not be started: " in sent[0]
    assert main(["--conf", str(conf), "--justcheckdaemons"]) == 1
    assert "lonc is not running" in capsys.readouterr().out
    assert main(["--conf", str(conf), "--justcheckconnections"]) == 6
    assert main(["--conf", str(conf), "--dry-run"]) == 0
    assert f"error    tables: {table}:1: " in capsys.readouterr().out


# --- connections ------------------------------------------------------------------------------------------


def test_what_is_told_of_connections(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    states = [
        Peer("msul1", "down", why="connection refused"),
        Peer("msul2", "given up", since=7200.0, why="connection refused"),
        Peer("msul3", "paused", why="by root: its disk is replaced"),
    ]
    monkeypatch.setattr(Visit, "peers", lambda _visit: states)
    tried: list[list[str]] = []

    def reached(_site: Site, hosts: list[str]) -> dict[str, Answer]:
        tried.append(hosts)
        return {host: Answer(host, "" if host == "msul2" else "connection refused", 0.1) for host in hosts}

    monkeypatch.setattr(connections, "reach", reached)
    assert shown(connections.check(visit)) == [
        "notice: msul3 is paused by root: its disk is replaced",
        f"error: this host itself, msul1 ({OWN} port 5663), can't be reached: connection refused",
        "notice: msul2 answers, but its link was given up (connection refused); lonc was told to try again",
    ]
    states[1] = Peer("msul2", "hung", why="process 7 (up) has given no sign of life for 12 s")
    assert shown(connections.check(visit))[0].startswith("error: the link to msul2: process 7 (up) has given no sign")
    states[:] = [Peer("msul1", "up"), Peer("msul2", "delivering"), Peer("msul3", "up", idle=True)]
    assert shown(connections.check(visit)) == []
    assert tried == [["msul1", "msul2"], ["msul1", "msul2"], []]


def test_unused_copies_that_stay_are_told_by_the_next_run(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {f"msu/smith/{n}.html": "permission denied" for n in range(5)}
    outcomes: list[Sweep | OSError] = [Sweep(1, ("a",), failed, 2), OSError("no such disk"), Sweep(0, (), {}, 0)]

    def swept(_resources: object) -> Sweep:
        outcome = outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    monkeypatch.setattr(Resources, "sweep", swept)
    assert shown(copies.check(visit)) == []
    copies.sweep(visit)
    [text] = shown(copies.check(visit))
    assert text.startswith("notice: 5 unused copies can't be deleted: msu/smith/0.html (permission denied), ")
    copies.sweep(visit)
    assert shown(copies.check(visit)) == ["warning: unused copies can't be looked for: no such disk"]
    copies.sweep(visit)
    assert shown(copies.check(visit)) == []


# --- reaching hosts ---------------------------------------------------------------------------------------


@pytest.fixture
def listener(site: Site) -> Iterator[socket.socket]:
    with socket.socket() as channel:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        channel.bind((PEER, site.config.lond_port))
        channel.listen()
        yield channel


def test_a_host_that_refuses_and_one_that_says_nothing(site: Site, listener: socket.socket) -> None:
    answers = reach(site, ["msul2", "msul3"])
    assert list(answers) == ["msul2", "msul3"]
    assert answers["msul2"].why == "connected, but no key exchange within 1 s"
    assert answers["msul3"].why == os.strerror(errno.ECONNREFUSED).lower()
    assert answers["msul2"].seconds > answers["msul3"].seconds and not answers["msul2"].reached


def test_hosts_beyond_the_time_limit_are_not_tried(
    site: Site, monkeypatch: pytest.MonkeyPatch, listener: object
) -> None:
    monkeypatch.setattr("loncron.reach.AT_ONCE", 1)
    assert [answer.why for answer in reach(site, ["msul2", "msul3"]).values()] == [
        "connected, but no key exchange within 1 s",
        "not tried",
    ]
