"""The commands of scripts/ in a shell that has not sourced scripts/environment."""

from __future__ import annotations

import configparser
import re
import runpy
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.helpers.federation import ROOT

COMMANDS = ("lonc", "lond", "loncontrol", "loncron", "lonuser")


def started(checkout: Path, command: str) -> subprocess.CompletedProcess[str]:
    """What a command does with a Python that has no package but the standard library."""
    bare = [str(Path(sys.base_prefix) / "bin" / "python3"), "-S", "-B"]
    line = [*bare, str(checkout / "scripts" / command), "--conf", "a b"]
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs_with_the_python_of_its_checkout(checkout: Path, command: str) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    done = started(checkout, command)
    assert (done.stdout, done.stderr) == (f"{checkout}/scripts/{command}\n--conf\na b\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_how_to_make_one(checkout: Path, command: str) -> None:
    done = started(checkout, command)
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.endswith(f"; first: source {checkout}/scripts/environment\n")
    assert done.stderr.count("\n") == 1


def test_what_is_looked_for_is_what_the_package_requires() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = {re.split("[>=]", line)[0] for line in setup["options"]["install_requires"].split()}
    needed = runpy.run_path(str(ROOT / "scripts" / "checkout.py"))["NEEDED"]
    assert {packages_distributions()[name][0] for name in needed} == required
