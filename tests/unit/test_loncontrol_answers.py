"""What loncontrol says of what it finds in files, without a daemon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.backlog import Backlog
from common.delayed import DONE, Message, Outcome
from loncontrol.command_line import main
from lonstatus.daemons import Daemon, State
from lonstatus.peers import Peer

Run = Callable[..., tuple[int, str, str]]
ID = f"{7:032x}"


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """run(command) on msul1 -> exit code, output, errors."""
    values = {"lonTabDir": tmp_path, "lonDaemons": tmp_path / "daemons", "lonSockDir": tmp_path / "run"}
    lines = [f"PerlSetVar {name} {path}\n" for name, path in {**values, "lonDelayedDir": tmp_path / "delayed"}.items()]
    conf = tmp_path / "loncapa.conf"
    conf.write_text("".join(["PerlSetVar lonHostID msul1\n", *lines]))
    (tmp_path / "hosts.tab").write_text("msul1:msu:library:a.example.org:127.0.0.1\n")
    return lambda *arguments: (main(["--conf", str(conf), *arguments]), *capsys.readouterr())


@pytest.mark.parametrize(
    ("states", "told"),
    [
        (("up", "up"), "LONCAPA OK - 2 peers up"),
        (("up", "paused"), "LONCAPA OK - 1 peer up, host1 paused"),
        (("paused", "down"), "LONCAPA WARNING - host1 down (x), host0 paused"),
    ],
)
def test_a_pause_is_neither_an_alarm_nor_forgotten(
    states: Sequence[str], told: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Daemon, "state", State.RUNNING)
    found = [Peer(f"host{number}", state, why="x") for number, state in enumerate(states)]
    monkeypatch.setattr("loncontrol.monitoring.peers", lambda *_: iter(found))
    code, output, errors = run("check")
    assert (code, output.partition(" | ")[0], errors) == (int("OK" not in told), told, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("peers", "--watch", "0"), "argument --watch: '0' is not a number of seconds from 0.1 to 3600"),
        (("check", "--warn", "x"), "argument --warn: 'x' is not a number of seconds from 0 to 31622400"),
        (("check", "--crit", "nan"), "argument --crit: 'nan' is not a number of seconds from 0 to 31622400"),
    ],
)
def test_what_is_no_number_of_seconds(arguments: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert said in capsys.readouterr().err


def test_a_warning_comes_before_an_alarm(run: Run) -> None:
    said = "loncontrol: --warn (300) is above --crit (10); give both\n"
    assert run("check", "--crit", "10") == (2, "", said)


def test_the_doctor_names_the_process_that_hangs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Daemon, "state", State.RUNNING)
    for name, found in (
        ("ExaminedLink", SimpleNamespace(findings=list)),
        ("addresses_of", {"a.example.org": (["127.0.0.1"], "")}),
        ("peers", [Peer("msul1", "hung", pid=4711)]),
    ):
        monkeypatch.setattr(f"loncontrol.examination.{name}", lambda *_arguments, found=found: found)
    code, output, _ = run("doctor", "msul1")
    assert code == 1 and output.endswith(": kill -9 4711\n")


@pytest.mark.parametrize(
    ("peer", "shown"),
    [
        (Peer("a", "up", last_error="connection refused"), "before: connection refused"),
        (
            Peer("a", "delivering", why="connection refused", last_error="connection refused"),
            "before: connection refused",
        ),
        (Peer("a", "up"), ""),
        (Peer("a", "down", why="x", last_error="x"), "x"),
        (Peer("a", "up", trouble="disk full", last_error="disk full"), "disk full"),
        (Peer("a", "up", held=1, last_error="a message is held"), "a message is held"),
    ],
)
def test_what_is_over_does_not_look_like_a_fault(
    peer: Peer, shown: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loncontrol.listings.peers", lambda *_: iter([peer]))
    _, output, _ = run("peers")
    head, line = output.splitlines()
    assert line[head.index("LAST ERROR") :] == shown


def test_a_message_is_shown_without_what_is_not_known_of_it(tmp_path: Path, run: Run) -> None:
    with closing(Backlog(tmp_path / "delayed", "msul1", lambda: 1_000_000_000.5)) as backlog:
        backlog.append([Message(ID, b"ping")])
        _, output, _ = run("queue", "show", "msul1", ID)
        assert [line.split()[0] for line in output.splitlines()] == [
            "host", "seq", "id", "state", "accepted", "attempts", "command", "bytes",
        ]  # fmt: skip
        backlog.hold([ID], "by ada")
        assert "\n  error     held by hand by ada\n" in run("trace", ID)[1]
        backlog.release([ID])
        backlog.commit([], [Outcome(1, DONE, b"ok")])
        assert ": done\n" in (told := run("trace", ID)[1]) and "error" not in told
        assert "\nreply       ok\n" in run("queue", "show", "msul1", ID)[1]
