"""The commands that look at delayed messages: list, show, shape."""

from __future__ import annotations

import argparse
import json

from common.backlog import KEPT, Backlog
from common.delayed import DONE, WAITING, Row
from loncontrol.control import OK, Argument, Control, argument, command, group, say
from loncontrol.messages import COLUMNS, backlog_of, described, hosts_with_messages, in_each, line, named
from loncontrol.terminal import printable, table

STATES = (*KEPT, DONE)
CLASSES = (5, 10, 20, 40, 80, 160, 320, 640, 1280)  # minutes, as Postfix's qshape has them

group("queue", "look at delayed messages, hold, release, requeue or delete them")

_Options = argparse.Namespace
HOST = argument("host", metavar="HOST", help="the host that the messages are for")
_JSON = argument("--json", action="store_true", help="for programs")


def state_option(help: str) -> Argument:
    """The option that chooses messages by their state."""
    return argument("--state", choices=KEPT, help=help)


@command(
    "queue ls",
    "list messages that are not done",
    argument("host", nargs="?", metavar="HOST", help="only those for this host"),
    argument("--state", choices=STATES, action="append", help="only those in this state; may be given several times"),
    argument("--limit", type=int, default=1000, metavar="N", help="the first N of each host (1000)"),
    _JSON,
)
def list_messages(control: Control, options: _Options) -> int:
    """One line per message, in the order of sending."""
    found: list[tuple[str, Row]] = []

    def read(host: str, backlog: Backlog) -> None:
        found.extend((host, row) for row in backlog.rows(options.state or KEPT, limit=max(1, options.limit)))

    code = in_each([options.host] if options.host else hosts_with_messages(control), control, read)
    if options.json:
        say(json.dumps([described(host, row) for host, row in found], indent=1))
    elif found:
        say(table(COLUMNS, [line(host, row) for host, row in found]))
    return code


@command("queue show", "all that is known of a message", HOST, argument("id", metavar="ID", help="its id"), _JSON)
def show_message(control: Control, options: _Options) -> int:
    """One line per field."""
    with backlog_of(control, options.host) as backlog:
        [row] = named(backlog, [options.id])
    fields = described(options.host, row)
    if options.json:
        say(json.dumps(fields, indent=1))
    else:
        told = {name: str(value) for name, value in fields.items() if name != "created" and value not in (None, "")}
        width = max(map(len, told))
        say("\n".join(f"{name:<{width}}  {printable(value)}" for name, value in told.items()))
    return OK


@command(
    "queue shape", "how old the messages for each host are: a row per host, a column per age in minutes",
    state_option("messages in this state (waiting)"),
)  # fmt: skip
def shape(control: Control, options: _Options) -> int:
    """One line per host that has any, the fullest first, below their sum."""
    bounds = [60 * minutes for minutes in CLASSES]
    counts: dict[str, list[int]] = {}

    def read(host: str, backlog: Backlog) -> None:
        counts[host] = backlog.ages(bounds, options.state or WAITING)

    code = in_each(hosts_with_messages(control), control, read)
    rows = sorted(((host, found) for host, found in counts.items() if sum(found)), key=lambda row: -sum(row[1]))
    rows.insert(0, ("TOTAL", [sum(column) for column in zip(*counts.values(), strict=True)] or [0] * 10))
    head = ["HOST", "T", *map(str, CLASSES), f"{CLASSES[-1]}+"]
    say(table(head, [[host, str(sum(found)), *map(str, found)] for host, found in rows]))
    return code
