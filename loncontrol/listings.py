"""The commands that show how things are: peers, children."""

from __future__ import annotations

import argparse
import json

from loncontrol.control import OK, Control, argument, command, say
from lonstatus.children import COLUMNS as CHILD_COLUMNS
from lonstatus.children import children
from lonstatus.daemons import State
from lonstatus.peers import COLUMNS, Peer, peers
from lonstatus.text import aligned, duration


@command(
    "peers",
    "how the link to each host is, and what waits for it",
    argument("-v", "--verbose", action="store_true", help="explain the columns"),
    argument("--json", action="store_true", help="for programs"),
)
def show_peers(control: Control, options: argparse.Namespace) -> int:
    """One line per peer."""
    found = list(peers(control.site, control.lonc.state is State.RUNNING))
    if options.json:
        say(json.dumps([peer.as_json() for peer in found], indent=1))
    else:
        say(aligned([[name for name, _ in COLUMNS], *(_row(peer) for peer in found)]))
    if options.verbose:
        say("\n" + "\n".join(f"{name:<9} {meaning}" for name, meaning in COLUMNS))
    return OK


def _row(peer: Peer) -> list[str]:
    numbers = [str(number) if number else "-" for number in (peer.requests, peer.waiting, peer.delayed)]
    since, oldest, next_try = duration(peer.since), duration(peer.oldest), duration(peer.next_try)
    return [peer.host, peer.state, since, *numbers, oldest, next_try, peer.why if peer.state != "up" else ""]


@command("children", "the processes of the daemons: what each does and costs")
def show_children(control: Control, _options: argparse.Namespace) -> int:
    """One line per child of the daemons that run."""
    running = [daemon.name for daemon in control.daemons if daemon.state is State.RUNNING]
    found = [child for name in running for child in children(control.site, name)]
    say(aligned([list(CHILD_COLUMNS), *(list(child.row()) for child in found)]))
    return OK
