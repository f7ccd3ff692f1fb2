"""Installations below a directory: their init script, and the walk-throughs of docs/operations.md."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helpers.installed import Installed
from tests.helpers.waiting import eventually

Make = Callable[[str], Installed]
NET = f"127.{1 + os.getpid() % 200}.{1 + os.getpid() // 200 % 200}"
FIRST, SECOND, THIRD = f"{NET}.211", f"{NET}.212", f"{NET}.213"


@pytest.fixture
def machine() -> Iterator[Make]:
    """Makes machines, each a directory; whatever runs on them is ended."""
    with tempfile.TemporaryDirectory(prefix="lon") as name, ExitStack() as stack:

        def make(id: str) -> Installed:
            made = Installed(Path(name) / id)
            stack.callback(made.close)
            return made

        yield make


def set_up(machine: Installed, id: str, address: str, role: str = "library") -> str:
    """What loncontrol setup is told; the line that it says to send."""
    said = machine.good(
        *("setup", "--host-id", id, "--domain", "msu", "--domain-name", "Michigan State University", "--role", role),
        *("--hostname", f"{id}.example.org", "--address", address, "--email", "root@example.org"),
    )
    machine.be_quick()
    line = f"{id}:msu:{role}:{id}.example.org:{address}"
    assert f"   {line}\n" in said
    return line


def test_an_installation_starts_from_its_init_script_and_answers_by_lsb_codes(machine: Make) -> None:
    here = machine("a")
    unconfigured = here.init("start")
    assert unconfigured.returncode == 6 and "lonHostID: missing" in unconfigured.stderr
    set_up(here, "msul1", FIRST)
    assert here.init("status").returncode == 3
    assert here.init("try-restart").returncode == 0
    assert here.init("reload").returncode == 7
    assert here.init("status").returncode == 3
    assert here.init("start").returncode == 0
    assert here.init("status").returncode == 0
    here.links("msul1")
    first = here.pid("lonc")
    assert here.init("start").returncode == 0 and here.pid("lonc") == first
    for action in ("reload", "force-reload"):
        assert here.init(action).returncode == 0 and here.pid("lonc") == first
    for action in ("restart", "try-restart"):
        before = here.pid("lonc")
        assert here.init(action).returncode == 0 and here.pid("lonc") not in (None, before)
    pid = here.pid("lond")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: here.pid("lond") is None)
    assert here.init("status").returncode == 1
    assert here.init("start").returncode == 0
    assert here.init("stop").returncode == 0
    assert here.init("stop").returncode == 0
    assert here.init("status").returncode == 3
    for wrong in ((), ("explode",)):
        assert here.init(*wrong).returncode == 2
    (here.root / "usr/local/sbin/loncontrol").rename(here.root / "aside")
    assert (here.init("start").returncode, here.init("status").returncode) == (5, 4)
    (here.root / "aside").rename(here.root / "usr/local/sbin/loncontrol")


def test_under_a_service_manager_root_s_start_is_passed_on(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root's start is passed on")
    here = machine("a")
    set_up(here, "msul1", FIRST)
    (here.root / "run/systemd/system").mkdir(parents=True)
    programs = here.root / "programs"
    programs.mkdir()
    (programs / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {here.root}/called\nexit 5\n')
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    for action in ("start", "stop", "restart", "try-restart"):
        assert here.init(action).returncode == 5
        assert here.control(action).returncode == 5
    assert here.init("status").returncode == 3
    called = (here.root / "called").read_text().splitlines()
    assert called == [f"{a} loncapa.service" for a in ("start", "stop", "restart", "try-restart") for _ in range(2)]


def test_root_becomes_the_user_of_the_daemons(machine: Make) -> None:
    if os.geteuid() != 0 or shutil.which("runuser") is None:
        pytest.skip("only root can become another user, by runuser")
    here = machine("a")
    settings = here.root / "etc/default/loncapa"
    commands = here.root / "commands"
    commands.mkdir(mode=0o755)
    for path in here.root.parent, here.root:
        path.chmod(0o755)
    (commands / "loncontrol").write_text('#!/bin/sh\nid -un\necho "$LONCAPA_CONF" "$@"\n')
    (commands / "loncontrol").chmod(0o755)
    wrapper = here.root / "usr/local/sbin/loncontrol"
    bin = next(line for line in wrapper.read_text().splitlines() if line.startswith("if [ ! -x")).split('"')[1]
    wrapper.write_text(wrapper.read_text().replace(bin.rpartition("/")[0], str(commands)))
    settings.write_text(settings.read_text().replace("LONCAPA_USER=root", "LONCAPA_USER=daemon"))
    assert here.good("peers", "-v").splitlines() == ["daemon", f"{here.conf} peers -v"]
    assert here.good("setup").splitlines()[0] == "root"
    settings.write_text(settings.read_text().replace("LONCAPA_USER=daemon", "LONCAPA_USER=no-such-user"))
    missing = here.control("status")
    assert missing.returncode == 6 and "there is no user no-such-user; make it: useradd" in missing.stderr
