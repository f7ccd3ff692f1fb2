"""The manual pages: those of the commands from their command lines, those of the files from what reads them."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator

from common.config import DEFAULT_PATH
from common.hosts_table import LINK_OPTIONS
from common.settings import SETTINGS
from common.usage import ENVIRONMENT
from loncontrol.documents.roff import bold, command, entries, escaped, header, literal, paragraphs, section
from loncontrol.installation import TABLES, empty_table

# Of the command: the module whose parser() it has, and what apropos finds.
COMMANDS = {
    "lonc": ("lonc.parent", "proxy daemon: persistent links to the hosts of the network"),
    "loncontrol": ("loncontrol.command_line", "start, stop and explain lonc and lond"),
    "loncron": ("loncron.command_line", "look after lonc and lond, and report what is wrong"),
    "lond": ("lond.parent", "remote command processor: serves the other hosts of the network"),
    "lonuser": ("lonuser.command_line", "users of a library server: add, show, export, import, move"),
}


def parsers() -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """The command lines, with what apropos finds."""
    for module, summary in COMMANDS.values():
        yield importlib.import_module(module).parser(), summary


def pages() -> Iterator[tuple[str, str]]:
    """All pages: (file name, text)."""
    for parser, summary in parsers():
        yield f"{parser.prog}.8", command(parser, summary)
    yield "loncapa.conf.5", configuration()
    yield "hosts.tab.5", tables()


_CONFIGURATION = """\
One setting a line. The value is one word, or stands in quotation marks; a comment begins with # and has a line of its
own. The file is read when a daemon starts and at HUP; lonc --check says what is wrong with it.

So that the file of an original server is accepted as it is, unknown names and directives of Apache other than
PerlSetVar are skipped with a warning.
"""
_EXAMPLE = ("PerlSetVar lonHostID msul1", 'PerlSetVar lonAdmEMail "root@example.org, admin@example.org"')
_TABLES = """\
One record a line, fields separated by colons; empty lines and lines that begin with # are skipped. hosts.tab is the
same file on all hosts of the network; the others are each host's own, and may be missing. They lie in lonTabDir and
are read when a daemon starts, at HUP and at USR2. The first fault ends the check; its message names file, line and
field, and what would be right.
"""


def configuration() -> str:
    """loncapa.conf(5), from the table of all settings."""
    text = header("loncapa.conf", 5, "configuration of a host of the network")
    text += section("Synopsis") + f"{escaped(DEFAULT_PATH)}\n"
    text += section("Description") + paragraphs(_CONFIGURATION)
    text += section("Example") + literal(_EXAMPLE)
    text += section("Settings")
    for setting in SETTINGS:
        default = "must be set" if setting.default is None else f"default: {setting.default or 'empty'}"
        meaning = f"{setting.doc[:1].upper()}{setting.doc[1:]}. It is {setting.parse.allowed}; {default}."
        text += f".TP\n{bold(setting.name)}\n{escaped(meaning)}\n"
    text += section("Environment") + entries(ENVIRONMENT)
    return text + section("See also") + ".BR hosts.tab (5),\n.BR lonc (8),\n.BR lond (8),\n.BR loncontrol (8)\n"


def tables() -> str:
    """hosts.tab(5), which explains the other tables too, from their own comments."""
    text = header("hosts.tab", 5, "the hosts of the network, and the tables beside it") + section("Synopsis")
    text += "\n.br\n".join(escaped(f"/etc/loncapa/{name}.tab") for name in TABLES) + "\n"
    text += section("Description") + paragraphs(_TABLES)
    for name in TABLES:
        lines = [line.removeprefix("#").removeprefix(" ") for line in empty_table(name).strip().splitlines()]
        text += section(f"{name}.tab") + literal(lines)
    text += section("Options of links") + entries(list(LINK_OPTIONS.items()))
    return text + section("See also") + ".BR loncapa.conf (5),\n.BR loncontrol (8)\n"
