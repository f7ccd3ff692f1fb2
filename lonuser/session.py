"""What every command of lonuser works with: this host, its storage, the person at the terminal, the other hosts.

Promises: a password is asked without echo and twice, or is the first line of standard input; it is never shown.
Progress is shown on a terminal only.

Raises: :class:`WrongUse` if nobody can be asked for a password, :class:`BadData` for one that can't be taken,
:class:`NotPossible` for a user who is at home elsewhere. Logs nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from getpass import getpass
from pathlib import Path
from typing import BinaryIO, TextIO

from common.site import Site
from lond.authentication.passwords import MAX_PASSWORD_BYTES
from lond.records.paths import is_name
from lond.storage import Storage
from lonnet.home_calls import TRY_AGAIN
from lonuser.errors import BadData, NotPossible, UnknownUser, WrongUse
from lonuser.move import Moving, find_moving

FOUND, NOT_FOUND = "found", "not_found"


@dataclass(frozen=True, slots=True)
class Terminal:
    """The streams of the process; tests bring their own.

    :param ask: a prompt in, what was typed out, without echo.
    """

    input: BinaryIO = field(default_factory=lambda: sys.stdin.buffer)
    output: BinaryIO = field(default_factory=lambda: sys.stdout.buffer)
    errors: TextIO = field(default_factory=lambda: sys.stderr)
    ask: Callable[[str], str] = getpass

    def say(self, line: str) -> None:
        """One line of result."""
        self.output.write(line.encode("utf-8", "surrogateescape") + b"\n")
        self.output.flush()

    def warn(self, line: str) -> None:
        """One line for the person, not for a program that reads the result."""
        print(f"lonuser: {line}", file=self.errors)

    def new_password(self, name: str, from_input: bool) -> bytes:
        """A new password.

        :param name: whose, for the prompt.
        :param from_input: take the first line of standard input.
        """
        if from_input:
            password = self.input.readline(MAX_PASSWORD_BYTES + 3).removesuffix(b"\n").removesuffix(b"\r")
        elif not self.input.isatty():
            raise WrongUse("standard input is no terminal; use --password-stdin to give the password as its first line")
        else:
            password = self._typed(f"New password of {name}: ")
            if self._typed("Once more: ") != password:
                raise BadData("the two passwords differ; nothing was changed, try again")
        if not password:
            raise BadData("the password is empty; nothing was changed, give another one")
        if len(password) > MAX_PASSWORD_BYTES:
            raise BadData(f"the password has more than {MAX_PASSWORD_BYTES} bytes; nothing was changed, shorten it")
        return password

    def _typed(self, prompt: str) -> bytes:
        try:
            return self.ask(prompt).encode("utf-8", "surrogateescape")
        except EOFError:
            raise BadData("no password was given; nothing was changed") from None

    def progress(self, text: str) -> None:
        """Shows how far it is, in place of what was shown before; an empty text takes it away."""
        if self.errors.isatty():
            self.errors.write(f"\r\x1b[K{text[:100]}")
            self.errors.flush()


@dataclass(frozen=True, slots=True)
class Name:
    """A user of a domain, as given on the command line; both are names."""

    domain: str
    user: str

    def __str__(self) -> str:
        return f"{self.domain}:{self.user}"

    @property
    def fields(self) -> tuple[bytes, bytes]:
        """As storage takes them."""
        return self.domain.encode("ascii"), self.user.encode("ascii")


@dataclass(frozen=True, slots=True)
class Session:
    """One run of lonuser.

    :param ask_host: a request and a host id in, the reply out, ``con_lost`` if there is none.
    :param now: UNIX seconds.
    """

    site: Site
    storage: Storage
    terminal: Terminal
    ask_host: Callable[[str, str], str]
    now: Callable[[], int]

    @property
    def users_dir(self) -> Path:
        """Where all users are."""
        return self.site.config.users_dir

    def directory(self, name: Name) -> Path:
        """Where the user is or would be."""
        return self.storage.user_directory(*name.fields)

    def moving(self, name: Name) -> Moving | None:
        """The user, if on the way to another host."""
        return find_moving(self.users_dir, name.domain, name.user, self.site.table.hosts)

    def known(self, name: Name) -> Name:
        """The user, who must be at home here.

        :raises UnknownUser: it is not so.
        """
        if self.storage.is_home(*name.fields):
            return name
        moving = self.moving(name)
        if moving is not None:
            raise UnknownUser(
                f"{name} is on the way to {moving.host}; lonuser move {name.domain} {name.user} {moving.host} goes on, "
                "--finish ends it, --undo takes it back"
            )
        raise UnknownUser(f"{name} is not at home on this host, {self.site.own.id}; look on the domain's other servers")

    def newcomer(self, name: Name, *, arriving: bool = False) -> Name:
        """The user, who may become one of this host: of its domain, not on the way elsewhere, at home nowhere else.

        :param arriving: the user may be on the way from another host.
        :raises WrongUse, NotPossible: it is not so.
        """
        own = self.site.own
        if name.domain != own.domain:
            raise WrongUse(f"{name}: this host, {own.id}, has users of the domain {own.domain} only")
        moving = self.moving(name)
        if moving is not None:
            raise NotPossible(f"{name} is on the way from here to {moving.host}; end that with move --finish or --undo")
        for host in self.site.table.in_domain(own.domain, "library"):
            if host.id != own.id:
                self._must_not_be_on(name, host.id, arriving)
        return name

    def home_answer(self, name: Name, host: str) -> str:
        """What a host says to the question whether it is the user's home server."""
        return self.ask_host(f"home:{name.domain}:{name.user}", host)

    def _must_not_be_on(self, name: Name, host: str, arriving: bool) -> None:
        answer = self.home_answer(name, host)
        if answer.startswith(TRY_AGAIN):
            if not arriving:
                raise NotPossible(f"{name} is on the way from {host} to another host; there, lonuser move ends that")
            return
        if answer == FOUND:
            raise NotPossible(f"{name} is at home on {host}; with lonuser move, there, the user can come here")
        if answer != NOT_FOUND:
            self.terminal.warn(f"warning: {host} could not be asked whether {name} is at home there ({answer})")


def checked_name(domain: str, user: str) -> Name:
    """The name of a user.

    :raises WrongUse: one of them is none.
    """
    for kind, text in (("domain", domain), ("user name", user)):
        if not is_name(text.encode("utf-8", "surrogateescape")):
            raise WrongUse(f"{text!r} is not a {kind}: letters, digits and _.@-, at most 64, no '..'")
    return Name(domain, user)
