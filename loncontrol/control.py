"""What every command of loncontrol works on, and how it answers.

A command is a function of (:class:`Control`, its options) that prints what is asked for and returns an exit code of
the LSB. It is made known by :func:`command`, which also says which arguments it takes. What must work whatever is
wrong in the files is made known by :func:`command_of_daemons`, and gets :class:`Daemons`; what must work before there
is a configuration, by :func:`command_without_site`, and gets the path of the file. A name of two words belongs to the
group of its first one (:func:`group`).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.config import Config, read_despite_faults
from common.errors import ConfigError
from common.hosts_table import shown
from common.site import Site, load_site
from lonstatus.daemons import ORDER, Daemon

OK, FAILED, USAGE, NOT_ALLOWED, NOT_CONFIGURED, NOT_RUNNING = 0, 1, 2, 4, 6, 7
_WHERE = "lonDaemons"


class Daemons:
    """This host's daemons, in the order of starting; loncapa.conf alone tells where they are.

    :param config: settings at fault have their defaults.
    :param conf: the file that `config` was read from.
    """

    def __init__(self, config: Config, conf: Path) -> None:
        self.config, self.conf = config, conf
        self.lond, self.lonc = self.daemons = [Daemon(name, config, conf) for name in ORDER]


class Control(Daemons):
    """This host: its configuration, its tables, its daemons.

    :param conf: the file that `site` was read from.
    """

    def __init__(self, site: Site, conf: Path) -> None:
        super().__init__(site.config, conf)
        self.site = site

    def knows(self, host: str) -> bool:
        """Whether `host` is in hosts.tab; if not, that is said."""
        if host not in self.site.table:
            complain(f"{shown(host)} is not in {self.site.config.tab_dir / 'hosts.tab'}")
        return host in self.site.table


Run = Callable[[Control, argparse.Namespace], int]
RunOfDaemons = Callable[[Daemons, argparse.Namespace], int]
RunWithoutSite = Callable[[Path, argparse.Namespace], int]


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command, as argparse takes it."""

    names: tuple[str, ...]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """A word of loncontrol's command line, or the two words of a command that belongs to a group.

    :param help: one line.
    :param description: what a manual page says of it beside that.
    """

    name: str
    help: str
    arguments: tuple[Argument, ...]
    run: RunWithoutSite
    description: str = ""


COMMANDS: dict[str, Command] = {}
GROUPS: dict[str, str] = {}


def argument(*names: str, **settings: Any) -> Argument:
    """What :meth:`argparse.ArgumentParser.add_argument` takes."""
    return Argument(names, settings)


def seconds(least: float, most: float) -> Callable[[str], float]:
    """The `type` of an argument that takes a number of seconds within bounds."""

    def parsed(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from {least:.9g} to {most:.9g}")
        return value

    return parsed


def group(name: str, help: str) -> None:
    """Make a word known that commands of two words begin with."""
    GROUPS[name] = help


def command(name: str, help: str, *arguments: Argument, description: str = "") -> Callable[[Run], Run]:
    """Make a function known as the command `name`."""

    def known(run: Run) -> Run:
        command_without_site(name, help, *arguments, description=description)(
            lambda conf, options: run(Control(load_site(conf), conf), options),
        )
        return run

    return known


def command_of_daemons(
    name: str, help: str, *, unknown: int = NOT_CONFIGURED
) -> Callable[[RunOfDaemons], RunOfDaemons]:
    """Make a function known as the command `name` that works whatever is wrong in a file, or with DNS.

    What runs goes on with what it has read, and must be shown and stopped all the same. Only where its pid files are
    must be known.

    :param unknown: the exit code if it is not.
    """

    def known(run: RunOfDaemons) -> RunOfDaemons:
        def run_if_known(conf: Path, options: argparse.Namespace) -> int:
            try:
                config = read_despite_faults(conf, _WHERE)
            except ConfigError as error:
                return complain(f"{error}; without {_WHERE} nobody knows where the daemons' pid files are", unknown)
            return run(Daemons(config, conf), options)

        command_without_site(name, help)(run_if_known)
        return run

    return known


def command_without_site(
    name: str, help: str, *arguments: Argument, description: str = ""
) -> Callable[[RunWithoutSite], RunWithoutSite]:
    """Make a function known as the command `name` that needs no configuration; it gets the path of the file."""

    def known(run: RunWithoutSite) -> RunWithoutSite:
        assert name not in COMMANDS, f"{name} is known already"
        COMMANDS[name] = Command(name, help, arguments, run, description)
        return run

    return known


def say(text: str) -> None:
    """One line on standard output, at once."""
    print(text, flush=True)


def complain(text: str, code: int = FAILED) -> int:
    """One line on standard error; the exit code to end with."""
    print(f"loncontrol: {text}", file=sys.stderr)
    return code
