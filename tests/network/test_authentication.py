"""Accounts, end to end: one access server asks two library servers, over encrypted links."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from traceback import format_exception_only

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
from lonstatus.metrics import metrics
from tests.helpers.federation import Federation, running
from tests.helpers.members import move_member
from tests.helpers.waiting import eventually

SECRET = "OpenSesame5663"
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
    """In no file below the hosts' directories, no title or name of a process, no metric, and no error's text."""
    said = use_passwords(net)
    places: dict[object, bytes] = {path: path.read_bytes() for path in network.directory.rglob("*") if path.is_file()}
    for daemon in network.daemons():
        for pid in daemon.session():
            for file in ("cmdline", "comm"):
                places[pid, file] = Path(f"/proc/{pid}/{file}").read_bytes()
    for host in network.hosts.values():
        places["metrics", host.id] = metrics(host.site()).encode()
    places["errors"] = "\n".join(said).encode()
    for known in ("sesame", "lond: msua1", "loncapa_lond_requests_total", "wrong password"):
        assert any(known.encode() in content for content in places.values()), f"it looked where there is no {known}"
    assert [place for place, content in places.items() if SECRET.encode() in content] == []


def use_passwords(net: Lonnet) -> list[str]:
    """Send passwords, all of which hold SECRET, in every way: right, wrong, misplaced; the texts of the errors."""
    numbers = count(1)
    secret: Callable[[], str] = lambda: f"{SECRET}{next(numbers)}"  # noqa: E731
    sesame, first, second = net.user("sesame", "msu"), secret(), secret()
    sesame.create("internal", first, host="msul1")
    assert sesame.authenticate(first)
    assert not sesame.authenticate(secret())
    errors = [
        failed(lambda: sesame.change_password(secret(), secret()), NotAuthorized),
        failed(lambda: sesame.change_password(first, f"{secret()}\0"), PasswordChangeFailed),
    ]
    sesame.change_password(first, second)
    sesame.change_authentication("internal", secret())
    sesame.change_authentication("krb4", "MSU.EDU")
    errors += [
        failed(lambda: sesame.change_authentication("krb5", f"{secret()} is no realm"), RemoteError),
        failed(lambda: sesame.change_authentication("internal", f"{secret()}\0"), RemoteError),
        failed(lambda: sesame.authenticate(secret()), AuthModeError),
        failed(lambda: sesame.change_password(secret(), secret()), AuthModeError),
        failed(lambda: net.user("nobody", "msu").authenticate(secret()), NoSuchUser),
    ]
    misplaced = (
        f"auth:msu:sesame:{secret()}",
        f"encrypt:auht:msu:sesame:{secret()}",
        f"encrypt:makeuser:msu:{secret()}",
        f"encrypt:changeuserauth:msu:sesame:internal:{secret()}:{secret()}",
    )
    errors += [net.reply(command, "msul1") for command in misplaced]
    errors.append(failed(lambda: net.critical(f"encrypt:auth:msu:sesame:{secret()}", "msul1"), ValueError))
    return errors


def failed(call: Callable[[], object], error: type[Exception]) -> str:
    """What the error says that a call must end with."""
    with pytest.raises(error) as caught:
        call()
    return "".join(format_exception_only(caught.value))
