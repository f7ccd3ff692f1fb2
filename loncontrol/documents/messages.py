"""Every message that can be in a log, found in the sources, and the page that explains each.

A message is a call of a logger's method: its level, its format, and the names of what is filled in. What it means and
what to do stands in :mod:`loncontrol.documents.explanations`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from loncontrol.documents.explanations import EXPLANATIONS, REASONS

PACKAGES = ("common", "lonc", "loncontrol", "loncron", "lond", "lonnet", "lonstatus", "lonuser")
LEVELS = ("debug", "info", "warning", "error", "critical")
LOGS = {"common": "lonc, lond", "lonc": "lonc", "lond": "lond", "loncron": "loncron", "lonnet": "web server, lond"}
_LOGGERS = ("log", "_log")
_FIELD = re.compile(r"%[-.0-9]*[a-z]")
_HEAD = """\
# All log messages

Made from the sources by `python -m loncontrol.documents`. What stands in capitals is filled in. Each line of a log is
`TIME DAEMON[PID] LEVEL: MESSAGE`; the logs are lonc.log and lond.log in `lonDaemons`/logs, for the pages the error log
of the web server. "critical" and "error" want a person; "warning" does if it comes again and again; "info" tells what
happened. Why a link is lost or does not come up is explained behind the table, for it is said in many places.
"""
_LINKS = """
## Why there is no link

The reasons that lonc gives in its log, in `loncontrol peers` and on the status page.

| reason | what it means | what to do |
|---|---|---|"""


@dataclass(frozen=True, slots=True)
class Message:
    """One call of a logger."""

    module: str
    level: str
    format: str
    names: tuple[str, ...]

    @property
    def key(self) -> str:
        """Under which it is explained: its format, with the module if the format alone says nothing."""
        bare = not re.search("[a-z]{2}", _FIELD.sub("", self.format).replace("lond", ""))
        return f"{self.module}: {self.format}" if bare else self.format

    @property
    def text(self) -> str:
        """The message with names in capitals for what is filled in."""
        names = iter(self.names)
        return _FIELD.sub(lambda _: next(names, "..."), self.format).replace("%%", "%")


def messages(root: Path) -> Iterator[Message]:
    """All messages of all packages below `root`."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            for call in ast.walk(ast.parse(path.read_text())):
                if isinstance(call, ast.Call) and _is_log(call.func):
                    yield _message(module, call)


def _is_log(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id in _LOGGERS
        and function.attr in (*LEVELS, "exception")
    )


def _message(module: str, call: ast.Call) -> Message:
    assert isinstance(call.func, ast.Attribute)
    level = call.func.attr.replace("exception", "error")
    match call.args[0]:
        case ast.Constant(value=str(format)):
            return Message(module, level, format, tuple(map(_name, call.args[1:])))
        case other:
            raise ValueError(f"{module}:{call.lineno}: the format must be a literal, not {ast.unparse(other)}")


def _name(argument: ast.expr) -> str:
    match argument:
        case ast.Attribute(attr=name) | ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
            return name.strip("_").upper()
        case ast.Call(func=ast.Attribute(attr="decode" | "join" | "removeprefix", value=ast.Name(id=name))):
            return name.upper()
        case ast.Call(func=ast.Attribute(attr="status" | "_status")):
            return "STATUS"
        case _:
            return "..."


def unexplained(root: Path) -> list[str]:
    """The keys that are not explained, and those that are explained and no longer logged."""
    found = {message.key for message in messages(root)}
    return sorted(found ^ EXPLANATIONS.keys())


def page(root: Path) -> str:
    """docs/log-messages.md."""
    shown: dict[tuple[str, str], set[str]] = {}
    keys: dict[tuple[str, str], str] = {}
    for message in messages(root):
        place = (message.text, message.level)
        shown.setdefault(place, set()).add(LOGS.get(message.module.partition(".")[0], "-"))
        keys[place] = message.key
    rows = ["| message | level | log of | what it means | what to do |", "|---|---|---|---|---|"]
    for (text, level), logs in sorted(shown.items(), key=lambda item: item[0][0].lower()):
        meaning, action = EXPLANATIONS.get(keys[text, level], ("", ""))
        cells = (f"`{text}`", level, ", ".join(sorted(logs)), meaning, action or "nothing")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    reasons = (f"| {reason} | {meaning} | {action} |" for reason, meaning, action in REASONS)
    return "\n".join([_HEAD, *rows, _LINKS, *reasons]) + "\n"
