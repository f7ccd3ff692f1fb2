"""The commands on delayed messages: look, hold, release, try again, delete.

What each change means for the order of messages, and what happens to one that is on the link meanwhile, stands in
:mod:`common.backlog`. Nothing secret is shown: of a command that travels encrypted only its first word.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from common.backlog import KEPT, Backlog, may_requeue
from common.delayed import DONE, FAILED, HELD, WAITING, Row
from common.errors import SpoolError
from common.hosts_table import HOST_ID, shown
from common.pauses import MAX_WHY
from common.permlog import Event, PermLog, loggable, perm_log_path
from loncontrol.control import (
    OK,
    USAGE,
    Argument,
    Control,
    argument,
    command,
    complain,
    group,
    say,
)
from loncontrol.links import administrator
from loncontrol.terminal import confirmed, printable, table
from lonstatus.daemons import State
from lonstatus.peers import peers
from lonstatus.text import duration

STATES = (*KEPT, DONE)
CLASSES = (5, 10, 20, 40, 80, 160, 320, 640, 1280)  # minutes, as Postfix's qshape has them
COLUMNS = ("HOST", "SEQ", "ID", "STATE", "AGE", "ATTEMPTS", "COMMAND", "ERROR")
PAGE = 1000  # messages read at a time
PART, PAUSE = 250, 0.1  # messages in one transaction, and seconds until the next: lonc's child must get its turn
SHOWN = 60  # characters of a command in a list
EXAMPLES = 5  # messages that a question names
MIN_ID = 4  # hex digits by which a message may be named

group("queue", "look at delayed messages, hold, release, requeue or delete them")

_Options = argparse.Namespace
_HOST = argument("host", metavar="HOST", help="the host that the messages are for")
_IDS = argument("ids", nargs="*", metavar="ID", help=f"message ids, or their first digits (at least {MIN_ID})")
_YES = argument("--yes", action="store_true", help="do not ask; needed where there is no terminal")
_DRY_RUN = argument("--dry-run", action="store_true", help="only say what would be done")
_JSON = argument("--json", action="store_true", help="for programs")


def _state(help: str) -> Argument:
    return argument("--state", choices=STATES[:3], help=help)


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
        say(table(COLUMNS, [_line(host, row) for host, row in found]))
    return code


@command("queue show", "all that is known of a message", _HOST, argument("id", metavar="ID", help="its id"), _JSON)
def show_message(control: Control, options: _Options) -> int:
    """One line per field."""
    with _backlog(control, options.host) as backlog:
        [row] = _named(backlog, [options.id])
    fields = described(options.host, row)
    if options.json:
        say(json.dumps(fields, indent=1))
    else:
        width = max(map(len, fields))
        say("\n".join(f"{name:<{width}}  {printable(str(value))}" for name, value in fields.items()))
    return OK


@command(
    "queue hold", "have waiting messages passed over; those behind them go on", _HOST, _IDS, _DRY_RUN,
    argument("--why", default="", metavar="TEXT", help="the reason, for whoever looks at the message"),
    description="Without ID: all that wait. A message that is on the link at that moment is executed all the same.",
)  # fmt: skip
def hold(control: Control, options: _Options) -> int:
    """Waiting to held."""
    why = f"by {administrator()}" + (f": {options.why}" if options.why else "")
    if len(options.why) > MAX_WHY or not options.why.isprintable():
        return complain(f"--why takes one line of at most {MAX_WHY} printable characters", USAGE)
    return _change(control, options, "held", WAITING, lambda row: row.state == WAITING, lambda b, ids: b.hold(ids, why))


@command(
    "queue release", "have held messages wait again, in their old places", _HOST, _IDS, _DRY_RUN,
    description="Without ID: all that are held. What was sent while a message was held has overtaken it.",
)  # fmt: skip
def release(control: Control, options: _Options) -> int:
    """Held to waiting."""
    return _change(control, options, "released", HELD, lambda row: row.state == HELD, Backlog.release)


@command(
    "queue requeue", "have messages that failed or broke the link tried again, behind all others", _HOST, _IDS,
    _state("without ID: all in this state (failed)"), _YES, _DRY_RUN,
    description="The message keeps its id and gets a new place at the end; its age begins anew. One that was held by "
    "hand is released instead.",
)  # fmt: skip
def requeue(control: Control, options: _Options) -> int:
    """Failed, or held after too many broken links, to waiting."""
    return _change(control, options, "requeued", options.state or FAILED, may_requeue, Backlog.requeue)


@command(
    "queue delete", "delete messages for good", _HOST, _IDS,
    _state("without ID: all in this state"), _YES, _DRY_RUN,
    description="The perm log keeps a line of each. What is on the link at that moment is executed all the same.",
)  # fmt: skip
def delete(control: Control, options: _Options) -> int:
    """Any but done to nothing."""
    if not options.ids and not options.state:
        return complain("name messages by ID, or all in a state by --state", USAGE)
    perm_log = PermLog(perm_log_path(control.site.config))

    def change(backlog: Backlog, ids: Sequence[str]) -> list[Row]:
        gone = backlog.delete(ids)
        perm_log.write(Event.REMOVED, options.host, *(row.command for row in gone))
        return gone

    return _change(control, options, "deleted", options.state or "", lambda row: row.state in KEPT, change)


@command(
    "queue shape", "how old the messages for each host are: a row per host, a column per age in minutes",
    _state("messages in this state (waiting)"),
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


class NoSuchMessage(SpoolError):
    """The words of an error that names no file."""


def hosts_with_messages(control: Control) -> list[str]:
    """The hosts with a FIFO, those that have left the table included."""
    return sorted(path.stem for path in control.site.config.delayed_dir.glob("*.db") if HOST_ID.fullmatch(path.stem))


def in_each(hosts: Iterable[str], control: Control, read: Callable[[str, Backlog], None]) -> int:
    """Read the FIFO of each host; one that can't be read is complained of and costs the exit code, not the others."""
    code = OK
    for host in hosts:
        try:
            with _backlog(control, host) as backlog:
                read(host, backlog)
        except SpoolError as error:
            code = complain(str(error))
    return code


@contextmanager
def _backlog(control: Control, host: str) -> Iterator[Backlog]:
    directory: Path = control.site.config.delayed_dir
    if not HOST_ID.fullmatch(host) or not (directory / f"{host}.db").exists():
        if host not in control.site.table:
            raise NoSuchMessage(f"{shown(host)} is not in {control.site.config.tab_dir / 'hosts.tab'}")
        raise NoSuchMessage(f"{host} has no messages, and never had any")
    backlog = Backlog(directory, host)
    try:
        yield backlog
    finally:
        backlog.close()


Change = Callable[[Backlog, Sequence[str]], list[Row]]


def _named(backlog: Backlog, ids: Iterable[str]) -> list[Row]:
    found = []
    for id in ids:
        if len(id) < MIN_ID or id.strip("0123456789abcdefABCDEF"):
            raise NoSuchMessage(f"{shown(id)} is not the id of a message, nor its first {MIN_ID} digits or more")
        rows = backlog.matching(id.lower())
        if not rows:
            raise NoSuchMessage(f"no message for {backlog.path.stem} has an id that begins with {id}")
        if len(rows) > 1:
            raise NoSuchMessage(f"several messages have ids that begin with {id}; add digits")
        found += rows
    return found


def _change(
    control: Control,
    options: _Options,
    done: str,
    state: str,
    applies: Callable[[Row], bool],
    change: Change,
) -> int:
    """Apply a change to the messages that are named, or to all in `state`, as far as it `applies`."""
    host: str = options.host
    with _backlog(control, host) as backlog:
        if options.ids:
            named = _named(backlog, options.ids)
            if wrong := [row for row in named if not applies(row)]:
                return complain(f"{wrong[0].id} can't be {done}: {_standing(wrong[0])}")
        pages = [named] if options.ids else _pages(backlog, state, applies)
        chosen = [row.id for page in pages for row in page]
        if not chosen:
            return complain(f"no message for {host} is {state} and can be {done}")
        if options.dry_run or "yes" in options:
            _say_what(host, "would be" if options.dry_run else "will be", done, chosen, backlog)
        if options.dry_run:
            return OK
        if "yes" in options and not confirmed("Go on?", options.yes):
            return complain(f"nothing was {done}: a person at a terminal must say yes, or --yes", USAGE)
        changed = _in_parts(backlog, change, chosen)
    say(f"{changed} of {host}'s messages {done}{_on_the_link(control, host, done)}")
    return OK if changed else complain("they had changed meanwhile; look again")


def _in_parts(backlog: Backlog, change: Change, ids: list[str]) -> int:
    """How many messages were changed; between two transactions others get their turn."""
    changed = 0
    for at in range(0, len(ids), PART):
        if at:
            time.sleep(PAUSE)
        changed += len(change(backlog, ids[at : at + PART]))
    return changed


def _say_what(host: str, will_be: str, done: str, chosen: list[str], backlog: Backlog) -> None:
    say(f"{len(chosen)} of {host}'s messages {will_be} {done}:")
    examples = [row for id in chosen[:EXAMPLES] if (row := backlog.find(id))]
    say(table(COLUMNS, [_line(host, row) for row in examples]) + ("\n..." if len(chosen) > EXAMPLES else ""))


def _pages(backlog: Backlog, state: str, applies: Callable[[Row], bool]) -> Iterator[list[Row]]:
    last = 0
    while rows := backlog.rows([state], last, PAGE):
        last = rows[-1].seq
        yield [row for row in rows if applies(row)]


def _standing(row: Row) -> str:
    if row.state == HELD:
        return f"it is held ({row.last_error}); to send it: queue release"
    return f"it is {row.state}"


def _on_the_link(control: Control, host: str, done: str) -> str:
    if done not in ("held", "deleted") or control.lonc.state is not State.RUNNING:
        return ""
    if not any(
        peer.host == host and peer.state in ("up", "delivering", "draining") for peer in peers(control.site, True)
    ):
        return ""
    return f"; the link to {host} is up, and what was on it at that moment is executed all the same"


def _line(host: str, row: Row) -> list[str]:
    text = loggable(row.command).decode("ascii")
    text = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    age = duration(max(0.0, time.time() - row.created))
    return [host, str(row.seq), row.id, row.state, age, str(row.attempts), text, _error(row)]


def _error(row: Row) -> str:
    refused = row.reply[:200].decode("ascii", "replace") if row.state == FAILED and row.reply else ""
    return refused or row.last_error


def described(host: str, row: Row) -> dict[str, object]:
    """A message as JSON has it; `created` is UNIX time."""
    reply = None if row.reply is None else row.reply[:1000].decode("ascii", "replace")
    return {
        "host": host,
        "seq": row.seq,
        "id": row.id,
        "state": row.state,
        "created": row.created,
        "accepted": time.ctime(row.created),
        "attempts": row.attempts,
        "last_error": row.last_error,
        "reply": reply,
        "command": loggable(row.command).decode("ascii"),
        "bytes": len(row.command),
    }
