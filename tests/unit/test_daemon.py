"""What needs no daemon of becoming one: the command line, the result line, directories, the log."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.daemon import (
    EXIT_CONFIG,
    EXIT_OK,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    Daemon,
    LogFile,
    OneLine,
    command_line,
    main,
    make_directories,
    open_log,
)
from common.fork import EXIT_BUG
from common.notify import Notifier
from common.pidfile import PidFile, pid_path
from common.site import Site, load_site
from tests.helpers.in_child import in_child

LONC, LOND = (command_line(name, "What it does.", usr1="nothing") for name in ("lonc", "lond"))


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A complete configuration of msul1, with all directories below the test's own."""
    (tmp_path / "hosts.tab").write_text("msul1:msu:library:a.edu:127.0.0.1\nmsua1:msu:access:b.edu:127.0.0.2\n")
    settings = {
        "lonHostID": "msul1",
        "lonTabDir": tmp_path,
        "lonSockDir": tmp_path / "run" / "sockets",
        "lonDelayedDir": tmp_path / "lib" / "delayed",
        "lonDaemons": tmp_path / "lib",
        "lonUsersDir": tmp_path / "lib" / "users",
        "lonStartTimeout": 5,
    }
    path = tmp_path / "loncapa.conf"
    path.write_text("".join(f"PerlSetVar {name} {value}\n" for name, value in settings.items()))
    return path


@pytest.fixture
def site(conf: Path) -> Site:
    return load_site(conf)


def no_parent(*_: object) -> NoReturn:
    raise AssertionError("a parent was made")


# --- command line -----------------------------------------------------------------------------------------


def test_check_of_a_good_configuration(conf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(LONC, no_parent, ["--check", "--conf", str(conf)]) == EXIT_OK == 0
    assert capsys.readouterr() == ("lonc: configuration of msul1 is good: 2 hosts\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hosts.tab", "loncapa.conf"], "a check makes nothing"


def test_check_finds_the_file_by_the_environment(
    conf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LONCAPA_CONF", str(conf))
    assert main(LOND, no_parent, ["--check"]) == EXIT_OK
    assert capsys.readouterr().out.startswith("lond: ")


@pytest.mark.parametrize("options", [["--check"], ["--foreground"], []])
def test_a_bad_configuration_starts_nothing(conf: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    conf.write_text(conf.read_text() + "PerlSetVar londPort many\n")
    assert main(LONC, no_parent, [*options, "--conf", str(conf)]) == EXIT_CONFIG == 78
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"lonc: {conf}:8: londPort: ") and err.count("\n") == 1


def test_a_missing_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            LONC,
            no_parent,
            ["--check", "--conf", str(tmp_path / "none.conf")],
        )
        == EXIT_CONFIG
    )
    assert str(tmp_path / "none.conf") in capsys.readouterr().err


def test_warnings_are_shown_and_do_no_harm(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf.write_text(conf.read_text() + "PerlSetVar lonColour red\n")
    assert main(LONC, no_parent, ["--check", "--conf", str(conf)]) == EXIT_OK
    assert f"lonc: warning: {conf}:8: 'lonColour' is unknown" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--chek"], ["--conf"], ["start"], ["--check", "extra"]])
def test_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(LONC, no_parent, argv)
    assert caught.value.code == EXIT_USAGE == 64
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("usage: lonc ") and "lonc: " in err.splitlines()[-1]


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(LOND, no_parent, ["--help"])
    out = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(
        word in out
        for word in ("What it does.", "exit codes:", "--conf FILE", "--foreground", "--check", "$LONCAPA_CONF")
    )


# --- the result of a start --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "result"),
    [
        (b"0 ", (EXIT_OK, "")),
        (
            b"69 already running with pid 7 (x is locked)",
            (EXIT_UNAVAILABLE, "already running with pid 7 (x is locked)"),
        ),
        (b"78 f: \xc3\xa9\xff", (EXIT_CONFIG, "f: \xe9\ufffd")),
        (b"", (EXIT_BUG, "the daemon ended during its start; see its log")),
        (b"Traceback", (EXIT_BUG, "the daemon ended during its start; see its log")),
    ],
)
def test_the_line_from_the_daemon(site: Site, line: bytes, result: tuple[int, str]) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, line)
    os.close(write_end)
    assert Daemon("lonc", site, Path("x"), no_parent)._await_result(read_end) == result
    os.close(read_end)


def test_no_line_within_the_time_limit(conf: Path) -> None:
    conf.write_text(conf.read_text().replace("lonStartTimeout 5", "lonStartTimeout 1"))
    read_end, write_end = os.pipe()
    code, message = Daemon("lonc", load_site(conf), conf, no_parent)._await_result(read_end)
    os.close(read_end)
    os.close(write_end)
    assert (code, message) == (EXIT_UNAVAILABLE, "no word from the daemon within 1 s; see its log")


class ShortLife:
    """A parent that is ready, then ends with a code or an error."""

    def __init__(self, end: int | OSError) -> None:
        self.end = end

    def run(self, ready: Callable[[], None]) -> int:
        """See the class."""
        ready()
        if isinstance(self.end, OSError):
            raise self.end
        return self.end


@pytest.mark.parametrize(
    ("end", "result"),
    [(0, (0, "")), (OSError(98, "Address already in use"), (69, "can't go on: [Errno 98] Address already in use"))],
)
def test_a_life_within_the_pid_file(site: Site, end: int | OSError, result: tuple[int, str]) -> None:
    path = pid_path(site.config, "lonc")

    def body() -> tuple[tuple[int, str], list[bytes], bool]:
        seen: list[bytes] = []

        def make(_site: Site, _conf: Path, _pid_file: PidFile, _notifier: Notifier) -> ShortLife:
            seen.append(path.read_bytes())
            return ShortLife(end)

        logging.disable()
        answer = Daemon("lonc", site, Path("x"), make)._serve(Notifier({}), lambda _: seen.append(path.read_bytes()))
        return answer, seen, [text.split()[0] for text in seen] == [b"%d" % os.getpid()] * 2

    answer, _, as_expected = in_child(body)
    assert answer == result and as_expected
    assert not path.exists()


def test_a_second_start_ends_before_anything_is_made(site: Site) -> None:
    make_directories(site)
    mine = PidFile(pid_path(site.config, "lonc"))

    def body() -> tuple[int, str]:
        return Daemon("lonc", site, Path("x"), no_parent)._serve(Notifier({}), lambda _: None)

    code, message = in_child(body)
    assert code == EXIT_UNAVAILABLE and message.startswith(f"already running with pid {os.getpid()} ")
    assert pid_path(site.config, "lonc").exists()
    mine.remove()


# --- directories ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o027])
def test_directories_are_closed_to_others(site: Site, umask: int) -> None:
    def body() -> list[str]:
        os.umask(umask)
        make_directories(site)
        make_directories(site)
        config = site.config
        made = (config.daemons_dir / "logs", config.sock_dir, config.delayed_dir, config.users_dir)
        return [oct(stat.S_IMODE(path.stat().st_mode)) for path in made]

    assert in_child(body) == ["0o750", "0o750", "0o700", "0o700"]


def test_a_file_in_the_way_of_a_directory(site: Site) -> None:
    site.config.sock_dir.parent.mkdir()
    site.config.sock_dir.write_text("")
    with pytest.raises(FileExistsError):
        make_directories(site)


def test_each_daemon_has_its_pid_file(site: Site) -> None:
    assert pid_path(site.config, "lonc") == site.config.daemons_dir / "logs" / "lonc.pid"
    assert pid_path(site.config, "lonc") != pid_path(site.config, "lond")


# --- the log ----------------------------------------------------------------------------------------------


def formatted(message: str, *arguments: object, error: BaseException | None = None) -> str:
    info = (type(error), error, error.__traceback__) if error else None
    return OneLine("%(levelname)s: %(message)s").format(
        logging.LogRecord("lonc", logging.INFO, __file__, 1, message, arguments, info)
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain \u00e4 \u20ac", "plain \u00e4 \u20ac"),
        ("a\nb", "a | b"),
        ("a\r\x1b[2J\x00\x7f", r"a\x0d\x1b[2J\x00\x7f"),
        ("a\u2028b\x85c", r"a\x2028b\x85c"),
        ("\udcff", r"\xdcff"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert formatted("refused %s", text) == f"INFO: refused {shown}"


def test_a_traceback_is_folded() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        line = formatted("a bug", error=error)
    assert line.startswith("INFO: a bug | Traceback (most recent call last): | ")
    assert line.endswith("ValueError: two | lines")


@given(st.text())
def test_one_event_is_one_line(text: str) -> None:
    line = formatted("%s", text)
    assert len(line.splitlines()) == 1 and line.isprintable()


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[LogFile]:
    handler = LogFile(tmp_path / "lonc.log", encoding="utf-8", errors="backslashreplace")
    yield handler
    handler.close()


def say(handler: logging.Handler, text: str) -> None:
    handler.emit(logging.LogRecord("lonc", logging.INFO, __file__, 1, text, (), None))


def test_a_rotated_log_goes_on_in_a_new_file(log_file: LogFile, tmp_path: Path) -> None:
    """D11: rotation needs no signal and loses no line."""
    say(log_file, "one")
    (tmp_path / "lonc.log").rename(tmp_path / "lonc.log.1")
    say(log_file, "two \udcff")
    assert (tmp_path / "lonc.log.1").read_text() == "one\n"
    assert (tmp_path / "lonc.log").read_text() == "two \\udcff\n"


def test_a_log_whose_directory_went_away_stops_nobody(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    handler = LogFile(directory / "lonc.log", encoding="utf-8")
    say(handler, "one")
    directory.rename(tmp_path / "gone")
    say(handler, "lost")
    directory.mkdir()
    say(handler, "three")
    handler.close()
    assert (directory / "lonc.log").read_text() == "three\n"


def test_the_log_of_a_daemon(site: Site) -> None:
    def body() -> str:
        logging.getLogger().handlers.clear()
        open_log(site, "lonc", echo=False)
        logging.getLogger("x").info("link of %s\nup", "msul1")
        logging.getLogger("x").debug("not this")
        logging.shutdown()
        return (site.config.daemons_dir / "logs" / "lonc.log").read_text()

    text = in_child(body)
    assert text.endswith("INFO: link of msul1 | up\n") and " lonc[" in text and text.count("\n") == 1


def test_without_a_log_file_the_daemon_says_so(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.config.daemons_dir.mkdir()
    (site.config.daemons_dir / "logs").write_text("")

    def body() -> None:
        logging.getLogger().handlers.clear()
        open_log(site, "lonc", echo=True)
        logging.getLogger("x").warning("to standard error")
        sys.stderr.flush()

    in_child(body)
    err = capfd.readouterr().err
    assert "lonc: no log file: " in err and "WARNING: to standard error" in err
