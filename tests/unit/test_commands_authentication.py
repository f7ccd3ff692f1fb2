"""auth, passwd, makeuser, changeuserauth, currentauth: every reply of the protocol's table, and what they leave."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from Crypto.Protocol import KDF
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from common.escape import escape
from lond.authentication import authenticators, passwords
from lond.authentication.accounts import Account, create_account, read_account
from lond.authentication.hashing import Outcome, Verdict
from lond.commands import authentication
from lond.commands.registry import REGISTRY, Pending
from lond.records import paths
from tests.helpers.dispatching import Lond, make_site
from tests.helpers.log_ins import PATIENCE, LogInsInProcess

CRYPT = "abNANd1rDfiNc"  # "secret"
COMMANDS = ("auth", "passwd", "makeuser", "changeuserauth", "currentauth")

BUSY = b"error: 11 too many log-ins at once, try again"
UNDER_WAY = b"error: 115 the password is being checked, come again for the result"


class Home:
    """The library server msul1 and one of its lond children."""

    def __init__(self, directory: Path) -> None:
        self.users_dir = directory / "users"
        self.log_ins = LogInsInProcess()
        self.clock, self.table = self.log_ins.clock, self.log_ins.table
        self.hashing, self.asking = self.log_ins.hashing, self.log_ins.asking
        self.asking_for_known = self.log_ins.asking_for_known
        self.lond = Lond(make_site(directory), users=())
        services: Any = self.lond.services
        services.log_ins = self.log_ins

    def start(self, line: bytes | str, *, encrypted: bool = True) -> bytes | Pending:
        """A request; its reply, or that it is to come."""
        data = line.encode() if isinstance(line, str) else line
        return self.lond.dispatcher.execute([(data, encrypted)])[0]

    def ask(self, line: bytes | str, *, encrypted: bool = True) -> bytes:
        """A request that is answered at once."""
        reply = self.start(line, encrypted=encrypted)
        if isinstance(reply, Pending):
            assert reply.reply is not None, "it is still to come"
            reply = reply.reply
        assert b"\n" not in reply
        return reply

    def create(self, user: str, type_: str, info: str = "") -> None:
        assert create_account(self.users_dir, b"msu", user.encode(), Account(type_, info))

    def account(self, user: str) -> Account | None:
        return read_account(paths.user_directory(self.users_dir, b"msu", user.encode()))

    def passwd_path(self, user: str) -> Path:
        return paths.user_directory(self.users_dir, b"msu", user.encode()) / "passwd"

    def close(self) -> None:
        self.lond.storage.close()
        self.log_ins.close()


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "SCRYPT_LN", 2)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.close()


@pytest.fixture
def smith(home: Home) -> str:
    """An internal user with the password secret."""
    home.create("smith", "internal", passwords.hash_password(b"secret"))
    return "smith"


class TestEverywhere:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_in_clear_it_is_refused(self, home: Home, smith: str, name: str) -> None:
        assert home.ask(f"{name}:msu:smith:secret:new", encrypted=False) == b"refused"
        assert home.hashing.jobs == []

    def test_the_registry_says_so(self) -> None:
        for name in COMMANDS:
            entry = REGISTRY[name.encode()]
            assert (entry.encrypted, entry.trust.value, entry.domain_at) == (True, "auth", 0)

    @pytest.mark.parametrize("line", ["auth:msu:smith", "passwd:msu:smith:a", "auth:../x:smith:a", "auth:msu:a/b:a"])
    def test_wrong_arguments(self, home: Home, line: str) -> None:
        assert home.ask(line).startswith(b"error: 22 ")

    @pytest.mark.parametrize(
        ("line", "reply"),
        [
            ("auth:msu:smith:", b"non_authorized"),
            ("auth:msu:nobody:", b"unknown_user"),
            ("passwd:msu:smith:secret:", b"pwchange_failure"),
            ("makeuser:msu:jones:internal:", b"error: 22 a password of more than 1024 bytes"),
            ("changeuserauth:msu:smith:internal:", b"error: 22 a password of more than 1024 bytes"),
        ],
    )
    def test_passwords_have_a_limit(self, home: Home, smith: str, line: str, reply: bytes) -> None:
        assert home.ask(line + "x" * 1025) == reply
        assert b"error" not in home.ask(line + "%ff" * 1024)

    @pytest.mark.parametrize("line", ["auth:msu:{}:{}", "passwd:msu:{}:{}:new"])
    def test_one_to_check_that_is_too_long_is_a_wrong_one(self, home: Home, smith: str, line: str) -> None:
        for user, reply in (("smith", b"non_authorized"), ("nobody", b"unknown_user")):
            for _ in range(3):
                assert home.ask(line.format(user, "x" * 1025)) == reply
            assert home.ask(line.format(user, "secret")) == BUSY
        assert len(home.hashing.jobs) == home.log_ins.failed()["strangers"] == 6

    def test_one_that_is_too_long_is_told_to_nobody(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(authenticators, "_entry_point", lambda _name: lambda *_: True)
        home.create("jones", "localauth", "all")
        assert home.ask("auth:msu:jones:" + "x" * 1025) == b"non_authorized"
        assert home.ask("auth:msu:jones:" + "x" * 1024) == b"authorized"

    def test_a_file_that_makes_no_sense(self, home: Home, smith: str, caplog: pytest.LogCaptureFixture) -> None:
        home.passwd_path("smith").write_bytes(b"secret nonsense\n")
        for line in ("auth:msu:smith:a", "passwd:msu:smith:a:b", "currentauth:msu:smith"):
            expected = b"error: 5 the passwd file can not be understood, an administrator must act"
            assert home.ask(line) == expected
        assert [record.getMessage() for record in caplog.records] == [
            "passwd of msu:smith: the passwd file can not be understood, an administrator must act"
        ]
        home.clock.advance(3600)
        home.ask("auth:msu:smith:a")
        assert len(caplog.records) == 2, "once an hour"
        assert home.ask("changeuserauth:msu:smith:none:") == b"ok"
        assert home.ask("currentauth:msu:smith") == b"none:"


class TestAuth:
    def test_authorized(self, home: Home, smith: str) -> None:
        assert home.ask("auth:msu:smith:secret") == b"authorized"
        assert home.ask("auth:msu:smith:%73ecret") == b"authorized"

    @pytest.mark.parametrize("password", ["", "Secret", "secret%00", "secret%20"])
    def test_non_authorized(self, home: Home, smith: str, password: str) -> None:
        assert home.ask(f"auth:msu:smith:{password}") == b"non_authorized"

    def test_unknown_user(self, home: Home) -> None:
        assert home.ask("auth:msu:nobody:secret") == b"unknown_user"

    def test_who_only_has_a_directory_is_unknown(self, home: Home) -> None:
        paths.make_user_directory(home.users_dir, b"msu", b"jones")
        assert home.ask("auth:msu:jones:secret") == b"unknown_user"

    def test_an_unknown_user_costs_the_same_work(self, home: Home, smith: str, monkeypatch: pytest.MonkeyPatch) -> None:
        hashed = []
        real = KDF.scrypt

        def scrypt(password: bytes, *rest: Any) -> Any:
            hashed.append((password, rest[1:]))
            return real(password, *rest)

        monkeypatch.setattr(passwords, "scrypt", scrypt)
        home.create("jones", "none")
        home.create("miller", "internal", CRYPT)
        for user in ("smith", "nobody", "jones", "miller"):
            home.ask(f"auth:msu:{user}:wrong")
        assert hashed == [(b"wrong", (32, 4, 8, 1))] * 4

    @pytest.mark.parametrize(
        ("type_", "info"),
        [("unix", ""), ("krb4", "MSU.EDU"), ("krb5", "MSU.EDU"), ("localauth", "nis"), ("internal", "!")],
    )
    def test_what_cannot_be_checked(self, home: Home, type_: str, info: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(name: str) -> None:
            raise ModuleNotFoundError

        monkeypatch.setattr("lond.authentication.authenticators.importlib.import_module", missing)
        home.create("jones", type_, info)
        assert home.ask("auth:msu:jones:secret") == b"auth_mode_error"

    @pytest.mark.parametrize(
        ("type_", "info", "reason"),
        [
            ("internal", "Nonsense", "the hash is of an unknown kind"),
            ("localauth", "Nonsense", "the entry point group lond.localauth has no such name"),
        ],
    )
    def test_whose_account_makes_no_sense_is_logged_once_an_hour(
        self, home: Home, type_: str, info: str, reason: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        for user in ("jones", "miller"):
            home.create(user, type_, info)
            for line in (f"auth:msu:{user}:secret:known", f"auth:msu:{user}:other"):
                assert home.ask(line) == b"auth_mode_error"
        home.clock.advance(3600)
        home.ask("auth:msu:miller:secret")
        assert [record.getMessage() for record in caplog.records] == [
            f"passwd of msu:{user}: {reason}" for user in ("jones", "miller", "miller")
        ]

    @pytest.mark.parametrize(("type_", "info"), [("krb4", "MSU.EDU"), ("internal", CRYPT)])
    def test_what_is_missing_for_all_is_logged_of_nobody(
        self, home: Home, type_: str, info: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(passwords, "_libcrypt", lambda: None)
        home.create("jones", type_, info)
        assert home.ask("auth:msu:jones:secret") == b"auth_mode_error"
        assert caplog.records == []

    def test_none_never_authorises(self, home: Home) -> None:
        home.create("jones", "none")
        assert home.ask("auth:msu:jones:") == b"non_authorized"

    def test_who_must_be_asked_is_asked_by_others(self, home: Home) -> None:
        home.asking.outcome = Outcome(Verdict.RIGHT)
        home.create("jones", "krb5", "MSU.EDU")
        assert home.ask("auth:msu:jones:secret") == b"authorized"
        assert home.hashing.jobs == []
        assert home.account("jones") == Account("krb5", "MSU.EDU")

    def test_known_browsers_have_workers_of_their_own_for_that(self, home: Home) -> None:
        home.asking.holding = True
        home.asking_for_known.outcome = Outcome(Verdict.RIGHT)
        home.create("jones", "krb5", "MSU.EDU")
        others = [home.start(f"auth:msu:jones:secret{field}") for field in ("", ":fresh", ":strangers")]
        assert home.ask("auth:msu:jones:secret:known") == b"authorized"
        assert [reply.reply for reply in others if isinstance(reply, Pending)] == [None] * 3

    @pytest.mark.parametrize(
        ("verdict", "reply"),
        [
            (Verdict.FAILED, b"error: 5 the password can not be checked now"),
            (Verdict.BUSY, BUSY),
        ],
    )
    def test_workers_that_fail(self, home: Home, smith: str, verdict: Verdict, reply: bytes) -> None:
        home.hashing.outcome = Outcome(verdict)
        assert home.ask("auth:msu:smith:secret") == reply
        assert home.ask("auth:msu:nobody:secret") == reply
        assert home.log_ins.failed() == {}

    def test_other_requests_go_on_meanwhile(self, home: Home, smith: str) -> None:
        home.hashing.holding = True
        reply = home.start("auth:msu:smith:secret")
        assert isinstance(reply, Pending)
        assert reply.reply is None
        assert home.ask("home:msu:smith") == b"found"
        home.hashing.work()
        assert reply.reply == b"authorized"


class TestSlowChecks:
    """Those about which somebody else is asked, who takes longer than a link should wait."""

    @pytest.fixture(autouse=True)
    def slow(self, home: Home) -> None:
        home.create("jones", "unix", "")
        home.asking.outcome = Outcome(Verdict.RIGHT)
        home.asking.holding = True

    def test_who_names_a_lane_is_sent_away_and_comes_again(self, home: Home) -> None:
        reply = home.start("auth:msu:jones:secret:fresh")
        assert isinstance(reply, Pending)
        at_first = reply.reply
        home.clock.advance(PATIENCE)
        assert (at_first, reply.reply) == (None, UNDER_WAY)
        assert home.ask("auth:msu:jones:secret:fresh") == UNDER_WAY
        home.asking.work()
        assert home.ask("auth:msu:jones:secret:fresh") == b"authorized"
        assert len(home.asking.jobs) == 1, "the same check all the time"

    @pytest.mark.parametrize("field", ["", ":", ":1"])
    def test_who_names_none_waits_with_the_link(self, home: Home, field: str) -> None:
        reply = home.start(f"auth:msu:jones:secret{field}")
        home.clock.advance(9.9)
        assert isinstance(reply, Pending) and reply.reply is None
        home.asking.work()
        assert reply.reply == b"authorized"

    def test_internal_passwords_are_waited_for(self, home: Home, smith: str) -> None:
        home.hashing.holding = True
        reply = home.start("auth:msu:smith:secret:fresh")
        home.clock.advance(9.9)
        home.hashing.work()
        assert isinstance(reply, Pending) and reply.reply == b"authorized"

    def test_another_password_or_lane_or_type_is_another_check(self, home: Home) -> None:
        home.asking.outcome = Outcome(Verdict.WRONG)
        home.start("auth:msu:jones:guess:fresh")
        home.clock.advance(PATIENCE)
        home.asking.work()
        home.asking.outcome, home.asking.holding = Outcome(Verdict.RIGHT), False
        assert home.ask("auth:msu:jones:secret:fresh") == b"authorized"
        assert home.ask("auth:msu:jones:guess:strangers") == b"authorized"
        home.passwd_path("jones").write_text("krb5:MSU.EDU\n")
        assert home.ask("auth:msu:jones:guess:fresh") == b"authorized", "not what was found of another account"

    def test_a_failure_that_nobody_waited_for_counts_once(self, home: Home, caplog: pytest.LogCaptureFixture) -> None:
        home.asking.outcome = Outcome(Verdict.WRONG)
        home.start("auth:msu:jones:guess:strangers")
        home.clock.advance(PATIENCE)
        home.asking.work()
        assert home.ask("auth:msu:jones:guess:strangers") == b"non_authorized"
        assert home.log_ins.failed()["strangers"] == len(caplog.records) == 1


class TestMigratedUsers:
    def test_the_next_log_in_makes_a_new_hash(self, home: Home, caplog: pytest.LogCaptureFixture) -> None:
        home.create("smith", "internal", CRYPT)
        assert home.ask("auth:msu:smith:wrong") == b"non_authorized"
        assert home.account("smith") == Account("internal", CRYPT)
        with caplog.at_level(logging.INFO):
            assert home.ask("auth:msu:smith:secret") == b"authorized"
        account = home.account("smith")
        assert account is not None
        assert account.info.startswith("$scrypt$")
        assert "msu:smith has a new kind of hash" in caplog.text
        assert home.ask("auth:msu:smith:secret") == b"authorized"
        assert home.account("smith") == account

    def test_a_change_meanwhile_is_not_undone(self, home: Home) -> None:
        home.create("smith", "internal", CRYPT)
        home.hashing.holding = True
        reply = home.start("auth:msu:smith:secret")
        assert isinstance(reply, Pending)
        assert home.ask("changeuserauth:msu:smith:none:") == b"ok"
        home.hashing.work()
        assert reply.reply == b"authorized"
        assert home.account("smith") == Account("none")

    def test_without_room_the_log_in_is_good_all_the_same(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        home.create("smith", "internal", CRYPT)
        with no_room(monkeypatch):
            assert home.ask("auth:msu:smith:secret") == b"authorized"
        assert home.account("smith") == Account("internal", CRYPT)


class TestPasswd:
    def test_ok(self, home: Home, smith: str) -> None:
        assert home.ask("passwd:msu:smith:secret:n%3aw") == b"ok"
        assert home.ask("auth:msu:smith:n%3aw") == b"authorized"
        assert home.ask("auth:msu:smith:secret") == b"non_authorized"

    def test_non_authorized(self, home: Home, smith: str) -> None:
        before = home.account("smith")
        assert home.ask("passwd:msu:smith:wrong:new") == b"non_authorized"
        assert home.account("smith") == before

    def test_unknown_user(self, home: Home) -> None:
        assert home.ask("passwd:msu:nobody:secret:new") == b"unknown_user"
        assert not home.passwd_path("nobody").exists()

    @pytest.mark.parametrize("type_", ["unix", "krb4", "krb5", "localauth", "none"])
    def test_only_internal_passwords_are_ours(self, home: Home, type_: str) -> None:
        home.create("jones", type_, "X")
        assert home.ask("passwd:msu:jones:secret:new") == b"auth_mode_error"
        assert home.account("jones") == Account(type_, "X")

    def test_pwchange_failure_without_room(self, home: Home, smith: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with no_room(monkeypatch):
            assert home.ask("passwd:msu:smith:secret:new") == b"pwchange_failure"
        assert home.ask("auth:msu:smith:secret") == b"authorized"

    @pytest.mark.parametrize("new", ["", "%00", "a%00b"])
    def test_pwchange_failure_for_what_cannot_be_a_password(self, home: Home, smith: str, new: str) -> None:
        assert home.ask(f"passwd:msu:smith:secret:{new}") == b"pwchange_failure"
        assert home.ask("auth:msu:smith:secret") == b"authorized"

    def test_pwchange_failure_if_it_was_changed_meanwhile(self, home: Home, smith: str) -> None:
        home.hashing.holding = True
        first = home.start("passwd:msu:smith:secret:first")
        second = home.start("passwd:msu:smith:secret:second")
        home.hashing.work()
        home.hashing.work()  # one after the other: log-ins of one user from one host
        assert isinstance(first, Pending)
        assert isinstance(second, Pending)
        assert (first.reply, second.reply) == (b"ok", b"pwchange_failure")
        home.hashing.holding = False
        assert home.ask("auth:msu:smith:first") == b"authorized"


class TestMakeuser:
    def test_not_while_the_user_is_on_the_way_to_another_host(self, home: Home) -> None:
        directory = paths.user_directory(home.users_dir, b"msu", b"jones")
        (directory.parent / ".jones.moving-msul2").mkdir(parents=True)
        assert home.ask("makeuser:msu:jones:none:") == b"error: 11 the user is moving to another host, try again"
        assert not directory.exists()

    @pytest.mark.parametrize(
        ("type_", "argument", "line"),
        [
            ("unix", "", b"unix:\n"),
            ("unix", "ignored", b"unix:\n"),
            ("krb4", "MSU%2eEDU", b"krb4:MSU.EDU\n"),
            ("krb5", "MSU%2eEDU", b"krb5:MSU.EDU\n"),
            ("localauth", "ldap%3aou%3dpeople", b"localauth:ldap:ou=people\n"),
            ("none", "", b"none:\n"),
        ],
    )
    def test_ok(self, home: Home, type_: str, argument: str, line: bytes) -> None:
        assert home.ask(f"makeuser:msu:jones:{type_}:{argument}") == b"ok"
        assert home.passwd_path("jones").read_bytes() == line
        assert home.ask("home:msu:jones") == b"found"

    def test_ok_with_a_password(self, home: Home) -> None:
        assert home.ask("makeuser:msu:jones:internal:s%26cret") == b"ok"
        assert home.ask("auth:msu:jones:s%26cret") == b"authorized"
        assert b"cret" not in home.passwd_path("jones").read_bytes()

    def test_who_has_records_already_gets_a_home(self, home: Home) -> None:
        paths.make_user_directory(home.users_dir, b"msu", b"jones")
        assert home.ask("makeuser:msu:jones:none:") == b"ok"

    def test_already_exists(self, home: Home, smith: str) -> None:
        before = home.account("smith")
        assert home.ask("makeuser:msu:smith:internal:new") == b"already_exists"
        assert home.ask("makeuser:msu:smith:none:") == b"already_exists"
        assert home.account("smith") == before
        assert home.hashing.jobs == []

    def test_already_exists_since_a_moment(self, home: Home) -> None:
        home.hashing.holding = True
        first, second = (home.start(f"makeuser:msu:jones:internal:{password}") for password in ("a", "b"))
        home.hashing.work()
        home.hashing.work()  # one after the other: log-ins of one user from one host
        assert isinstance(first, Pending)
        assert isinstance(second, Pending)
        assert (first.reply, second.reply) == (b"ok", b"already_exists")

    def test_not_right_domain(self, home: Home) -> None:
        assert home.ask("makeuser:hub:jones:internal:secret") == b"not_right_domain"
        assert not home.users_dir.exists()

    @pytest.mark.parametrize("type_", ["", "Internal", "lti", "krb6", "internal%0a"])
    def test_auth_mode_error(self, home: Home, type_: str) -> None:
        assert home.ask(f"makeuser:msu:jones:{type_}:secret") == b"auth_mode_error"
        assert home.ask("home:msu:jones") == b"not_found"

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ("internal:", "an empty password, or one with a NUL"),
            ("internal:a%00", "an empty password, or one with a NUL"),
            ("krb5:", "not a Kerberos realm"),
            ("krb5:MSU%0aEDU", "not a Kerberos realm"),
            ("krb4:a%40b", "not a Kerberos realm"),
            ("localauth:", "not NAME or NAME:REST of a localauth function"),
            ("localauth:ldap%3aa%0ab", "not NAME or NAME:REST of a localauth function"),
            ("localauth:ldap%3a%1b", "a control character in the argument"),
        ],
    )
    def test_wrong_argument(self, home: Home, arguments: str, text: str) -> None:
        assert home.ask(f"makeuser:msu:jones:{arguments}") == b"error: 22 " + text.encode()
        assert home.ask("home:msu:jones") == b"not_found"

    @pytest.mark.parametrize("arguments", ["none:", "internal:secret"])
    def test_no_room(self, home: Home, arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with no_room(monkeypatch):
            assert home.ask(f"makeuser:msu:jones:{arguments}") == b"error: 28 no space left on device"
        assert home.ask("home:msu:jones") == b"not_found"

    def test_no_worker(self, home: Home) -> None:
        home.hashing.outcome = Outcome(Verdict.FAILED)
        assert home.ask("makeuser:msu:jones:internal:secret") == b"error: 5 the password can not be checked now"
        assert home.ask("home:msu:jones") == b"not_found"


class TestChangeuserauth:
    def test_ok(self, home: Home, smith: str) -> None:
        assert home.ask("changeuserauth:msu:smith:krb5:MSU%2eEDU") == b"ok"
        assert home.account("smith") == Account("krb5", "MSU.EDU")
        assert home.ask("changeuserauth:msu:smith:internal:new") == b"ok"
        assert home.ask("auth:msu:smith:new") == b"authorized"

    def test_unknown_user(self, home: Home) -> None:
        assert home.ask("changeuserauth:msu:nobody:none:") == b"unknown_user"
        assert home.ask("changeuserauth:msu:nobody:internal:x") == b"unknown_user"
        assert home.ask("home:msu:nobody") == b"not_found"

    def test_not_right_domain(self, home: Home, smith: str) -> None:
        assert home.ask("changeuserauth:hub:smith:none:") == b"not_right_domain"

    def test_auth_mode_error(self, home: Home, smith: str) -> None:
        assert home.ask("changeuserauth:msu:smith:lti:x") == b"auth_mode_error"
        assert home.ask("auth:msu:smith:secret") == b"authorized"

    def test_wrong_argument(self, home: Home, smith: str) -> None:
        assert home.ask("changeuserauth:msu:smith:internal:") == b"error: 22 an empty password, or one with a NUL"
        assert home.ask("changeuserauth:msu:smith:krb5:-") == b"error: 22 not a Kerberos realm"

    def test_no_room(self, home: Home, smith: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with no_room(monkeypatch):
            assert home.ask("changeuserauth:msu:smith:none:") == b"error: 28 no space left on device"
        assert home.ask("auth:msu:smith:secret") == b"authorized"


class TestCurrentauth:
    @pytest.mark.parametrize(
        ("type_", "info", "reply"),
        [
            ("internal", CRYPT, b"internal:"),
            ("unix", "", b"unix:"),
            ("krb4", "MSU.EDU", b"krb4:MSU.EDU"),
            ("krb5", "MSU.EDU", b"krb5:MSU.EDU"),
            ("localauth", "ldap:password", b"localauth:"),
            ("none", "", b"none:"),
        ],
    )
    def test_only_kerberos_shows_its_realm(self, home: Home, type_: str, info: str, reply: bytes) -> None:
        home.create("jones", type_, info)
        assert home.ask("currentauth:msu:jones") == reply

    def test_unknown_user(self, home: Home) -> None:
        assert home.ask("currentauth:msu:nobody") == b"unknown_user"


class TestThrottle:
    def fail(self, home: Home, number: int = 3) -> None:
        for _ in range(number):
            assert home.ask("auth:msu:smith:wrong") == b"non_authorized"

    def test_after_some_failures_there_is_a_gap(self, home: Home, smith: str) -> None:
        self.fail(home)
        assert home.ask("auth:msu:smith:secret") == BUSY
        home.clock.advance(0.25)
        assert home.ask("auth:msu:smith:secret") == home.ask("auth:msu:smith:secret") == b"authorized"

    def test_nobody_waits_for_a_reply_behind_a_guess(self, home: Home, smith: str) -> None:
        self.fail(home)
        for _ in range(100):
            reply = home.start("auth:msu:smith:guess")
            assert isinstance(reply, Pending) and reply.reply == BUSY

    def test_another_host_does_not_wait(self, home: Home, smith: str) -> None:
        self.fail(home)
        home.lond.session.peer = home.lond.site.table["hubl1"]
        assert home.ask("auth:msu:smith:secret") == b"authorized"
        home.lond.session.peer = home.lond.site.table["msua1"]
        assert home.ask("auth:msu:smith:secret") == BUSY, "its success is not that of the other host"

    def test_another_user_does_not_wait(self, home: Home, smith: str) -> None:
        self.fail(home)
        home.create("jones", "internal", CRYPT)
        assert home.ask("auth:msu:jones:secret") == b"authorized"

    def test_of_many_at_the_same_time_few_are_checked(self, home: Home, smith: str) -> None:
        home.hashing.holding = True
        replies = [home.start("auth:msu:smith:guess") for _ in range(100)]
        told_at_once = [reply.reply for reply in replies if isinstance(reply, Pending) and reply.reply]
        assert told_at_once == [BUSY] * 35  # one is being checked, 64 stand behind it
        for _ in range(3):
            home.hashing.work()
        answers = [reply.reply for reply in replies if isinstance(reply, Pending)]
        assert answers == [b"non_authorized"] * 3 + [BUSY] * 97, "each guess meets the record of those before"

    def test_who_has_waited_too_long_for_those_before_is_told_so(self, home: Home, smith: str) -> None:
        home.hashing.holding = True
        replies = [home.start("auth:msu:smith:secret") for _ in range(3)]
        home.clock.advance(3.1)
        home.hashing.work()
        answers = [reply.reply for reply in replies if isinstance(reply, Pending)]
        assert answers == [b"authorized", BUSY, BUSY]

    @pytest.mark.parametrize("lane", ["known", "fresh"])
    def test_other_lanes_do_not_wait_for_strangers(self, home: Home, smith: str, lane: str) -> None:
        self.fail(home)
        for _ in range(5):
            assert home.ask("auth:msu:smith:guess") == BUSY
            assert home.ask(f"auth:msu:smith:secret:{lane}") == b"authorized"
        assert home.ask(f"passwd:msu:smith:secret:new:{lane}") == b"ok"
        assert home.ask("auth:msu:smith:new") == BUSY

    @pytest.mark.parametrize(
        ("lane", "other"), [("known", ""), ("known", ":fresh"), ("fresh", ""), ("fresh", ":known")]
    )
    def test_each_lane_has_gaps_and_the_others_do_not_feel_them(
        self, home: Home, smith: str, lane: str, other: str
    ) -> None:
        for _ in range(3):
            assert home.ask(f"auth:msu:smith:wrong:{lane}") == b"non_authorized"
        assert home.ask(f"auth:msu:smith:secret:{lane}") == BUSY
        assert home.ask(f"auth:msu:smith:secret{other}") == b"authorized"
        assert home.ask(f"auth:msu:smith:secret:{lane}") == BUSY, "a success in another lane is none in this one"
        home.clock.advance(0.25)
        assert home.ask(f"auth:msu:smith:secret:{lane}") == b"authorized"

    def test_the_gaps_of_the_fresh_lane_stay_short(self, home: Home, smith: str) -> None:
        for _ in range(10):
            for lane in ("fresh", "strangers"):
                assert home.ask(f"auth:msu:smith:wrong:{lane}") == b"non_authorized"
            home.clock.advance(3.0)
        home.ask("auth:msu:smith:wrong:strangers")
        home.ask("auth:msu:smith:wrong:fresh")
        home.clock.advance(0.5)
        assert home.ask("auth:msu:smith:secret:strangers") == BUSY
        assert home.ask("auth:msu:smith:secret:fresh") == b"authorized"

    @pytest.mark.parametrize("field", ["", "1", "Known", "known:", "fresh:", "1:known", "kn%6fwn", "a:b:c", "\xff"])
    def test_what_others_send_in_that_place_is_ignored(self, home: Home, smith: str, field: str) -> None:
        assert home.ask(f"auth:msu:smith:secret:{field}") == b"authorized"
        assert home.ask(f"passwd:msu:smith:secret:secret:{field}") == b"ok"
        self.fail(home)
        assert home.ask(f"auth:msu:smith:secret:{field}") == BUSY

    def test_changing_the_password_is_a_log_in_too(self, home: Home, smith: str) -> None:
        for _ in range(3):
            assert home.ask("passwd:msu:smith:wrong:new") == b"non_authorized"
        assert home.ask("passwd:msu:smith:secret:new") == BUSY

    def test_who_does_not_exist_has_gaps_too(self, home: Home) -> None:
        for _ in range(3):
            assert home.ask("auth:msu:nobody:wrong") == b"unknown_user"
        assert home.ask("auth:msu:nobody:wrong") == BUSY

    def test_failures_are_counted_and_logged(self, home: Home, smith: str, caplog: pytest.LogCaptureFixture) -> None:
        self.fail(home, 2)
        home.ask("auth:msu:smith:secret")
        self.fail(home, 1)
        for lane in ("known", "fresh"):
            assert home.ask(f"auth:msu:smith:wrong:{lane}") == b"non_authorized"
        assert [record.getMessage() for record in caplog.records] == [
            "failed log-in of msu:smith from msua1, number 1 in a row in lane strangers",
            "failed log-in of msu:smith from msua1, number 2 in a row in lane strangers",
            "failed log-in of msu:smith from msua1, number 1 in a row in lane strangers",
            "failed log-in of msu:smith from msua1, number 1 in a row in lane known",
            "failed log-in of msu:smith from msua1, number 1 in a row in lane fresh",
        ]
        assert home.log_ins.failed() == {"strangers": 3, "known": 1, "fresh": 1}

    def test_a_name_that_nobody_has_is_not_logged(self, home: Home, caplog: pytest.LogCaptureFixture) -> None:
        assert home.ask("auth:msu:sesame:smith") == b"unknown_user"
        assert [record.getMessage() for record in caplog.records] == [
            "failed log-in of an unknown user of msu from msua1, number 1 in a row in lane strangers"
        ]


@contextmanager
def no_room(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fsync(_descriptor: int) -> None:
        raise OSError(28, "x")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fsync)
        yield


# A password that occurs in no other word, in all the spellings that a log could have.
MARKED = st.binary(max_size=20).map(lambda tail: b"Xq7" + tail)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MARKED, MARKED, st.sampled_from(["internal", "unix", "krb5", "localauth", "none", "lti"]))
@example(b"Xq7\n", b"Xq7\0", "internal")
def test_no_password_is_ever_logged(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture, old: bytes, new: bytes, type_: str
) -> None:
    caplog.clear()
    home = Home(tmp_path_factory.mktemp("home"))
    home.asking.outcome = Outcome(Verdict.FAILED, reason="no answer")
    one, two = escape(old).decode(), escape(new).decode()
    try:
        with caplog.at_level(logging.DEBUG):
            for line in (
                f"makeuser:msu:smith:internal:{one}",
                f"auth:msu:smith:{one}",
                f"auth:msu:smith:{two}",
                f"auth:msu:nobody:{two}",
                f"passwd:msu:smith:{two}:{one}",
                f"passwd:msu:smith:{one}:{two}",
                f"changeuserauth:msu:smith:{type_}:{one}",
                f"auth:msu:smith:{one}",
                f"auth:msu:smith:{one}:{two}",
                f"makeuser:hub:smith:{type_}:{one}",
            ):
                home.start(line)
                home.clock.advance(10)
    finally:
        home.close()
    assert any("failed log-in" in record.getMessage() for record in caplog.records)
    for record in caplog.records:
        told = f"{record.getMessage()} {record.args!r} {record.exc_text} {record.exc_info}"
        assert "Xq7" not in told


@settings(max_examples=60)
@given(st.sampled_from(COMMANDS), st.lists(st.binary(max_size=20), max_size=5))
def test_any_arguments_have_a_reply_that_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, name: str, arguments: list[bytes]
) -> None:
    home = Home(tmp_path_factory.mktemp("home"))
    try:
        home.create("smith", "internal", CRYPT)
        line = b":".join([name.encode(), *arguments]).replace(b"\n", b"")
        reply = home.ask(line)
    finally:
        home.close()
    assert reply.startswith(b"error: 22 ") or reply in KNOWN_REPLIES


KNOWN_REPLIES = {
    b"ok",
    authentication.UNKNOWN_USER,
    authentication.NOT_AUTHORIZED,
    authentication.MODE_ERROR,
    authentication.WRONG_DOMAIN,
    authentication.EXISTS,
    authentication.CHANGE_FAILURE,
}
