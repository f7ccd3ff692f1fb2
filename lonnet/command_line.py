"""lonnet from a shell: ``python -m lonnet [--conf FILE] reply|critical|ping|reconnect|sweep ...``.

Answers go to stdout as the bytes they are, errors of usage and configuration as one line to stderr.
Exit codes: 0 an answer (``con_delayed`` is one), 1 none (``con_lost``, ``con_failed``, ``no_such_host``; ping: a
host did not answer rightly; reconnect: lonc does not run; sweep: a copy should have gone and did not), 64 usage, 77
root, where the daemons' files belong to another user (critical, sweep), 78 configuration.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import NoReturn

from common.closed_output import ends_with_its_reader
from common.errors import ConfigError
from common.owner import why_not_root
from lonnet.client import CON_FAILED, CON_LOST, NO_SUCH_HOST, Lonnet

NO_ANSWER = (CON_LOST, CON_FAILED, NO_SUCH_HOST)
WRITING = ("critical", "sweep")  # among the daemons' files
PING_THREADS = 128  # hosts that are asked at once


@dataclass(frozen=True, slots=True)
class Pong:
    """What one host answered to ping, and after how many milliseconds."""

    host: str
    domain: str
    role: str
    answer: str
    milliseconds: float

    @property
    def right(self) -> bool:
        """The host answered with its own id."""
        return self.answer == self.host

    @property
    def verdict(self) -> str:
        """The answer, with a note if another host answered."""
        return self.answer if self.right or self.answer in NO_ANSWER else f"wrong id: {self.answer}"


@ends_with_its_reader
def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    :param argv: arguments without the program's name; None: those of the process.
    :returns: the exit code.
    """
    arguments = _parser().parse_args(argv)
    try:
        net = Lonnet.from_conf(arguments.conf)
    except ConfigError as error:
        print(f"lonnet: {error}", file=sys.stderr)
        return os.EX_CONFIG
    try:
        if arguments.action in WRITING and (reason := why_not_root(net.site.config, "python -m lonnet")):
            print(f"lonnet: {reason}", file=sys.stderr)
            return os.EX_NOPERM
        return _run(net, arguments)
    except ValueError as error:
        print(f"lonnet: {error}", file=sys.stderr)
        return os.EX_USAGE
    finally:
        net.close()


def ping(net: Lonnet, host: str, timeout: float | None = None) -> Pong:
    """Ask one host for its id.

    :param timeout: seconds; None: lonRequestTimeout.
    """
    known = net.site.table.hosts.get(host)
    begun = perf_counter()
    answer = net.reply("ping", host, timeout)
    milliseconds = (perf_counter() - begun) * 1000
    return Pong(host, known.domain if known else "-", known.role if known else "-", answer, milliseconds)


def pong_table(pongs: Iterable[Pong]) -> str:
    """The answers as an aligned table with a heading."""
    rows = [("HOST", "DOMAIN", "ROLE", "ANSWER", "MS")]
    rows += [(p.host, p.domain, p.role, p.verdict, f"{p.milliseconds:.1f}") for p in pongs]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "".join(
        "  ".join(text.ljust(width) for text, width in zip(row[:-1], widths[:-1], strict=True))
        + f"  {row[-1]:>{widths[-1]}}\n"
        for row in rows
    )


def _run(net: Lonnet, arguments: argparse.Namespace) -> int:
    if arguments.action == "reply":
        return _answer(net.reply(arguments.command, arguments.host))
    if arguments.action == "critical":
        return _answer(net.critical(arguments.command, arguments.host))
    if arguments.action == "ping":
        hosts = list(net.site.table.hosts) if arguments.all else arguments.hosts
        return _ping_all(net, hosts, arguments.timeout)
    if arguments.action == "sweep":
        return _sweep(net)
    return 0 if net.reconlonc(arguments.host) else 1


def _sweep(net: Lonnet) -> int:
    swept = net.resources.sweep()
    _write("".join(f"deleted {path}\n" for path in swept.deleted))
    _write("".join(f"kept {path!r}: {reason}\n" for path, reason in swept.failed.items()))
    _write(f"{swept.kept} copies in use, {len(swept.deleted)} deleted, {swept.leftovers} leftovers removed\n")
    return 1 if swept.failed else 0


def _answer(answer: str) -> int:
    _write(f"{answer}\n")
    return 1 if answer in NO_ANSWER else 0


def _ping_all(net: Lonnet, hosts: Sequence[str], timeout: float | None) -> int:
    with ThreadPoolExecutor(min(len(hosts), PING_THREADS)) as pool:
        pongs = list(pool.map(lambda host: ping(net, host, timeout), hosts))
    _write(pong_table(pongs))
    return 0 if all(pong.right for pong in pongs) else 1


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(os.EX_USAGE, f"{self.prog}: {message}\n")  # argparse would say 2


def _parser() -> _Parser:
    parser = _Parser(prog="python -m lonnet", description="Ask the hosts of the network.")
    parser.add_argument("--conf", metavar="FILE", help="instead of $LONCAPA_CONF and /etc/loncapa/loncapa.conf")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("reply", "send a request, print the reply"),
        ("critical", "send a critical message, print the reply or con_delayed"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("host", metavar="HOST")
        action.add_argument("command", metavar="COMMAND")
    action = actions.add_parser("ping", help="ask hosts for their id, all at once")
    which = action.add_mutually_exclusive_group(required=True)
    which.add_argument("hosts", metavar="HOST", nargs="*", default=[])
    which.add_argument("--all", action="store_true", help="every host of hosts.tab")
    action.add_argument("--timeout", metavar="S", type=float, help="seconds; default: lonRequestTimeout")
    action = actions.add_parser("reconnect", help="make lonc try its lost links again now")
    action.add_argument("host", metavar="HOST", nargs="?", help="and wait for the link to this one")
    actions.add_parser("sweep", help="delete copies of resources that were not used for lonExpire, renew the others")
    return parser
