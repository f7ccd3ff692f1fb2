"""``loncontrol``: what an init script calls, and what an administrator types first.

Exit codes are those of the LSB for init scripts: 0 good; else 1 failed, 2 usage, 6 not configured, 7 not running.
`status` has its own (:mod:`loncontrol.service`). The commands are in the modules imported here.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

import loncontrol.listings
import loncontrol.service  # noqa: F401 - they make their commands known
from common.config import config_path
from common.errors import ConfigError
from loncontrol.control import COMMANDS, NOT_CONFIGURED, complain


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = parser().parse_args(argv)
    try:
        return COMMANDS[options.command].run(config_path(options.conf, os.environ), options)
    except ConfigError as error:
        return complain(str(error), NOT_CONFIGURED)


def parser() -> argparse.ArgumentParser:
    """The command line as argparse sees it."""
    parser = argparse.ArgumentParser(prog="loncontrol", description="Start, stop and explain lonc and lond.")
    parser.add_argument("--conf", metavar="FILE", help="configuration (else $LONCAPA_CONF, /etc/loncapa/loncapa.conf)")
    words = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS.values():
        word = words.add_parser(command.name, help=command.help)
        for argument in command.arguments:
            word.add_argument(*argument.names, **argument.settings)
    return parser
