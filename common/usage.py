"""What ``--help`` says below the options, in one form for all commands; the manual pages are made of it.

A section is a title and entries of a term and its meaning; an entry without a meaning is a line as it is. Pure.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

Entry = tuple[str, str]
WIDTH = 78
_TERM = 18  # columns; a longer term has a line of its own

ENVIRONMENT: Sequence[Entry] = (("LONCAPA_CONF", "the configuration file, if --conf does not name one"),)
FILES: Sequence[Entry] = (
    ("/etc/loncapa/loncapa.conf", "the configuration, see loncapa.conf(5)"),
    ("/etc/loncapa/hosts.tab", "the hosts of the network, see hosts.tab(5)"),
)


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Takes descriptions and epilogs as they are wrapped; as wide wherever it runs, for the manual is made of it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=WIDTH)


def wrapped(*paragraphs: str) -> str:
    """Paragraphs, for a description."""
    return "\n\n".join(textwrap.fill(paragraph, WIDTH) for paragraph in paragraphs)


def epilog(**titled: Sequence[Entry]) -> str:
    """Sections by title (with ``_`` for a blank), for an epilog."""
    return "\n\n".join(_section(title.replace("_", " "), entries) for title, entries in titled.items())


def _section(title: str, entries: Sequence[Entry]) -> str:
    return "\n".join([f"{title}:", *(_entry(term, meaning) for term, meaning in entries)])


def _entry(term: str, meaning: str) -> str:
    if not meaning:
        return f"  {term}"
    indent = " " * (_TERM + 2)
    lines = textwrap.wrap(meaning, WIDTH - len(indent), break_on_hyphens=False)
    if len(term) < _TERM - 1:
        return f"  {term:<{_TERM}}" + f"\n{indent}".join(lines)
    return "\n".join([f"  {term}", *(f"{indent}{line}" for line in lines)])


def sections(text: str) -> dict[str, list[Entry]]:
    """What :func:`epilog` made the text of."""
    found: dict[str, list[Entry]] = {}
    entries: list[Entry] = []
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            entries = found.setdefault(line[:-1], [])
        elif line.startswith(" " * (_TERM + 2)):
            term, meaning = entries.pop()
            entries.append((term, f"{meaning} {line.strip()}".strip()))
        elif line.strip():
            split = len(line) > _TERM + 2 and line[_TERM + 1] == " " and line[_TERM : _TERM + 2] == "  "
            term, meaning = (line[: _TERM + 2], line[_TERM + 2 :]) if split else (line, "")
            entries.append((term.strip(), meaning.strip()))
    return found
