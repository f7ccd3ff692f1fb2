"""root leaves nothing among the files of the daemons' user."""

from __future__ import annotations

import io
import os
import pwd
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import lonc.parent
import loncontrol.command_line
import loncron.command_line
import lond.parent
import lonnet.command_line
import lonuser.command_line
from common.config import Config, read_config
from common.daemon import Service
from common.daemon import main as daemon_main
from common.owner import why_not_root
from tests.helpers.in_child import in_child

STRANGER = 4711
FILES = ["hosts.tab", "loncapa.conf", "state", "tab"]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    (tmp_path / "tab").mkdir()
    (tmp_path / "tab" / "hosts.tab").write_text("msul1:msu:library:a.example.org:127.0.0.1\n")
    conf = tmp_path / "loncapa.conf"
    names = {
        "lonDaemons": "state",
        "lonDelayedDir": "delayed",
        "lonSockDir": "run",
        "lonTabDir": "tab",
        "lonUsersDir": "users",
    }
    lines = [f"PerlSetVar {name} {tmp_path / directory}" for name, directory in names.items()]
    conf.write_text("\n".join(["PerlSetVar lonHostID msul1", *lines, ""]))
    return conf


@pytest.fixture
def config(conf: Path) -> Config:
    return read_config(conf)[0]


def give_away(directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory to somebody else")
    os.chown(directory, STRANGER, STRANGER)


def files(conf: Path) -> list[str]:
    return sorted(path.name for path in conf.parent.rglob("*"))


def test_root_may_work_where_root_s_daemons_do_or_none_have(config: Config) -> None:
    assert why_not_root(config, "lond") == ""
    config.daemons_dir.rmdir()
    assert why_not_root(config, "lond") == ""


def test_others_are_never_in_the_way(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    give_away(config.daemons_dir)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER + 1)
    assert why_not_root(config, "lond") == ""


def test_the_owner_is_not_in_the_way(config: Config) -> None:
    give_away(config.daemons_dir)

    def asked() -> str:
        os.setresuid(STRANGER, STRANGER, STRANGER)
        return why_not_root(config, "lond")

    assert in_child(asked) == ""


@pytest.mark.parametrize("directory", ["daemons_dir", "sock_dir", "delayed_dir", "users_dir"])
def test_one_directory_of_another_user_is_enough(config: Config, directory: str) -> None:
    path: Path = getattr(config, directory)
    path.mkdir(exist_ok=True)
    give_away(path)
    assert why_not_root(config, "lond").startswith(f"{path} belongs to ")


def test_root_is_told_what_to_type(config: Config) -> None:
    give_away(config.daemons_dir)
    assert f"setpriv --reuid {STRANGER} --regid {STRANGER} --clear-groups -- lond" in why_not_root(config, "lond")
    named = pwd.getpwnam("nobody")
    os.chown(config.daemons_dir, named.pw_uid, named.pw_gid)
    assert "belongs to nobody, " in why_not_root(config, "lond")
    assert ": runuser -u nobody -- lond ..." in why_not_root(config, "lond")


@pytest.mark.parametrize("words", (["pause", "msul2", "--why", "setup"], ["status"], ["check"], ["queue", "ls"]))
def test_loncontrol_of_root_leaves_a_user_s_files_alone(
    conf: Path, config: Config, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    give_away(config.daemons_dir)
    assert loncontrol.command_line.main(["--conf", str(conf), *words]) == 4
    assert f"{config.daemons_dir} belongs to user number {STRANGER}" in capsys.readouterr().err
    assert files(conf) == FILES


def test_loncron_of_root_leaves_a_user_s_files_alone(
    conf: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    give_away(config.daemons_dir)
    assert loncron.command_line.main(["--conf", str(conf)]) == 4
    assert f"--reuid {STRANGER} --regid {STRANGER} --clear-groups -- loncron" in capsys.readouterr().err
    assert files(conf) == FILES


def never(*_: object) -> Service:
    raise AssertionError("a daemon was made")


@pytest.mark.parametrize("how", [["--foreground"], []])
@pytest.mark.parametrize("parser", [lonc.parent.parser, lond.parent.parser])
def test_no_daemon_of_root_starts_among_a_user_s_files(
    conf: Path, config: Config, capfd: pytest.CaptureFixture[str], parser: Callable[[], ArgumentParser], how: list[str]
) -> None:
    give_away(config.daemons_dir)
    assert in_child(lambda: daemon_main(parser(), never, ["--conf", str(conf), *how])) == 77
    assert f"{config.daemons_dir} belongs to user number {STRANGER}" in capfd.readouterr().err
    assert files(conf) == FILES


def test_root_may_check_a_user_s_configuration(conf: Path, config: Config) -> None:
    give_away(config.daemons_dir)
    assert daemon_main(lond.parent.parser(), never, ["--conf", str(conf), "--check"]) == 0
    assert files(conf) == FILES


def test_lonuser_of_root_leaves_a_user_s_files_alone(
    conf: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    config.users_dir.mkdir()
    give_away(config.daemons_dir)
    assert lonuser.command_line.main(["--conf", str(conf), "add", "msu", "smith", "--type", "none"]) == 77
    assert "--clear-groups -- lonuser" in capsys.readouterr().err
    assert files(conf) == sorted([*FILES, "users"])


@pytest.mark.parametrize("words", [["critical", "msul1", "ping"], ["sweep"]])
def test_lonnet_of_root_leaves_a_user_s_files_alone(
    conf: Path, config: Config, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    give_away(config.daemons_dir)
    assert lonnet.command_line.main(["--conf", str(conf), *words]) == 77
    assert "--clear-groups -- python -m lonnet" in capsys.readouterr().err
    assert files(conf) == FILES
    assert lonnet.command_line.main(["--conf", str(conf), "reply", "msul1", "ping"]) == 1  # it writes nothing
    assert files(conf) == FILES


def test_what_belongs_to_root_is_root_s_to_change(
    conf: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    give_away(config.daemons_dir)
    assert loncontrol.command_line.main(["--conf", str(conf), "remove-host", "msul9"]) != 4
    assert "belongs to" not in capsys.readouterr().err


@pytest.mark.parametrize(("command", "code"), [("status", 4), ("peers", 4), ("check", 3)])
def test_who_may_not_look_is_told_so(command: str, code: int) -> None:
    with TemporaryDirectory(prefix="loncapa-") as name:  # a stranger does not get at pytest's directories
        directory = Path(name)
        directory.chmod(0o755)
        conf, logs = directory / "loncapa.conf", directory / "logs"
        values = {"lonHostID": "msul1", "lonDaemons": name, "lonTabDir": name, "lonSockDir": name}
        conf.write_text("".join(f"PerlSetVar {key} {value}\n" for key, value in values.items()))
        (directory / "hosts.tab").write_text("msul1:msu:library:a.example.org:127.0.0.1\n")
        logs.mkdir(mode=0o750)
        give_away(directory)  # the daemons', whose logs others do not see
        give_away(logs)

        def asked() -> tuple[int, str]:
            os.setresuid(STRANGER + 1, STRANGER + 1, STRANGER + 1)
            said = io.StringIO()
            with redirect_stdout(said), redirect_stderr(said):
                return loncontrol.command_line.main(["--conf", str(conf), command]), said.getvalue()

        found, said = in_child(asked)
    assert (found, "Traceback" in said) == (code, False)
    assert f"Permission denied: '{logs}/lon" in said
