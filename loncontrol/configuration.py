"""The commands that show what this host was told: its settings and where each came from, the hosts of its table."""

from __future__ import annotations

import argparse
import json

from common.config import Config
from common.hosts_table import Host
from common.pauses import Pause, pauses
from common.settings import SETTINGS
from common.site import Site
from loncontrol.control import OK, Control, argument, command, complain, group, say
from loncontrol.names import Answer, addresses_of
from loncontrol.terminal import RED, YELLOW, table

FROM_TABLE = ("lonDefDomain", "lonRole", "lonHttpBase")  # filled in from the own line of hosts.tab where left empty
DEFAULT = "default"
_DEFAULTS = Config(host_id="")
_JSON = argument("--json", action="store_true", help="for programs")

group("config", "the settings of this host")


@command(
    "config show",
    "each setting, its value, and where it came from",
    argument("--changed", action="store_true", help="only those that differ from their defaults"),
    _JSON,
    description="A file is named with the line that sets the value. Warnings go to standard error.",
)
def show_config(control: Control, options: argparse.Namespace) -> int:
    """One line per setting."""
    site = control.site
    for warning in site.warnings:
        complain(f"warning: {warning}")
    rows = [
        (setting.name, _text(getattr(site.config, setting.field)), _source(site, setting.name))
        for setting in SETTINGS
        if not options.changed or getattr(site.config, setting.field) != getattr(_DEFAULTS, setting.field)
    ]
    if options.json:
        say(json.dumps([dict(zip(("name", "value", "source"), row, strict=True)) for row in rows], indent=1))
    else:
        say(table(("SETTING", "VALUE", "FROM"), rows))
    return OK


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _source(site: Site, name: str) -> str:
    if line := site.config.sources[name]:
        return f"{site.file}:{line}"
    return f"{site.config.tab_dir / 'hosts.tab'}:{site.own.line}" if name in FROM_TABLE else DEFAULT


@command(
    "hosts",
    "the hosts of the table, checked: role, domain, address, name, options, pauses",
    _JSON,
    description="NAME says what the host name resolves to; a link needs only the address of hosts.tab. The own host is "
    "marked by *.",
)
def show_hosts(control: Control, options: argparse.Namespace) -> int:
    """One line per host; a table that is wrong has been complained of before."""
    site = control.site
    names = addresses_of({host.hostname for host in site.table.hosts.values()})
    paused = pauses(site.config.delayed_dir)
    rows = [_row(site, host, names[host.hostname], paused.get(host.id)) for host in site.table.hosts.values()]
    if options.json:
        say(json.dumps(rows, indent=1))
        return OK
    colours = [RED if row["trouble"] else YELLOW if row["paused"] else "" for row in rows]
    head = ("HOST", "ROLE", "DOMAIN", "ADDRESS", "NAME", "OPTIONS", "REMARKS")
    cells = [
        (f"{row['host']}{' *' if row['own'] else ''}", row["role"], row["domain"], row["address"], row["name"],
         row["options"], "; ".join(str(remark) for remark in (row["trouble"], row["paused"]) if remark))
        for row in rows
    ]  # fmt: skip
    say(table(head, [[str(cell) for cell in line] for line in cells], colours))
    return OK


def _row(site: Site, host: Host, answer: Answer, pause: Pause | None) -> dict[str, object]:
    return {
        "host": host.id,
        "own": host.id == site.own.id,
        "role": host.role,
        "domain": host.domain,
        "address": host.ip,
        "name": host.hostname,
        "options": ",".join(sorted(site.table.options(host.id))),
        "trouble": _trouble(host, *answer),
        "paused": f"paused {pause}" if pause else "",
        "line": host.line,
    }


def _trouble(host: Host, addresses: list[str], trouble: str) -> str:
    if trouble:
        return f"name: {trouble}"
    return "" if host.ip in addresses else f"name is {', '.join(addresses)}"
