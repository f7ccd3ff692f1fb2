"""Whether systemd looks after the daemons of a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

import loncontrol.command_line
from lonstatus.daemons import Daemon
from lonstatus.services import is_service


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An installation on a machine with systemd, complete enough to be started."""
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    for path in ("etc/loncapa", "etc/systemd/system", "etc/default"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "etc/systemd/system/loncapa.service").write_text("[Unit]\n")
    (tmp_path / "etc/default/loncapa").write_text(f"LONCAPA_USER=root\nLONCAPA_CONF={own(tmp_path)}\n")
    (tmp_path / "etc/loncapa/hosts.tab").write_text("msul1:msu:library:a.example.org:127.0.0.1\n")
    names = {"lonDaemons": "state", "lonDelayedDir": "delayed", "lonSockDir": "run", "lonTabDir": "etc/loncapa"}
    lines = [f"PerlSetVar {name} {tmp_path / directory}" for name, directory in names.items()]
    own(tmp_path).write_text("\n".join(["PerlSetVar lonHostID msul1", *lines, ""]))
    return tmp_path


def own(root: Path) -> Path:
    return root / "etc/loncapa/loncapa.conf"


def test_units_with_this_configuration_on_a_machine_that_systemd_runs(root: Path) -> None:
    assert is_service(own(root))


@pytest.mark.parametrize("missing", ["run/systemd/system", "etc/systemd/system/loncapa.service"])
def test_without_systemd_or_without_units_it_is_none(root: Path, missing: str) -> None:
    (root / missing).rename(root / "aside")
    assert not is_service(own(root))


def test_units_say_which_configuration_is_theirs(root: Path) -> None:
    settings = root / "etc/default/loncapa"
    settings.write_text(f'LONCAPA_CONF=/x.conf\n LONCAPA_CONF="{own(root)}"  # ours\n#LONCAPA_CONF=/y.conf\n')
    assert is_service(own(root))
    settings.write_text(f"LONCAPA_CONF={own(root)}\nLONCAPA_CONF=/x.conf\n")
    assert not is_service(own(root))
    for nothing in (f"{own(root)}\n", "LONCAPA_CONF=\n", 'LONCAPA_CONF="/x\n'):
        settings.write_text(nothing)
        assert is_service(own(root)), "it is where it is if nobody says otherwise"
    settings.unlink()
    assert is_service(own(root))


def test_another_configuration_is_nobody_s(root: Path) -> None:
    other = own(root).with_name("other.conf")
    other.write_text("")
    assert not is_service(other)
    (root / "link.conf").symlink_to(own(root))
    assert not is_service(root / "link.conf"), "no installation is two directories above"


@pytest.mark.parametrize("word", ["start", "restart"])
def test_loncontrol_starts_nothing_that_is_systemd_s(
    root: Path, word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def start(daemon: Daemon) -> tuple[int, str]:
        started.append(daemon.name)
        return 1, "no"

    monkeypatch.setattr(Daemon, "start", start)
    assert loncontrol.command_line.main(["--conf", str(own(root)), word]) == 4
    assert "systemd looks after the daemons, and must start them itself: systemctl start" in capsys.readouterr().err
    assert started == []
    assert loncontrol.command_line.main(["--conf", str(own(root)), "try-restart"]) == 0  # there is nothing to do
    (root / "run/systemd/system").rmdir()
    assert loncontrol.command_line.main(["--conf", str(own(root)), word]) == 1
    assert started == ["lond"]
