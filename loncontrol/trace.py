"""The command that tells what became of one critical message: here, and as far as can be known at the other end.

On a classic link messages carry no ids. What the other end can tell is when it executed this command for us, from its
journal (:mod:`lond.journal`); the same command may have been sent by several messages. The perm log knows no ids
either: its lines of the same command and host are shown as what they are.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

from common.backlog import Backlog
from common.delayed import DONE, Row
from common.permlog import ENCRYPT, loggable, perm_log_path
from loncontrol.control import FAILED, OK, Control, argument, command, complain, say
from loncontrol.messages import MIN_ID, described, hosts_with_messages, in_each
from loncontrol.terminal import printable
from lond.journal import NO_DIGEST, digest
from lonnet import Lonnet

MOST_LINES = 50  # of each log, the latest
ASK_SECONDS = 10.0
NO_LINK = ("con_lost", "no_such_host")


@command(
    "trace",
    "what happened to one critical message: its row, its lines in the logs, what the other end knows",
    argument("id", metavar="ID", help=f"the message's id, or its first digits (at least {MIN_ID})"),
    argument("--peer", action="store_true", help="ask the other end when it executed this command for us"),
    argument("--json", action="store_true", help="for programs"),
    description="A message that was delivered keeps its row for lonKeepDone seconds; afterwards only logs are left.",
)
def trace(control: Control, options: argparse.Namespace) -> int:
    """Exit code 1 if nothing is known of the id."""
    id = options.id.lower()
    if len(id) < MIN_ID or id.strip("0123456789abcdef"):
        return complain(f"an id has 32 hex digits; name at least the first {MIN_ID}")
    rows: list[tuple[str, Row, float | None]] = []

    def read(host: str, backlog: Backlog) -> None:
        rows.extend((host, row, backlog.finished(row.id)) for row in backlog.matching(id))

    in_each(hosts_with_messages(control), control, read)
    found = [_story(control, *known, options.peer) for known in rows]
    lines = _lines_with(control, id)
    if options.json:
        say(json.dumps({"messages": found, "lonc_log": lines}, indent=1))
    else:
        _tell(found, lines)
    if found or lines:
        return OK
    keep = control.site.config.keep_done
    return complain(
        f"no FIFO and no log knows {options.id}; a delivered message is forgotten after {keep:.0f} s", FAILED
    )


def _story(control: Control, host: str, row: Row, finished: float | None, ask_peer: bool) -> dict[str, object]:
    story = described(host, row) | {"finished": finished, "perm_log": _perm_log_lines(control, host, row)}
    return story | {"peer": _known_to_peer(control, host, row)} if ask_peer else story


def _perm_log_lines(control: Control, host: str, row: Row) -> list[str]:
    """The lines about this command and host since the message was accepted."""
    about = f":{host}:{loggable(row.command).decode('ascii')}:"
    path = perm_log_path(control.site.config)
    return [line for line in _latest(path, about) if line.partition(":")[0] >= f"{row.created - 1:.0f}"]


def _lines_with(control: Control, id: str) -> list[str]:
    return list(_latest(control.site.config.daemons_dir / "logs" / "lonc.log", id))


def _latest(path: Path, text: str) -> list[str]:
    """The last lines that hold `text`, of a log and of those it was rotated to, as far as they are not compressed."""
    rotated = sorted((p for p in path.parent.glob(f"{path.name}.*") if p.suffix != ".gz"), reverse=True)
    found: list[str] = []
    for file in (*rotated, path):
        try:
            with file.open("r", encoding="utf-8", errors="replace") as opened:
                found = [*found, *(line.rstrip("\n") for line in opened if text in line)][-MOST_LINES:]
        except OSError:
            continue
    return found


def _known_to_peer(control: Control, host: str, row: Row) -> str:
    """What the other end answers, in words."""
    encrypted = row.command.startswith(ENCRYPT)
    line = row.command.removeprefix(ENCRYPT)
    word = line.partition(b":")[0].decode("ascii", "replace")
    told = NO_DIGEST if encrypted else digest(line)
    net = Lonnet(control.site)
    try:
        reply = net.reply(f"journal:{word}:{told.decode()}", host, ASK_SECONDS)
    finally:
        net.close()
    return f"{host} {words_of_peer(reply, word, encrypted, row.created)}"


def words_of_peer(reply: str, word: str, encrypted: bool, created: float) -> str:
    """What a reply to `journal` says about a command.

    :param created: UNIX time from which on it can have been executed.
    """
    if reply in NO_LINK:
        return "can't be asked: there is no link to it now"
    fields = reply.split(":", 2)
    if len(fields) != 3 or not fields[0].isdigit():
        return f"keeps no journal (it answers {printable(reply[:60])}); whether it executed the message can't be told"
    now, since, listed = fields
    if not since:
        return "has an empty journal, or keeps none; whether it executed the message can't be told"
    times = [execution.partition("=") for execution in listed.split("&") if execution]
    shown = ", ".join(f"{_clock(when)} ({kind})" for when, _, kind in times)
    what = f"{word}, of which it keeps no more than the word," if encrypted else "this command"
    asked = f"was asked {_times(len(times))} to execute {what} for us, and answered: {shown}"
    lines = [asked if times else f"has not executed {what} for us"]
    lines.append(f"its journal begins at {_clock(since)}, its clock says {_clock(now)}")
    if since.isdigit() and int(since) > created:
        lines.append("the message is older than that journal: an earlier execution would not be known")
    if times:
        lines.append("a link carries no ids: these may be other messages with the same command")
    return "; ".join(lines)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _clock(stamp: str) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(int(stamp))) if stamp.isdigit() else printable(stamp)


def _tell(found: list[dict[str, object]], lines: list[str]) -> None:
    for story in found:
        say(f"{story['id']} to {story['host']}, seq {story['seq']}: {story['state']}")
        for text in _about(story):
            say(f"  {printable(text)}")
    if lines:
        say("lonc.log:")
        for line in lines:
            say(f"  {printable(line)}")


def _about(story: dict[str, object]) -> Iterator[str]:
    yield f"accepted  {story['accepted']}: {story['command']}"
    if story["attempts"]:
        yield f"attempts  {story['attempts']}"
    if story["last_error"] and story["state"] != DONE:
        yield f"error     {story['last_error']}"
    if isinstance(story["finished"], float):
        word = "answered" if story["state"] == DONE else "refused "
        yield f"{word}  {time.ctime(story['finished'])}: {story['reply']}"
    perm_log = story["perm_log"]
    if isinstance(perm_log, list) and perm_log:
        yield "perm log, lines of the same command (it knows no ids):"
        yield from (f"  {line}" for line in perm_log)
    if "peer" in story:
        yield f"other end: {story['peer']}"
