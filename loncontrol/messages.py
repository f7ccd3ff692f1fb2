"""The delayed messages that commands work on: finding them in the FIFOs, and how they are shown.

Nothing secret is shown: of a command that travels encrypted only its first word.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.backlog import Backlog
from common.delayed import FAILED, Row
from common.errors import SpoolError
from common.hosts_table import HOST_ID, shown
from common.permlog import loggable
from loncontrol.control import OK, Control, complain
from lonstatus.text import duration

COLUMNS = ("HOST", "SEQ", "ID", "STATE", "AGE", "ATTEMPTS", "COMMAND", "ERROR")
SHOWN = 60  # characters of a command in a list
MIN_ID = 4  # hex digits by which a message may be named


class NoSuchMessage(SpoolError):
    """There is no such message, or none that is fit for what is asked; no file is at fault."""


def hosts_with_messages(control: Control) -> list[str]:
    """The hosts with a FIFO, those that have left the table included."""
    return sorted(path.stem for path in control.site.config.delayed_dir.glob("*.db") if HOST_ID.fullmatch(path.stem))


def in_each(hosts: Iterable[str], control: Control, read: Callable[[str, Backlog], None]) -> int:
    """Read the FIFO of each host; one that can't be read is complained of and costs the exit code, not the others."""
    code = OK
    for host in hosts:
        try:
            with backlog_of(control, host) as backlog:
                read(host, backlog)
        except SpoolError as error:
            code = complain(str(error))
    return code


@contextmanager
def backlog_of(control: Control, host: str) -> Iterator[Backlog]:
    """The FIFO of a host.

    :raises NoSuchMessage: it has none.
    """
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


def named(backlog: Backlog, ids: Iterable[str]) -> list[Row]:
    """The messages with these ids, or first digits of ids.

    :raises NoSuchMessage: there is none, or more than one.
    """
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


def line(host: str, row: Row) -> list[str]:
    """The cells of :data:`COLUMNS`."""
    text = loggable(row.command).decode("ascii")
    text = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    age = duration(max(0.0, time.time() - row.created))
    return [host, str(row.seq), row.id, row.state, age, str(_attempts(row)), text, _error(row)]


def _attempts(row: Row) -> int:
    """How often it was sent for certain: the link ended under it alone, or its last reply came."""
    return row.attempts + (row.reply is not None)


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
        "attempts": _attempts(row),
        "last_error": row.last_error,
        "reply": reply,
        "command": loggable(row.command).decode("ascii"),
        "bytes": len(row.command),
    }
