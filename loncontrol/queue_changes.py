"""The commands that change delayed messages: hold, release, try again, delete.

What each change means for the order of messages, and what happens to one that is on the link meanwhile, stands in
:mod:`common.backlog`.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from common.backlog import KEPT, Backlog, may_requeue
from common.delayed import FAILED, HELD, WAITING, Row
from common.hosts_table import shown
from common.pauses import MAX_WHY
from common.permlog import Event, PermLog, perm_log_path
from loncontrol.control import OK, USAGE, Control, argument, command, complain, say
from loncontrol.links import administrator
from loncontrol.messages import COLUMNS, MIN_ID, NoSuchMessage, backlog_of, line, named
from loncontrol.queue import HOST, state_option
from loncontrol.terminal import confirmed, table
from lonstatus.daemons import State
from lonstatus.peers import peers

PAGE = 1000  # messages read at a time
PART, PAUSE = 250, 0.1  # messages in one transaction, and seconds until the next: lonc's child must get its turn
EXAMPLES = 5  # messages that a question names

_Options = argparse.Namespace
_IDS = argument("ids", nargs="*", metavar="ID", help=f"message ids, or their first digits (at least {MIN_ID})")
_YES = argument("--yes", action="store_true", help="do not ask; needed where there is no terminal")
_DRY_RUN = argument("--dry-run", action="store_true", help="only say what would be done")
Change = Callable[[Backlog, Sequence[str]], list[Row]]


@command(
    "queue hold", "have waiting messages passed over; those behind them go on", HOST, _IDS, _DRY_RUN,
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
    "queue release", "have held messages wait again, in their old places", HOST, _IDS, _DRY_RUN,
    description="Without ID: all that are held. What was sent while a message was held has overtaken it.",
)  # fmt: skip
def release(control: Control, options: _Options) -> int:
    """Held to waiting."""
    return _change(control, options, "released", HELD, lambda row: row.state == HELD, Backlog.release)


@command(
    "queue requeue", "have messages that failed or broke the link tried again, behind all others", HOST, _IDS,
    argument("--to", metavar="OTHER", help="behind all others for that host instead, to which the user has moved"),
    state_option("without ID: all in this state (failed)"), _YES, _DRY_RUN,
    description="The message keeps its id and gets a new place at the end; its age begins anew. One that was held by "
    "hand is released instead. With --to messages are named by ID: only those of a user who has moved belong "
    "there. The perm log keeps a line of each for both hosts.",
)  # fmt: skip
def requeue(control: Control, options: _Options) -> int:
    """Failed, or held after too many broken links, to waiting."""
    state, other = options.state or FAILED, options.to
    if other is None:
        return _change(control, options, "requeued", state, may_requeue, Backlog.requeue)
    if other == options.host or other not in control.site.table:
        return complain(f"--to {shown(other)}: name another host of hosts.tab", USAGE)
    if not options.ids:  # others that failed are for users who are at home on HOST, or for its domain
        return complain(f"--to: name the messages of the user who has moved to {other} by ID", USAGE)
    perm_log = PermLog(perm_log_path(control.site.config))

    def change(backlog: Backlog, ids: Sequence[str]) -> list[Row]:
        with closing(Backlog(control.site.config.delayed_dir, other)) as fifo:
            gone = backlog.pass_on(ids, fifo)
        commands = [row.command for row in gone]
        perm_log.write(Event.DELAYED, other, *commands)
        perm_log.write(Event.REMOVED, options.host, *commands)
        return gone

    return _change(control, options, f"passed on to {other}", state, may_requeue, change)


@command(
    "queue delete", "delete messages for good", HOST, _IDS,
    state_option("without ID: all in this state"), _YES, _DRY_RUN,
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


def _change(
    control: Control,
    options: _Options,
    done: str,
    state: str,
    applies: Callable[[Row], bool],
    change: Change,
) -> int:
    """Apply a change to the messages that are named, or to all in `state`, as far as it `applies`.

    :param done: what they are then, in a word.
    """
    host: str = options.host
    with backlog_of(control, host) as backlog:
        chosen = _chosen(backlog, options.ids, done, state, applies)
        if options.dry_run or "yes" in options:
            _say_what(host, "would be" if options.dry_run else "will be", done, chosen, backlog)
        if options.dry_run:
            return OK
        if "yes" in options and not confirmed("Go on?", options.yes):
            return complain(f"nothing was {done}: a person at a terminal must say yes, or --yes", USAGE)
        changed = _in_parts(backlog, change, chosen)
    may_be_sent = done in ("held", "deleted") and any(state != FAILED for state in changed)
    say(f"{changed.total()} of {host}'s messages {done}{_on_the_link(control, host) if may_be_sent else ''}")
    return OK if changed else complain("they had changed meanwhile; look again")


def _chosen(backlog: Backlog, ids: Sequence[str], done: str, state: str, applies: Callable[[Row], bool]) -> list[str]:
    """The ids of the messages to be changed, at least one.

    :raises NoSuchMessage: there is none, or one that is named is not fit for it.
    """
    if ids:
        rows = named(backlog, ids)
        if unfit := [row for row in rows if not applies(row)]:
            raise NoSuchMessage(f"{unfit[0].id} can't be {done}: {_standing(unfit[0])}")
        return [row.id for row in rows]
    chosen = [row.id for page in _pages(backlog, state, applies) for row in page]
    if not chosen:
        raise NoSuchMessage(f"no message for {backlog.path.stem} is {state} and can be {done}")
    return chosen


def _in_parts(backlog: Backlog, change: Change, ids: list[str]) -> Counter[str]:
    """How many messages were changed, by their state; between two transactions others get their turn."""
    changed: Counter[str] = Counter()
    for at in range(0, len(ids), PART):
        if at:
            time.sleep(PAUSE)
        changed.update(row.state for row in change(backlog, ids[at : at + PART]))
    return changed


def _say_what(host: str, will_be: str, done: str, chosen: list[str], backlog: Backlog) -> None:
    say(f"{len(chosen)} of {host}'s messages {will_be} {done}:")
    examples = [row for id in chosen[:EXAMPLES] if (row := backlog.find(id))]
    say(table(COLUMNS, [line(host, row) for row in examples]) + ("\n..." if len(chosen) > EXAMPLES else ""))


def _pages(backlog: Backlog, state: str, applies: Callable[[Row], bool]) -> Iterator[list[Row]]:
    last = 0
    while rows := backlog.rows([state], last, PAGE):
        last = rows[-1].seq
        yield [row for row in rows if applies(row)]


def _standing(row: Row) -> str:
    if row.state == HELD:
        return f"it is held ({row.last_error}); to send it: queue release"
    return f"it is {row.state}"


def _on_the_link(control: Control, host: str) -> str:
    if control.lonc.state is not State.RUNNING:
        return ""
    if not any(
        peer.host == host and peer.state in ("up", "delivering", "draining") for peer in peers(control.site, True)
    ):
        return ""
    return f"; the link to {host} is up, and what was on it at that moment is executed all the same"
