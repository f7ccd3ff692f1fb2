"""The table of commands for the documentation, made from the registry.

``python -m lond.commands.table FILE`` brings the part of FILE between the two markers up to date; a test
fails when docs/commands.md is stale.

Promises: the table depends on the registry alone and is sorted by name.

Raises: ValueError for a text without the markers, OSError. Logs nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import lond.commands  # noqa: F401 (fills the registry)
from lond.commands.registry import REGISTRY, Command

BEGIN, END = "<!-- commands -->", "<!-- /commands -->"

_HEAD = ("| command | arguments | E | W | class | replies |", "|---|---|---|---|---|---|")


def table() -> str:
    """The table in Markdown, one line per command, with a final line feed."""
    rows = [_row(REGISTRY[name]) for name in sorted(REGISTRY)]
    return "\n".join([*_HEAD, *rows, ""])


def updated(text: str) -> str:
    """`text` with the table between the markers.

    :raises ValueError: a marker is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} and {END} in the text")
    return f"{before}{begin}\n{table()}{end}{after}"


def _row(command: Command) -> str:
    answered = "" if command.handler else " (link level)"
    cells = (
        f"`{command.name.decode()}`{answered}",
        _arguments(command),
        "E" if command.encrypted else "",
        "W" if command.writes else "",
        command.trust.value,
        command.replies,
    )
    return f"| {' | '.join(cells)} |"


def _arguments(command: Command) -> str:
    if not command.arguments:
        return ""
    names = [argument.name for argument in command.arguments]
    required = len(names) - command.optional
    text = ":".join(names[:required])
    for name in names[required:]:
        text += f"[:{name}" if text else f"[{name}"
    return f"`{text}{']' * command.optional}`"


def main(arguments: list[str]) -> int:
    """Brings the named files up to date; the exit code."""
    for name in arguments:
        path = Path(name)
        path.write_text(updated(path.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
