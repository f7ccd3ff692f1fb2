"""The commands of an init script as far as they need no daemon: what is wrong is said, and who must do what."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import loncron.command_line
from common.daemon import make_directories
from common.site import load_site
from loncontrol.command_line import main
from lonstatus.daemons import Daemon, State

HOST = "msul1:msu:library:a.example.org:127.0.0.1\n"
DIRECTORIES = ("lonDaemons", "lonSockDir", "lonDelayedDir", "lonUsersDir", "lonDocRoot", "lonIDsDir")
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(lonDelayedDir="/x", ...) -> the configuration of msul1 with these settings."""

    def write(**settings: str) -> Path:
        values = {"lonHostID": "msul1", "lonTabDir": str(tmp_path)}
        values |= {name: str(tmp_path / name) for name in DIRECTORIES} | settings
        conf = tmp_path / "loncapa.conf"
        conf.write_text("".join(f"PerlSetVar {name} {value}\n" for name, value in values.items()))
        (tmp_path / "hosts.tab").write_text(HOST)
        return conf

    return write


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """run(conf, command) -> exit code, output, errors."""

    def run(conf: Path, *arguments: str) -> tuple[int, str, str]:
        return main(["--conf", str(conf), *arguments]), *capsys.readouterr()

    return run


Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("setting", DIRECTORIES)
def test_a_directory_that_is_something_else_is_named(setting: str, write: Write, run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for value in (tmp_path / "file", tmp_path / "file" / "below"):
        conf = write(**{setting: str(value)})
        fault = f": {setting}: {value} is not a directory; "
        for command in ("peers", "start", "restart"):
            code, _, errors = run(conf, command)
            assert code == 6 and fault in errors
        assert run(conf, "check")[:2] == (3, f"LONCAPA UNKNOWN - {conf}:{_line(conf, setting)}{fault}{_ADVICE}\n")
        for command, code in (("status", 3), ("stop", 0)):
            found, _, errors = run(conf, command)
            assert (found, errors.count(fault)) == (code, 1)


_ADVICE = "name another one, or move away what is there"


def _line(conf: Path, setting: str) -> int:
    return [line.split()[1] for line in conf.read_text().splitlines()].index(setting) + 1


def test_loncron_tells_of_a_directory_that_is_something_else(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for setting in DIRECTORIES:
        conf = write(**{setting: str(tmp_path / "file")})
        assert loncron.command_line.main(["--conf", str(conf), "--dry-run"]) == 0
        found = capsys.readouterr()
        assert f"error    tables: {conf}:{_line(conf, setting)}: {setting}: " in found.out
        assert "the check failed" not in found.out and found.err == ""


def test_a_dry_run_of_loncron_leaves_nothing(write: Write, tmp_path: Path) -> None:
    conf = write()
    before = sorted(tmp_path.rglob("*"))
    assert loncron.command_line.main(["--conf", str(conf), "--dry-run"]) == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_directory_that_can_not_be_made_is_named(write: Write, tmp_path: Path) -> None:
    site = load_site(write())
    (tmp_path / "lonDelayedDir").touch()
    with pytest.raises(FileExistsError, match=r"lonDelayedDir: File exists: '/.*lonDelayedDir'"):
        make_directories(site)


@pytest.mark.parametrize(
    ("settings", "hosts", "fault"),
    [
        ({}, "", "'msul1' is not in "),
        ({"lonHostID": "msul9"}, HOST, "'msul9' is not in "),
        ({"lonSockDir": f"/tmp/{'x' * 100}"}, HOST, "a socket's path at most 107"),
    ],
)
def test_status_tells_a_fault_between_the_files(
    settings: dict[str, str], hosts: str, fault: str, write: Write, run: Run, tmp_path: Path
) -> None:
    conf = write(**settings)
    (tmp_path / "hosts.tab").write_text(hosts)
    code, output, errors = run(conf, "status")
    assert (code, output) == (3, "lond: stopped\nlonc: stopped\n")
    assert fault in errors and "what runs goes on with what it has read" in errors


def test_status_does_not_wait_for_dns(write: Write, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = write()
    (tmp_path / "hosts.tab").write_text("msul1:msu:library:a.example.org:\n")
    monkeypatch.delattr("socket.getaddrinfo")
    assert run(conf, "status") == (3, "lond: stopped\nlonc: stopped\n", "")


def test_reload_says_who_does_not_run(write: Write, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = write()
    monkeypatch.setattr(Daemon, "check", lambda _daemon: (0, ""))
    monkeypatch.setattr(Daemon, "signal", lambda daemon, number: daemon.name == "lond" and number == signal.SIGHUP)
    code, output, errors = run(conf, "reload")
    assert (code, output) == (7, "configuration of msul1 is good: 1 hosts\n")
    assert errors == "loncontrol: lonc does not run, and reads nothing; to start it: loncontrol start\n"


def test_loncron_says_who_does_not_run(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = write()
    monkeypatch.setattr(Daemon, "check", lambda _daemon: (0, ""))
    monkeypatch.setattr(Daemon, "signal", lambda daemon, _number: daemon.name == "lonc")
    monkeypatch.setattr(loncron.command_line, "open_log", lambda *_arguments, **_options: None)
    assert loncron.command_line.main(["--conf", str(conf), "--justreload"]) == 1
    assert capsys.readouterr().err == "loncron: lond does not run, and reads nothing; to start it: loncontrol start\n"


def test_a_daemon_of_another_user_is_not_said_to_be_gone(
    write: Write, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lonstatus.daemons.signal_daemon", lambda *_arguments: False)
    monkeypatch.setattr(Daemon, "state", State.RUNNING)
    monkeypatch.setattr(Daemon, "check", lambda _daemon: (0, ""))
    for command in ("reload", "retry", "stop"):
        code, _, errors = run(write(), command)
        assert code == 4 and " belongs to another user: " in errors and "run it as the daemons' user" in errors


def test_a_daemon_that_does_not_stop_may_hang(write: Write, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Daemon, "state", State.RUNNING)
    monkeypatch.setattr(Daemon, "pid", 4711)
    monkeypatch.setattr(Daemon, "stop", lambda _daemon: False)
    said = "loncontrol: lonc did not stop, see its log; if it hangs: kill -9 4711\n"
    assert run(write(), "stop") == (1, "", said)


def _refuse(*_arguments: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied", "/x")


@pytest.mark.parametrize(
    ("called", "code", "arguments"),
    [
        ("loncontrol.links.pause", 4, ("pause", "msul1", "--why", "x")),
        ("loncontrol.links.resume", 4, ("resume", "msul1")),
        ("loncontrol.monitoring.peers", 3, ("check",)),
        ("loncontrol.service.pauses", 4, ("status",)),
    ],
)
def test_who_may_not_look_is_told_whom_to_become(
    called: str, code: int, arguments: Sequence[str], write: Write, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(called, _refuse)
    found, *told = run(write(), *arguments)
    assert found == code
    assert "Permission denied: '/x'; run it as the daemons' user, or as root by the installed command\n" in "".join(
        told
    )


def test_loncron_tells_whom_to_become(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loncron.run.look", _refuse)
    assert loncron.command_line.main(["--conf", str(write()), "--dry-run"]) == 4
    assert "run it as the daemons' user" in capsys.readouterr().err
