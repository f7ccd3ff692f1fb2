"""Commands whose reader has gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.closed_output import EXIT_CLOSED

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("amount", [10, 1_000_000])
def test_a_command_ends_quietly_when_nobody_reads_on(amount: int) -> None:
    """With little output it shows at the end only, when the buffer is written."""
    program = (
        "import sys\n"
        "from common.closed_output import ends_with_its_reader\n"
        "@ends_with_its_reader\n"
        f"def main(): print('x' * {amount}); return 0\n"
        "sys.exit(main())\n"
    )
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=write_end, stderr=subprocess.PIPE, cwd=ROOT, timeout=60, check=False
        )
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (EXIT_CLOSED, b"")


@pytest.mark.parametrize("command", [["scripts/loncontrol"], ["scripts/lonuser"], ["-m", "lonnet"]])
def test_the_commands_end_quietly(command: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, *command, "--help"],
            stdout=write_end,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write_end)
    assert done.stderr == b""


def test_a_command_without_a_standard_output_does_its_work() -> None:
    line = f"{sys.executable} scripts/loncontrol --help >&-"
    done = subprocess.run(["/bin/sh", "-c", line], stderr=subprocess.PIPE, cwd=ROOT, timeout=60, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
