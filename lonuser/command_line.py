"""``lonuser``: an administrator's tool for the users of one library server; see docs/lonuser.md.

It runs on that server, as the user that the daemons run as, and works on lonUsersDir beside them: no daemon has to be
stopped, and none needs to run.

Promises: results go to standard output, everything else, one line each, to standard error. No password is an argument,
and neither a password nor a hash is shown.

Exit codes: 0; 64 wrong use; 65 bad data (an archive, a classic directory, a password); 67 no such user here; 69 not
possible now; 77 not as this user; 78 configuration, or this is no library server; 130 interrupted. A traceback: a bug.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from common.closed_output import ends_with_its_reader
from common.config import Config, config_path
from common.core_files import forbid_core_files
from common.errors import ConfigError
from common.owner import why_not_root
from common.site import Site, load_site
from common.usage import ENVIRONMENT, FILES, Formatter, epilog, wrapped
from lond.authentication.accounts import AccountError
from lond.records.faults import StorageError
from lond.storage import Storage
from lonnet.client import Lonnet
from lonuser.accounts import TYPES, add, auth, passwd, show
from lonuser.errors import AdministrationError, NotAllowed, NotPossible
from lonuser.session import Session, Terminal
from lonuser.transfer import export, import_archive, import_classic, move

ASK_SECONDS = 10.0  # for another host's answer
INTERRUPTED = 128 + signal.SIGINT

_DESCRIPTION = wrapped(
    "Look after the users of this library server: make them, change how they log in, show what there is of "
    "them, bring them from one server to another. It works beside the daemons: nothing has to be stopped.",
    "No password is ever an argument, and neither a password nor a hash is shown.",
)
_EPILOG = epilog(
    exit_codes=(
        (str(os.EX_OK), "done, or nothing to do"),
        (str(os.EX_USAGE), "wrong use"),
        (str(os.EX_DATAERR), "bad data: an archive, a classic directory, a password"),
        (str(os.EX_NOUSER), "this host is not the user's home server, or no such user is in a classic directory"),
        (str(os.EX_UNAVAILABLE), "not possible now: already there, at home elsewhere, disk full"),
        (str(os.EX_NOPERM), "not run as the user that the daemons run as"),
        (str(os.EX_CONFIG), "the configuration is wrong, or this is an access server"),
        (str(INTERRUPTED), "interrupted; the same command goes on where it was"),
    ),
    examples=(
        ("lonuser add msu smith", ""),
        ("lonuser export msu smith smith.gz", ""),
        ("lonuser import smith.gz --dry-run", ""),
        ("lonuser move msu smith msul2", ""),
    ),
    environment=ENVIRONMENT,
    files=FILES,
    see_also=(("loncontrol(8), lond(8), loncapa.conf(5)", ""),),
)

Command = Callable[[Session, argparse.Namespace], None]
AskHost = Callable[[str, str], str]


@ends_with_its_reader
def main(argv: Sequence[str] | None = None, terminal: Terminal | None = None, ask_host: AskHost | None = None) -> int:
    """Runs one command.

    :param argv: arguments without the program's name; None: those of the process.
    :param terminal: None: the streams of the process.
    :param ask_host: see :class:`lonuser.session.Session`; None: through this machine's lonc.
    :returns: the exit code.
    """
    forbid_core_files()
    options = parser().parse_args(argv)
    terminal = terminal or Terminal()
    try:
        site = load_site(config_path(options.conf, os.environ))
        _check_role(site)
        _check_owner(site.config)
        _run(site, options, terminal, ask_host)
    except ConfigError as error:
        terminal.warn(str(error))
        return os.EX_CONFIG
    except AdministrationError as error:
        terminal.warn(str(error))
        return error.exit_code
    except (AccountError, StorageError) as error:
        terminal.warn(f"{_whose(options)}{error}; nothing more was done, see docs/storage.md")
        return os.EX_UNAVAILABLE
    except OSError as error:
        _tell_system_error(terminal, error)
        return os.EX_UNAVAILABLE
    except KeyboardInterrupt:
        terminal.warn("interrupted; the same command goes on where it was")
        return INTERRUPTED
    return os.EX_OK


def _run(site: Site, options: argparse.Namespace, terminal: Terminal, ask_host: AskHost | None) -> None:
    net = Lonnet(site)

    def ask(request: str, host: str) -> str:
        return net.reply(request, host, ASK_SECONDS)

    storage = Storage(site)
    try:
        command: Command = options.command
        command(Session(site, storage, terminal, ask_host or ask, lambda: int(time.time())), options)
    finally:
        storage.close()
        net.close()


def _check_role(site: Site) -> None:
    if site.own.role != "library":
        reason = f"{site.own.id} is an access server of hosts.tab; users are at home on library servers, run it there"
        raise ConfigError(site.file, 0, "lonHostID", reason)


def _check_owner(config: Config) -> None:
    """Files of another owner would be out of the daemons' reach."""
    if reason := why_not_root(config, "lonuser"):
        raise NotAllowed(reason)
    users_dir = config.users_dir
    try:
        owner = users_dir.stat().st_uid
    except FileNotFoundError:
        raise NotPossible(f"lonUsersDir, {users_dir}, is not there; the first start of lond makes it") from None
    except PermissionError:
        raise NotAllowed(
            f"lonUsersDir, {users_dir}: permission denied; run lonuser as the user that runs the daemons, or as root "
            "by the installed command"
        ) from None
    if owner != os.geteuid():
        raise NotAllowed(
            f"lonUsersDir, {users_dir}, belongs to the user number {owner}, who runs the daemons, not to you, "
            f"{os.geteuid()}; run lonuser as that user: sudo -u '#{owner}' lonuser ..."
        )


def _whose(options: argparse.Namespace) -> str:
    domain, user = getattr(options, "domain", None), getattr(options, "user", None)
    return f"{domain}:{user}: " if domain and user else ""


def _tell_system_error(terminal: Terminal, error: OSError) -> None:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.EPIPE:
        with suppress(OSError):  # nobody reads the output: Python would try to write the rest of it at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    reason = (error.strerror or str(error)).lower()
    terminal.warn(f"{where}{reason}; correct that, then repeat the command")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized"):  # one of them could be a password
            message = "too many arguments, or an unknown option"
        self.exit(os.EX_USAGE, f"lonuser: {message}; see lonuser --help\n")  # argparse would say 2


def parser() -> _Parser:
    """The command line as argparse sees it."""
    parser = _Parser(
        prog="lonuser",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--conf", metavar="FILE", help="instead of $LONCAPA_CONF and /etc/loncapa/loncapa.conf")
    actions = parser.add_subparsers(required=True, metavar="COMMAND")

    def action(name: str, command: Command, text: str, *, of_user: bool = True) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        one.set_defaults(command=command)
        if of_user:
            one.add_argument("domain", metavar="DOMAIN")
            one.add_argument("user", metavar="USER")
        return one

    _add_account_commands(action)
    _add_transfer_commands(action)
    return parser


def _add_account_commands(action: Callable[..., argparse.ArgumentParser]) -> None:
    new = action("add", add, "make a user; this host is the home server")
    new.add_argument("--type", default="internal", metavar="TYPE", help=f"{TYPES}; default: internal")
    changed = action("auth", auth, "change how a user is authenticated")
    changed.add_argument("type", metavar="TYPE", help=TYPES)
    for one in (new, action("passwd", passwd, "give an internal account a new password"), changed):
        one.add_argument("--password-stdin", action="store_true", help="the password is the first line of the input")
    action("show", show, "show what there is of a user")


def _add_transfer_commands(action: Callable[..., argparse.ArgumentParser]) -> None:
    one = action("export", export, "write everything of a user into one file")
    one.add_argument("file", metavar="FILE", nargs="?", help="must not be there; default: standard output")
    one = action("import", import_archive, "make an exported user one of this host", of_user=False)
    one.add_argument("file", metavar="FILE", help="what export or move has written; -: standard input")
    _add_import_options(one)
    one = action("import-classic", import_classic, "bring users of the original here", of_user=False)
    one.add_argument("directory", metavar="DIRECTORY", help="of one user, of a domain, or of all domains")
    one.add_argument("--domain", metavar="DOMAIN", help="default: this host's")
    which = one.add_mutually_exclusive_group()
    which.add_argument("--user", metavar="USER", help="default, for a user's own directory: as that is named")
    which.add_argument("--all", action="store_true", help="all users of the domain")
    _add_import_options(one)
    one = action("move", move, "take a user away, to another library server of the domain")
    one.add_argument("host", metavar="HOST", help="the id of the new home server")
    step = one.add_mutually_exclusive_group()
    step.add_argument("--finish", action="store_true", help="the new home server has the records")
    step.add_argument("--undo", action="store_true", help="put the user back")
    one.add_argument("--force", action="store_true", help="with --finish, --undo: do not ask HOST")


def _add_import_options(one: argparse.ArgumentParser) -> None:
    one.add_argument("--merge", action="store_true", help="add to users who are here already what they lack")
    one.add_argument("--dry-run", action="store_true", help="change nothing, say what would be added")


if __name__ == "__main__":
    sys.exit(main())
