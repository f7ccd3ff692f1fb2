"""Becoming a daemon, and telling the caller how that went.

``scripts/lonc`` and ``scripts/lond`` come here. The caller's process waits for one line from the daemon on a pipe: it
exits 0 only when the pid file is locked and filled and lond's socket is bound; otherwise with the reason on standard
error and 69 (already running, or no address to be had), 77 (root, but the files are another user's), 78 (configuration)
or 70 (a bug).

python-daemon's context is used for what it does well: detaching, closing inherited descriptors, directory, umask.
Everything the daemon owns is opened after it. Signals and the pid file are ours.
"""

from __future__ import annotations

import argparse
import logging
import logging.handlers
import os
import resource
import select
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, Protocol

from daemon import DaemonContext

from common.config import config_path
from common.core_files import forbid_core_files
from common.errors import ConfigError
from common.fork import EXIT_BUG, fork
from common.loop import OUR_SIGNALS
from common.notify import Notifier
from common.owner import why_not_root
from common.pidfile import AlreadyRunning, PidFile, pid_path
from common.site import Site, load_site
from common.title import set_title
from common.usage import ENVIRONMENT, FILES, Formatter, epilog, wrapped

log = logging.getLogger(__name__)

EXIT_OK, EXIT_USAGE, EXIT_UNAVAILABLE, EXIT_NOT_ALLOWED, EXIT_CONFIG = 0, 64, 69, 77, 78
UMASK = 0o027
OTHER_DESCRIPTORS = 512  # that a process needs beside those of its callers


class Service(Protocol):
    """A parent that can be run; its constructor binds and opens what it needs."""

    def run(self, ready: Callable[[], None]) -> int:
        """Live; call `ready` when everything is in place."""


MakeService = Callable[[Site, Path, PidFile, Notifier], Service]


class _Arguments(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def main(parser: argparse.ArgumentParser, make: MakeService, argv: Sequence[str] | None = None) -> int:
    """The command line of a daemon; returns the exit code.

    :param parser: of :func:`command_line`.
    :param make: makes the parent once the pid file is ours.
    """
    name, options = parser.prog, parser.parse_args(argv)
    conf = config_path(options.conf, os.environ)
    try:
        site = load_site(conf)
    except ConfigError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return EXIT_CONFIG
    for warning in site.warnings if options.check or not options.foreground else ():  # there the log is shown as well
        print(f"{name}: warning: {warning}", file=sys.stderr)
    if options.check:
        print(f"{name}: configuration of {site.own.id} is good: {len(site.table.hosts)} hosts")
        return EXIT_OK
    if reason := why_not_root(site.config, name):
        print(f"{name}: {reason}", file=sys.stderr)
        return EXIT_NOT_ALLOWED
    daemon = Daemon(name, site, conf.absolute(), make)
    return daemon.in_foreground() if options.foreground else daemon.in_background()


def command_line(name: str, *description: str, usr1: str) -> argparse.ArgumentParser:
    """The options of a daemon.

    :param description: what it does, in paragraphs.
    :param usr1: what it does on that signal; the others mean the same to both daemons.
    """
    parser = _Arguments(
        prog=name,
        description=wrapped(*description),
        formatter_class=Formatter,
        epilog=_epilog(name, usr1),
    )
    parser.add_argument("--conf", metavar="FILE", help="configuration (else $LONCAPA_CONF, /etc/loncapa/loncapa.conf)")
    parser.add_argument("--foreground", action="store_true", help="do not detach; log to standard error as well")
    parser.add_argument("--check", action="store_true", help="read configuration and tables, say what is wrong, exit")
    return parser


def _epilog(name: str, usr1: str) -> str:
    return epilog(
        signals=(
            ("TERM, INT", "end the children, then end; what waits is kept"),
            ("HUP", "read configuration and tables again; only if they are good, children are replaced"),
            ("USR1", usr1),
            ("USR2", "as HUP, but the tables only"),
        ),
        exit_codes=(
            ("0", "it serves (in the background), or was asked to end (--foreground), or all is well (--check)"),
            (str(EXIT_USAGE), "wrong use"),
            (
                str(EXIT_UNAVAILABLE),
                "not now: it runs already, or its port or a directory is not to be had",
            ),
            (str(EXIT_BUG), "a bug; the log has more"),
            (str(EXIT_NOT_ALLOWED), "root called it, but the daemons' files belong to another user"),
            (str(EXIT_CONFIG), "the configuration or a table is wrong; nothing was started"),
        ),
        environment=(
            *ENVIRONMENT,
            ("NOTIFY_SOCKET", "where the service manager hears READY, RELOADING, STOPPING and STATUS (sd_notify)"),
            ("WATCHDOG_USEC", "the service manager's patience; WATCHDOG is sent three times as often"),
        ),
        files=(
            *FILES,
            (f"/var/lib/loncapa/logs/{name}.log", "the log; it may be renamed at any time"),
            (f"/var/lib/loncapa/logs/{name}.pid", "locked while the daemon runs"),
        ),
        see_also=(("loncontrol(8), loncapa.conf(5), hosts.tab(5)", ""),),
    )


class Daemon:
    """One start of one daemon."""

    def __init__(self, name: str, site: Site, conf: Path, make: MakeService) -> None:
        self.name, self.site, self.conf, self._make = name, site, conf, make

    def in_foreground(self) -> int:
        """Serve in this process, without detaching."""
        notifier = Notifier()
        with DaemonContext(
            detach_process=False,
            working_directory="/",
            umask=UMASK,
            prevent_core=False,  # ours is stricter
            pidfile=None,
            signal_map={},
            stdin=None,
            stdout=sys.stdout,
            stderr=sys.stderr,
        ):
            forbid_core_files()
            open_log(self.site, self.name, echo=True)
            code, message = self._serve(notifier, lambda _remark: None)
        if message:
            print(f"{self.name}: {message}", file=sys.stderr)
        return code

    def in_background(self) -> int:
        """Detach, and wait until the daemon serves or has failed."""
        read_end, write_end = os.pipe()
        pid = fork(lambda: os.close(read_end), lambda: self._detached(write_end))
        os.close(write_end)
        code, message = self._await_result(read_end)
        os.close(read_end)
        os.waitpid(pid, 0)  # the intermediate process; the daemon itself is init's child by now
        if message:
            print(f"{self.name}: {message}", file=sys.stderr)
        return code

    def _await_result(self, read_end: int) -> tuple[int, str]:
        timeout = self.site.config.start_timeout
        if not select.select([read_end], [], [], timeout)[0]:
            return EXIT_UNAVAILABLE, f"no word from the daemon within {timeout:.0f} s; see its log"
        code, _, message = os.read(read_end, 4096).decode("utf-8", "replace").partition(" ")
        return (int(code), message) if code.isdigit() else (EXIT_BUG, "the daemon ended during its start; see its log")

    def _detached(self, result: int) -> int:
        context = DaemonContext(
            detach_process=True,
            working_directory="/",
            umask=UMASK,
            prevent_core=False,  # ours is stricter
            pidfile=None,
            signal_map={},
            files_preserve=[result],
        )
        context.open()
        forbid_core_files()
        open_log(self.site, self.name, echo=False)

        told = False

        def tell(code: int, message: str) -> None:
            nonlocal told
            if not told:
                os.write(result, f"{code} {message}".encode()[:4096])
                os.close(result)
            told = True

        code, message = self._serve(Notifier(), lambda remark: tell(EXIT_OK, remark))
        tell(code, message)
        return code

    def _serve(self, notifier: Notifier, ready: Callable[[str], None]) -> tuple[int, str]:
        """Live; the exit code and the reason of a failure.

        :param ready: called when everything is in place, with what is to be said all the same.
        """
        # lond may wake a lonc whose handlers are not there yet; the loop unblocks when it can deliver.
        signal.pthread_sigmask(signal.SIG_BLOCK, OUR_SIGNALS)
        set_title(f"{self.name}: starting")
        _raise_descriptor_limit(self.site)
        try:
            make_directories(self.site)
            pid_file = PidFile(pid_path(self.site.config, self.name))
        except AlreadyRunning as error:
            return EXIT_UNAVAILABLE, str(error)
        except OSError as error:
            return EXIT_UNAVAILABLE, f"can't start: {error}"
        if pid_file.fault:
            log.warning("no pid in the pid file: %s", pid_file.fault)
        try:
            service = self._make(self.site, self.conf, pid_file, notifier)
            return service.run(lambda: ready(pid_file.fault)), ""
        except OSError as error:
            log.error("can't go on: %s", error)
            return EXIT_UNAVAILABLE, f"can't go on: {error}"
        finally:
            pid_file.remove()


def _raise_descriptor_limit(site: Site) -> None:
    # The usual soft limit of 1024 is older than epoll; a child may serve lonMaxCallers callers.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = site.config.max_callers + OTHER_DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))


def make_directories(site: Site) -> None:
    """Make the directories that daemons write to; nobody else gets at messages and records.

    :raises OSError: one can't be made; its text names the setting.
    """
    config = site.config
    for setting, directory, mode in (
        ("lonDaemons", config.daemons_dir / "logs", 0o750),
        ("lonSockDir", config.sock_dir, 0o750),
        ("lonDelayedDir", config.delayed_dir, 0o700),
        ("lonUsersDir", config.users_dir, 0o700),
    ):
        try:
            directory.mkdir(mode=mode, parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(error.errno, f"{setting}: {error.strerror}", str(directory)) from error


class OneLine(logging.Formatter):
    """One event, one line: control characters are escaped, tracebacks folded."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for a record."""
        text = super().format(record)
        return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return " | " if character == "\n" else f"\\x{ord(character):02x}"


class LogFile(logging.handlers.WatchedFileHandler):
    """A log file that may be rotated at any time, and whose trouble (a full disk, a missing directory) stops nobody."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or drop it; the next one tries to open the file again."""
        try:
            super().emit(record)
        except OSError:
            stream, self.stream = self.stream, None
            with suppress(OSError):
                if stream is not None:
                    stream.close()


def open_log(site: Site, name: str, *, echo: bool) -> None:
    """Log to lonDaemons/logs/NAME.log, which may be rotated at any time; a full disk stops nothing.

    :raises OSError: never; without a log file the daemon logs to standard error.
    """
    logging.raiseExceptions = False
    formatter = OneLine(f"%(asctime)s {name}[%(process)d] %(levelname)s: %(message)s")
    handlers: list[logging.Handler] = [logging.StreamHandler()] if echo else []
    try:
        make_directories(site)
        path = site.config.daemons_dir / "logs" / f"{name}.log"
        handlers.append(LogFile(path, encoding="utf-8", errors="backslashreplace"))
    except OSError as error:
        print(f"{name}: no log file: {error}", file=sys.stderr)
    root = logging.getLogger()
    root.setLevel(site.config.log_level.upper())
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
