"""The manual and the completion: whole, understood by those who show them, and as fresh as the sources."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from common.settings import SETTINGS
from common.usage import Formatter, epilog
from loncontrol.control import COMMANDS
from loncontrol.documents.completion import script, scripts
from loncontrol.documents.pages import pages
from loncontrol.documents.roff import command, escaped, subcommands
from loncontrol.installation import TABLES

INDENT = 11  # columns, of what stands in a section as it is

PAGES, SCRIPTS = dict(pages()), dict(scripts())


def shown(text: str) -> str:
    """A page as man shows it, in one line, without what is only for the eye."""
    program = shutil.which("man")
    if program is None:
        pytest.skip("there is no man here")
    page = subprocess.run(
        [program, "--warnings", "--encoding=ascii", "--local-file", "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "500", "LC_ALL": "C", "MAN_KEEP_FORMATTING": ""},
    )
    assert (page.returncode, page.stderr) == (0, "")
    return " ".join(re.sub(".\b", "", page.stdout).split())


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_shown_without_a_warning(name: str) -> None:
    text = shown(PAGES[name])
    assert f"NAME {name.rpartition('.')[0]} - " in text and "SEE ALSO" in text


@pytest.mark.parametrize("name", PAGES)
def test_what_is_shown_as_it_is_fits_a_terminal(name: str) -> None:
    blocks = re.findall(r"^\.RS 4\n\.nf\n(.*?)^\.fi", PAGES[name], re.DOTALL | re.MULTILINE)
    lines = [line.replace("\\(aq", "'").replace("\\", "") for block in blocks for line in block.splitlines()]
    assert [line for line in lines if len(line) > 80 - INDENT] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_page_passes_mandoc(name: str) -> None:
    if (program := shutil.which("mandoc")) is None:
        pytest.skip("there is no mandoc here")
    lint = subprocess.run([program, "-Tlint", "-Wwarning"], input=PAGES[name], capture_output=True, text=True)
    assert (lint.returncode, lint.stdout) == (0, "")


def test_the_pages_are_those_of_the_commands_and_files() -> None:
    commands = {"lonc.8", "loncontrol.8", "loncron.8", "lond.8", "lonuser.8"}
    assert set(PAGES) == commands | {"loncapa.conf.5", "hosts.tab.5"}


def test_every_setting_is_explained() -> None:
    text = shown(PAGES["loncapa.conf.5"])
    for setting in SETTINGS:
        assert f"{setting.name} {setting.doc[:1].upper()}{setting.doc[1:]}. It is " in text, setting.name


def test_every_table_is_explained() -> None:
    text = shown(PAGES["hosts.tab.5"])
    assert "HOSTID:DOMAIN:ROLE:HOSTNAME:IP" in text
    assert all(f"{name.upper()}.TAB" in text for name in TABLES)


def test_every_command_of_loncontrol_is_explained_and_completed() -> None:
    page, completion = shown(PAGES["loncontrol.8"]), SCRIPTS["loncontrol"]
    for made in COMMANDS.values():
        assert f"{made.help[:1].upper()}{made.help[1:]}." in page, made.name
        assert f'"{made.name}" | "{made.name} "*)' in completion


def a_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="try",
        description=".begin with a dot, -dashes-, 'quotes', \\back\\, 100 %",
        formatter_class=Formatter,
        epilog=epilog(exit_codes=[("0", "good")], examples=[("try -x 'a b'", "")], see_also=[("ls(1), lonc(8)", "")]),
    )
    parser.add_argument("-x", "--exact", metavar="N", help="100 %% of it")
    parser.add_argument("--secret", help=argparse.SUPPRESS)
    words = parser.add_subparsers(metavar="COMMAND")
    group = words.add_parser("queue").add_subparsers()
    listed = group.add_parser("ls", description="List.")
    listed.add_argument("host", metavar="HOST")
    listed.add_argument("--state", choices=("held", "failed"), help="how")
    listed.add_argument("--role", metavar="ROLE", help="which")
    listed.add_argument("ids", metavar="ID", nargs="*", help="which")
    words.add_parser("import", description="Take in.").add_argument("--merge", action="store_true", help="more")
    words.add_parser("import-classic", description="Take old ones in.").add_argument("--all", action="store_true")
    return parser


def test_text_stays_text() -> None:
    page = shown(command(a_parser(), "tried in a test"))
    assert ".begin with a dot, -dashes-, 'quotes', \\back\\, 100 %" in page
    assert "SYNOPSIS try [--exact N] COMMAND ..." in page
    assert "-x, --exact N 100 % of it." in page and "secret" not in page
    assert "queue ls HOST [--state STATE] [--role ROLE] [ID ...] List." in page
    assert "EXIT CODES 0 good EXAMPLES try -x 'a b' SEE ALSO ls(1), lonc(8)" in page
    assert escaped("a\n.b\\-") == "a\n\\&.b\\e\\-"


def complete(text: str, root: Path, *words: str) -> list[str]:
    """What bash offers behind these words."""
    if (program := shutil.which("bash")) is None:
        pytest.skip("there is no bash here")
    lines = f'{text}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _try; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        [program, "-c", lines.replace("@ROOT@", str(root)), "bash", "try", *words], capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_what_bash_offers(tmp_path: Path) -> None:
    (tmp_path / "etc/loncapa").mkdir(parents=True)
    (tmp_path / "etc/loncapa/hosts.tab").write_text("# msul0:a\nmsul1:msu:x\n\nmsul2:msu:y\nother:b\n")
    text = script(a_parser())
    assert complete(text, tmp_path, "im") == ["import", "import-classic"]
    assert complete(text, tmp_path, "--e") == ["--exact"]
    assert complete(text, tmp_path, "queue", "") == ["ls"]
    assert complete(text, tmp_path, "queue", "ls", "msu") == ["msul1", "msul2"]
    assert complete(text, tmp_path, "queue", "ls", "--state", "") == ["held", "failed"]
    assert complete(text, tmp_path, "queue", "ls", "msul1", "--role", "l") == ["library"]
    assert complete(text, tmp_path, "--conf", "x", "import", "--") == ["--help", "--merge"]
    assert complete(text, tmp_path, "import-classic", "--a") == ["--all"]
    assert complete(text, tmp_path, "import-classic", "--m") == []
    assert [words for words, _ in subcommands(a_parser())] == ["queue ls", "import", "import-classic"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_bash_understands_every_script(name: str) -> None:
    if (program := shutil.which("bash")) is None:
        pytest.skip("there is no bash here")
    assert subprocess.run([program, "-n"], input=SCRIPTS[name], capture_output=True, text=True).stderr == ""
