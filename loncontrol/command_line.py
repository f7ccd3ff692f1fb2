"""``loncontrol``: what an init script calls, and what an administrator types first.

Exit codes are those of the LSB for init scripts: 0 good; else 1 failed, 2 usage, 4 not as this user, 6 not configured,
7 not running. `status` has its own (:mod:`loncontrol.service`). The commands are in the modules imported here.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from common.closed_output import ends_with_its_reader
from common.config import config_path, read_config
from common.errors import ConfigError, SpoolError
from common.owner import why_not_allowed, why_not_root
from common.usage import ENVIRONMENT, FILES, Formatter, epilog, wrapped
from loncontrol import (
    configuration,
    doctor,
    install,
    links,
    listings,
    monitoring,
    queue,
    queue_changes,
    service,
    setup,
    trace,
)
from loncontrol.control import (
    COMMANDS,
    FAILED,
    GROUPS,
    NOT_ALLOWED,
    NOT_CONFIGURED,
    NOT_RUNNING,
    OK,
    USAGE,
    complain,
)

# Importing them makes their commands known.
FAMILIES = (
    links,
    listings,
    doctor,
    queue,
    queue_changes,
    trace,
    configuration,
    monitoring,
    service,
    install,
    setup,
)

OF_ROOT = ("install", "setup", "add-host", "remove-host")  # they write what belongs to root

DESCRIPTION = wrapped(
    "Start, stop and explain lonc and lond, the network layer of a federation of learning servers.",
    "It looks at the daemons from outside, by the scoreboards, logs and FIFOs that they write, so that one that hangs "
    "is seen too. Run it as the user that the daemons run as; the command that loncontrol install has put in place "
    "becomes that user by itself when root calls it.",
)
EPILOG = epilog(
    exit_codes=(
        (str(OK), "done; status: both daemons run"),
        (str(FAILED), "failed; status: a daemon is dead with its pid file left; check: warning"),
        (str(USAGE), "wrong use; check: critical"),
        ("3", "status: stopped; check: nothing is known"),
        (
            str(NOT_ALLOWED),
            "this user may not look, or is root and the daemons' files are another user's, or systemd looks after the "
            "daemons (start, restart); status: not known, a daemon hangs or lonDaemons is wrong",
        ),
        (str(NOT_CONFIGURED), "the configuration or a table is wrong"),
        (str(NOT_RUNNING), "the daemons do not run"),
    ),
    examples=(
        ("loncontrol peers -v", ""),
        ("loncontrol doctor msul2", ""),
        ("loncontrol add-host msul2:msu:library:b.example.org:192.0.2.7", ""),
        ("loncontrol reload", ""),
    ),
    environment=ENVIRONMENT,
    files=(*FILES, ("/etc/loncapa/manifest", "what loncontrol install has installed, for sha256sum --check")),
    see_also=(("lonc(8), lond(8), loncron(8), lonuser(8), loncapa.conf(5), hosts.tab(5)", ""),),
)


@ends_with_its_reader
def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = parser().parse_args(argv)
    conf = config_path(options.conf, os.environ)
    if options.command not in OF_ROOT and (reason := _why_not_root(conf)):
        return complain(reason, NOT_ALLOWED)
    try:
        return COMMANDS[options.command].run(conf, options)
    except ConfigError as error:
        return complain(str(error), NOT_CONFIGURED)
    except SpoolError as error:
        return complain(str(error))
    except PermissionError as error:
        return complain(why_not_allowed(error), NOT_ALLOWED)


def _why_not_root(conf: Path) -> str:
    try:
        return why_not_root(read_config(conf)[0], "loncontrol")
    except ConfigError:
        return ""  # the command will say it; those that go on all the same write nothing


def parser() -> argparse.ArgumentParser:
    """The command line as argparse sees it."""
    parser = argparse.ArgumentParser(
        prog="loncontrol", description=DESCRIPTION, epilog=EPILOG, formatter_class=Formatter
    )
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
