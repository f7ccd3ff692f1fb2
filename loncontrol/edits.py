"""Changing one line of loncapa.conf or of a table: every other line, comments among them, stays as it is. Pure."""

from __future__ import annotations

import re

from common.hosts_table import Host, numbered_lines


def set_value(text: str, name: str, value: str) -> str:
    """loncapa.conf with a setting: in its own line, else below its default in a comment, else at the end.

    :param value: as it is, without quotation marks.
    """
    quote = "" if re.fullmatch(r"[^\s\"']+", value) else "'" if '"' in value else '"'
    written = f"PerlSetVar {name} {quote}{value}{quote}"
    lines = _lines(text)
    active = re.compile(rf"\s*PerlSetVar\s+{re.escape(name)}(\s|$)", re.IGNORECASE)
    default = re.compile(rf"#\s*PerlSetVar\s+{re.escape(name)}(\s|$)", re.IGNORECASE)
    if found := [number for number, line in enumerate(lines) if active.match(line)]:
        lines[found[0]] = written
    elif found := [number for number, line in enumerate(lines) if default.match(line)]:
        lines.insert(found[0] + 1, written)
    else:
        lines.append(written)
    return _joined(lines)


def set_record(text: str, record: str) -> str:
    """A table with a record: in the place of the one with the same first field, else at the end."""
    key = record.partition(":")[0]
    lines = _lines(text)
    if found := _lines_of(text, key):
        lines[found[0] - 1] = record
    else:
        lines.append(record)
    return _joined(lines)


def without_record(text: str, key: str) -> str:
    """A table without the records whose first field is `key`."""
    found = _lines_of(text, key)
    return _joined([line for number, line in enumerate(_lines(text), 1) if number not in found])


def record_of(text: str, key: str) -> str | None:
    """The record whose first field is `key`."""
    found = _lines_of(text, key)
    return _lines(text)[found[0] - 1].strip() if found else None


def written_host(host: Host) -> str:
    """A host as its line in hosts.tab."""
    ip = f"[{host.ip}]" if ":" in host.ip else host.ip
    return ":".join((host.id, host.domain, host.role, host.hostname, ip, *host.extra))


def _lines_of(text: str, key: str) -> list[int]:
    return [line for line, content in numbered_lines(text) if content.partition(":")[0] == key]


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []  # as numbered_lines counts them


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
