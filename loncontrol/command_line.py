"""``loncontrol``: what an init script calls, and what an administrator types first.

Exit codes are those of the LSB for init scripts: 0 good; else 1 failed, 2 usage, 6 not configured, 7 not running.
`status` has its own (:mod:`loncontrol.service`). The commands are in the modules imported here.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from common.config import config_path
from common.errors import ConfigError, SpoolError
from loncontrol import install, links, listings, queue, service, setup
from loncontrol.control import COMMANDS, GROUPS, NOT_CONFIGURED, complain

FAMILIES = (links, listings, queue, service, install, setup)  # importing them makes their commands known


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = parser().parse_args(argv)
    try:
        return COMMANDS[options.command].run(config_path(options.conf, os.environ), options)
    except ConfigError as error:
        return complain(str(error), NOT_CONFIGURED)
    except SpoolError as error:
        return complain(str(error))


def parser() -> argparse.ArgumentParser:
    """The command line as argparse sees it."""
    parser = argparse.ArgumentParser(prog="loncontrol", description="Start, stop and explain lonc and lond.")
    parser.add_argument("--conf", metavar="FILE", help="configuration (else $LONCAPA_CONF, /etc/loncapa/loncapa.conf)")
    words = parser.add_subparsers(dest="word", required=True, metavar="COMMAND")
    groups = {}
    for command in COMMANDS.values():
        group, _, word = command.name.rpartition(" ")
        if group and group not in groups:
            described = words.add_parser(group, help=GROUPS[group], description=_sentence(GROUPS[group]))
            groups[group] = described.add_subparsers(dest="word", required=True, metavar="COMMAND")
        description = " ".join(filter(None, (_sentence(command.help), command.description)))
        made = (groups[group] if group else words).add_parser(word, help=command.help, description=description)
        for argument in command.arguments:
            made.add_argument(*argument.names, **argument.settings)
        made.set_defaults(command=command.name)
    return parser


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
