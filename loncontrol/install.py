"""The command that puts service files, commands, manual and an empty configuration in place."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path

from common.config import read_config
from common.errors import ConfigError
from loncontrol.control import OK, argument, command_without_site, complain, say
from loncontrol.installation import InstallationError, Outcome, Place, commands_directory, install

DEFAULT_USER = "loncapa"


@command_without_site(
    "install",
    "put service files, commands, manual and an empty configuration in place; no edited file is overwritten",
    argument("--root", metavar="DIR", type=Path, default=Path("/"), help="below which everything goes; default: /"),
    argument(
        "--user",
        metavar="NAME",
        help=f"whose processes the daemons are; default: {DEFAULT_USER}, with --root who calls this",
    ),
    argument("--dry-run", action="store_true", help="change nothing, say what would be done"),
)
def install_here(_conf: Path, options: argparse.Namespace) -> int:
    """One line per file, then what to do next."""
    root = options.root.absolute()
    user = options.user or (DEFAULT_USER if root == Path("/") else getpass.getuser())
    try:
        place = Place(root, user, commands_directory())
        done = list(install(place, dry_run=options.dry_run))  # all of it, before a reader of our words may go
    except (InstallationError, OSError) as error:
        return complain(str(error))
    for file, outcome in done:
        say(f"{'would be ' if options.dry_run else ''}{outcome.value}: {file}")
    if any(outcome is Outcome.BESIDE for _, outcome in done):
        say("\nCompare each NAME with NAME.dpkg-dist, take over what you need, and delete NAME.dpkg-dist.")
    if not options.dry_run:
        say(_next_steps(place))
    return OK


def _next_steps(place: Place) -> str:
    prefix = str(place.root).rstrip("/")
    commands = f"{prefix}/usr/local/sbin"
    if prefix:
        begin = f"   {prefix}/etc/init.d/loncapa start"
        make_user = ""
    else:
        begin = (
            "   with systemd:     systemctl daemon-reload\n"
            "                     systemctl enable --now loncapa-lond loncapa-lonc loncapa-loncron.timer loncapa\n"
            "   without systemd:  update-rc.d loncapa defaults (or: chkconfig loncapa on)\n"
            "                     /etc/init.d/loncapa start"
        )
        make_user = (
            f"The user of the daemons, if there is none called {place.user} yet:\n\n"
            "   with systemd:     systemd-sysusers /etc/sysusers.d/loncapa.conf\n"
            f"   without systemd:  useradd --system --user-group --home-dir /var/lib/loncapa "
            f"--shell /usr/sbin/nologin {place.user}\n\n"
        )
    say_who = "Say who this host is, and learn what the other hosts' administrators need:\n\n"
    setup = "" if _is_set_up(place) else f"{say_who}   {commands}/loncontrol setup\n\n"
    return (
        f"\nWhat to do next.\n\n{make_user}{setup}Start:\n\n{begin}\n\nSee how it is:\n\n"
        f"   {commands}/loncontrol status\n   {commands}/loncontrol peers -v"
    )


def _is_set_up(place: Place) -> bool:
    """Whether the configuration says who this host is; one with a fault does not."""
    try:
        read_config(place.root / "etc/loncapa/loncapa.conf")
    except ConfigError:
        return False
    return True
