"""python -m lonnet: what it prints, its exit codes, one line for what is wrong."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from common.delayed import Fifo
from lonnet.command_line import Pong, main, pong_table
from tests.helpers.published import put_resource
from tests.unit.test_lonnet_scripted_child import ScriptedChild, answers, reads_then_closes

HOSTS = "msul1:msu:library:one.example.org:127.0.0.1\nhuba20:hub:access:two.example.org:127.0.0.2\n"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "hosts.tab").write_text(HOSTS)
    (tmp_path / "logs").mkdir()
    names = ("lonTabDir", "lonSockDir", "lonDaemons", "lonDelayedDir")
    lines = ["PerlSetVar lonHostID msul1", *(f"PerlSetVar {name} {tmp_path}" for name in names)]
    (tmp_path / "loncapa.conf").write_text("\n".join(lines) + "\n")
    return tmp_path / "loncapa.conf"


def run(conf: Path, *arguments: str) -> int:
    return main(["--conf", str(conf), *arguments])


def test_reply(conf: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with ScriptedChild(conf.with_name("msul1"), answers(b"msul1 \xff\n")):
        assert run(conf, "reply", "msul1", "ping") == 0
    assert capfdbinary.readouterr() == (b"msul1 \xff\n", b"")


def test_critical(conf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with ScriptedChild(conf.with_name("msul1"), answers(b"ok\n")):
        assert run(conf, "critical", "msul1", "put:a") == 0
    assert run(conf, "critical", "msul1", "put:a") == 0
    assert capfd.readouterr().out == "ok\ncon_delayed\n"


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("reply", "msul1", "ping"), "con_lost"),
        (("reply", "elsewhere", "ping"), "no_such_host"),
        (("critical", "elsewhere", "ping"), "no_such_host"),
    ],
)
def test_no_answer(conf: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], answer: str) -> None:
    assert run(conf, *arguments) == 1
    assert capfd.readouterr().out == f"{answer}\n"


def test_ping_all(conf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        ScriptedChild(conf.with_name("msul1"), answers(b"msul1\n")),
        ScriptedChild(conf.with_name("huba20"), answers(b"huba20\n")),
    ):
        assert run(conf, "ping", "--all") == 0
    shown = re.sub(r" +[\d.]+$", " T", capfd.readouterr().out, flags=re.MULTILINE).splitlines()
    assert shown[1:] == ["msul1   msu     library  msul1 T", "huba20  hub     access   huba20 T"]


def test_ping_that_is_not_answered_rightly(conf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        ScriptedChild(conf.with_name("msul1"), answers(b"msul9\n")),
        ScriptedChild(conf.with_name("huba20"), reads_then_closes),
    ):
        assert run(conf, "ping", "msul1", "huba20", "elsewhere") == 1
    lines = capfd.readouterr().out.splitlines()
    assert "wrong id: msul9" in lines[1]
    assert "con_lost" in lines[2]
    assert re.match(r"elsewhere +- +- +no_such_host ", lines[3])
    assert len({len(line) for line in lines}) == 1


def test_ping_waits_no_longer_than_it_is_told(conf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    conf.write_text(f"{conf.read_text()}PerlSetVar lonRequestTimeout 60\n")
    with socket.socket(socket.AF_UNIX) as listener:  # whose connections nobody ever accepts
        listener.bind(str(conf.with_name("msul1")))
        listener.listen()
        assert run(conf, "ping", "msul1", "--timeout", "0.1") == 1
    _, answer, milliseconds = capfd.readouterr().out.splitlines()[1].rsplit(maxsplit=2)
    assert answer == "con_lost"
    assert float(milliseconds) < 60_000  # after which the answer would be the same without the option


def test_pong_table_is_aligned() -> None:
    table = pong_table(
        [Pong("msul1", "msu", "library", "msul1", 0.24), Pong("huba20", "hub", "access", "con_lost", 1000.0)]
    )
    assert table == (
        "HOST    DOMAIN  ROLE     ANSWER        MS\n"
        "msul1   msu     library  msul1        0.2\n"
        "huba20  hub     access   con_lost  1000.0\n"
    )


def test_reconnect_without_lonc(conf: Path) -> None:
    assert run(conf, "reconnect") == 1
    assert run(conf, "reconnect", "msul1") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("dance",),
        ("reply", "msul1"),
        ("ping",),
        ("ping", "msul1", "--all"),
        ("ping", "--all", "--timeout", "soon"),
    ],
)
def test_wrong_usage(conf: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(conf, *arguments)
    assert caught.value.code == 64
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [("reply", "msul1", ""), ("reply", "msul1", "a\nb"), ("ping", "--all", "--timeout", "-1")]
)
def test_what_can_not_be_sent_is_wrong_usage(
    conf: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert run(conf, *arguments) == 64
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1


def test_sweep(conf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = conf.parent / "html"
    conf.write_text(f"{conf.read_text()}\nPerlSetVar lonDocRoot {root}\n")
    for name, home in (("used", "huba20"), ("unused", "huba20"), ("orphan", "gone")):
        put_resource(root / "res", f"msu/smith/{name}.html", b"one", copy_of=home)
    for name in ("unused", "orphan"):
        os.utime(root / f"res/msu/smith/{name}.html.copy", (0, 0))
    (root / "res/msu/smith/.a.html.0123abcd.new").touch()
    os.utime(root / "res/msu/smith/.a.html.0123abcd.new", (0, 0))
    assert run(conf, "sweep") == 0
    assert capfd.readouterr().out.splitlines() == [
        "deleted msu/smith/orphan.html",
        "deleted msu/smith/unused.html",
        "1 copies in use, 2 deleted, 1 leftovers removed",
    ]
    assert sorted(file.name for file in (root / "res/msu/smith").iterdir()) == [
        "used.html", "used.html.copy", "used.html.meta",
    ]  # fmt: skip
    fifo = Fifo(conf.parent, "huba20")
    assert [row.command for row in fifo.waiting(0, 9)] == [b"unsub:/home/httpd/html/res/msu/smith/unused.html"]
    fifo.close()


def test_sweep_tells_what_stays(conf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = conf.parent / "html"
    conf.write_text(f"{conf.read_text()}\nPerlSetVar lonDocRoot {root}\n")
    (root / "res/msu/smith").mkdir(parents=True)
    (root / "res/msu/smith/no resource.copy").touch()
    assert run(conf, "sweep") == 1
    assert capfd.readouterr().out.startswith("kept 'msu/smith/no resource.copy': ")


def test_wrong_configuration(conf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    conf.with_name("hosts.tab").write_text("msul1:msu\n")
    assert run(conf, "ping", "--all") == 78
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"lonnet: .*hosts\.tab:1: .*\n", err)
