"""The command ``loncron``; see :mod:`loncron.run`, and ``--help`` for its exit codes."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from common.config import config_path, read_config
from common.daemon import open_log
from common.errors import ConfigError
from common.hosts_table import HostsTable
from common.owner import why_not_allowed, why_not_root
from common.site import Site, load_site
from common.usage import ENVIRONMENT, FILES, Formatter, epilog, wrapped
from loncron.memory import AnotherRuns
from loncron.run import FAILED, NOT_CONFIGURED, dry_run, full_run, just_connections, just_daemons, just_reload
from loncron.visit import Visit

NOT_ALLOWED, TRY_LATER = 4, 75

_DESCRIPTION = wrapped(
    "Looks after this host, from cron or a timer: starts daemons that are missing; checks connections to all hosts, "
    "delayed messages, the logs since the last run, load, disks, and modes of files; deletes ended sessions, unused "
    "copies and leftovers of killed processes; writes the status page and the metrics.",
    "Mails lonAdmEMail when notices, 4 times warnings and 100 times errors sum up to more than lonMailThreshold, and "
    "something has changed since the last mail. Says nothing otherwise.",
)
_EPILOG = epilog(
    exit_codes=(
        ("0", "done"),
        ("1", "something could not be done, and standard error says what; a host could not be reached"),
        ("2", "wrong use"),
        ("4", "this user may not look at the daemons' files, or is root and they belong to another user"),
        ("6", "the configuration or a table is wrong"),
        ("75", "another loncron is at work"),
    ),
    environment=ENVIRONMENT,
    files=(
        *FILES,
        ("lonDocRoot/lon-status/", "the status page, index.html, and the same for programs, status.json"),
        ("lonDaemons/loncron/", "what one run leaves to the next, and the samples of 24 hours behind the plots"),
        ("lonDaemons/logs/loncron.log", "what it has done"),
    ),
    see_also=(("lonc(8), lond(8), loncontrol(8), loncapa.conf(5)", ""),),
)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = parser().parse_args(argv)
    conf = config_path(options.conf, os.environ)
    try:
        site, fault = _site(conf)
        if reason := why_not_root(site.config, "loncron"):
            return _complain(reason, NOT_ALLOWED)
        if options.dry_run:
            logging.getLogger().addHandler(logging.NullHandler())  # what is logged is said, too
        else:
            open_log(site, "loncron", echo=False)
        return _run(options, Visit(site, conf, time.time(), dry=options.dry_run, fault=fault))
    except ConfigError as error:
        return _complain(str(error), NOT_CONFIGURED)
    except AnotherRuns as error:
        return _complain(str(error), TRY_LATER)
    except PermissionError as error:
        return _complain(why_not_allowed(error), NOT_ALLOWED)
    except OSError as error:
        return _complain(str(error), FAILED)


def _site(conf: Path) -> tuple[Site, str]:
    """This host, and what is wrong with its tables: without them nothing is known of the others.

    :raises ConfigError: the configuration itself is wrong.
    """
    config, warnings = read_config(conf)
    try:
        return load_site(conf), ""
    except ConfigError as error:
        return Site(config, HostsTable({}), warnings, str(conf)), str(error)


def parser() -> argparse.ArgumentParser:
    """The command line as argparse sees it."""
    parser = argparse.ArgumentParser(
        prog="loncron", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=Formatter, allow_abbrev=False
    )
    parser.add_argument("--conf", metavar="FILE", help="configuration (else $LONCAPA_CONF, /etc/loncapa/loncapa.conf)")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--justcheckdaemons", action="store_true", help="only start what is missing, and say so")
    parts.add_argument(
        "--justcheckconnections", action="store_true", help="only try to reach every host, and say how it went"
    )
    parts.add_argument("--justreload", action="store_true", help="only have the daemons read their configuration again")
    parser.add_argument("--noemail", action="store_true", help="send no mail")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be found; change, start and send nothing"
    )
    return parser


def _run(options: argparse.Namespace, visit: Visit) -> int:
    if options.justcheckdaemons:
        return just_daemons(visit)
    if options.justcheckconnections:
        return just_connections(visit)
    if options.justreload:
        return just_reload(visit)
    return dry_run(visit) if visit.dry else full_run(visit, with_mail=not options.noemail)


def _complain(text: str, code: int) -> int:
    print(f"loncron: {text}", file=sys.stderr)
    return code
