"""The command line lonuser, in this process: what it does, says, and answers with."""

from __future__ import annotations

import errno
import io
import os
import re
import runpy
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common.site import load_site
from lond.authentication.accounts import Account, create_account, read_account
from lond.authentication.passwords import verify
from lond.commands import authentication
from lond.records.paths import user_directory
from lonuser import transfer
from lonuser.accounts import ENTRY_POINT, REALM
from lonuser.archive import Head
from lonuser.command_line import main
from lonuser.gdbm import find_reader
from lonuser.importing import UserImport
from lonuser.move import find_moving, release, take_back
from lonuser.session import Terminal
from tests.helpers.dispatching import NOW, Lond
from tests.helpers.user_records import SOME, Crash, crash_at, digest, make_copy
from tests.unit.test_classic_import import GRADES, Hashes, needs_gdbm, write_gdbm

ROOT = Path(__file__).resolve().parent.parent.parent
HOSTS = """
msul1:msu:library:msul1.test:127.0.0.1
msul2:msu:library:msul2.test:127.0.0.2
msua1:msu:access:msua1.test:127.0.0.3
hubl1:hub:library:hubl1.test:127.0.0.4
"""
PASSWORD = "k0rrekt"
KRB5 = Account("krb5", "MSU.EDU")
IS_MOVING = b"error: 11 the user is moving to another host, try again"


class Input(io.BytesIO):
    """Standard input; a terminal if there is nothing in it."""

    def isatty(self) -> bool:
        return not self.getvalue()


class Output(io.BytesIO):
    """Standard output that is a terminal or not."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


class Errors(io.StringIO):
    """Standard error, the same."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


@dataclass
class Said:
    """How one run ended."""

    code: int
    out: str
    err: str
    raw: bytes


@dataclass
class Machine:
    """One host of the network, with its own directories; other hosts are what `homes` says of them."""

    directory: Path
    host: str = "msul1"
    homes: dict[str, str] = field(default_factory=lambda: {"msul1": "not_found", "msul2": "not_found"})
    asked: list[str] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)
    on_terminal: bool = False

    def __post_init__(self) -> None:
        (self.directory / "tab").mkdir(parents=True)
        (self.directory / "tab" / "hosts.tab").write_text(HOSTS)
        self.users.mkdir()
        self.conf.write_text(
            f"PerlSetVar lonHostID {self.host}\nPerlSetVar lonTabDir {self.directory / 'tab'}\n"
            f"PerlSetVar lonUsersDir {self.users}\nPerlSetVar lonSockDir {self.directory}\n"
            f"PerlSetVar londBusyTimeout 1\n"
        )

    @property
    def users(self) -> Path:
        return self.directory / "users"

    @property
    def conf(self) -> Path:
        return self.directory / "loncapa.conf"

    def home(self, user: str = "smith") -> Path:
        return user_directory(self.users, b"msu", user.encode())

    def run(self, *arguments: str | Path, data: bytes = b"") -> Said:
        output, errors, typed = Output(), Errors(), iter(self.typed)
        output.terminal = errors.terminal = self.on_terminal

        def answer(request: str, host: str) -> str:
            self.asked.append(f"{host} {request}")
            return self.homes[host]

        terminal = Terminal(Input(data), output, errors, lambda _: next(typed))
        argv = ["--conf", str(self.conf), *map(str, arguments)]
        try:
            code = main(argv, terminal, answer)
        except SystemExit as exit:  # of argparse
            code = int(str(exit.code))
        raw, err = output.getvalue(), errors.getvalue()
        assert "Traceback" not in err and PASSWORD not in err and PASSWORD.encode() not in raw
        return Said(code, raw.decode("utf-8", "replace"), err, raw)

    def fill(self, user: str = "smith", account: Account = KRB5) -> None:
        """A user with records."""
        with Lond(load_site(self.conf), users=()) as lond, make_copy(SOME) as copy:
            UserImport(lond.storage, self.users).add(b"msu", user.encode(), account, copy)

    def lond(self) -> Lond:
        return Lond(load_site(self.conf), users=())


@pytest.fixture
def here(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "msul1")


@pytest.fixture
def there(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "msul2", "msul2")


class TestAccounts:
    def test_a_password_from_the_input(self, here: Machine) -> None:
        said = here.run("add", "msu", "smith", "--password-stdin", data=f"{PASSWORD}\nmore\n".encode())
        assert (said.code, said.out) == (0, "msu:smith is at home on msul1, type internal\n")
        account = read_account(here.home())
        assert account is not None and account.type == "internal"
        assert verify(PASSWORD.encode(), account.info)

    def test_a_password_typed_twice(self, here: Machine) -> None:
        here.typed = [PASSWORD, PASSWORD]
        assert here.run("add", "msu", "smith").code == 0
        here.typed = ["neues", "neues"]
        assert here.run("passwd", "msu", "smith").out == "msu:smith has a new password\n"
        account = read_account(here.home())
        assert account is not None and verify(b"neues", account.info)

    @pytest.mark.parametrize(
        ("data", "typed", "code", "reason"),
        [
            (b"", [PASSWORD, "other"], 65, "the two passwords differ"),
            (b"\n", [], 65, "the password is empty"),
            (b"x" * 1025 + b"\n", [], 65, "more than 1024 bytes"),
        ],
    )
    def test_what_is_no_password(self, here: Machine, data: bytes, typed: list[str], code: int, reason: str) -> None:
        here.typed = typed
        said = here.run("add", "msu", "smith", *(["--password-stdin"] if data else []), data=data)
        assert said.code == code and reason in said.err and said.err.count("\n") == 1
        assert digest(here.users) == {}

    def test_nobody_to_ask(self, here: Machine) -> None:
        said = here.run("add", "msu", "smith", data=b"unexpected")
        assert said.code == 64 and "--password-stdin" in said.err

    @pytest.mark.parametrize(
        ("text", "account"),
        [
            ("unix", Account("unix")),
            ("none", Account("none")),
            ("krb5:MSU.EDU", Account("krb5", "MSU.EDU")),
            ("localauth:ldap:ou=people", Account("localauth", "ldap:ou=people")),
        ],
    )
    def test_types_without_a_password(self, here: Machine, text: str, account: Account) -> None:
        assert here.run("add", "msu", "smith", "--type", text).code == 0
        assert read_account(here.home()) == account
        here.typed = [PASSWORD, PASSWORD]
        assert here.run("auth", "msu", "smith", "internal").code == 0
        assert here.run("auth", "msu", "smith", text).out == f"msu:smith has type {account.type}\n"
        assert read_account(here.home()) == account

    @pytest.mark.parametrize("text", ["krb5", "krb5:", "krb4:MSU.EDU", "unix:x", "internal:k0rrekt", "localauth", ""])
    def test_what_is_no_type(self, here: Machine, text: str) -> None:
        said = here.run("add", "msu", "smith", "--type", text)
        assert said.code == 64 and "it is one of internal, unix, krb5:REALM" in said.err

    def test_types_are_as_makeuser_takes_them(self) -> None:
        assert (REALM, ENTRY_POINT) == (authentication._REALM, authentication._ENTRY_POINT)

    def test_a_password_is_not_for_every_type(self, here: Machine) -> None:
        here.fill()
        said = here.run("passwd", "msu", "smith", "--password-stdin", data=b"x\n")
        assert said.code == 64 and "lonuser auth msu smith internal" in said.err
        said = here.run("auth", "msu", "smith", "unix", "--password-stdin", data=b"x\n")
        assert said.code == 64 and "makes no sense with type unix" in said.err
        assert read_account(here.home()) == Account("krb5", "MSU.EDU")

    def test_who_can_not_be_added(self, here: Machine) -> None:
        here.fill()
        here.homes["msul2"] = "found"
        for name, code, reason in [
            (("msu", "smith"), 69, "is here already"),
            (("hub", "smith"), 64, "has users of the domain msu only"),
            (("msu", "../x"), 64, "is not a user name"),
            (("m\udcffu", "x"), 64, "is not a domain"),
            (("msu", "jones"), 69, "is at home on msul2"),
        ]:
            said = here.run("add", *name, "--type", "none")
            assert said.code == code and reason in said.err
        assert here.asked == ["msul2 home:msu:jones"]

    def test_a_host_that_can_not_be_asked_is_said(self, here: Machine) -> None:
        here.homes["msul2"] = "con_lost"
        said = here.run("add", "msu", "smith", "--type", "none")
        assert said.code == 0 and "msul2 could not be asked" in said.err

    @pytest.mark.parametrize(
        "arguments",
        [
            ("passwd", "msu", "smith"),
            ("auth", "msu", "smith", "none"),
            ("show", "msu", "smith"),
            ("export", "msu", "smith"),
            ("move", "msu", "smith", "msul2"),
        ],
    )
    def test_nobody_of_that_name(self, here: Machine, arguments: tuple[str, ...]) -> None:
        said = here.run(*arguments)
        assert (said.code, said.out) == (67, "") and "msu:smith is not at home on this host" in said.err
        assert digest(here.users) == {}

    def test_an_account_under_change_is_left_alone(self, here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        here.fill()
        monkeypatch.setattr("lonuser.accounts.replace_account", lambda *_: False)
        said = here.run("auth", "msu", "smith", "none")
        assert said.code == 69 and "try again" in said.err


class TestShow:
    def test_everything_but_the_secret(self, here: Machine) -> None:
        here.fill(account=Account("internal", "abNANd1rDfiNc"))
        said = here.run("show", "msu", "smith")
        assert said.code == 0 and "abNANd1rDfiNc" not in said.out
        lines = dict(line.split(None, 1) for line in said.out.splitlines())
        assert (lines["user"], lines["type"], lines["home"]) == ("msu:smith", "internal", "msul1")
        assert "last activity  1970-01-01 00:16:42 UTC\n" in said.out
        assert "activity log   2 lines\n" in said.out
        assert lines["grades"].split() == ["2", "2", "2", "78"]
        assert lines["empty"].split() == ["0", "0", "0", "0"]

    @pytest.mark.parametrize(
        ("account", "shown"),
        [(Account("krb5", "MSU.EDU"), "krb5:MSU.EDU"), (Account("localauth", "ldap:k0rrekt"), "localauth:ldap")],
    )
    def test_what_is_shown_of_a_type(self, here: Machine, account: Account, shown: str) -> None:
        create_account(here.users, b"msu", b"smith", account)
        said = here.run("show", "msu", "smith")
        assert f"type           {shown}\n" in said.out
        assert "last activity  never\n" in said.out and "namespaces     none\n" in said.out

    def test_damage_is_said(self, here: Machine) -> None:
        here.fill()
        (here.home() / "records.db").write_bytes(b"x" * 5000)
        said = here.run("show", "msu", "smith")
        assert said.code == 69 and "msu:smith: 117 database damaged" in said.err

    def test_it_reads_while_a_child_writes(self, here: Machine) -> None:
        here.fill()
        with here.lond() as lond:
            lond.storage.perform(lambda: lond.storage.user(b"msu", b"smith", write=True).log(b"msua1", b"x", NOW))
            assert "activity log   2 lines\n" in here.run("show", "msu", "smith").out
            lond.storage.commit()
            assert "activity log   3 lines\n" in here.run("show", "msu", "smith").out


class TestExportAndImport:
    def test_from_one_host_to_another(self, here: Machine, there: Machine, tmp_path: Path) -> None:
        here.fill()
        file = tmp_path / "smith.gz"
        said = here.run("export", "msu", "smith", file)
        assert (said.code, said.out) == (0, "") and "keep it as safe" in said.err
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        before = digest(there.users)
        said = there.run("import", file, "--dry-run")
        assert said.out.startswith("msu:smith: would add account and 3 namespaces, 3 values, 2 versions, ")
        assert digest(there.users) == before
        said = there.run("import", file)
        assert said.out.startswith("msu:smith: added account and 3 namespaces")
        after = digest(there.users)
        assert there.run("import", file).out == "msu:smith: is here already, nothing to do\n"
        assert digest(there.users) == after
        with there.lond() as lond:
            assert lond.ask("get:msu:smith:grades:a") == b"1"

    def test_through_a_pipe(self, here: Machine, there: Machine) -> None:
        here.fill()
        said = here.run("export", "msu", "smith")
        assert there.run("import", "-", data=said.raw).code == 0
        assert read_account(there.home()) == Account("krb5", "MSU.EDU")

    def test_an_existing_file_is_kept(self, here: Machine, tmp_path: Path) -> None:
        here.fill()
        (tmp_path / "x").write_text("precious")
        said = here.run("export", "msu", "smith", tmp_path / "x")
        assert said.code == 69 and "is there already" in said.err
        assert (tmp_path / "x").read_text() == "precious"

    def test_not_to_a_terminal(self, here: Machine) -> None:
        here.fill()
        here.on_terminal = True
        said = here.run("export", "msu", "smith")
        assert (said.code, said.out) == (64, "")

    def test_what_is_no_archive(self, here: Machine, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("what?")
        said = here.run("import", tmp_path / "x")
        assert said.code == 65 and "is not an archive of a user" in said.err
        said = here.run("import", tmp_path / "missing")
        assert said.code == 69 and "missing: no such file or directory" in said.err
        assert digest(here.users) == {}

    def test_a_directory_is_for_import_classic(self, here: Machine, tmp_path: Path) -> None:
        (tmp_path / "old users").mkdir()
        said = here.run("import", tmp_path / "old users")
        assert said.code == 64 and "old users is a directory; import reads one file, which export or move" in said.err
        assert said.err.endswith(f"lonuser import-classic '{tmp_path}/old users'\n")

    def test_who_has_changed_here_needs_a_merge(self, here: Machine, there: Machine, tmp_path: Path) -> None:
        here.fill()
        here.run("export", "msu", "smith", tmp_path / "first")
        there.run("import", tmp_path / "first")
        with here.lond() as lond:
            lond.ask("put:msu:smith:grades:late=1")
        here.run("export", "msu", "smith", tmp_path / "second")
        said = there.run("import", tmp_path / "second")
        assert said.code == 69 and "with --merge these would be added: 0 namespaces, 1 values" in said.err
        assert "added 0 namespaces, 1 values" in there.run("import", tmp_path / "second", "--merge").out

    def test_not_while_at_home_elsewhere(self, here: Machine, there: Machine, tmp_path: Path) -> None:
        here.fill()
        here.run("export", "msu", "smith", tmp_path / "x")
        there.homes["msul1"] = "found"
        said = there.run("import", tmp_path / "x")
        assert said.code == 69 and "msu:smith is at home on msul1" in said.err
        assert digest(there.users) == {}


@pytest.fixture
def classic(tmp_path: Path) -> Path:
    """A classic server's users: smith, jones, and a course with a passwd file that makes no sense."""
    root = tmp_path / "classic"
    for place, passwd in (("s/m/i/smith", "unix:"), ("j/o/n/jones", "internal:abNANd1rDfiNc"), ("c/1/_/c1", "what")):
        home = root / "msu" / place
        home.mkdir(parents=True)
        (home / "passwd").write_text(passwd)
        (home / "activity.log").write_text("1002:msua1:Login\n")
    (root / "msu/s/m/i/smith/grades.db").touch()
    (root / "msu/s/m/i/smith/userfiles").mkdir()
    return root


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """GDBM files are what the test says."""
    monkeypatch.setattr(transfer, "find_reader", lambda: Hashes(grades=GRADES))


@pytest.mark.usefixtures("hashes")
class TestImportClassic:
    def test_one_user_once(self, here: Machine, classic: Path) -> None:
        source, empty = digest(classic), digest(here.users)
        arguments = ("import-classic", classic, "--user", "smith")
        said = here.run(*arguments, "--dry-run")
        assert (said.code, digest(here.users)) == (0, empty)
        assert said.out == (
            "msu:smith: would add account and 1 namespaces, 3 values, 2 versions, 0 lines of history, 1 of activity\n"
        )
        said = here.run(*arguments)
        assert said.out.startswith("msu:smith: added account and 1 namespaces, 3 values, 2 versions")
        assert said.err == "lonuser: not records, so not imported: userfiles (1)\n"
        after = digest(here.users)
        assert "is here already, not touched" in here.run(*arguments).out
        assert digest(here.users) == after
        assert here.run(*arguments, "--merge").out == "msu:smith: is here already, nothing to do\n"
        assert digest(classic) == source
        with here.lond() as lond:
            assert b"2:foo=notbar" in lond.ask("restore:msu:smith:grades:hw1").split(b"&")
            assert lond.ask("home:msu:smith") == b"found"

    def test_what_was_changed_here_stays(self, here: Machine, classic: Path) -> None:
        here.run("import-classic", classic, "--user", "smith")
        with here.lond() as lond:
            lond.batch("del:msu:smith:grades:plain", "put:msu:smith:grades:number=7")
        here.run("auth", "msu", "smith", "none")
        here.run("import-classic", classic, "--user", "smith")
        with here.lond() as lond:
            assert lond.ask("get:msu:smith:grades:plain&number") == b"&7"
        assert read_account(here.home()) == Account("none")

    def test_all_with_one_that_fails(self, here: Machine, classic: Path) -> None:
        said = here.run("import-classic", classic, "--all")
        assert said.code == 65
        assert said.out.startswith("3 users: 2 new, 0 here already and not touched, 1 failed; added 1 namespaces, 3 ")
        assert "msu:c1 is not imported: " in said.err and "\x1b" not in said.err
        assert said.err.endswith("correct the files, then import again\n"), "nobody is here in part"
        assert read_account(here.home("jones")) == Account("internal", "abNANd1rDfiNc")
        (classic / "msu/c/1/_/c1/passwd").write_text("none:\n")
        said = here.run("import-classic", classic, "--all")
        assert (said.code, said.out.partition(";")[0]) == (
            0,
            "3 users: 1 new, 2 here already and not touched, 0 failed",
        )

    def test_all_of_a_directory_without_users(self, here: Machine, tmp_path: Path) -> None:
        (tmp_path / "wrong").mkdir()
        said = here.run("import-classic", tmp_path / "wrong", "--all")
        assert (said.code, said.out) == (67, "")
        assert f"no user of msu below {tmp_path / 'wrong'}; give the directory of all domains, or of one" in said.err

    def test_progress_is_for_a_terminal(self, here: Machine, classic: Path) -> None:
        here.on_terminal = True
        said = here.run("import-classic", classic, "--all", "--dry-run")
        assert re.findall(r"\d of 3: msu:\w+", said.err) == ["1 of 3: msu:c1", "2 of 3: msu:jones", "3 of 3: msu:smith"]
        assert digest(here.users) == {}

    def test_a_fault_is_named_and_ends_in_65(self, here: Machine, classic: Path) -> None:
        (classic / "msu/s/m/i/smith/grades.hist").write_text("what?\n" * 12)
        said = here.run("import-classic", classic / "msu/s/m/i/smith")
        assert said.code == 65
        assert "grades.hist:1: not a line of history; left out" in said.err
        assert "2 more such lines or values" in said.err
        assert said.err.endswith("correct the files, then import again with --merge\n")
        assert read_account(here.home()) == Account("unix")

    def test_not_from_its_own_directory(self, here: Machine) -> None:
        here.fill()
        said = here.run("import-classic", here.users, "--user", "smith")
        assert said.code == 69 and "put the classic directory aside" in said.err

    @pytest.mark.parametrize(
        ("options", "code", "reason"),
        [
            ((), 64, "give --user or --all"),
            (("--user", "nobody"), 67, "has no passwd file"),
            (("--user", "a/b"), 64, "is not a user name"),
            (("--domain", "hub", "--all"), 64, "has users of the domain msu only"),
            (("--all", "--user", "x"), 64, "not allowed with"),
        ],
    )
    def test_wrong_use(
        self,
        here: Machine,
        classic: Path,
        options: tuple[str, ...],
        code: int,
        reason: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        said = here.run("import-classic", classic, *options)
        assert said.code == code
        assert reason in said.err + capsys.readouterr().err


class TestImportClassicForReal:
    @needs_gdbm
    def test_gdbm_files(self, here: Machine, classic: Path) -> None:
        write_gdbm(classic / "msu/s/m/i/smith/grades.db", GRADES)
        assert here.run("import-classic", classic, "--user", "smith").code == 0
        with here.lond() as lond:
            assert b"2:bar=foo" in lond.ask("restore:msu:smith:grades:hw1").split(b"&")

    def test_without_any_gdbm(self, here: Machine, classic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transfer, "find_reader", lambda: find_reader(lambda: None, lambda: None))
        said = here.run("import-classic", classic, "--all")
        assert said.code == 69 and "python3-gdbm" in said.err and said.err.count("\n") == 1


class TestMove:
    def test_the_whole_way(self, here: Machine, there: Machine) -> None:
        here.fill()
        said = here.run("move", "msu", "smith", "msul2")
        assert said.code == 0
        archive = here.home().parent / ".smith.moving-msul2" / "msu-smith.loncapa-user"
        assert f"ssh msul2.test lonuser import - < {archive}" in said.out
        assert "lonuser move msu smith msul2 --finish" in said.out
        with here.lond() as lond:
            for command in ("home:msu:smith", "put:msu:smith:grades:a=9", "get:msu:smith:grades:a", "log:msu:smith:x"):
                assert lond.ask(command) == IS_MOVING
            for command in ("auth:msu:smith:x", "currentauth:msu:smith", "makeuser:msu:smith:none:"):
                assert lond.ask(command, encrypted=True) == IS_MOVING
            assert lond.ask("home:msu:jones") == b"not_found"
            assert lond.ask("put:msu:jones:grades:a=9") == b"error: 2 no such user or domain"
        assert "msu:smith is on the way to msul2" in here.run("show", "msu", "smith").err
        assert here.run("add", "msu", "smith", "--type", "none").code == 69

        said = here.run("move", "msu", "smith", "msul2", "--finish")
        assert said.code == 69 and "do the import there" in said.err

        there.homes["msul1"] = IS_MOVING.decode()
        said = there.run("add", "msu", "smith", "--type", "none")
        assert said.code == 69 and "msu:smith is on the way from msul1 to another host" in said.err
        said = there.run("import", archive)
        assert (said.code, said.err) == (0, "")
        here.homes["msul2"] = "found"
        said = here.run("move", "msu", "smith", "msul2", "--undo")
        assert said.code == 69 and "use --finish" in said.err
        said = here.run("move", "msu", "smith", "msul2", "--finish")
        assert said.code == 0 and re.search(r"rm -r /.*/\.smith\.moved-msul2-\d+\n", said.out)
        assert said.out.endswith(
            "  loncontrol retry msul1\n"
            "  loncontrol queue ls msul1 --state failed\n"
            "  loncontrol queue requeue msul1 ID ... --to msul2\n"
        )
        with here.lond() as lond:
            assert lond.ask("home:msu:smith") == b"not_found"
            assert lond.ask("put:msu:smith:grades:a=9") == b"error: 2 the user has moved to msul2"
        with there.lond() as lond:
            assert lond.ask("get:msu:smith:grades:a") == b"1"
            assert lond.ask("home:msu:smith") == b"found"
        assert here.run("show", "msu", "smith").code == 67

    def test_it_can_be_taken_back(self, here: Machine) -> None:
        here.fill()
        before = digest(here.users)
        assert here.run("move", "msu", "smith", "msul2").code == 0
        here.homes["msul2"] = "con_lost"
        said = here.run("move", "msu", "smith", "msul2", "--undo")
        assert said.code == 69 and "could not be asked" in said.err
        said = here.run("move", "msu", "smith", "msul2", "--undo", "--force")
        assert said.code == 0
        assert said.out.endswith(
            "  loncontrol queue ls msul1 --state failed\n  loncontrol queue requeue msul1 ID ...\n"
        )
        assert digest(here.users).keys() == before.keys()
        with here.lond() as lond:
            assert lond.ask("put:msu:smith:grades:a=9") == b"ok"

    def test_there_and_back_again(self, here: Machine, there: Machine, tmp_path: Path) -> None:
        here.fill()
        for old, new in ((here, there), (there, here)):
            assert old.run("move", "msu", "smith", new.host).code == 0
            (archive,) = old.users.rglob("*.loncapa-user")
            assert new.run("import", archive).code == 0
            assert old.run("move", "msu", "smith", new.host, "--finish", "--force").code == 0
        with here.lond() as lond:
            assert lond.ask("get:msu:smith:grades:a") == b"1"

    @pytest.mark.parametrize("host", ["msul1", "msua1", "hubl1", "nowhere", "..", "msul2/x"])
    def test_where_nobody_can_move(self, here: Machine, host: str) -> None:
        here.fill()
        said = here.run("move", "msu", "smith", host)
        assert said.code == 64 and "is not another library server of the domain msu (msul2)" in said.err
        assert here.home().is_dir()

    def test_steps_out_of_order(self, here: Machine) -> None:
        here.fill()
        assert here.run("move", "msu", "smith", "msul2", "--force").code == 64
        for option in ("--finish", "--undo"):
            said = here.run("move", "msu", "smith", "msul2", option)
            assert said.code == 69 and "is not on the way to msul2" in said.err
        here.homes["msul2"] = "found"
        said = here.run("move", "msu", "smith", "msul2")
        assert said.code == 69 and "is at home on msul2 as well" in said.err

    def test_a_damaged_user_stays(self, here: Machine) -> None:
        here.fill()
        (here.home() / "records.db").write_bytes(b"x" * 5000)
        assert here.run("move", "msu", "smith", "msul2").code == 69
        assert here.home().is_dir()

    def test_a_child_that_has_it_open_loses_nothing(self, here: Machine) -> None:
        """What was answered `ok` is in the archive, what comes later is not answered `ok`."""
        here.fill()
        with here.lond() as lond:
            lond.ask("put:msu:smith:grades:a=1")
            database = lond.storage.perform(lambda: lond.storage.user(b"msu", b"smith"))[0].database
            assert here.run("move", "msu", "smith", "msul2").code == 0
            with pytest.raises(Exception, match="moved away"):  # as in a batch that had found it in its place
                database.begin(wait=True)
                database.write("INSERT INTO activity (time, host, text) VALUES (1, '', '')")
            lond.storage.commit()
            assert lond.ask("put:msu:smith:grades:a=2") == IS_MOVING

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize(
        ("step", "call"),
        [
            ("lonuser.move.read_account", 1),
            ("lonuser.move.rename", 1),
            ("lonuser.move.sync_directory", 1),
            ("lonuser.move.close_to_writers", 1),
            ("lonuser.move.save_archive", 1),
        ],
    )
    def test_after_a_crash_it_goes_on(
        self, here: Machine, there: Machine, monkeypatch: pytest.MonkeyPatch, step: str, call: int, when: str
    ) -> None:
        here.fill()
        head = Head("msu", "smith", "msul1", NOW)
        with monkeypatch.context() as patch:
            crash_at(patch, step, when, call)
            with pytest.raises(Crash):
                release(here.users, head, "msul2", 1.0)
        moving = find_moving(here.users, "msu", "smith", ["msul2"])
        assert (here.home() / "passwd").is_file() == (moving is None), "at home here, or on the way"
        moving = release(here.users, head, "msul2", 1.0)
        assert there.run("import", moving.archive).code == 0
        with there.lond() as lond:
            assert lond.ask("get:msu:smith:grades:a") == b"1"

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("step", ["lonuser.move.open_to_writers", "lonuser.move.rename"])
    def test_after_a_crash_it_is_taken_back(
        self, here: Machine, monkeypatch: pytest.MonkeyPatch, step: str, when: str
    ) -> None:
        here.fill()
        moving = release(here.users, Head("msu", "smith", "msul1", NOW), "msul2", 1.0)
        with monkeypatch.context() as patch:
            crash_at(patch, step, when)
            with pytest.raises(Crash):
                take_back(here.users, moving, 1.0)
        if not here.home().exists():
            assert here.run("move", "msu", "smith", "msul2", "--undo").code == 0
        with here.lond() as lond:
            assert lond.ask("put:msu:smith:grades:a=9") == b"ok"
            assert lond.ask("home:msu:smith") == b"found"


class TestCommandLine:
    @pytest.mark.parametrize(
        "arguments", [(), ("frob",), ("add", "msu"), ("passwd", "msu", "smith", PASSWORD), ("import",)]
    )
    def test_wrong_use_is_64(
        self, here: Machine, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert here.run(*arguments).code == 64
        err = capsys.readouterr().err
        assert err.startswith("lonuser: ") and err.count("\n") == 1 and PASSWORD not in err

    def test_wrong_configuration_is_78(self, here: Machine) -> None:
        here.conf.write_text("PerlSetVar lonHostID nobody\n")
        said = here.run("show", "msu", "smith")
        assert said.code == 78 and said.err.count("\n") == 1

    def test_an_access_server_has_no_users(self, tmp_path: Path) -> None:
        said = Machine(tmp_path / "msua1", "msua1").run("show", "msu", "smith")
        assert said.code == 78 and "msua1 is an access server" in said.err

    def test_only_the_daemons_user_may(self, here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        owner = here.users.stat().st_uid
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
        said = here.run("add", "msu", "smith", "--type", "none")
        assert said.code == 77 and f"sudo -u '#{owner}' lonuser" in said.err

    def test_who_may_not_even_look_is_told_whom_to_become(self, here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        def stat(path: Path, **how: bool) -> os.stat_result:
            if path == here.users:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return os.stat(path, **how)

        monkeypatch.setattr(Path, "stat", stat)
        said = here.run("show", "msu", "smith")
        assert said.code == 77 and "permission denied; run lonuser as the user that runs the daemons" in said.err

    def test_without_lonusersdir(self, here: Machine) -> None:
        here.users.rmdir()
        said = here.run("show", "msu", "smith")
        assert said.code == 69 and "the first start of lond makes it" in said.err

    def test_an_interruption_has_no_traceback(self, here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("lonuser.session.Terminal.new_password", interrupted)
        said = here.run("add", "msu", "smith")
        assert said.code == 130 and "interrupted" in said.err

    def test_the_script(
        self, here: Machine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        script = str(ROOT / "scripts" / "lonuser")
        argv = [script, "--conf", str(here.conf), "add", "msu", "smith", "--type", "none"]
        monkeypatch.setattr(sys, "argv", argv)
        monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])  # as Python does for a script
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(script, run_name="__main__")
        out, err = capfd.readouterr()
        assert (ended.value.code, out) == (0, "msu:smith is at home on msul1, type none\n")
        # No lonc runs here: that the other server could not be asked is said, and keeps nobody.
        assert "msul2 could not be asked" in err
