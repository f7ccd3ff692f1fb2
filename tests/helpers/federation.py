"""Real daemons of several hosts on loopback addresses, each host in a directory of its own.

Used by the network tests, the benchmark and the demonstration. Readiness is learnt from the daemons' own words to a
notify socket, never from time. :meth:`Federation.close` ends everything and raises if anything is left behind.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from common.scoreboard import Scoreboard, Slot, scoreboard_path
from common.site import Site, load_site
from lonnet import Lonnet
from tests.helpers.unprivileged import Account
from tests.helpers.waiting import eventually, processes_in_session

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 60.0
END_SECONDS = 30.0

QUICK = {  # limits of a test network: the same code, shorter waits
    "lonRetryFirst": "0.1",
    "lonRetryMax": "1",
    "lonStableAfter": "0.5",
    "lonMaxAttempts": "100000",  # 15 at this pace are over in 12 s: what is down would be given up while a test looks
    "lonGrace": "20",  # longer than a busy machine stalls a child that drains
}


BUG = re.compile(r"Traceback| ERROR: internal error ")  # what no log may say, whatever a test does


class Daemon:
    """One daemon process that runs in the foreground of a session of its own."""

    def __init__(self, host: Host, name: str) -> None:
        self.name, self.host = name, host
        self.process: subprocess.Popen[bytes] | None = None
        self._notify: socket.socket | None = None
        self.words: list[str] = []

    @property
    def pid(self) -> int:
        """The parent's pid."""
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the parent lives."""
        return self.process is not None and self.process.poll() is None

    def launch(self) -> None:
        """Start without waiting."""
        assert not self.running
        self.forget()
        notify_path = self.host.directory / f"{self.name}.notify"
        notify_path.unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(notify_path))
        self.host.federation.give(notify_path)
        account = self.host.federation.account
        interpreter = account.python if account else sys.executable
        command = [*self.host.entrance, interpreter, "-W", "error", str(ROOT / "scripts" / self.name)]
        with (self.host.directory / f"{self.name}.stderr").open("ab") as stderr:
            self.process = subprocess.Popen(
                [*command, "--conf", str(self.host.conf), "--foreground"],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                start_new_session=True,
                env={**os.environ, "NOTIFY_SOCKET": str(notify_path), **(account.environment if account else {})},
                **(account.popen if account else {}),
            )

    def start(self) -> None:
        """Start and wait until the daemon says that it is ready."""
        self.launch()
        self.wait_for("READY=1")

    def wait_for(self, word: str, timeout: float = START_SECONDS) -> None:
        """Wait for a line to the service manager; an end of the daemon is an error with its last words."""
        assert self._notify is not None and self.process is not None
        while word not in self.words:
            if not select.select([self._notify], [], [], min(timeout, 0.2))[0]:
                timeout -= 0.2
                if self.process.poll() is not None or timeout <= 0:
                    raise AssertionError(f"{self.name} of {self.host.id} did not say {word}: {self.last_words()}")
                continue
            self.words += self._notify.recv(4096).decode().split("\n")
        self.words.clear()

    def last_words(self) -> str:
        """The end of what the daemon wrote to standard error."""
        return (self.host.directory / f"{self.name}.stderr").read_text()[-2000:]

    def signal(self, number: int) -> None:
        """Signal the parent."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """TERM, and wait; the exit code. Every process of the session must be gone."""
        assert self.process is not None
        if self.running:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        code = self._wait(END_SECONDS)
        eventually(self._nobody_left, END_SECONDS)
        self.forget()
        return code

    def kill(self) -> None:
        """Kill the parent with -9; its children must notice by themselves."""
        assert self.process is not None
        self.signal(signal.SIGKILL)
        self._wait(END_SECONDS)
        eventually(self._nobody_left, END_SECONDS)

    def _wait(self, timeout: float) -> int:
        assert self.process is not None
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"{self.name} of {self.host.id} did not end: {self.last_words()}") from None

    def _nobody_left(self) -> None:
        left = processes_in_session(self.pid)
        assert not left, f"children of {self.name} of {self.host.id} are left: {left}"

    def session(self) -> list[int]:
        """The pids of the parent and its children."""
        return processes_in_session(self.pid)

    def forget(self) -> None:
        """Close what belongs to a process that has ended."""
        if self._notify is not None:
            self._notify.close()
            self._notify = None

    def slots(self) -> list[Slot]:
        """The scoreboard."""
        board = Scoreboard.open(scoreboard_path(self.host.directory / "run", self.name))
        try:
            return list(board.all())
        finally:
            board.close()

    def slot(self, peer: str, state: str) -> Slot:
        """The slot of the child for a peer that is in a state."""
        found = [slot for slot in self.slots() if slot.host == peer and slot.state == state]
        assert found, f"no {self.name} child of {self.host.id} is {state} for {peer}: {self.slots()}"
        return found[-1]

    @property
    def log(self) -> str:
        """The log so far."""
        path = self.host.directory / "logs" / f"{self.name}.log"
        return path.read_text() if path.exists() else ""


class Host:
    """One host: its directory, configuration, daemons."""

    def __init__(self, federation: Federation, id: str, ip: str) -> None:
        self.federation, self.id, self.ip = federation, id, ip
        self.directory = federation.directory / id
        self.directory.mkdir()
        federation.give(self.directory)
        self.conf = self.directory / "loncapa.conf"
        self.settings: dict[str, str] = {}
        self.entrance: Sequence[str] = ()  # what the daemons' commands begin with, to run in a network namespace, say
        self.lonc, self.lond = Daemon(self, "lonc"), Daemon(self, "lond")

    def write_conf(self, **settings: str) -> None:
        """Write loncapa.conf with the settings so far and these; nobody ever reads half of it."""
        self.settings |= settings
        directories = {
            "lonTabDir": self.federation.directory / "tables",
            "lonSockDir": self.directory / "run",
            "lonDelayedDir": self.directory / "delayed",
            "lonDaemons": self.directory,
            "lonUsersDir": self.directory / "users",
            "lonDocRoot": self.directory / "html",
            "lonIDsDir": self.directory / "ids",
        }
        values = {"lonHostID": self.id, "londPort": self.federation.port, **directories, **self.settings}
        new = self.conf.with_suffix(".new")
        new.write_text("".join(f"PerlSetVar {name} {value}\n" for name, value in values.items()))
        new.rename(self.conf)

    def start_lond(self) -> None:
        """Start lond, wait until it serves."""
        self.lond.start()

    def start_lonc(self) -> None:
        """Start lonc, wait until it has read its tables; its links come up by themselves."""
        self.lonc.start()

    def start(self) -> None:
        """Both daemons."""
        self.start_lond()
        self.start_lonc()

    def stop(self) -> None:
        """Both daemons, as an administrator does it."""
        for daemon in (self.lonc, self.lond):
            if daemon.running:
                daemon.stop()

    def kill(self) -> None:
        """Both daemons, as a power cut does it."""
        for daemon in (self.lonc, self.lond):
            if daemon.running:
                daemon.kill()

    def socket_path(self, peer: str) -> Path:
        """Where callers find the link to a peer."""
        return self.directory / "run" / peer

    def wait_for_link(self, peer: str, timeout: float = START_SECONDS) -> None:
        """Wait until the link to a peer stands."""

        def stands() -> None:
            assert self.socket_path(peer).exists(), f"no link {self.id} -> {peer}: {self.lonc.log[-2000:]}"
            self.lonc.slot(peer, "up")  # the child shows it a moment after its socket has appeared

        eventually(stands, timeout)

    def wait_for_no_link(self, peer: str, timeout: float = START_SECONDS) -> None:
        """Wait until callers can see that the link is gone."""
        eventually(lambda: not self.socket_path(peer).exists(), timeout)

    def site(self) -> Site:
        """The host's configuration as it is now."""
        return load_site(self.conf)

    def lonnet(self) -> Lonnet:
        """A client as a handler on this host has it; closed with the federation."""
        net = Lonnet(self.site())
        self.federation.clients.append(net)
        return net


class Federation:
    """Several hosts that share one set of tables.

    :param hosts: ids; ``l`` in the id makes it a library server.
    :param links: lines of links.tab, host id to options.
    :param addresses: where hosts live, if they can't be chosen freely.
    :param account: whom the daemons run as; None: as the tests.
    """

    port = 5663

    def __init__(
        self,
        hosts: Sequence[str],
        links: Mapping[str, str] | None = None,
        addresses: Mapping[str, str] | None = None,
        directory: Path | None = None,
        settings: Mapping[str, str] = QUICK,
        account: Account | None = None,
    ) -> None:
        # A short path: the name of a UNIX socket has 107 bytes at most.
        self._temporary = None if directory else tempfile.TemporaryDirectory(prefix="lon")
        self.directory = directory or Path(self._temporary.name if self._temporary else "")
        self.clients: list[Lonnet] = []
        self.lines: dict[str, str] = {}
        self.account = account
        self.give(self.directory)
        (self.directory / "tables").mkdir()
        net = f"127.{1 + os.getpid() % 200}.{1 + os.getpid() // 200 % 200}"
        self.hosts: dict[str, Host] = {}
        for number, id in enumerate(hosts, 11):
            self.add(id, (addresses or {}).get(id, f"{net}.{number}"), settings)
        self.write_tables(links)

    def add(self, id: str, ip: str, settings: Mapping[str, str] = QUICK) -> Host:
        """One more host; the tables are not written yet."""
        role = "library" if "l" in id else "access"
        self.lines[id] = f"{id}:{id.rstrip('0123456789')[:-1] or 'dom'}:{role}:{id}.example.org:{ip}"
        host = self.hosts[id] = Host(self, id, ip)
        host.write_conf(**settings)
        return host

    def write_tables(self, links: Mapping[str, str] | None = None) -> None:
        """Write hosts.tab and links.tab."""
        tables = self.directory / "tables"
        (tables / "hosts.tab").write_text("".join(f"{line}\n" for line in self.lines.values()))
        (tables / "links.tab").write_text("".join(f"{host}:{options}\n" for host, options in (links or {}).items()))

    def give(self, path: Path) -> None:
        """Let a file belong to the daemons' user."""
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)

    def start(self, *ids: str) -> None:
        """Start both daemons of these hosts (of all, if none is named) and wait for every link among them."""
        hosts = [self.hosts[id] for id in ids or self.hosts]
        for name in ("lond", "lonc"):
            daemons = [getattr(host, name) for host in hosts]
            for daemon in daemons:
                daemon.launch()
            for daemon in daemons:
                daemon.wait_for("READY=1")
        for host in hosts:
            for peer in hosts:
                host.wait_for_link(peer.id)

    def daemons(self) -> Iterator[Daemon]:
        """All daemons that run."""
        for host in self.hosts.values():
            for daemon in (host.lonc, host.lond):
                if daemon.running:
                    yield daemon

    def close(self) -> None:
        """End everything; raises AssertionError if a process or a socket is left, or a daemon logged a traceback."""
        for client in self.clients:
            client.close()
        problems = []
        running = list(self.daemons())
        for daemon in running:
            with contextlib.suppress(ProcessLookupError):
                daemon.signal(signal.SIGCONT)
                daemon.signal(signal.SIGTERM)
        for daemon in running:
            try:
                code = daemon.stop()
                if code != 0:
                    problems.append(f"{daemon.name} of {daemon.host.id} ended with {code}: {daemon.last_words()}")
            except AssertionError as error:
                problems.append(str(error))
        for host in self.hosts.values():
            problems += [f"left behind: {path}" for path in _left_behind(host)]
            for daemon in (host.lonc, host.lond):
                daemon.forget()
                problems += [f"{host.id}: {line}" for line in daemon.log.splitlines() if BUG.search(line)]
        if self._temporary:
            self._temporary.cleanup()
        assert not problems, "\n".join(problems)


@contextlib.contextmanager
def running(*hosts: str) -> Iterator[Federation]:
    """A federation whose daemons run."""
    with contextlib.closing(Federation(hosts)) as made:
        made.start()
        yield made


def _left_behind(host: Host) -> list[Path]:
    run, logs = host.directory / "run", host.directory / "logs"
    sockets = [path for path in run.iterdir() if path.is_socket()] if run.exists() else []
    return sockets + (list(logs.glob("*.pid")) if logs.exists() else [])
