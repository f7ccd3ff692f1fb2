"""Log-ins that lond asks others about: the real PAM of this machine, and a real Kerberos realm."""

from __future__ import annotations

import importlib.util
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lond.authentication.authenticators import PAM_SERVICE
from lonnet import Lonnet
from lonnet.errors import AuthModeError, RemoteError
from tests.helpers import kerberos
from tests.helpers.federation import QUICK, Federation
from tests.helpers.waiting import eventually

HOSTNAME = "msul1.example.org"  # as Federation names it


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kerberos.Realm]:
    if missing := kerberos.missing():
        pytest.skip(f"no Kerberos server here: {', '.join(missing)} (Debian: krb5-kdc, krb5-admin-server)")
    if importlib.util.find_spec("gssapi") is None:
        pytest.skip("the extra krb5 (gssapi) is not installed")
    address = f"127.{1 + os.getpid() % 200}.{1 + os.getpid() // 200 % 200}.9"
    realm = kerberos.Realm(tmp_path_factory.mktemp("realm"), address, HOSTNAME)
    realm.add("smith", "secret")
    realm.start()
    yield realm
    realm.stop()


def federation(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Federation:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # Nobody asks a second time by itself: who hangs twice in a row is not asked any more for a while.
    made = Federation(["msul1", "msua1"], settings={**QUICK, "londHashTimeout": "6", "lonLoginWait": "0"})
    made.start()
    return made


def test_a_kerberos_realm_is_asked(realm: kerberos.Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    made = federation(monkeypatch, **realm.environment)
    try:
        net = made.hosts["msua1"].lonnet()
        for user, info in (("smith", kerberos.REALM), ("nobody", kerberos.REALM), ("lee", "NOWHERE.EXAMPLE")):
            net.user(user, "msu").create("krb5", info, host="msul1")
        assert net.user("smith", "msu").authenticate("secret") is True
        assert net.user("smith", "msu").authenticate("wrong") is False
        assert net.user("nobody", "msu").authenticate("secret") is False
        with pytest.raises(RemoteError, match="5"):
            net.user("lee", "msu").authenticate("secret")  # the realm can't be found: that is no wrong password
        realm.hang()
        with pytest.raises(RemoteError, match="11"):
            net.user("smith", "msu").authenticate("secret")
        realm.go_on()
        assert net.user("smith", "msu").authenticate("secret") is True
        assert "secret" not in made.hosts["msul1"].lond.log
    finally:
        made.close()


def test_without_the_hosts_own_key_no_ticket_is_believed(
    realm: kerberos.Realm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = federation(monkeypatch, **{**realm.environment, "KRB5_KTNAME": str(tmp_path / "none")})
    try:
        smith = made.hosts["msua1"].lonnet().user("smith", "msu")
        smith.create("krb5", kerberos.REALM, host="msul1")
        with pytest.raises(AuthModeError):
            smith.authenticate("secret")
        reason = f"no key of host@{HOSTNAME} in the keytab"
        eventually(lambda: reason in made.hosts["msul1"].lond.log)  # the worker tells its parent, who logs it
    finally:
        made.close()


@pytest.fixture
def pam_service(tmp_path: Path) -> Iterator[None]:
    """The service as an administrator would make it, with a script of ours that knows one password."""
    if importlib.util.find_spec("pamela") is None:
        pytest.skip("the extra pam (pamela) is not installed")
    service = Path("/etc/pam.d") / PAM_SERVICE
    if os.getuid() != 0 or not service.parent.is_dir():
        pytest.skip("needs root and /etc/pam.d: a PAM service has to be made")
    if service.exists():
        pytest.skip(f"{service} is this machine's own")
    script = tmp_path / "check"
    script.write_text('#!/bin/sh\nread -r password\n[ "$PAM_USER:$password" = smith:secret ]\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    service.write_text(
        "auth optional pam_faildelay.so delay=2000000000\n"  # microseconds; nobody has that much time
        f"auth [success=1 default=ignore] pam_exec.so expose_authtok quiet {script}\n"
        "auth requisite pam_deny.so\nauth required pam_permit.so\naccount required pam_permit.so\n"
    )
    yield
    service.unlink()


@pytest.mark.usefixtures("pam_service")
def test_pam_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    made = federation(monkeypatch)
    try:
        net: Lonnet = made.hosts["msua1"].lonnet()
        for user in ("smith", "lee"):
            net.user(user, "msu").create("unix", host="msul1")
        assert net.user("smith", "msu").authenticate("secret") is True
        assert net.user("smith", "msu").authenticate("wrong") is False
        assert net.user("lee", "msu").authenticate("secret") is False
    finally:
        made.close()
