"""loncontrol setup, add-host and remove-host: what they write, what they keep, what they refuse."""

from __future__ import annotations

import builtins
import errno
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.site import load_site
from loncontrol.answers import BadAnswer, checked
from loncontrol.command_line import main
from loncontrol.edits import record_of, set_record, set_value, without_record

ANSWERS = (
    *("--host-id", "msul1", "--domain", "msu", "--domain-name", "Michigan State University", "--role", "library"),
    *("--hostname", "a.example.org", "--address", "127.70.0.1", "--email", "root@example.org"),
)
LINE = "msul1:msu:library:a.example.org:127.70.0.1"
OTHER = "msul2:msu:library:b.example.org:127.70.0.2"


@pytest.fixture
def root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """An installation."""
    assert main(["install", "--root", str(tmp_path)]) == 0
    capsys.readouterr()
    return tmp_path


@pytest.fixture
def control(root: Path) -> Callable[..., int]:
    conf = root / "etc/loncapa/loncapa.conf"
    return lambda *arguments: main(["--conf", str(conf), *arguments])


def text(root: Path, name: str) -> str:
    return (root / "etc/loncapa" / name).read_text()


def records(root: Path, name: str) -> list[str]:
    return [line for line in text(root, name).splitlines() if line and not line.startswith("#")]


def test_what_is_given_is_written_and_explained(
    root: Path, control: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    comments = [line for line in text(root, "loncapa.conf").splitlines() if line.startswith("#")]
    assert control("setup", *ANSWERS) == 0
    said = capsys.readouterr().out
    site = load_site(root / "etc/loncapa/loncapa.conf")
    assert (site.own.id, site.own.ip, site.config.adm_email) == ("msul1", "127.70.0.1", "root@example.org")
    assert site.table.domains["msu"].description == "Michigan State University"
    assert site.config.users_dir == root / "var/lib/loncapa/users"
    assert [line for line in text(root, "loncapa.conf").splitlines() if line.startswith("#")] == comments
    assert records(root, "hosts.tab") == [LINE]
    assert f"\n   {LINE}\n" in said and "loncontrol add-host 'LINE'" in said and "TCP port 5663" in said
    assert "is not an address of this machine" not in said


def test_who_is_set_up_is_not_asked_to_do_it_again(
    root: Path, control: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    for is_set_up in (False, True):
        assert main(["install", "--root", str(root)]) == 0
        assert ("Say who this host is" in capsys.readouterr().out) is not is_set_up
        assert control("setup", *ANSWERS) == 0
        capsys.readouterr()


def test_again_with_the_same_answers_nothing_changes(
    root: Path, control: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert control("setup", *ANSWERS) == 0
    before = {name: text(root, name) for name in ("loncapa.conf", "hosts.tab", "domain.tab")}
    for arguments in (ANSWERS, ("--yes",), ()):
        capsys.readouterr()
        assert control("setup", *arguments) == 0
        assert capsys.readouterr().out.startswith("Nothing to change.")
        assert {name: text(root, name) for name in before} == before


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--address", "127.70.0.9", f"hosts.tab has {LINE}"),
        ("--host-id", "msul9", "lonHostID is msul1"),
        ("--domain-name", "MSU", "domain.tab has msu:Michigan State University"),
        ("--email", "other@example.org", "lonAdmEMail is root@example.org"),
    ],
)
def test_nothing_that_stands_there_is_replaced_without_a_word(
    root: Path, control: Callable[..., int], capsys: pytest.CaptureFixture[str], option: str, value: str, said: str
) -> None:
    assert control("setup", *ANSWERS) == 0
    before = {name: text(root, name) for name in ("loncapa.conf", "hosts.tab", "domain.tab")}
    more = ("--address", "127.70.0.3") if option == "--host-id" else ()
    assert control("setup", *ANSWERS, *more, option, value) == 1
    assert said in capsys.readouterr().err
    assert {name: text(root, name) for name in before} == before
    assert control("setup", *ANSWERS, *more, option, value, "--yes") == 0
    assert value in text(root, "loncapa.conf") + text(root, "hosts.tab") + text(root, "domain.tab")


def test_the_further_fields_of_the_own_line_stay(root: Path, control: Callable[..., int]) -> None:
    (root / "etc/loncapa/hosts.tab").write_text(f"# ours\n{LINE}:https:more\n{OTHER}\n")
    assert control("setup", *ANSWERS, "--address", "127.70.0.9", "--yes") == 0
    assert text(root, "hosts.tab") == f"# ours\n{LINE[:-1]}9:https:more\n{OTHER}\n"


def test_a_domain_without_a_name_has_no_line(root: Path, control: Callable[..., int]) -> None:
    unnamed = [answer for answer in ANSWERS if answer not in ("--domain-name", "Michigan State University")]
    assert control("setup", *unnamed) == 0
    assert records(root, "hosts.tab") == [LINE] and records(root, "domain.tab") == []


def test_the_further_fields_of_a_domain_stay(root: Path, control: Callable[..., int]) -> None:
    (root / "etc/loncapa/domain.tab").write_text("msu:MSU:krb5:more\n")
    assert control("setup", *ANSWERS, "--yes") == 0
    assert text(root, "domain.tab") == "msu:Michigan State University:krb5:more\n"


def test_without_a_terminal_what_is_missing_is_named(
    root: Path, control: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getfqdn", lambda: "localhost")
    assert control("setup", "--domain", "msu") == 2
    assert "say --host-id, --hostname" in capsys.readouterr().err
    assert records(root, "hosts.tab") == []


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--host-id", "../x", "--host-id: '../x' is not a host id"),
        ("--host-id", "#x", "--host-id: it must not be empty"),
        ("--host-id", "", "--host-id: "),
        ("--domain", "m s u", "--domain: "),
        ("--domain", "a:b", "--domain: "),
        ("--role", "librarian", "--role: 'librarian' is not one of library, access"),
        ("--hostname", "x-.org", "--hostname: "),
        ("--address", "1.2.3", "--address: "),
        ("--address", "0.0.0.0", "--address: "),
        ("--email", "nobody", "--email: 'nobody' is not one or more mail addresses"),
    ],
)
def test_an_answer_that_no_file_could_hold(
    root: Path, control: Callable[..., int], capsys: pytest.CaptureFixture[str], option: str, value: str, said: str
) -> None:
    assert control("setup", *ANSWERS, option, value) == 2
    assert said in capsys.readouterr().err
    assert records(root, "hosts.tab") == []


def test_another_host_s_address_is_found_before_anything_is_written(
    root: Path, control: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "etc/loncapa/hosts.tab").write_text(f"{OTHER}\n")
    assert control("setup", *ANSWERS, "--address", "127.70.0.2") == 6
    said = capsys.readouterr().err
    assert f"{root}/etc/loncapa/hosts.tab:2: IP: 127.70.0.2 of msul1 is that of msul2" in said
    assert text(root, "hosts.tab") == f"{OTHER}\n" and "PerlSetVar lonHostID msul1" not in text(root, "loncapa.conf")


def test_ipv6_and_an_address_from_dns() -> None:
    assert checked("address", " [2001:DB8::1] ") == "2001:db8::1"
    assert checked("address", "2001:db8::1") == "2001:db8::1"
    assert checked("address", "") == ""
    with pytest.raises(BadAnswer):
        checked("address", "fe80::1%eth0")


def test_a_machine_that_has_not_its_address_yet(
    control: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert control("setup", *ANSWERS, "--address", "192.0.2.77") == 0
    assert "192.0.2.77 is not an address of this machine" in capsys.readouterr().out


def test_a_configuration_in_a_place_of_its_own(tmp_path: Path) -> None:
    conf = tmp_path / "mine" / "loncapa.conf"
    assert main(["--conf", str(conf), "setup", *ANSWERS]) == 0
    assert load_site(conf).config.tab_dir == tmp_path / "mine"


# --- on a terminal ------------------------------------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A person who gives these answers, then leaves; the prompts are returned."""

    def answering(*answers: str) -> list[str]:
        left, prompts = iter(answers), list[str]()

        def put(prompt: str = "") -> str:
            prompts.append(prompt)
            try:
                return next(left)
            except StopIteration:
                raise EOFError from None

        monkeypatch.setattr(builtins, "input", put)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        return prompts

    return answering


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever runs the tests may sit at one."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    yield


def test_a_person_is_asked_again_until_the_answer_is_good(
    root: Path,
    control: Callable[..., int],
    terminal: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    prompts = terminal("", "msul1", "msu", "a:b", "MSU", "librarian", "", "a.example.org", "127.70.0.1", "", "y")
    assert control("setup") == 0
    assert [prompt.strip() for prompt in prompts][:7] == [
        "Host id:",
        "Host id:",
        "Domain:",
        "Domain's name:",
        "Domain's name:",
        "Role [library]:",
        "Role [library]:",
    ]
    assert "'librarian' is not one of library, access" in capsys.readouterr().out
    assert records(root, "hosts.tab") == [LINE] and records(root, "domain.tab") == ["msu:MSU"]


def test_the_files_as_they_are_are_the_guesses(
    root: Path, control: Callable[..., int], terminal: Callable[..., list[str]]
) -> None:
    assert control("setup", *ANSWERS) == 0
    prompts = terminal(*[""] * 7)
    assert control("setup") == 0
    assert [prompt.partition("[")[2].rstrip("]: ") for prompt in prompts] == [
        "msul1",
        "msu",
        "Michigan State University",
        "library",
        "a.example.org",
        "127.70.0.1",
        "root@example.org",
    ]


def test_ctrl_c_is_no_traceback(
    root: Path,
    control: Callable[..., int],
    terminal: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal()

    def ctrl_c(prompt: str = "") -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(builtins, "input", ctrl_c)
    assert control("setup") == 1
    assert "interrupted; nothing was written" in capsys.readouterr().err
    assert records(root, "hosts.tab") == []


@pytest.mark.parametrize("answers", [("n",), ("",), ()])
def test_a_person_who_does_not_say_yes(
    root: Path, control: Callable[..., int], terminal: Callable[..., list[str]], answers: tuple[str, ...]
) -> None:
    terminal(*answers)
    assert control("setup", *ANSWERS) == 1
    assert records(root, "hosts.tab") == []


def test_who_leaves_in_the_middle_leaves_nothing(
    root: Path,
    control: Callable[..., int],
    terminal: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = text(root, "loncapa.conf")
    terminal("msul1", "msu")
    assert control("setup") == 1
    assert "nothing was written" in capsys.readouterr().err
    assert text(root, "loncapa.conf") == before


# --- other hosts --------------------------------------------------------------------------------------------


@pytest.fixture
def host(root: Path, control: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> Path:
    assert control("setup", *ANSWERS) == 0
    capsys.readouterr()
    return root


def test_a_host_is_added_and_removed(
    host: Path, control: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = text(host, "hosts.tab")
    assert control("add-host", OTHER) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "It counts after: loncontrol reload"
    assert text(host, "hosts.tab") == f"{before}{OTHER}\n"
    assert control("add-host", OTHER) == 0
    assert capsys.readouterr().out == "Nothing to change.\n"
    (host / "etc/loncapa/spare.tab").write_text("# mine\nmsul2:primary\n")
    (host / "etc/loncapa/links.tab").write_text("msul2:alias\n# end\n")
    assert control("remove-host", "msul2") == 0
    assert (text(host, "hosts.tab"), text(host, "spare.tab"), text(host, "links.tab")) == (
        before,
        "# mine\n",
        "# end\n",
    )


def test_a_host_that_moved_is_replaced_only_on_request(
    host: Path, control: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    moved = OTHER.replace("127.70.0.2", "127.70.0.3")
    assert control("add-host", OTHER) == 0
    assert control("add-host", moved) == 1
    assert f"hosts.tab has {OTHER}; nothing was written" in capsys.readouterr().err
    assert control("add-host", moved, "--yes") == 0
    assert records(host, "hosts.tab") == [LINE, moved]


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("msul2:msu:librarian:b.example.org:127.70.0.2", 6, "LINE:1: ROLE: 'librarian'"),
        ("msul2:msu:library:b.example.org:127.70.0.1", 6, "IP: 127.70.0.1 of msul2 is that of msul1"),
        (f"{OTHER}\n{OTHER.replace('2', '3')}", 2, "must be one line"),
        ("", 2, "must be one line"),
        ("# a comment", 2, "must be one line"),
    ],
)
def test_a_line_that_is_wrong_is_not_added(
    host: Path, control: Callable[..., int], capsys: pytest.CaptureFixture[str], line: str, code: int, said: str
) -> None:
    before = text(host, "hosts.tab")
    assert control("add-host", line) == code
    assert said in capsys.readouterr().err
    assert text(host, "hosts.tab") == before


@pytest.mark.parametrize("words", [("add-host", OTHER), ("setup", *ANSWERS, "--address", "127.70.0.9", "--yes")])
def test_who_may_not_write_is_told_whom_to_become(
    host: Path,
    control: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    def refuse(**_where: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/etc/loncapa/.new-7uw8_suh")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert control(*words) == 4
    path = host / "etc/loncapa/hosts.tab"
    assert f"Permission denied: '{path}'; run it as root\n" in capsys.readouterr().err


def test_who_can_t_be_removed(host: Path, control: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert control("remove-host", "msul7") == 1
    assert "msul7 is not in hosts.tab" in capsys.readouterr().err
    assert control("remove-host", "msul1") == 1
    assert capsys.readouterr().err == "loncontrol: msul1 is this host; nothing was written\n"
    assert records(host, "hosts.tab") == [LINE]


# --- single lines -------------------------------------------------------------------------------------------


def test_a_value_is_set_where_it_stands() -> None:
    conf = "# a\nperlsetvar lonHostID  x  \n#PerlSetVar lonWindow 1024\n\nPerlSetVar other 1"
    assert set_value(conf, "lonHostID", "y").splitlines()[1] == "PerlSetVar lonHostID y"
    assert set_value(conf, "lonWindow", "5").splitlines()[2:4] == [
        "#PerlSetVar lonWindow 1024",
        "PerlSetVar lonWindow 5",
    ]
    assert set_value(conf, "lonGrace", "5") == f"{conf}\nPerlSetVar lonGrace 5\n"
    assert set_value("", "lonAdmEMail", "a@b, c@d") == 'PerlSetVar lonAdmEMail "a@b, c@d"\n'
    assert set_value("", "lonAdmEMail", 'a"@b') == "PerlSetVar lonAdmEMail 'a\"@b'\n"


def test_a_record_is_set_where_it_stands() -> None:
    table = "# a:1\n\na:1\nb:2\n"
    assert set_record(table, "a:9") == "# a:1\n\na:9\nb:2\n"
    assert set_record(table, "c:3") == f"{table}c:3\n"
    assert (record_of(table, "b"), record_of(table, "c")) == ("b:2", None)
    assert without_record(table, "a") == "# a:1\n\nb:2\n"
