"""Every type of account: who is asked, and what each answer means. PAM and Kerberos are doubles."""

from __future__ import annotations

import ctypes
import errno
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from Crypto.Protocol import KDF

from lond.authentication import authenticators, passwords
from lond.authentication.accounts import TYPES, Account
from lond.authentication.authenticators import Claim, Unanswered, Unavailable, check

HOST = "msul1.msu.edu"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """A cheap scrypt; the passwords that were hashed."""
    hashed: list[bytes] = []
    real = KDF.scrypt

    def scrypt(password: bytes, salt: bytes, size: int, *_: int) -> Any:
        hashed.append(password)
        return real(password, salt, size, 16, 1, 1)

    monkeypatch.setattr(passwords, "scrypt", scrypt)
    authenticators._library.cache_clear()
    authenticators._entry_point.cache_clear()
    yield hashed
    authenticators._library.cache_clear()
    authenticators._entry_point.cache_clear()


def asked(account: Account, password: bytes = b"secret", user: str = "smith") -> bool:
    return check(account, Claim("msu", user, password, account.info, HOST))


def test_every_type_has_its_check() -> None:
    assert set(authenticators._CHECKS) == set(TYPES)


def test_a_password_is_not_in_the_repr_of_a_claim() -> None:
    assert "secret" not in repr(Claim("msu", "smith", b"secret", "hash-secret", HOST))


class TestInternalAndNone:
    def test_internal(self) -> None:
        account = Account("internal", passwords.hash_password(b"secret"))
        assert asked(account)
        assert not asked(account, b"wrong")

    def test_internal_without_a_hash_that_can_be_verified(self) -> None:
        with pytest.raises(Unavailable, match="unknown kind"):
            asked(Account("internal", "!"))

    def test_none_never_authorises_and_costs_the_same(self, cheap: list[bytes]) -> None:
        assert not asked(Account("none"), b"")
        assert not asked(Account("none"))
        assert cheap == [b"", b"secret"]

    def test_kerberos_4_is_gone(self) -> None:
        with pytest.raises(Unavailable, match="krb5"):
            asked(Account("krb4", "MSU.EDU"))


class PamError(Exception):
    def __init__(self, number: int) -> None:
        super().__init__("text of the library that could hold secret")
        self.errno = number


class Pam(SimpleNamespace):
    """A double of pamela: knows smith with the password secret."""

    PAMError = PamError

    def __init__(self) -> None:
        super().__init__(calls=[], answer=0, account_answer=0)

    def new_simple_password_conv(self, passwords: tuple[bytes], encoding: str) -> tuple[bytes]:
        return passwords

    def pam_start(self, service: str, user: str, *, conv_func: tuple[bytes]) -> tuple[str, tuple[bytes]]:
        self.calls.append(("start", service))
        return user, conv_func

    def PAM_SET_ITEM(self, handle: object, item: int, function: ctypes.c_char_p) -> None:
        self.calls.append(("item", item, ctypes.cast(function, ctypes.c_void_p).value is not None))

    def PAM_AUTHENTICATE(self, handle: tuple[str, tuple[bytes]], flags: int) -> int:
        self.calls.append(("authenticate", *handle, flags))
        return self.answer or (0 if handle == ("smith", (b"secret",)) else 7)

    def PAM_ACCT_MGMT(self, handle: tuple[str, tuple[bytes]], flags: int) -> int:
        self.calls.append(("account", handle[0], flags))
        return int(self.account_answer)

    def pam_end(self, handle: object, number: int) -> None:
        self.calls.append(("end", number))
        if number:
            raise PamError(number)


class TestUnix:
    @pytest.fixture
    def pam(self, monkeypatch: pytest.MonkeyPatch) -> Pam:
        pam = Pam()
        monkeypatch.setitem(sys.modules, "pamela", pam)
        return pam

    def test_password_and_account_are_asked_for(self, pam: Pam) -> None:
        assert asked(Account("unix"))
        assert pam.calls == [
            ("start", "loncapa"),
            ("item", 10, True),  # the delay after a wrong password
            ("authenticate", "smith", (b"secret",), 0),
            ("account", "smith", 0),
            ("end", 0),
        ]

    def test_wrong_password(self, pam: Pam) -> None:
        assert not asked(Account("unix"), b"wrong")

    @pytest.mark.parametrize("number", [6, 7, 10, 11, 12, 13])
    def test_an_account_that_may_not_log_in(self, pam: Pam, number: int) -> None:
        pam.account_answer = number
        assert not asked(Account("unix"))

    @pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 9])
    def test_no_answer_is_not_a_wrong_password(self, pam: Pam, number: int) -> None:
        pam.answer = number
        with pytest.raises(Unanswered) as caught:
            asked(Account("unix"))
        assert str(caught.value) == f"PAM error {number}"

    @pytest.mark.parametrize("password", [b"", b"secret\0", b"\0"])
    def test_what_is_not_asked(self, pam: Pam, password: bytes) -> None:
        assert not asked(Account("unix"), password)
        assert pam.calls == []

    def test_without_the_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pamela", None)
        with pytest.raises(Unavailable) as caught:
            asked(Account("unix"))
        assert str(caught.value) == "the library pamela can't be used (ModuleNotFoundError); install the extra pam"

    def test_with_a_library_whose_own_library_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(name: str) -> None:
            raise OSError(errno.ENOENT, "libpam.so")

        monkeypatch.setattr("lond.authentication.authenticators.importlib.import_module", broken)
        with pytest.raises(Unavailable, match=r"pamela can't be used \(FileNotFoundError\)"):
            asked(Account("unix"))


class GssError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__("text of the library that could hold secret")
        self.min_code = code & 0xFFFFFFFF


def krb5_code(number: int) -> int:
    return -1765328384 + number


class Gssapi(SimpleNamespace):
    """A double of the library gssapi: a realm MSU.EDU with smith, whose server is the true one or not."""

    NameType = SimpleNamespace(kerberos_principal="principal", hostbased_service="service")
    MechType = SimpleNamespace(kerberos="kerberos")
    exceptions = SimpleNamespace(GSSError=GssError)

    def __init__(self) -> None:
        super().__init__(has_key=True, is_true=True, answer=0, asked=[])
        self.raw = SimpleNamespace(acquire_cred_with_password=self.acquire)

    def Name(self, base: str, kind: str) -> tuple[str, str]:
        return base, kind

    def Credentials(self, *, name: tuple[str, str], usage: str) -> str:
        assert (name, usage) == ((f"host@{HOST}", "service"), "accept")
        if not self.has_key:
            raise GssError(krb5_code(181))
        return "own key"

    def acquire(self, name: tuple[str, str], password: bytes, *, mechs: list[str], usage: str) -> Any:
        assert (mechs, usage) == (["kerberos"], "initiate")
        self.asked.append((name, password))
        if self.answer:
            raise GssError(self.answer)
        if password != b"secret":
            raise GssError(krb5_code(24))
        return SimpleNamespace(creds="ticket")

    def SecurityContext(self, **how: Any) -> Any:
        if how["usage"] == "initiate":
            assert (how["name"], how["creds"]) == ((f"host@{HOST}", "service"), "ticket")
            return SimpleNamespace(step=lambda: b"token")
        assert how["creds"] == "own key"
        return SimpleNamespace(step=self.accept, complete=True)

    def accept(self, token: bytes) -> None:
        assert token == b"token"
        if not self.is_true:
            raise GssError(krb5_code(31))


class TestKerberos:
    ACCOUNT = Account("krb5", "MSU.EDU")

    @pytest.fixture
    def realm(self, monkeypatch: pytest.MonkeyPatch) -> Gssapi:
        realm = Gssapi()
        monkeypatch.setitem(sys.modules, "gssapi", realm)
        return realm

    def test_right_password(self, realm: Gssapi) -> None:
        assert asked(self.ACCOUNT)
        assert realm.asked == [(("smith@MSU.EDU", "principal"), b"secret")]

    def test_wrong_password(self, realm: Gssapi) -> None:
        assert not asked(self.ACCOUNT, b"wrong")

    @pytest.mark.parametrize("number", [1, 6, 12, 18, 23, 24, 31])
    def test_what_the_realm_refuses(self, realm: Gssapi, number: int) -> None:
        realm.answer = krb5_code(number)
        assert not asked(self.ACCOUNT)

    def test_a_realm_that_does_not_answer_is_not_a_wrong_password(self, realm: Gssapi) -> None:
        realm.answer = krb5_code(156)
        with pytest.raises(Unanswered) as caught:
            asked(self.ACCOUNT)
        assert str(caught.value) == "Kerberos error -1765328228"

    def test_a_false_server_lets_nobody_in(self, realm: Gssapi) -> None:
        realm.is_true = False
        with pytest.raises(Unanswered):
            asked(self.ACCOUNT)

    def test_without_an_own_key_nothing_can_be_proved(self, realm: Gssapi) -> None:
        realm.has_key = False
        with pytest.raises(Unavailable, match=f"no key of host@{HOST} in the keytab"):
            asked(self.ACCOUNT)
        assert realm.asked == []

    def test_a_name_cannot_be_another_principal(self, realm: Gssapi) -> None:
        asked(self.ACCOUNT, user="smith@EVIL")
        assert realm.asked[0][0] == ("smith\\@EVIL@MSU.EDU", "principal")

    @pytest.mark.parametrize("password", [b"", b"secret\0"])
    def test_what_is_not_asked(self, realm: Gssapi, password: bytes) -> None:
        assert not asked(self.ACCOUNT, password)
        assert realm.asked == []

    def test_without_the_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "gssapi", None)
        with pytest.raises(Unavailable, match="install the extra krb5"):
            asked(self.ACCOUNT)


class TestLocalauth:
    @pytest.fixture
    def provide(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
        """provide(function): the entry point `ldap` is this function."""

        def provide(function: Any) -> None:
            def load() -> Any:
                if isinstance(function, Exception):
                    raise function
                return function

            def entry_points(*, group: str, name: str) -> list[Any]:
                assert group == "lond.localauth"
                return [SimpleNamespace(load=load)] if name == "ldap" else []

            monkeypatch.setattr(authenticators, "entry_points", entry_points)

        return provide

    def test_the_function_gets_what_it_needs(self, provide: Callable[[Any], None]) -> None:
        calls: list[Any] = []

        def function(*arguments: Any) -> bool:
            calls.append(arguments)
            return True

        provide(function)
        assert asked(Account("localauth", "ldap:ou=people:x"))
        assert calls == [("msu", "smith", b"secret", "ou=people:x")]

    @pytest.mark.parametrize("answer", [False, None, 1, "yes"])
    def test_only_true_is_true(self, provide: Callable[[Any], None], answer: Any) -> None:
        provide(lambda *_: answer)
        assert not asked(Account("localauth", "ldap"))

    def test_an_exception_is_no_answer(self, provide: Callable[[Any], None]) -> None:
        def function(*arguments: Any) -> bool:
            raise ValueError(f"password {arguments[2]!r} is wrong")

        provide(function)
        with pytest.raises(Unanswered) as caught:
            asked(Account("localauth", "ldap"))
        assert str(caught.value) == "the localauth function raised ValueError"

    @pytest.mark.parametrize("info", ["", "nis", ":ldap"])
    def test_a_name_that_is_not_there(self, provide: Callable[[Any], None], info: str) -> None:
        provide(lambda *_: True)
        with pytest.raises(Unavailable, match=r"lond\.localauth has no such name"):
            asked(Account("localauth", info))

    def test_one_that_cannot_be_loaded(self, provide: Callable[[Any], None]) -> None:
        provide(ImportError("no ldap3"))
        with pytest.raises(Unavailable, match=r"can't be loaded \(ImportError\)"):
            asked(Account("localauth", "ldap"))

    def test_an_empty_password_is_not_asked_for(self, provide: Callable[[Any], None]) -> None:
        provide(lambda *_: True)
        assert not asked(Account("localauth", "ldap"), b"")
