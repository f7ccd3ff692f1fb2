"""The exercises of docs/operations.md, done as they stand there: trouble is made, shows as described, is repaired."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.activity import make_user
from tests.helpers.federation import ROOT, Federation
from tests.helpers.loncontrol import control
from tests.helpers.waiting import eventually

PAGE = ROOT / "docs" / "operations.md"
HOSTS = ("msua1", "msul1", "msul2")
FUNCTIONS = """\
on() { scripts/loncontrol --conf $D/$1/loncapa.conf "${@:2}"; }
ask() { python -m lonnet --conf $D/$1/loncapa.conf "${@:2}"; }
log() { tail -n 4 $D/$1/logs/$2.log; }
"""


@dataclass(frozen=True)
class Step:
    """Lines for a shell; those that only look are typed until they show what is expected."""

    lines: str
    once: bool
    expected: tuple[str, ...] = ()


def exercises() -> dict[str, list[Step]]:
    """The steps of each exercise, from the page."""
    text = PAGE.read_text().partition("## An hour of trouble-shooting")[2]
    found: dict[str, list[Step]] = {}
    for title, body in re.findall(r"(?ms)^### \d+\. (.+?)$(.*?)(?=^### |\Z)", text):
        steps = found.setdefault(title, [])
        for language, lines in re.findall(r"(?ms)^```(sh once|sh|text)\n(.*?)^```$", body):
            if language == "text":
                steps[-1] = Step(steps[-1].lines, steps[-1].once, tuple(lines.splitlines()))
            else:
                steps.append(Step(lines, language == "sh once"))
    return found


EXERCISES = exercises()


@pytest.fixture(scope="module")
def network() -> Iterator[Path]:
    """The directory of three hosts, laid out as scripts/demo does it; loncontrol starts and stops them."""
    federation = Federation(HOSTS)
    make_user(federation.hosts["msul1"])
    try:
        for host in federation.hosts.values():
            host.write_conf(lonRequestTimeout="20")
            assert control(host, "start").returncode == 0
        yield federation.directory
    finally:
        for host in federation.hosts.values():
            assert control(host, "stop").returncode == 0
        federation.close()


def typed(directory: Path, lines: str) -> str:
    """What a shell shows."""
    shell = subprocess.run(
        ["bash", "-c", f"D={directory}\n{FUNCTIONS}{lines}"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return shell.stdout


def shows(output: str, expected: str) -> bool:
    """Whether a line is among those shown; ``...`` stands for anything."""
    pattern = ".*".join(re.escape(" ".join(part.split())) for part in expected.split("..."))
    return any(re.fullmatch(pattern, " ".join(line.split())) for line in output.splitlines())


def all_is_well(directory: Path) -> None:
    output = typed(directory, "\n".join(f"on {host} peers" for host in HOSTS))
    states = [line.split()[1] for line in output.splitlines() if line.startswith("msu")]
    assert len(states) == len(HOSTS) ** 2 and set(states) <= {"up", "idle"}, output


def test_the_page_has_its_exercises() -> None:
    assert len(EXERCISES) == 10
    assert all(any(step.expected for step in steps) for steps in EXERCISES.values())
    assert shows("a\nmsul1  down   3s  why", "msul1 down ... why") and not shows("msul1 up", "msul1 down ...")


@pytest.mark.parametrize("title", EXERCISES)
def test_exercise(network: Path, title: str) -> None:
    eventually(lambda: all_is_well(network), 60, pause=0.3)
    for step in EXERCISES[title]:
        if step.once:
            output = typed(network, step.lines)
            assert "Traceback" not in output, output
            continue

        def as_described(step: Step = step) -> None:
            output = typed(network, step.lines)
            missing = [line for line in step.expected if not shows(output, line)]
            assert not missing, f"{missing} not in:\n{output}"

        eventually(as_described, 60, pause=0.3)
    eventually(lambda: all_is_well(network), 60, pause=0.3)
