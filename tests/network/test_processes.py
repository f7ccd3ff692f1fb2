"""What the processes of the daemons own and show, and their logs."""

from __future__ import annotations

import os
import re
import signal
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.helpers.daemons import (
    DOWN,
    HERE,
    OK,
    PEER,
    callers,
    children,
    none_ends_meanwhile,
    signals,
    status_of,
    title,
    wait_for_reload,
    wait_until_settled,
)
from tests.helpers.federation import Daemon, Federation, Host
from tests.helpers.loncontrol import control
from tests.helpers.small_disk import fill, small_disk
from tests.helpers.waiting import eventually, open_descriptors


def test_titles(pair: Federation) -> None:
    here = pair.hosts[HERE]

    @none_ends_meanwhile()
    def say_who_they_are() -> None:
        assert re.fullmatch("lonc: parent, 2 of 3 links up", title(here.lonc.pid))
        assert re.fullmatch("lond: parent, 2 links, [234] spares", title(here.lond.pid))
        lonc = sorted(title(pid) for pid in children(here.lonc))
        assert len(lonc) == 3
        assert re.fullmatch(r"lonc: msua1 up 0d 00:0\d q=0", lonc[0])
        assert re.fullmatch(r"lonc: msul1 up 0d 00:0\d q=0", lonc[1])
        assert re.fullmatch(r"lonc: msul2 down \(connection refused\), next try in \d+s", lonc[2])
        lond = sorted(title(pid) for pid in children(here.lond))
        others = [name for name in lond if not name.startswith(("lond: asker", "lond: hasher", "lond: updater"))]
        assert others == ["lond: idle"] * (len(others) - 2) + ["lond: msua1", "lond: msul1"]
        workers = ["asker"] * 2 + ["asker-known"] * 2 + ["hasher"] * 2 + ["updater"] * 2
        assert [name.split()[1] for name in lond if name not in others] == workers

    eventually(say_who_they_are)


def owned(pid: int, directory: Path) -> Counter[str]:
    """What a process has open, without numbers; files by their name in the host's directory."""
    names = (name.removeprefix(f"{directory}/") for name in open_descriptors(pid).values())
    return Counter(re.sub(r":\[\d+\]$", "", name) for name in names)


def numbered(pid: int) -> set[str]:
    """The sockets and pipes that a process has open."""
    return {name for name in open_descriptors(pid).values() if name.startswith(("socket:", "pipe:"))}


def expected(name: str, **others: int) -> Counter[str]:
    common = {
        "/dev/null": 1,
        f"{name}.stderr": 2,
        f"logs/{name}.log": 1,
        f"run/.{name}.scoreboard": 1,
        f"run/.{name}.counters": 1,
    }
    return Counter({**common, "anon_inode:[eventpoll]": 1, "pipe": 2, **others})


@none_ends_meanwhile()
def own_nothing_else(here: Host) -> None:
    """Every child of both daemons has open what it needs; nothing of a sibling, nothing of its parent."""
    for slot in here.lonc.slots():
        if slot.host != DOWN:  # that one lives for a moment only
            lease = {f"delayed/{slot.host}.lease": 1}
            callers_now = slot.connections
            assert owned(slot.pid, here.directory) == expected("lonc", socket=3 + callers_now, **lease), slot
    throttle = {"/memfd:lond-throttle (deleted)": 2}  # the descriptor and its mapping
    for slot in here.lond.slots():  # a lifeline, and either the link or a listening socket
        assert slot.state in ("serving", "idle", "hasher", "asker", "asker-known", "updater")
        others = {} if slot.state == "updater" else throttle
        assert owned(slot.pid, here.directory) == expected("lond", socket=2, **others), slot


@none_ends_meanwhile()
def share_nothing(here: Host) -> None:
    """No socket or pipe is open in two processes, but for listening sockets: in the parent and those who accept."""
    for daemon in (here.lonc, here.lond):
        holders = Counter(name for pid in daemon.session() for name in numbered(pid))
        shared = {name: count for name, count in holders.items() if count > 1}
        accepting = ("idle", "hasher", "asker", "asker-known", "updater")
        acceptors = Counter(slot.state for slot in daemon.slots() if slot.state in accepting)
        expected_holders = sorted(1 + number for number in acceptors.values()) if daemon is here.lond else []
        assert sorted(shared.values()) == expected_holders


def test_children_own_what_they_need_and_nothing_else(pair: Federation) -> None:
    here = pair.hosts[HERE]
    eventually(lambda: own_nothing_else(here))
    eventually(lambda: share_nothing(here))
    for number in range(1, 4):
        here.write_conf(lonRequestTimeout=str(40 + number))  # every child is replaced
        for daemon in (here.lonc, here.lond):
            daemon.signal(signal.SIGHUP)
            wait_for_reload(daemon, number)
        wait_until_settled(here, links=2)
        eventually(lambda: own_nothing_else(here))
        eventually(lambda: share_nothing(here))


def test_signal_masks(pair: Federation) -> None:
    ours = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}

    @none_ends_meanwhile()
    def as_they_should_be(daemon: Daemon) -> None:
        for pid in daemon.session():
            status = status_of(pid)
            assert signals(status["SigBlk"]) == set()
            assert signals(status["SigIgn"]) == {signal.SIGPIPE, signal.SIGXFSZ}
            assert signals(status["SigCgt"]) == ours | ({signal.SIGCHLD} if pid == daemon.pid else set())

    for daemon in (pair.hosts[HERE].lonc, pair.hosts[HERE].lond):
        eventually(partial(as_they_should_be, daemon))


def test_no_core_files_and_no_open_modes(pair: Federation) -> None:
    here = pair.hosts[HERE]
    assert here.lonnet().critical("ping", PEER) == PEER  # makes the FIFO

    @none_ends_meanwhile()
    def limits() -> None:
        for pid in here.lonc.session() + here.lond.session():
            assert re.search(r"Max core file size +1 +1 ", Path(f"/proc/{pid}/limits").read_text())
            assert status_of(pid)["Umask"] == "0027"

    eventually(limits)
    modes = {
        "logs": 0o750, "run": 0o750, "delayed": 0o700, "users": 0o700,
        "logs/lonc.pid": 0o640, "logs/lond.pid": 0o640, "logs/lonc.log": 0o640, "logs/lond.log": 0o640,
        "run/.lonc.scoreboard": 0o640, "run/.lond.scoreboard": 0o640,
        "run/.lonc.counters": 0o640, "run/.lond.counters": 0o640,
        f"run/{HERE}": 0o660, f"run/{PEER}": 0o660, f"delayed/{PEER}.db": 0o600, f"delayed/{PEER}.lease": 0o600,
    }  # fmt: skip
    assert {name: stat.S_IMODE((here.directory / name).stat().st_mode) for name in modes} == modes


def log_lines(host: Host, name: str) -> list[str]:
    """All lines of the log and its rotated files, each once even if a file is renamed meanwhile."""
    found: dict[int, str] = {}
    for path in (host.directory / "logs").glob(f"{name}.log*"):
        with suppress(FileNotFoundError), path.open() as file:
            found[os.fstat(file.fileno()).st_ino] = file.read()
    return [line for text in found.values() for line in text.splitlines()]


def test_rotation_under_load_loses_no_line(pair: Federation) -> None:
    here = pair.hosts[HERE]
    wait_until_settled(here, links=2)
    logs, pids = here.directory / "logs", [slot.pid for slot in here.lond.slots()]
    pace, first = threading.Event(), Counter(re.findall(r"lond\[(\d+)\]", here.lond.log))

    def status_lines(pid: int) -> int:
        return sum(f"lond[{pid}] " in line for line in log_lines(here, "lond")) - first[str(pid)]

    def log_hundred(pid: int) -> None:
        def has_logged(number: int) -> bool:
            return status_lines(pid) >= number

        for number in range(1, 101):
            os.kill(pid, signal.SIGUSR1)
            eventually(partial(has_logged, number), pause=0.001)

    with callers(pair.hosts[PEER], HERE, 2), ThreadPoolExecutor(len(pids)) as pool:
        logging = [pool.submit(log_hundred, pid) for pid in pids]
        rotations = 0
        while not all(future.done() for future in logging):
            if (logs / "lond.log").exists():
                (logs / "lond.log").rename(logs / f"lond.log.{rotations}")
                rotations += 1
            pace.wait(0.01)
        for future in logging:
            future.result()
    assert rotations > 1
    assert [status_lines(pid) for pid in pids] == [100] * len(pids)
    here.lond.signal(signal.SIGUSR1)
    eventually(lambda: (logs / "lond.log").exists() and "spares" in here.lond.log)


@contextmanager
def full_log(host: Host) -> Iterator[list[Path]]:
    """Both logs lie on a disk that is full; they are taken away at the end, for nobody can read them."""
    logs = [host.directory / "logs" / f"{name}.log" for name in ("lonc", "lond")]
    logs[0].parent.mkdir(exist_ok=True)
    for path in logs:
        path.symlink_to("/dev/full")
    with ExitStack() as stack:
        for path in logs:
            stack.callback(path.unlink, missing_ok=True)
        yield logs
        host.stop()


def say_much(host: Host) -> None:
    """Have both daemons log more than any buffer holds, and serve all the while."""
    net = host.lonnet()
    for round in range(5):
        for daemon in (host.lonc, host.lond):
            for number in (signal.SIGUSR1, signal.SIGHUP):
                daemon.signal(number)
        for _ in range(100):
            assert net.reply("ping", HERE) == HERE, round
    assert host.lonc.running and host.lond.running


def test_a_full_disk_stops_nobody(host: Host) -> None:
    with full_log(host):
        host.start()
        eventually(host.socket_path(HERE).exists)
        say_much(host)
        assert host.lonc.stop() == OK
        assert host.lond.stop() == OK


def test_rotation_on_a_full_disk_stops_nobody(host: Host) -> None:
    with full_log(host) as logs:
        host.start()
        eventually(host.socket_path(HERE).exists)
        say_much(host)
        for path in logs:
            path.unlink()
        say_much(host)


def test_a_disk_that_runs_full_stops_nobody_and_has_logs_again_when_there_is_room(host: Host) -> None:
    with small_disk(host, "logs", 256) as logs:
        host.start()
        eventually(host.socket_path(HERE).exists)
        other = fill(logs)

        def last_blocks_are_full() -> bool:
            say_much(host)
            return all(path.stat().st_size % 4096 == 0 for path in logs.glob("*.log"))

        eventually(last_blocks_are_full)
        say_much(host)
        host.lond.kill()
        host.wait_for_no_link(HERE)
        host.start_lond()  # the pid file is written in place: a restart needs no room
        eventually(host.socket_path(HERE).exists)
        say_much(host)
        other.unlink()
        for daemon in (host.lonc, host.lond):
            log = logs / f"{daemon.name}.log"
            before = log.stat().st_size
            daemon.signal(signal.SIGUSR1)
            eventually(partial(has_grown, log, before))
        assert host.lonnet().reply("ping", HERE) == HERE


def has_grown(log: Path, size: int) -> bool:
    return log.stat().st_size > size


def test_a_start_on_a_disk_that_is_full_is_no_other_start(host: Host) -> None:
    with small_disk(host, "logs", 256) as logs:
        fill(logs)
        started = control(host, "start")
        assert started.returncode == OK, started.stderr
        for name in ("lond", "lonc"):
            path = logs / f"{name}.pid"
            assert f"{name}: {path} can't be written: No space left on device" in started.stderr
            assert path.read_bytes() == b""
        host.wait_for_link(HERE)
        assert control(host, "status").returncode == OK
        assert control(host, "stop").returncode == OK
        assert control(host, "status").returncode == 3


@pytest.mark.parametrize("trouble", ["a directory in its place", "logs moved away", "logs is a file"])
def test_a_log_that_cannot_be_opened_again_stops_nobody(host: Host, trouble: str) -> None:
    host.start()
    host.wait_for_link(HERE)
    logs, aside = host.directory / "logs", host.directory / "logs.aside"
    if trouble == "a directory in its place":
        for name in ("lonc", "lond"):
            (logs / f"{name}.log").unlink()
            (logs / f"{name}.log").mkdir()
    else:
        logs.rename(aside)
        if trouble == "logs is a file":
            logs.write_text("")
    try:
        say_much(host)
    finally:
        if aside.exists():
            logs.unlink(missing_ok=True)
            aside.rename(logs)
        else:
            for name in ("lonc", "lond"):
                (logs / f"{name}.log").rmdir()
