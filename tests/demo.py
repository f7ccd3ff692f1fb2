"""The demonstration: a network of real daemons on loopback addresses, shown at work and checked.

Run by ``scripts/demo``. Every step says what happens and what was found; the exit code is 1 if a check failed.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from common.errors import ConfigError
from common.hosts_table import Host, parse_hosts
from common.pidfile import running_pid, signal_daemon
from lonnet import Lonnet
from tests.helpers.activity import arrivals, make_user, message, nothing_waits
from tests.helpers.callers import Caller, start_caller
from tests.helpers.federation import QUICK, ROOT, Federation
from tests.helpers.waiting import eventually
from tests.transactions import Play, cast, prepare

LOAD_SECONDS = 2.0
MESSAGES = 25


class Screen:
    """What the reader sees: steps, progress that overwrites itself on a terminal, checks."""

    def __init__(self) -> None:
        self.failed = 0
        self._terminal = sys.stdout.isatty()

    def step(self, text: str) -> None:
        """Say what happens now."""
        print(f"\n== {text}", flush=True)

    def progress(self, text: str) -> None:
        """Say how far it is; only on a terminal."""
        if self._terminal:
            print(f"\r   {text:<76}", end="", flush=True)

    def check(self, good: bool, text: str) -> None:
        """A result; a bad one makes the demonstration fail."""
        self.failed += not good
        mark = "ok    " if good else "FAILED"
        colour = ("\033[32m" if good else "\033[31m") if self._terminal else ""
        print(
            ("\r" if self._terminal else "") + f"   {colour}{mark}{chr(27) + '[0m' if colour else ''} {text:<70}",
            flush=True,
        )


def read_table(path: Path) -> dict[str, Host]:
    """A hosts.tab whose hosts all live on loopback addresses.

    :raises ConfigError: it is wrong, or names an address that is not this machine's.
    """
    hosts = parse_hosts(path.read_text(), str(path))
    for host in hosts.values():
        if not host.ip or not ipaddress.ip_address(host.ip).is_loopback:
            raise ConfigError(
                str(path), host.line, "IP", f"{host.ip or 'empty'}: the demonstration runs on 127.x.y.z only"
            )
    if len(hosts) < 2:
        raise ConfigError(str(path), 0, "", "the demonstration needs two hosts at least")
    return hosts


def come_up(screen: Screen, federation: Federation) -> None:
    """Start all daemons and wait for all links."""
    count = len(federation.hosts)
    links = count**2
    screen.step(f"{count} hosts come up: {count} lonc, {count} lond, {links} links")
    began = time.monotonic()
    for name in ("lond", "lonc"):
        for daemon in (getattr(host, name) for host in federation.hosts.values()):
            daemon.start()
            screen.progress(f"{daemon.host.id}: {name} serves")
    eventually(lambda: all_stand(screen, federation, links), 60)
    screen.check(True, f"all {links} links stand after {time.monotonic() - began:.1f} s")


def all_stand(screen: Screen, federation: Federation, links: int) -> bool:
    standing = sum(here.socket_path(peer).exists() for here in federation.hosts.values() for peer in federation.hosts)
    screen.progress(f"{standing} of {links} links stand")
    return standing == links


def ping_all(screen: Screen, federation: Federation) -> None:
    """Every host asks every host for its id; one of them as a table."""
    first = next(iter(federation.hosts.values()))
    screen.step(f"python -m lonnet ping --all, on {first.id}")
    subprocess.run([sys.executable, "-m", "lonnet", "--conf", str(first.conf), "ping", "--all"], check=False)
    right = 0
    for host in federation.hosts.values():
        net = host.lonnet()
        right += sum(net.reply("ping", peer) == peer for peer in federation.hosts)
        screen.progress(f"{host.id} has asked everybody")
    links = len(federation.hosts) ** 2
    screen.check(right == links, f"{right} of {links} answers are the right id")


def host_down(screen: Screen, federation: Federation, here: str, there: str) -> None:
    """A host is killed; its messages wait, and arrive when it is back."""
    screen.step(f"{there} is killed (-9) and comes back; {here} has messages for it")
    down, net = federation.hosts[there], federation.hosts[here].lonnet()
    down.kill()
    federation.hosts[here].wait_for_no_link(there)
    began = time.monotonic()
    answer = net.reply("ping", there)
    screen.check(
        answer == "con_lost", f"a request is answered {answer} after {1000 * (time.monotonic() - began):.1f} ms"
    )
    before = len(arrivals(down).of(0))
    answers = [net.critical(message(0, before + number), there) for number in range(MESSAGES)]
    screen.check(answers == ["con_delayed"] * MESSAGES, f"{MESSAGES} critical messages are answered con_delayed")
    down.start_lond()
    began = time.monotonic()
    federation.hosts[here].wait_for_link(there)
    screen.check(True, f"the link stands again {time.monotonic() - began:.2f} s after lond answers")
    arrived = arrivals(down).of(0)[before:]
    in_order = arrived == list(range(before, before + MESSAGES))
    screen.check(in_order, f"{len(arrived)} messages have arrived, once each, in order: {in_order}")
    down.start_lonc()


@contextlib.contextmanager
def load(federation: Federation, here: str, there: str, first: int) -> Iterator[list[Caller]]:
    """Eight callers, numbered from `first`, that send pings and critical messages until the block ends."""

    def work(number: int) -> Callable[[Lonnet, Callable[[], bool], Callable[[str], None]], None]:
        def send(net: Lonnet, wanted: Callable[[], bool], report: Callable[[str], None]) -> None:
            sent = 0
            while wanted():
                report(net.reply("ping", there) if number % 2 else net.critical(message(number, sent), there))
                sent += 1

        return send

    result = federation.directory
    running = [start_caller(federation.hosts[here].conf, result / f"load{n}", work(n)) for n in range(first, first + 8)]
    try:
        yield running
    finally:
        for caller in running:
            caller.stop()


def pause(screen: Screen, text: str, seconds: float = LOAD_SECONDS) -> None:
    """Let the load run, and show that it does."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        screen.progress(f"{text} ({left:.1f} s)")
        threading.Event().wait(min(left, 0.2))


def reload_under_load(screen: Screen, federation: Federation, here: str, there: str) -> None:
    """HUP with a changed configuration while callers send."""
    screen.step(f"{here} and {there} read a changed configuration (HUP) under the load of 8 callers")
    with load(federation, here, there, 1) as callers:
        for round_number in range(3):
            pause(screen, f"round {round_number + 1}: every child is replaced", LOAD_SECONDS / 2)
            for host in (federation.hosts[here], federation.hosts[there]):
                host.write_conf(lonRequestTimeout=str(50 + round_number))
                host.lonc.signal(signal.SIGHUP)
                host.lond.signal(signal.SIGHUP)
        pause(screen, "the new children serve", LOAD_SECONDS / 2)
    answers = [answer for caller in callers for answer in caller.join()]
    failed = sum(answer not in (there, "ok") for answer in answers)
    screen.check(failed == 0, f"{len(answers)} requests answered, {failed} failed")


def kill_at_random(screen: Screen, federation: Federation, here: str, there: str) -> None:
    """Kill processes while critical messages are sent; all must arrive in order."""
    screen.step(f"12 processes of {here} and {there} are killed (-9) while callers send critical messages")
    daemons = [daemon for id in (here, there) for daemon in (federation.hosts[id].lonc, federation.hosts[id].lond)]
    with load(federation, here, there, 11) as callers:
        for number in range(12):
            pause(screen, f"{number} killed", 0.2)
            daemon = random.choice(daemons)
            victim = random.choice(daemon.session())
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            if victim == daemon.pid:
                daemon.kill()
                daemon.start()
    answers = {number: caller.join() for number, caller in enumerate(callers, 11)}
    eventually(lambda: nothing_waits(federation.hosts[here], there), 60)  # what was delayed last is on its way
    found = arrivals(federation.hosts[there])
    sent = {number: len(lines) for number, lines in answers.items() if number % 2 == 0}
    lost = sum(count - len(found.of(number)) for number, count in sent.items())
    screen.check(lost == 0, f"{sum(sent.values())} critical messages, {lost} lost")
    screen.check(found.in_order(), f"none overtaken; {found.duplicates} arrived twice (a link died before their reply)")


def keep(federation: Federation, play: Play | None) -> None:
    """Leave the network running until Ctrl-C, TERM or HUP."""
    first = next(iter(federation.hosts.values()))
    print(f"\nThe network runs until Ctrl-C. Its hosts live in {federation.directory}. Try, in another terminal:\n")
    print(f"   {sys.executable} -m lonnet --conf {first.conf} ping --all")
    print(f"   {sys.executable} -m lonnet --conf {first.conf} critical HOST ping")
    print(f"   {ROOT}/scripts/loncontrol --conf {first.conf} peers -v")
    print(f"   tail -f {first.directory}/logs/lonc.log\n   ps -o pid,args --ppid {first.lonc.pid}\n")
    print(f"docs/operations.md has exercises for an hour; there, D={federation.directory}\n", flush=True)
    if play:
        print(f"In a browser on this machine:\n\n{play.addresses()}\n", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    for host in federation.hosts.values():
        end_by_pid_files(host.directory / "logs")


def end_by_pid_files(logs: Path) -> None:
    """End the daemons of a host, also those that somebody has restarted by hand meanwhile."""
    pid_files = [logs / f"{name}.pid" for name in ("lonc", "lond")]
    for path in pid_files:
        signal_daemon(path, signal.SIGTERM)
    eventually(lambda: all(running_pid(path) is None for path in pid_files), 60)


def show(screen: Screen, hosts: dict[str, Host], keep_running: bool) -> None:
    """All steps in order; everything that was started is ended."""
    federation = Federation(list(hosts), addresses={host.id: host.ip for host in hosts.values()}, settings=QUICK)
    federation.lines = {
        host.id: ":".join((host.id, host.domain, host.role, host.hostname, host.ip)) for host in hosts.values()
    }
    federation.write_tables()
    parts = cast(hosts)
    if parts:
        prepare(federation, parts, hosts[parts.home].domain)
    try:
        come_up(screen, federation)
        access = next((host.id for host in hosts.values() if host.role == "access"), next(iter(hosts)))
        library = next(host.id for host in hosts.values() if host.id != access)
        make_user(federation.hosts[library])
        ping_all(screen, federation)
        host_down(screen, federation, access, library)
        reload_under_load(screen, federation, access, library)
        kill_at_random(screen, federation, access, library)
        with contextlib.ExitStack() as stack:
            play = None
            if parts:
                play = Play(screen, federation, parts, hosts[parts.home].domain)
                stack.enter_context(play.pages())
                play.play()
            else:
                screen.step("no example transactions: these need two access servers and a library server of one domain")
            if keep_running:
                keep(federation, play)
        screen.step("everything is stopped")
    finally:
        federation.close()
    screen.check(True, "no process, no socket, no pid file is left")


def end_as_by_ctrl_c() -> None:
    """Have TERM and HUP (a terminal that is closed) end the demonstration as Ctrl-C does: everything is stopped."""
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]  # not by nohup

    def end(_number: int, _frame: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)  # a terminal's end comes twice: of the kernel and of the shell
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, end)


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="A network on loopback addresses, shown and checked."
    )
    parser.add_argument("--keep", action="store_true", help="leave the network running until Ctrl-C")
    parser.add_argument(
        "--hosts", metavar="FILE", type=Path, default=ROOT / "conf" / "hosts.tab", help="another hosts.tab"
    )
    options = parser.parse_args()
    screen = Screen()
    end_as_by_ctrl_c()
    try:
        hosts = read_table(options.hosts)
    except (ConfigError, OSError) as error:
        print(f"scripts/demo: {error}", file=sys.stderr)
        return 78
    try:
        show(screen, hosts, options.keep)
    except KeyboardInterrupt:
        print("\nscripts/demo: interrupted; everything is stopped", file=sys.stderr)
        return 1
    print(f"\n{'All checks passed.' if not screen.failed else f'{screen.failed} checks FAILED.'}")
    return 1 if screen.failed else 0


if __name__ == "__main__":
    sys.exit(main())
