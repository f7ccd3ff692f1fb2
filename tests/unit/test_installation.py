"""What loncontrol install puts in place, and that it never overwrites what somebody edited."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from common.config import parse_config
from common.errors import ConfigError
from common.hosts_table import parse_hosts
from loncontrol.command_line import main
from loncontrol.installation import (
    MANIFEST,
    InstallationError,
    Outcome,
    Place,
    commands_directory,
    empty_table,
    install,
    read_manifest,
    wanted,
)

ROOT = Path(__file__).resolve().parents[2]


def files_below(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "root", "daemon", commands_directory())


def put(place: Place) -> dict[str, Outcome]:
    return {str(path.relative_to(place.root)): outcome for path, outcome in install(place, dry_run=False)}


def test_everything_is_new_then_there_already(place: Place) -> None:
    first = put(place)
    assert set(first.values()) == {Outcome.NEW}
    assert set(files_below(place.root)) == {*first, MANIFEST}
    assert set(put(place).values()) == {Outcome.SAME}


def test_no_word_of_the_templates_is_left_and_everything_lies_below_the_root(place: Place) -> None:
    put(place)
    for name, content in files_below(place.root).items():
        assert not re.search(rb"@[A-Z]+@", content), name
        for before in re.findall(rb"(\S*?)/(?:etc/loncapa|etc/default|var/lib/loncapa|run/loncapa)", content):
            tells_defaults = name in ("etc/loncapa/loncapa.conf", "etc/loncapa/apache2.conf") or "/man/" in name
            assert before.endswith(str(place.root).encode()) or tells_defaults, (name, before)


def test_programs_can_be_run_and_nothing_else(place: Place) -> None:
    put(place)
    for path in place.root.rglob("*"):
        if path.is_file():
            program = path.parent.name in ("sbin", "init.d")
            assert stat.S_IMODE(path.stat().st_mode) == (0o755 if program else 0o644), path


def test_the_scripts_are_good_for_a_plain_shell(place: Place) -> None:
    put(place)
    for path in (place.root / "etc/init.d/loncapa", *(place.root / "usr/local/sbin").iterdir()):
        assert subprocess.run(["sh", "-n", str(path)], capture_output=True, text=True).stderr == ""


def test_a_dry_run_changes_nothing_and_says_the_same(place: Place) -> None:
    dry = dict(install(place, dry_run=True))
    assert not place.root.exists()
    assert dict(install(place, dry_run=False)) == dry


def test_the_manifest_is_what_sha256sum_checks(place: Place) -> None:
    put(place)
    checked = subprocess.run(["sha256sum", "--check", "--quiet", MANIFEST], cwd=place.root, capture_output=True)
    assert (checked.returncode, checked.stdout) == (0, b"")


def edit(place: Place, name: str, text: str = "# edited\n") -> Path:
    path = place.root / name
    path.write_text(path.read_text() + text)
    return path


def test_an_edited_file_is_kept_and_without_news_nothing_is_put_beside_it(place: Place) -> None:
    put(place)
    edited = edit(place, "etc/default/loncapa")
    text = edited.read_text()
    assert put(place)["etc/default/loncapa"] is Outcome.YOURS
    assert edited.read_text() == text and not list(edited.parent.glob("*.dpkg-dist"))


def test_the_new_version_of_an_edited_file_lies_beside_it(place: Place, tmp_path: Path) -> None:
    put(place)
    edited = edit(place, "etc/init.d/loncapa")
    text = edited.read_text()
    other = Place(place.root, "somebody", place.commands)  # another user: most files have a new version
    outcomes = put(other)
    assert outcomes["etc/init.d/loncapa"] is Outcome.BESIDE
    assert outcomes["etc/default/loncapa"] is Outcome.UPDATED
    assert edited.read_text() == text
    beside = edited.with_name("loncapa.dpkg-dist").read_text()
    assert "LONCAPA_USER=somebody" in beside and "edited" not in beside
    # The new version counts as seen: it is not brought up again and again.
    assert put(other)["etc/init.d/loncapa"] is Outcome.YOURS


def test_a_file_that_was_there_before_the_first_installation_is_somebody_s(place: Place) -> None:
    path = place.root / "etc/cron.d/loncapa"
    path.parent.mkdir(parents=True)
    path.write_text("# mine\n")
    assert put(place)["etc/cron.d/loncapa"] is Outcome.BESIDE
    assert path.read_text() == "# mine\n" and path.with_name("loncapa.dpkg-dist").exists()


def test_what_is_no_longer_shipped_is_removed_unless_it_was_edited(place: Place) -> None:
    put(place)
    for name in ("etc/old", "etc/edited"):
        (place.root / name).write_text("old\n")
    manifest = place.root / MANIFEST
    digest = "5f7cb47f3c2e6bd8f9b6fa5f9ba7d0b1e3d2d9d1b2a1b0c9d8e7f6a5b4c3d2e1"
    old = subprocess.run(["sha256sum", "etc/old"], cwd=place.root, capture_output=True, text=True).stdout
    manifest.write_text(manifest.read_text() + old + f"{digest}  etc/edited\n")
    outcomes = put(place)
    assert (outcomes["etc/old"], outcomes["etc/edited"]) == (Outcome.REMOVED, Outcome.LEFT)
    assert not (place.root / "etc/old").exists() and (place.root / "etc/edited").exists()
    assert "etc/edited" not in read_manifest(place.root)


def test_a_manifest_can_point_at_nothing_outside(place: Place) -> None:
    put(place)
    digest = "0" * 64
    (place.root / MANIFEST).write_text(f"{digest}  /etc/passwd\n{digest}  ../../etc/passwd\ngarbage\n")
    assert read_manifest(place.root) == {}


@pytest.mark.parametrize("root", ["relative", "/with a blank", "/with'quote", "/50%"])
def test_a_root_that_no_service_file_could_name(root: str) -> None:
    with pytest.raises(InstallationError, match="must be an absolute path"):
        Place(Path(root), "loncapa", Path("/usr/bin"))


@pytest.mark.parametrize("user", ["", "Root", "a b", "x;reboot", "-x"])
def test_a_user_that_no_service_file_could_name(user: str) -> None:
    with pytest.raises(InstallationError, match="not the name of a user"):
        Place(Path("/"), user, Path("/usr/bin"))


def test_the_configuration_says_nothing_but_its_directories(place: Place) -> None:
    content = {path: text for path, text, _ in wanted(place)}
    conf = content["etc/loncapa/loncapa.conf"].decode()
    with pytest.raises(ConfigError, match="lonHostID: missing"):
        parse_config(conf, "loncapa.conf")
    config, warnings = parse_config(conf + "PerlSetVar lonHostID msul1\n", "loncapa.conf")
    assert warnings == ()
    assert {config.tab_dir, config.sock_dir, config.users_dir} == {
        place.root / name for name in ("etc/loncapa", "run/loncapa", "var/lib/loncapa/users")
    }
    assert parse_hosts(content["etc/loncapa/hosts.tab"].decode(), "hosts.tab") == {}


def test_below_the_machine_s_own_root_the_defaults_hold() -> None:
    content = {path: text for path, text, _ in wanted(Place(Path("/"), "loncapa", commands_directory()))}
    assert not re.search(r"(?m)^[^#\s]", content["etc/loncapa/loncapa.conf"].decode())
    assert b"\nReadWritePaths=-/var/lib/loncapa -/run/loncapa\n" in content["etc/systemd/system/loncapa-lond.service"]


def test_apache_finds_the_packages_and_the_configuration(place: Place) -> None:
    text = {path: content for path, content, _ in wanted(place)}["etc/loncapa/apache2.conf"].decode()
    defined = dict(re.findall(r"(?m)^\s*Define (\w+) (.*)$", text))
    assert (Path(defined["LONCAPA_ROOT"]) / "lonnet/handlers/wsgi.py").is_file()
    assert (Path(defined["LONCAPA_PACKAGES"]) / "flask").is_dir()
    assert (defined["LONCAPA_CONF"], defined["LONCAPA_USER"]) == (f"{place.root}/etc/loncapa/loncapa.conf", "daemon")


@pytest.mark.parametrize("name", ["hosts", "domain", "spare", "links", "trust"])
def test_an_empty_table_tells_its_format(name: str) -> None:
    text = empty_table(name)
    assert all(line.startswith("#") for line in text.strip().splitlines()) and f"# {name}.tab" in text


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "root"
    assert main(["install", "--root", str(root), "--dry-run"]) == 0
    assert f"would be new: {root}/etc/init.d/loncapa" in capsys.readouterr().out.splitlines()
    assert not root.exists()
    assert main(["install", "--root", str(root)]) == 0
    said = capsys.readouterr().out
    assert f"new: {root}/etc/init.d/loncapa" in said.splitlines()
    assert f"   {root}/usr/local/sbin/loncontrol setup" in said.splitlines()
    assert main(["install", "--root", "/a b"]) == 1
    assert "must be an absolute path" in capsys.readouterr().err


def test_an_installation_is_whole_though_nobody_reads_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_text: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("loncontrol.install.say", gone)
    with pytest.raises(BrokenPipeError):
        main.__wrapped__(["install", "--root", str(tmp_path / "root")])  # type: ignore[attr-defined]
    assert (tmp_path / "root/etc/loncapa/manifest").exists()


def test_a_root_that_may_not_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["install", "--root", str(tmp_path / "file/root")]) == 1
    assert "Not a directory" in capsys.readouterr().err


def test_a_package_has_all_that_is_installed() -> None:
    """setup.cfg puts every file of conf/ and docs/man/ below share/loncapa."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    packed = set()
    for directory, patterns in setup["options.data_files"].items():
        for pattern in patterns.split():
            found = list(ROOT.glob(pattern))
            assert found and all(path.is_file() for path in found), f"{pattern} does not match files alone"
            packed |= {f"{directory}/{path.name}" for path in found}
    shipped = [p for name in ("conf", "docs/man") for p in (ROOT / name).rglob("*") if p.is_file()]
    assert {f"share/loncapa/{path.relative_to(ROOT)}" for path in shipped} <= packed


UNITS = ("loncapa.service", "loncapa-lond.service", "loncapa-lonc.service", "loncapa-loncron.service")


def analyze(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd-analyze here")
    return subprocess.run([program, *arguments], cwd=directory, capture_output=True, text=True)


def test_systemd_understands_the_units(place: Place) -> None:
    put(place)
    units = place.root / "etc/systemd/system"
    found = analyze(units, "verify", "--man=no", *(f"./{path.name}" for path in sorted(units.iterdir())))
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS[1:])
def test_the_services_are_hardened(place: Place, unit: str) -> None:
    put(place)
    found = analyze(place.root / "etc/systemd/system", "security", "--offline=true", "--threshold=20", f"./{unit}")
    assert found.returncode == 0, found.stdout[-300:] + found.stderr


def test_logrotate_understands_its_file(place: Place) -> None:
    program = shutil.which("logrotate") or shutil.which("/usr/sbin/logrotate")
    if program is None:
        pytest.skip("there is no logrotate here")
    put(Place(place.root, "root", place.commands))
    logs = place.root / "var/lib/loncapa/logs"
    logs.mkdir(parents=True, mode=0o750)
    (logs / "lonc.log").write_text("line\n")
    state, conf = place.root / "state", place.root / "etc/logrotate.d/loncapa"
    turned = subprocess.run(
        [program, "--force", "--state", str(state), str(conf)], capture_output=True, text=True, timeout=60
    )
    if "switch" in turned.stderr or os.geteuid():
        pytest.skip(f"only root may rotate another user's logs: {turned.stderr.strip()}")
    assert (turned.returncode, turned.stderr) == (0, "")
    assert (logs / "lonc.log.1").read_text() == "line\n" and not (logs / "lonc.log").exists()


def test_logrotate_takes_no_notice_of_the_new_version_beside_an_edited_file(place: Place) -> None:
    program = shutil.which("logrotate") or shutil.which("/usr/sbin/logrotate")
    if program is None:
        pytest.skip("there is no logrotate here")
    put(place)
    edit(place, "etc/logrotate.d/loncapa")
    assert put(Place(place.root, "somebody", place.commands))["etc/logrotate.d/loncapa"] is Outcome.BESIDE
    directory = place.root / "etc/logrotate.d"
    assert len(list(directory.iterdir())) == 2
    conf = place.root / "logrotate.conf"
    conf.write_text(f"include {directory}\n")
    command = [program, "--debug", "--state", str(place.root / "state"), str(conf)]
    read = subprocess.run(command, capture_output=True, text=True, timeout=60).stderr
    assert "reading config file loncapa\n" in read
    assert "duplicate log entry" not in read and "reading config file loncapa.dpkg-dist" not in read


def test_apache_needs_the_same_modules_everywhere() -> None:
    texts = [(ROOT / name).read_text() for name in ("conf/apache2/loncapa.conf", "docs/operations.md")]
    assert [re.findall("a2enmod (.*?);", text) for text in texts] == [["ssl wsgi headers"]] * 2
    assert all("apt install apache2 libapache2-mod-wsgi-py3" in text and "loncapa-net[web]" in text for text in texts)
