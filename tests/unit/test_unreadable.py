"""Directories that the daemons' user may not read, as after a restore by root: an error of that request, and a line."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.dispatching import Lond, make_site
from tests.helpers.in_child import Child

NOBODY = 65534
DENIED = b"error: 13 permission denied"


@pytest.fixture
def directory() -> Iterator[Path]:
    """Of somebody whom permissions bind; those of root's tmp_path can't be reached by others."""
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() == 0:
            os.chown(name, NOBODY, NOBODY)
        yield Path(name)


@pytest.mark.parametrize(
    ("closed", "path", "lines"),
    [
        ("users/msu/s/m/i/smith", "passwd", ["home:msu:smith", "makeuser:msu:smith:none:"]),
        ("html/res/msu/smith", "", ["ls:/res/msu/smith"]),
        ("html/res/msu/smith", "kin", ["ls:/res/msu/smith/kin", "sub:/res/msu/smith/kin"]),
    ],
)
def test_the_number_of_the_system_and_a_line(
    directory: Path, caplog: pytest.LogCaptureFixture, closed: str, path: str, lines: list[str]
) -> None:
    def ask() -> tuple[list[bytes], list[str]]:
        if os.geteuid() == 0:
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
        with Lond(make_site(directory)) as lond:
            (directory / "html/res/msu/smith/kin").mkdir(parents=True)
            (directory / closed).chmod(0)
            replies = [lond.ask(line, encrypted=True) for line in lines]
            (directory / closed).chmod(0o700)
        return replies, caplog.messages

    with Child(ask) as child:
        replies, messages = child.result()
    assert replies == [DENIED] * len(lines)
    assert messages == [f"{directory / closed / path} can't be read: Permission denied"] * len(lines)
