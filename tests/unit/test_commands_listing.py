"""`ls`: what it tells, and that it tells nothing of what lies outside the published tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.dispatching import Lond, make_site


@pytest.fixture
def lond(tmp_path: Path) -> Iterator[Lond]:
    root = tmp_path / "html" / "res" / "msu" / "smith"
    root.mkdir(parents=True)
    (root / "a.problem").write_text("one")
    (root / "b&c:d%.html").write_text("two")
    (root / "empty").mkdir()
    (root / ".a.problem.0123abcd.new").write_text("half")
    (root / "out").symlink_to(tmp_path)
    (root / "secret").symlink_to("/etc/passwd")
    (root / "inside").symlink_to(root / "a.problem")
    (tmp_path / "html" / "private.txt").write_text("private")
    with Lond(make_site(tmp_path)) as lond:
        yield lond


def names(reply: bytes) -> list[bytes]:
    assert reply.endswith(b":")
    entries = [entry.split(b"&") for entry in reply[:-1].split(b":")]
    assert all(len(entry) == 14 and all(number.lstrip(b"-").isdigit() for number in entry[1:]) for entry in entries)
    return [entry[0] for entry in entries]


@pytest.mark.parametrize("prefix", ["/home/httpd/html", "", "/"])
def test_a_directory(lond: Lond, prefix: str) -> None:
    reply = lond.ask(f"ls:{prefix}/res/msu/smith")
    assert names(reply) == [b"a.problem", b"b%26c%3ad%25.html", b"empty", b"inside"]


def test_a_file(lond: Lond, tmp_path: Path) -> None:
    reply = lond.ask("ls:/home/httpd/html/res/msu/smith/a.problem")
    assert names(reply) == [b"a.problem"]
    size = reply[:-1].split(b"&")[8]
    assert int(size) == 3 == os.stat(tmp_path / "html/res/msu/smith/a.problem").st_size


@pytest.mark.parametrize(
    ("path", "reply"),
    [
        ("/res/msu/smith/empty", b"empty"),
        ("/res/msu/smith/none.html", b"no_such_file"),
        ("/res/msu/nobody/none.html", b"no_such_dir"),
        ("/res/msu/smith/secret", b"no_such_file"),
        ("/res/msu/smith/out/html/private.txt", b"no_such_file"),
        ("/res/msu/smith/a.problem/x", b"no_such_dir"),
    ],
)
def test_what_is_not_there_or_not_ours_to_tell(lond: Lond, path: str, reply: bytes) -> None:
    assert lond.ask(f"ls:{path}") == reply


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "/res/../private.txt", "/res/msu/../../private.txt", "/res/x\\y", "/res/\0", "/a/../res/msu",
     "/res/" + "n" * 300],
)  # fmt: skip
def test_paths_that_are_none(lond: Lond, path: str) -> None:
    assert lond.ask(b"ls:" + path.encode()) == b"error: 22 not a path below /res/"


def test_a_tree_that_is_not_there(tmp_path: Path) -> None:
    with Lond(make_site(tmp_path)) as lond:
        assert lond.ask("ls:/res/") == b"no_such_dir"
