"""The commands that show how things are: peers, children."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator, Sequence

from common.version import SOFTWARE
from loncontrol.control import OK, Control, argument, command, say, seconds
from loncontrol.terminal import GREEN, RED, YELLOW, repeated, table, width
from lonstatus.children import COLUMNS as CHILD_COLUMNS
from lonstatus.children import children
from lonstatus.daemons import State
from lonstatus.peers import COLUMNS, STANDS, Peer, peers
from lonstatus.text import duration
from lonstatus.versions import compared, is_other


@command(
    "peers",
    "how the link to each host is, what waits for it, and why",
    argument("-v", "--verbose", action="store_true", help="explain the columns, and say who runs another version"),
    argument("--json", action="store_true", help="for programs"),
    argument(
        "--watch", nargs="?", type=seconds(0.1, 3600), const=2.0, metavar="SECONDS",
        help="show it again every SECONDS (2) until Ctrl-C",
    ),
)  # fmt: skip
def show_peers(control: Control, options: argparse.Namespace) -> int:
    """One line per peer."""

    def text() -> str:
        found = list(peers(control.site, control.lonc.state is State.RUNNING))
        if options.json:
            return json.dumps([peer.as_json() for peer in found], indent=1)
        shown = table([name for name, _ in COLUMNS], [_row(peer) for peer in found], [_colour(peer) for peer in found])
        return "\n\n".join((shown, *_versions(found), _explained())) if options.verbose else shown

    if options.watch is None:
        say(text())
    else:
        repeated(options.watch, text)
    return OK


def _versions(peers: Sequence[Peer]) -> Iterator[str]:
    """One paragraph on those that are known to differ from this host, if there are any."""
    others = [f"{peer.host} runs {peer.version}: {compared(peer.version)}" for peer in peers if is_other(peer.version)]
    if others:
        yield "\n".join((f"This host runs {SOFTWARE}.", *others))


def _explained() -> str:
    lines = (f"{name:<11} {meaning}" for name, meaning in COLUMNS)
    return "\n".join(textwrap.fill(line, width(), subsequent_indent=" " * 12) for line in lines)


def _row(peer: Peer) -> list[str]:
    since, oldest, next_try = duration(peer.since), duration(peer.oldest), duration(peer.next_try)
    numbers = [str(n) if n else "-" for n in (peer.requests, peer.waiting, peer.delayed, peer.held, peer.failed)]
    state = "idle" if peer.idle else peer.state
    return [peer.host, state, since, *numbers[:3], oldest, *numbers[3:], next_try, _last_error(peer)]


def _last_error(peer: Peer) -> str:
    """A link that stands, and has nothing that waits for somebody, has no error any more."""
    stuck = peer.trouble or peer.held or peer.failed or peer.unreadable
    over = peer.last_error and peer.state in STANDS and not stuck
    return f"before: {peer.last_error}" if over else peer.last_error


def _colour(peer: Peer) -> str:
    if peer.unreadable or peer.state in ("down", "given up", "hung", "stopped"):
        return RED
    return GREEN if peer.state == "up" and not peer.held + peer.failed else YELLOW


@command("children", "the processes of the daemons: what each does and costs")
def show_children(control: Control, _options: argparse.Namespace) -> int:
    """One line per child of the daemons that run."""
    running = [daemon.name for daemon in control.daemons if daemon.state is State.RUNNING]
    found = [child for name in running for child in children(control.site, name)]
    say(table(CHILD_COLUMNS, [child.row() for child in found]))
    return OK
