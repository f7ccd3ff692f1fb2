"""What the tests of the daemons look at: processes, titles, masks, pid files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from common.pidfile import running_pid
from tests.helpers.federation import ROOT, Daemon, Host
from tests.helpers.waiting import eventually, processes_in_session

HERE, PEER, DOWN = "msul1", "msua1", "msul2"
OK, USAGE, UNAVAILABLE, CONFIG = 0, 64, 69, 78
ENDS = 60.0  # seconds; only a test that fails waits so long

both = pytest.mark.parametrize("name", ["lonc", "lond"])


def run(host: Host, name: str, *options: str, conf: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command to its end; without --foreground that is when the daemon serves or has failed."""
    command = [sys.executable, "-W", "error", str(ROOT / "scripts" / name), "--conf", str(conf or host.conf), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=ENDS, stdin=subprocess.DEVNULL)


def pid_file(host: Host, name: str) -> Path:
    return host.directory / "logs" / f"{name}.pid"


def pid_in(path: Path) -> int:
    """The number on the first line of a pid file."""
    return int(path.read_text().split("\n")[0])


def daemon_of(host: Host, name: str) -> Daemon:
    return host.lonc if name == "lonc" else host.lond


def stop_by_pid_file(host: Host, name: str) -> None:
    """As an administrator does it: TERM to the pid in the file, and wait until nothing is left."""
    pid = running_pid(pid_file(host, name))
    assert pid is not None
    session = os.getsid(pid)
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not living(session), ENDS)
    assert not pid_file(host, name).exists()


def kill_parent(pid: int) -> None:
    """SIGKILL, and wait for the end of its children too: until then they hold lond's port and write to the logs."""
    session = os.getsid(pid)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not living(session), ENDS)


def living(session: int) -> list[int]:
    """The processes of a session without those that have ended and wait for init to take note of it."""
    found = []
    for pid in processes_in_session(session):
        with suppress(OSError):
            if not status_of(pid)["State"].startswith("Z"):
                found.append(pid)
    return found


def children(daemon: Daemon) -> list[int]:
    return [pid for pid in daemon.session() if pid != daemon.pid]


@contextmanager
def none_ends_meanwhile() -> Iterator[None]:
    """A process that ends while it is looked at is a reason to look again, in :func:`eventually`."""
    try:
        yield
    except (FileNotFoundError, ProcessLookupError) as error:
        raise AssertionError("a process ended meanwhile") from error


def status_of(pid: int) -> Mapping[str, str]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def stop_child(pid: int) -> None:
    """SIGSTOP a process, and wait until it stands still."""
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: status_of(pid)["State"].startswith("T"))


def signals(mask: str) -> set[int]:
    """The numbers in one of the masks of /proc/PID/status."""
    return {number for number in range(1, 65) if int(mask, 16) >> (number - 1) & 1}


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


def no_links_missing(host: Host, *peers: str) -> None:
    """Exactly one child per peer, and all of them up."""
    states = Counter((slot.host, slot.state) for slot in host.lonc.slots())
    assert states == {(peer, "up"): 1 for peer in peers}, states


def settled(host: Host, links: int) -> None:
    """As many links as there should be, and as many spares; nobody else."""
    states = Counter(slot.state for slot in host.lond.slots())
    assert (
        states["serving"] == links
        and 2 <= states["idle"] <= 4
        and set(states) == {"serving", "idle", "hasher", "asker", "asker-known", "updater"}
    ), states
    assert len(children(host.lond)) == sum(states.values())


def wait_until_settled(host: Host, links: int) -> None:
    eventually(lambda: settled(host, links))


def wait_for_end_of_all(daemon: Daemon, timeout: float = ENDS) -> None:
    eventually(lambda: not living(daemon.pid), timeout)


def wait_for_reload(daemon: Daemon, times: int) -> None:
    """Until a configuration was taken over so many times since the start."""
    eventually(lambda: daemon.log.count("configuration taken over") >= times)


def wait_for_more(count: Callable[[], int]) -> None:
    before = count()
    eventually(lambda: count() > before)


@contextmanager
def callers(host: Host, peer: str, number: int) -> Iterator[Callable[[], int]]:
    """Meanwhile so many callers ask without a pause; every answer must be right. Yields how many came so far."""
    net, over, answers = host.lonnet(), threading.Event(), [0] * number

    def ask(caller: int) -> None:
        while not over.is_set():
            answer = net.reply("ping", peer)
            assert answer == peer, f"answer {answers[caller]}: {answer}"
            answers[caller] += 1
        net.close_thread()

    with ThreadPoolExecutor(number) as pool:
        asking = [pool.submit(ask, caller) for caller in range(number)]
        try:
            yield lambda: sum(answers)
        finally:
            over.set()
            for future in asking:
                future.result(ENDS)
