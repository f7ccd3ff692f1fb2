"""``loncontrol``: what an init script calls, and what an administrator types first.

Exit codes are those of the LSB for init scripts: 0 good; status: 0 both daemons run, 1 one is dead with its pid file
left, 3 stopped; else 1 failed, 2 usage, 6 not configured, 7 not running.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from common.config import config_path
from common.errors import ConfigError
from common.site import Site, load_site
from loncontrol.children import COLUMNS as CHILD_COLUMNS
from loncontrol.children import children
from loncontrol.daemons import ORDER, Daemon, State
from loncontrol.peers import COLUMNS, Peer, peers

OK, FAILED, NOT_CONFIGURED, NOT_RUNNING = 0, 1, 6, 7
STATUS_DEAD, STATUS_STOPPED = 1, 3


class Control:
    """The daemons of this host, in the order of starting."""

    def __init__(self, site: Site, conf: Path) -> None:
        self.site = site
        self.daemons = [Daemon(name, site, conf) for name in ORDER]

    def start(self) -> int:
        """Start what does not run; have a running lonc try its lost links again."""
        for daemon in self.daemons:
            if daemon.state is State.RUNNING:
                _say(f"{daemon.name} runs already, pid {daemon.pid}")
                if daemon.name == "lonc":
                    daemon.signal(signal.SIGUSR1)
                continue
            code, words = daemon.start()
            if code:
                return _complain(words or f"{daemon.name} ended with {code}")
            _say(f"{daemon.name} started, pid {daemon.pid}")
        return OK

    def stop(self) -> int:
        """End what runs, lonc first."""
        for daemon in reversed(self.daemons):
            if daemon.state is not State.RUNNING:
                _say(f"{daemon.name} does not run")
            elif daemon.stop():
                _say(f"{daemon.name} stopped")
            else:
                return _complain(f"{daemon.name} did not stop; pid {daemon.pid}, see its log")
        return OK

    def restart(self) -> int:
        """Stop, then start."""
        return self.stop() or self.start()

    def try_restart(self) -> int:
        """Restart if anything runs."""
        running = any(daemon.state is State.RUNNING for daemon in self.daemons)
        return self.restart() if running else OK

    def reload(self) -> int:
        """Check the configuration; if it is good, have both daemons read it again."""
        if code := self.configtest():
            return code
        reached = [daemon.signal(signal.SIGHUP) for daemon in self.daemons]
        return OK if all(reached) else NOT_RUNNING

    def configtest(self) -> int:
        """Say what is wrong with configuration and tables."""
        for daemon in self.daemons:
            code, words = daemon.check()
            if code:
                return _complain(words, NOT_CONFIGURED)
        _say(f"configuration of {self.site.own.id} is good: {len(self.site.table.hosts)} hosts")
        return OK

    def status(self) -> int:
        """Say which daemons run."""
        states = [daemon.state for daemon in self.daemons]
        for daemon, state in zip(self.daemons, states, strict=True):
            _say(f"{daemon.name}: {state.value}" + (f", pid {daemon.pid}" if state is State.RUNNING else ""))
        if all(state is State.RUNNING for state in states):
            return OK
        return STATUS_DEAD if State.DEAD in states else STATUS_STOPPED

    def retry(self) -> int:
        """Have lonc try every lost link again now."""
        if self.daemons[1].signal(signal.SIGUSR1):
            return OK
        return _complain("lonc does not run", NOT_RUNNING)

    def peers(self, as_json: bool, verbose: bool) -> int:
        """One line per peer."""
        found = list(peers(self.site, self.daemons[1].state is State.RUNNING))
        if as_json:
            print(json.dumps([peer.as_json() for peer in found], indent=1))
        else:
            print(table(found))
        if verbose:
            print("\n" + "\n".join(f"{name:<9} {meaning}" for name, meaning in COLUMNS))
        return OK

    def children(self) -> int:
        """One line per child of the daemons that run."""
        running = [daemon.name for daemon in self.daemons if daemon.state is State.RUNNING]
        found = [child for name in running for child in children(self.site, name)]
        print(aligned([list(CHILD_COLUMNS), *(list(child.row()) for child in found)]))
        return OK


def table(found: Sequence[Peer]) -> str:
    """The peers as aligned columns."""
    return aligned([[name for name, _ in COLUMNS], *(_row(peer) for peer in found)])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(peer: Peer) -> list[str]:
    numbers = [str(number) if number else "-" for number in (peer.requests, peer.waiting, peer.delayed)]
    since, oldest, next_try = duration(peer.since), duration(peer.oldest), duration(peer.next_try)
    return [peer.host, peer.state, since, *numbers, oldest, next_try, peer.why if peer.state != "up" else ""]


def duration(seconds: float | None) -> str:
    """``3d 04h``, ``2h 05m``, ``4m 10s``, ``12s``; ``-`` for None."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    for size, large, part, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{large} {whole % size // part:02d}{small}"
    return f"{whole}s"


def _say(text: str) -> None:
    print(text, flush=True)


def _complain(text: str, code: int = FAILED) -> int:
    print(f"loncontrol: {text}", file=sys.stderr)
    return code


ACTIONS: dict[str, Callable[[Control], int]] = {
    "start": Control.start,
    "stop": Control.stop,
    "restart": Control.restart,
    "try-restart": Control.try_restart,
    "reload": Control.reload,
    "force-reload": Control.reload,
    "status": Control.status,
    "configtest": Control.configtest,
    "retry": Control.retry,
    "children": Control.children,
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = _parse(argv)
    conf = config_path(options.conf, os.environ)
    try:
        control = Control(load_site(conf), conf)
    except ConfigError as error:
        return _complain(str(error), NOT_CONFIGURED)
    if options.action == "peers":
        return control.peers(options.json, options.verbose)
    return ACTIONS[options.action](control)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="loncontrol", description="Start, stop and explain lonc and lond.")
    parser.add_argument("--conf", metavar="FILE", help="configuration (else $LONCAPA_CONF, /etc/loncapa/loncapa.conf)")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, action in ACTIONS.items():
        actions.add_parser(name, help=(action.__doc__ or "").rstrip("."))
    listing = actions.add_parser("peers", help="how the link to each host is, and what waits for it")
    listing.add_argument("-v", "--verbose", action="store_true", help="explain the columns")
    listing.add_argument("--json", action="store_true", help="for programs")
    return parser.parse_args(argv)
