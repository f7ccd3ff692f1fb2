"""Accounts, end to end: one access server asks two library servers, over encrypted links."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lonnet import Lonnet
from lonnet.errors import (
    AuthModeError,
    NoSuchUser,
    NotAuthorized,
    PasswordChangeFailed,
    RemoteError,
    UserExists,
)
from lonnet.users import Authentication
from tests.helpers.federation import Federation, running
from tests.helpers.members import move_member
from tests.helpers.waiting import eventually

AWKWARD = "s&c:r=t%é\n\U0001f600"


@pytest.fixture(scope="module")
def network() -> Iterator[Federation]:
    """The daemons, for all tests of this file."""
    with running("msul1", "msul2", "msua1") as made:
        yield made


@pytest.fixture
def net(network: Federation) -> Iterator[Lonnet]:
    """A handler's client on the access server."""
    made = network.hosts["msua1"].lonnet()
    yield made
    made.close()


def test_users_are_created_and_log_in(net: Lonnet) -> None:
    smith = net.user("smith", "msu")
    with pytest.raises(NoSuchUser):
        smith.authenticate(AWKWARD)
    assert smith.create("internal", AWKWARD, host="msul2") == "msul2"
    assert smith.home() == "msul2"
    assert smith.authenticate(AWKWARD) is True
    assert smith.authenticate(AWKWARD.encode()) is True
    assert smith.authenticate(AWKWARD[:-1]) is False
    assert smith.authenticate("") is False
    smith.put("environment", {"lang": "en"})
    assert smith.get("environment", "lang") == {"lang": "en"}


def test_nobody_is_created_twice(net: Lonnet) -> None:
    net.user("twice", "msu").create("none", host="msul1")
    for host in ("msul1", "msul2"):
        with pytest.raises(UserExists):
            net.user("twice", "msu").create("none", host=host)
    with pytest.raises(ValueError, match="no library server of msu; those are: msul1, msul2"):
        net.user("other", "msu").create("none")


def test_change_password(net: Lonnet) -> None:
    jones = net.user("jones", "msu")
    jones.create("internal", "old", host="msul1")
    jones.change_password("old", AWKWARD)
    assert (jones.authenticate("old"), jones.authenticate(AWKWARD)) == (False, True)
    with pytest.raises(NotAuthorized):
        jones.change_password("old", "newer")
    with pytest.raises(PasswordChangeFailed):
        jones.change_password(AWKWARD, "")
    with pytest.raises(NoSuchUser):
        net.user("nobody", "msu").change_password("old", "new")


def test_change_authentication(net: Lonnet) -> None:
    lee = net.user("lee", "msu")
    lee.create("internal", "first", host="msul1")
    assert lee.authentication_type() == Authentication("internal")
    lee.change_authentication("krb5", "MSU.EDU")
    assert lee.authentication_type() == Authentication("krb5", "MSU.EDU")
    with pytest.raises(AuthModeError):
        lee.change_password("first", "second")
    lee.change_authentication("internal", "second")
    assert lee.authenticate("second")
    with pytest.raises(NoSuchUser):
        net.user("nobody", "msu").authentication_type()
    with pytest.raises(RemoteError, match="22"):
        lee.change_authentication("krb5", "no realm\n")


def test_guesses_at_a_name_that_nobody_has_meet_gaps(network: Federation, net: Lonnet) -> None:
    for _ in range(4):
        with pytest.raises(NoSuchUser):
            net.user("guessed", "msu").authenticate("guess")
    failure = "failed log-in of an unknown user of msu from msua1, number 4 in a row in lane strangers"
    eventually(lambda: sum(failure in network.hosts[host].lond.log for host in ("msul1", "msul2")) == 1)


def test_a_user_who_was_moved_logs_in(network: Federation, net: Lonnet) -> None:
    mover = net.user("mover", "msu")
    mover.create("internal", "pass", host="msul1")
    assert mover.authenticate("pass")
    move_member("mover", network.hosts["msul1"], network.hosts["msul2"])
    assert mover.authenticate("pass")
    assert mover.home() == "msul2"


def test_no_password_is_written_anywhere_in_clear(network: Federation, net: Lonnet) -> None:
    secret = "OpenSesame5663"
    net.user("sesame", "msu").create("internal", secret, host="msul1")
    assert net.user("sesame", "msu").authenticate(secret)
    files = [path for path in network.directory.rglob("*") if path.is_file()]
    assert any(path.name == "passwd" for path in files)
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
