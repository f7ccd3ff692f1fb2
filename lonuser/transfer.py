"""The commands of lonuser that bring users here or take them away: export, import, import-classic, move.

Raises: the errors of :mod:`lonuser.errors`, AccountError, StorageError, OSError. Logs nothing.
"""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections import Counter
from pathlib import Path

from lond.authentication.accounts import AccountError, read_account
from lond.records.faults import StorageError
from lond.records.merge import Changes
from lond.records.tables import Copy
from lonuser.archive import Archive, Head, read_archive, save_archive, write_archive
from lonuser.classic import ClassicUser, Notes, classic_account, find_all_users, find_user, read_records
from lonuser.errors import BadData, NotPossible, WrongUse
from lonuser.gdbm import Reader, find_reader
from lonuser.importing import Arrival, UserImport, copy_of_user
from lonuser.move import Moving, finish, release, take_back
from lonuser.session import FOUND, NOT_FOUND, Name, Session, checked_name

STANDARD_STREAM = "-"
MAX_FAULTS_SHOWN = 10  # of one user's directory


def export(session: Session, options: Namespace) -> None:
    """``export DOMAIN USER [FILE]``: one file with everything, while the daemons go on."""
    name = session.known(checked_name(options.domain, options.user))
    to_output = options.file in (None, STANDARD_STREAM)
    if to_output and session.terminal.output.isatty():
        raise WrongUse("an archive is not for a terminal; name a FILE, or send the output into one")
    account = read_account(session.directory(name))
    if account is None:
        raise NotPossible(f"the passwd file of {name} is gone at this moment; try again")
    head = _head(session, name)
    with copy_of_user(session.storage, *name.fields) as records:
        if to_output:
            write_archive(session.terminal.output, head, account, records)
            session.terminal.output.flush()
            return
        try:
            save_archive(Path(options.file), head, account, records)
        except FileExistsError:
            raise NotPossible(f"{options.file} is there already; remove it, or name another file") from None
    session.terminal.warn(f"{name} is in {options.file}; it holds what the passwd file holds: keep it as safe")


def import_archive(session: Session, options: Namespace) -> None:
    """``import FILE``: makes an exported user one of this host."""
    if options.file == STANDARD_STREAM:
        archive = read_archive(session.terminal.input, "standard input")
    else:
        archive = _archive_in(options.file)
    with archive.records as records:
        name = session.newcomer(Name(archive.head.domain, archive.head.user), arriving=True)
        arrival = _importer(session, options).add(*name.fields, archive.account, records)
    session.terminal.say(f"{name}: {_told(arrival, options.dry_run)}")


def _archive_in(path: str) -> Archive:
    try:
        with Path(path).open("rb") as file:
            return read_archive(file, path)
    except IsADirectoryError:
        raise WrongUse(
            f"{path} is a directory; import reads one file, which export or move has written; users of the original "
            f"come by lonuser import-classic {shlex.quote(path)}"
        ) from None


def import_classic(session: Session, options: Namespace) -> None:
    """``import-classic DIRECTORY``: brings users of the original here."""
    directory, own = Path(options.directory), session.site.own.domain
    name = checked_name(options.domain or own, options.user or "a_user")
    if name.domain != own:
        raise WrongUse(f"--domain {name.domain}: this host, {session.site.own.id}, has users of the domain {own} only")
    domain, user = name.fields
    with find_reader() as reader:
        run = _ClassicRun(session, _importer(session, options), reader)
        if options.all:
            run.bring_all(find_all_users(directory, domain))
        else:
            run.bring_one(find_user(directory, domain, user if options.user else None))


def move(session: Session, options: Namespace) -> None:
    """``move DOMAIN USER HOST``: releases a user, then ends the move or takes the user back."""
    name = checked_name(options.domain, options.user)
    host = _target(session, name, options.host)
    moving = session.moving(name)
    if moving is not None and moving.host != host:
        raise NotPossible(f"{name} is on the way to {moving.host}; end that with --finish or --undo first")
    if not (options.finish or options.undo):
        if options.force:
            raise WrongUse("--force belongs to --finish or --undo; nothing was done")
        _release(session, name, host)
    elif moving is None:
        raise NotPossible(f"{name} is not on the way to {host}; lonuser move without an option begins it")
    elif options.finish:
        _finish(session, name, moving, options.force)
    else:
        _take_back(session, name, moving, options.force)


def _importer(session: Session, options: Namespace) -> UserImport:
    return UserImport(session.storage, session.users_dir, merge=options.merge, dry_run=options.dry_run)


def _head(session: Session, name: Name) -> Head:
    return Head(name.domain, name.user, session.site.own.id, session.now())


def _told(arrival: Arrival, dry_run: bool) -> str:
    if not (arrival.is_new or arrival.changes.added or arrival.changes.kept):
        return "is here already, nothing to do"
    what = "account and " if arrival.is_new else ""
    return f"{'would add' if dry_run else 'added'} {what}{arrival.changes}"


class _ClassicRun:
    """One call of import-classic."""

    def __init__(self, session: Session, importer: UserImport, reader: Reader) -> None:
        self._session, self._importer, self._reader = session, importer, reader
        self._terminal = session.terminal
        self._left: Counter[str] = Counter()
        self._faulty = 0

    def bring_one(self, one: ClassicUser) -> None:
        """Imports one user.

        :raises BadData: not everything could be understood.
        """
        arrival = self._bring(one)
        told = "is here already, not touched (--merge adds what is missing)"
        self._terminal.say(f"{one.name}: {told if arrival is None else _told(arrival, self._importer.dry_run)}")
        self._conclude(1)

    def bring_all(self, users: list[ClassicUser]) -> None:
        """Imports many; what goes wrong with one does not keep the others.

        :raises BadData: one of them is not, or not wholly, imported.
        """
        total, new, settled, failed = Changes(), 0, 0, 0
        for number, one in enumerate(users, 1):
            self._terminal.progress(f"{number} of {len(users)}: {one.name}")
            try:
                arrival = self._bring(one)
            except (BadData, AccountError, StorageError, NotPossible) as error:
                failed += 1
                self._note(f"{one.name} is not imported: {error}")
                continue
            settled += arrival is None
            total += Changes() if arrival is None else arrival.changes
            new += arrival is not None and arrival.is_new
        self._terminal.progress("")
        would = "would be " if self._importer.dry_run else ""
        self._terminal.say(
            f"{len(users)} users: {new} {would}new, {settled} here already and not touched, {failed} failed; "
            f"{would}added {total}"
        )
        self._conclude(len(users), failed)

    def _bring(self, one: ClassicUser) -> Arrival | None:
        """None: the user is here already."""
        home = self._session.storage.user_directory(one.domain, one.user)
        if home.exists() and home.samefile(one.directory):
            raise NotPossible(f"{home} is of lonUsersDir itself; put the classic directory aside, then import it")
        moving = self._session.moving(Name(one.domain.decode("ascii"), one.user.decode("ascii")))
        if moving is not None:
            raise NotPossible(f"{one.name} is on the way from here to {moving.host}; end that with move --finish")
        if self._importer.is_settled(one.domain, one.user):
            return None
        account = classic_account(one)
        with Copy() as records:
            notes = read_records(one, self._reader, records)
            arrival = self._importer.add(one.domain, one.user, account, records)
        self._take_notes(one, notes)
        return arrival

    def _take_notes(self, one: ClassicUser, notes: Notes) -> None:
        self._left.update(notes.left)
        self._faulty += bool(notes.faults)
        for fault in notes.faults[:MAX_FAULTS_SHOWN]:
            self._note(f"{one.directory}: {fault}; left out")
        if len(notes.faults) > MAX_FAULTS_SHOWN:
            self._note(f"{one.directory}: {len(notes.faults) - MAX_FAULTS_SHOWN} more such lines or values, left out")

    def _conclude(self, users: int, failed: int = 0) -> None:
        if self._left:
            shown = ", ".join(f"{name} ({count})" for name, count in self._left.most_common(MAX_FAULTS_SHOWN))
            self._note(f"not records, so not imported: {shown}{' ...' if len(self._left) > MAX_FAULTS_SHOWN else ''}")
        if failed or self._faulty:
            again = "import again with --merge" if self._faulty else "import again"
            raise BadData(
                f"of {users} users {failed} were not imported and {self._faulty} not wholly; see the lines above, "
                f"correct the files, then {again}"
            )

    def _note(self, line: str) -> None:
        self._terminal.progress("")
        self._terminal.warn("".join(c if c.isprintable() else "?" for c in line))


def _target(session: Session, name: Name, host_id: str) -> str:
    """The host that a user may move to.

    :raises WrongUse: it can't be this one.
    """
    libraries = [host.id for host in session.site.table.in_domain(name.domain, "library")]
    if host_id == session.site.own.id or host_id not in libraries:
        others = ", ".join(one for one in libraries if one != session.site.own.id) or "there is none"
        raise WrongUse(f"{host_id!r} is not another library server of the domain {name.domain} ({others})")
    return host_id


def _release(session: Session, name: Name, host: str) -> None:
    if session.home_answer(name, host) == FOUND and session.storage.is_home(*name.fields):
        raise NotPossible(f"{name} is at home on {host} as well; find out which records are right before anything else")
    moving = release(session.users_dir, _head(session, name), host, session.site.config.busy_timeout)
    hostname = session.site.table[host].hostname
    say = session.terminal.say
    say(f"{name} is released: out of service until {host} has the records. Next, bring them there:")
    say(f"  ssh {hostname} lonuser import - < {shlex.quote(str(moving.archive))}")
    say(f"(as the user that the daemons run as, on both machines), and when {host} has said what it added, here:")
    say(f"  lonuser move {name.domain} {name.user} {host} --finish")
    say("To take it all back instead, before the import:")
    say(f"  lonuser move {name.domain} {name.user} {host} --undo")


def _finish(session: Session, name: Name, moving: Moving, force: bool) -> None:
    answer = FOUND if force else session.home_answer(name, moving.host)
    if answer != FOUND:
        raise NotPossible(
            f"{moving.host} does not say that {name} is at home there ({answer}); do the import there"
            f"{'' if answer == NOT_FOUND else ', or start lonc here'}, then repeat this (--force: do not ask)"
        )
    kept = finish(moving, session.now())
    session.terminal.say(
        f"{name} has moved to {moving.host}. The old records are kept; when they are not wanted any more:"
    )
    session.terminal.say(f"  rm -r {shlex.quote(str(kept))}")
    old = session.site.own.id
    session.terminal.say(f"Other servers may hold messages for {name} that {old} refuses from now on; on each of them:")
    session.terminal.say(f"  loncontrol retry {old}")
    _say_how_to_requeue(session, f" --to {moving.host}")


def _take_back(session: Session, name: Name, moving: Moving, force: bool) -> None:
    answer = NOT_FOUND if force else session.home_answer(name, moving.host)
    if answer == FOUND:
        raise NotPossible(
            f"{name} is at home on {moving.host} already; use --finish, or lonuser move there to come back"
        )
    if answer != NOT_FOUND:
        raise NotPossible(
            f"{moving.host} could not be asked whether {name} is at home there ({answer}); start lonc here, or, if you "
            "know that the import was not done, repeat this with --force"
        )
    take_back(session.users_dir, moving, session.site.config.busy_timeout)
    session.terminal.say(f"{name} is at home on {session.site.own.id} again; remove copies of the archive")
    session.terminal.say(
        f"Messages for {name} that failed meanwhile are with the servers that sent them; on each of them:"
    )
    _say_how_to_requeue(session)


def _say_how_to_requeue(session: Session, to: str = "") -> None:
    old = session.site.own.id
    session.terminal.say(f"  loncontrol queue ls {old} --state failed")
    session.terminal.say(f"  loncontrol queue requeue {old} ID ...{to}")
