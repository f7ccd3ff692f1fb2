"""root leaves nothing among the files of the daemons' user."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import loncontrol.command_line
import loncron.command_line
from common.config import Config, read_config
from common.owner import why_not_root
from tests.helpers.in_child import in_child

STRANGER = 4711


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    conf = tmp_path / "loncapa.conf"
    names = {"lonDaemons": "state", "lonDelayedDir": "delayed", "lonSockDir": "run", "lonTabDir": "tab"}
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


def test_root_may_work_where_root_s_daemons_do_or_none_have(config: Config) -> None:
    assert why_not_root(config) == ""
    config.daemons_dir.rmdir()
    assert why_not_root(config) == ""


def test_others_are_never_in_the_way(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    give_away(config.daemons_dir)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER + 1)
    assert why_not_root(config) == ""


@pytest.mark.parametrize("words", (["pause", "msul2", "--why", "setup"], ["status"], ["check"], ["queue", "ls"]))
def test_loncontrol_of_root_leaves_a_user_s_files_alone(
    conf: Path, config: Config, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    give_away(config.daemons_dir)
    assert loncontrol.command_line.main(["--conf", str(conf), *words]) == 4
    assert f"{config.daemons_dir} belongs to #{STRANGER}" in capsys.readouterr().err
    assert sorted(path.name for path in conf.parent.iterdir()) == ["loncapa.conf", "state"]


def test_loncron_of_root_leaves_a_user_s_files_alone(
    conf: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    give_away(config.daemons_dir)
    assert loncron.command_line.main(["--conf", str(conf)]) == 4
    assert f"runuser -u #{STRANGER}" in capsys.readouterr().err
    assert sorted(path.name for path in conf.parent.rglob("*")) == ["loncapa.conf", "state"]


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
