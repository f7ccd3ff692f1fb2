"""Installations below a directory: their init script, and the walk-throughs of docs/operations.md."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from common.site import load_site
from loncontrol.installation import commands_directory
from tests.helpers.daemons import ENDS, kill_parent
from tests.helpers.installed import Installed, run
from tests.helpers.service_manager import ServiceManager, Unit
from tests.helpers.waiting import eventually

Make = Callable[[str], Installed]
NET = f"127.{1 + os.getpid() % 200}.{1 + os.getpid() // 200 % 200}"
FIRST, SECOND, THIRD = f"{NET}.211", f"{NET}.212", f"{NET}.213"


@pytest.fixture
def machine() -> Iterator[Make]:
    """Makes machines, each a directory; whatever runs on them is ended."""
    made: list[Installed] = []
    with tempfile.TemporaryDirectory(prefix="lon") as name, ExitStack() as stack:

        def make(id: str) -> Installed:
            made.append(Installed(Path(name) / id))
            stack.callback(made[-1].close)
            return made[-1]

        yield make
        for machine in made:
            machine.end()  # all at once


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
    looked = run(here.root / "usr/local/sbin/loncron", "--noemail")
    assert looked.returncode == 0, looked.stderr
    assert "msul1" in (here.root / "var/lib/loncapa/html/lon-status/index.html").read_text()
    first = here.pid("lonc")
    assert here.init("start").returncode == 0 and here.pid("lonc") == first
    for action in ("reload", "force-reload"):
        assert here.init(action).returncode == 0 and here.pid("lonc") == first
    for action in ("restart", "try-restart"):
        before = here.pid("lonc")
        assert here.init(action).returncode == 0 and here.pid("lonc") not in (None, before)
    pid = here.pid("lond")
    assert pid is not None
    kill_parent(pid)
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
        assert here.control("--conf", str(here.conf), action).returncode == 5
    assert here.init("status").returncode == 3
    called = (here.root / "called").read_text().splitlines()
    units = "loncapa.service loncapa-lond.service loncapa-lonc.service"
    assert called == [f"{action} {units}" for action in ("start", "stop", "restart", "try-restart") for _ in range(2)]
    here.conf.write_text(here.conf.read_text() + "PerlSetVar lonWindow none\n")
    refused = here.init("start")
    assert refused.returncode == 6 and "lonWindow: 'none' is not" in refused.stderr
    assert (here.root / "called").read_text().splitlines() == called


def test_under_a_service_manager_nobody_starts_what_was_stopped_on_purpose(machine: Make) -> None:
    here = machine("a")
    set_up(here, "msul1", FIRST)
    (here.root / "run/systemd/system").mkdir(parents=True)
    loncron = here.root / "usr/local/sbin/loncron"
    past_its_wrapper = (commands_directory() / "loncron", "--conf", here.conf)
    for command in ((loncron,), (loncron, "--conf", here.conf), (loncron, f"--conf={here.conf}"), past_its_wrapper):
        told = run(*command, "--justcheckdaemons")
        assert told.returncode == 1
        assert told.stdout.splitlines() == [
            f"{name} is not running; it is for the service manager to start it: systemctl start loncapa"
            for name in ("lond", "lonc")
        ]
        assert (here.pid("lond"), here.pid("lonc")) == (None, None)
    for word in ("start", "restart"):
        refused = run(commands_directory() / "loncontrol", "--conf", here.conf, word)
        assert refused.returncode == 4 and "systemctl start loncapa" in refused.stderr
    assert (here.pid("lond"), here.pid("lonc")) == (None, None)
    other = here.root / "other.conf"  # no unit knows of it
    other.write_text(here.conf.read_text())
    assert "it would be started" in run(loncron, "--conf", str(other), "--dry-run").stdout
    assert "it was started and runs" in run(loncron, "--conf", str(other), "--justcheckdaemons").stdout


def test_the_units_lines_do_what_the_service_manager_expects_of_them(machine: Make) -> None:
    """There may be no systemd to run them; what it would run, and hear, is the same."""
    here = machine("a")
    set_up(here, "msul1", FIRST)
    good = here.conf.read_text()
    with ExitStack() as stack:
        for name in ("lond", "lonc"):
            manager = ServiceManager(here.root / f"{name}.notify")
            stack.callback(manager.channel.close)
            unit = Unit(here.root / f"etc/systemd/system/loncapa-{name}.service", here.root / f"{name}.notify")
            here.conf.write_text(f"{good}PerlSetVar lonWindow none\n")
            assert not unit.starts_again_after(unit.start().wait(ENDS))
            here.conf.write_text(good)
            main = unit.start()
            stack.callback(main.wait)
            stack.callback(main.kill)
            assert manager.heard() == (main.pid, ["READY=1"])
            assert here.pid(name) == main.pid
            assert unit.reload(main) == 0
            pid, (word, _) = manager.heard()
            assert (pid, word) == (main.pid, "RELOADING=1") and manager.heard() == (main.pid, ["READY=1"])
            here.conf.write_text(f"{good}PerlSetVar lonWindow none\n")
            assert unit.reload(main) == 78
            here.conf.write_text(good)
            second = unit.start()
            assert unit.starts_again_after(second.wait(ENDS)), "it can't run beside the first, but may later"
            main.terminate()
            assert manager.heard() == (main.pid, ["STOPPING=1"]), "the broken configuration was not looked at"
            assert not unit.starts_again_after(main.wait(ENDS))


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
    assert here.good("pause", "msul2", "--why", "setup").splitlines()[0] == "daemon"
    assert here.good("--conf", "setup", "status").splitlines()[0] == "daemon"
    assert here.good("--conf", "x", "setup").splitlines()[0] == "root"
    assert here.good("setup").splitlines()[0] == "root"
    settings.write_text(settings.read_text().replace("LONCAPA_USER=daemon", "LONCAPA_USER=no-such-user"))
    missing = here.control("status")
    assert missing.returncode == 6 and "there is no user no-such-user; make it: useradd" in missing.stderr


# --- the walk-throughs of docs/operations.md ----------------------------------------------------------------


def introduce(*machines: Installed) -> None:
    """Every machine's administrator sends the own line to all others, who add it."""
    lines = {m: next(line for line in hosts_tab(m) if line.startswith(f"{own_id(m)}:")) for m in machines}
    for here in machines:
        for there, line in lines.items():
            if there is not here and line not in hosts_tab(here):
                assert "It counts after: loncontrol reload" in here.good("add-host", line)


def all_idle(machine: Installed) -> None:
    """All links are up and have nothing to do; a child shows a moment later that its last caller has gone."""
    rows = [line.split()[:2] for line in machine.good("peers").splitlines()[1:]]
    assert rows == [[line.partition(":")[0], "idle"] for line in hosts_tab(machine)]


def own_id(machine: Installed) -> str:
    return load_site(machine.conf).own.id


def hosts_tab(machine: Installed) -> list[str]:
    lines = (machine.root / "etc/loncapa/hosts.tab").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def start(*machines: Installed) -> None:
    for machine in machines:
        started = machine.init("start")
        assert started.returncode == 0, started.stderr


@pytest.fixture
def two(machine: Make) -> tuple[Installed, Installed]:
    """Two servers, as the first walk-through makes them."""
    first, second = machine("a"), machine("b")
    set_up(first, "msul1", FIRST)
    set_up(second, "msua1", SECOND, "access")
    introduce(first, second)
    assert sorted(hosts_tab(first)) == sorted(hosts_tab(second))
    start(first, second)
    for here in (first, second):
        here.links("msul1", "msua1")
    return first, second


def test_two_servers_and_a_third(two: tuple[Installed, Installed], machine: Make) -> None:
    first, second = two
    assert (first.reply("ping", "msua1"), second.reply("ping", "msul1")) == ("msua1", "msul1")
    for here in two:
        here.good("status")
        eventually(partial(all_idle, here))
    pids = [(here.pid("lonc"), here.pid("lond")) for here in two]
    third = machine("c")
    set_up(third, "msul2", THIRD)
    introduce(first, second, third)
    for here in two:
        here.good("configtest")
        here.good("reload")
    start(third)
    for here in (first, second, third):
        here.links("msul1", "msua1", "msul2")
    assert second.reply("ping", "msul2") == "msul2" and third.reply("ping", "msua1") == "msua1"
    assert [(here.pid("lonc"), here.pid("lond")) for here in two] == pids


def test_a_machine_is_replaced_by_one_with_another_address(two: tuple[Installed, Installed]) -> None:
    moved, other = two
    assert moved.init("stop").returncode == 0
    assert other.critical("log:msu:smith:x", "msul1") == "con_delayed"
    assert (
        f"hosts.tab has msul1:msu:library:msul1.example.org:{FIRST}"
        in moved.control("setup", "--address", THIRD).stderr
    )
    moved.good("setup", "--address", THIRD, "--yes")
    line = hosts_tab(moved)[0]
    assert line.endswith(f":{THIRD}")
    other.good("add-host", line, "--yes")
    other.good("reload")
    start(moved)
    for here in two:
        here.links("msul1", "msua1")
    assert other.reply("ping", "msul1") == "msul1" and moved.reply("ping", "msua1") == "msua1"
    # A library server that does not know the user refuses the message: it was delivered all the same.
    eventually(lambda: "failed" in other.good("queue", "ls"))


def test_a_server_is_off_line_for_a_while_and_for_good(two: tuple[Installed, Installed]) -> None:
    away, other = two
    other.good("pause", "msul1", "--why", "new disks until five")
    assert away.init("stop").returncode == 0
    eventually(lambda: other.reply("ping", "msul1") == "con_lost")
    assert other.critical("ping", "msul1") == "con_delayed"
    shown = next(line for line in other.good("peers").splitlines() if line.startswith("msul1"))
    assert "paused" in shown and "new disks until five" in shown
    start(away)
    away.links("msul1", "msua1")
    assert other.reply("ping", "msul1") == "con_lost", "it is paused still"
    other.good("resume", "msul1")
    other.links("msul1")
    assert other.reply("ping", "msul1") == "msul1"

    other.good("remove-host", "msul1")
    other.good("reload")
    eventually(lambda: other.reply("ping", "msul1") == "no_such_host")
    assert [line.partition(":")[0] for line in hosts_tab(other)] == ["msua1"]


def test_a_server_is_restored_from_a_backup(two: tuple[Installed, Installed]) -> None:
    lost, other = two
    state, backup = lost.root / "var/lib/loncapa", lost.root / "backup"
    user = state / "users/msu/s/m/i/smith"
    user.mkdir(parents=True, mode=0o700)
    (user / "passwd").write_text("none:\n")
    assert other.reply("put:msu:smith:environment:lang=en", "msul1") == "ok"
    assert other.init("stop").returncode == 0
    assert lost.critical("ping", "msua1") == "con_delayed"
    assert lost.init("stop").returncode == 0
    for directory in ("etc/loncapa", "var/lib/loncapa"):
        shutil.copytree(lost.root / directory, backup / directory)
    start(lost, other)
    other.links("msul1")
    eventually(lambda: lost.good("queue", "ls", "msua1").count("\n") <= 1)  # delivered after the backup was made

    lost.close()
    for directory in ("etc", "var", "run", "usr"):
        shutil.rmtree(lost.root / directory)  # the machine burns
    assert Installed(lost.root).root == lost.root
    for directory in ("etc/loncapa", "var/lib/loncapa"):
        shutil.copytree(backup / directory, lost.root / directory, dirs_exist_ok=True)
    lost.good("configtest")
    lost.good("queue", "hold", "msua1", "--why", "restored from the backup of Sunday")
    start(lost)
    for here in two:
        here.links("msul1", "msua1")
    assert other.reply("get:msu:smith:environment:lang", "msul1") == "en"
    held = lost.good("queue", "ls", "msua1")
    assert "held" in held and "restored from the backup" in held
    lost.good("queue", "release", "msua1")
    eventually(lambda: "held" not in lost.good("queue", "ls", "msua1"))
