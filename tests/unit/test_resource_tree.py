"""The tree of resources: nothing outside it is reached, and a reader never has half a resource."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from common import resource_directory
from common.metadata import Metadata, MetadataError
from common.resource_directory import Busy, directory, locked
from common.resource_files import digest_of
from common.resource_path import ResourcePath
from common.resource_tree import open_resource, remove_copy
from common.resource_versions import current_version, older_versions
from common.subscriptions import Subscriber, subscribe, subscribers, unsubscribe
from tests.helpers.in_child import Calls, ChildDied, in_child
from tests.helpers.published import metadata_of, put_resource

PATH = ResourcePath.parse("msu/smith/kin/a.html")
OLD, NEW = b"old" * 1000, b"new" * 1000


def put(root: Path, content: bytes, *, copy_of: str = "", new_version: bool = False) -> Metadata:
    return put_resource(root, str(PATH), content, copy_of=copy_of, new_version=new_version)


def read(root: Path, path: ResourcePath = PATH) -> tuple[bytes, Metadata, str]:
    opened = open_resource(root, path)
    with opened.file as file:
        return file.read(), opened.metadata, opened.copy_of


def names(root: Path) -> set[str]:
    return {path.name for path in (root / "msu/smith/kin").iterdir()}


def test_versions_are_kept(tmp_path: Path) -> None:
    for number, content in enumerate((b"one", b"two", b"three"), 1):
        assert put(tmp_path, content, new_version=True).version == number
    content, metadata, copy_of = read(tmp_path)
    assert (content, metadata.version, copy_of) == (b"three", 3, "")
    old, old_metadata, _ = read(tmp_path, ResourcePath.parse("msu/smith/kin/a.2.html"))
    assert (old, old_metadata.version) == (b"two", 2)
    with directory(tmp_path, PATH) as at:
        assert (older_versions(at, PATH), current_version(at, PATH)) == ([1, 2], 3)
    assert names(tmp_path) == {f"a{n}.html{end}" for n in ("", ".1", ".2") for end in ("", ".meta")}


@pytest.mark.parametrize(
    ("old", "new", "both"),
    [
        ("public", "private", "private"),
        ("private", "public", "private"),
        ("public", "domain", "domain"),
        ("domain", "public", "domain"),
        ("public", "hub,uni", "hub,uni"),
        ("hub,uni", "uni", "uni"),
        ("hub,uni", "uni,xyz", "uni"),
        ("hub", "uni", "domain"),
        ("hub", "domain", "domain"),
        ("hub", "hub,uni", "hub"),
    ],
)
def test_older_versions_are_for_nobody_who_may_not_have_the_new_one(
    tmp_path: Path, old: str, new: str, both: str
) -> None:
    for copyright in (old, old, new):
        put_resource(tmp_path, str(PATH), b"one", copyright=copyright, new_version=True)
    for number in (1, 2):
        older = ResourcePath.parse(f"msu/smith/kin/a.{number}.html")
        content, metadata, _ = read(tmp_path, older)
        assert (content, metadata.copyright, metadata.version) == (b"one", both, number)
    assert read(tmp_path)[1].copyright == new


def test_a_closed_source_closes_that_of_older_versions() -> None:
    assert Metadata(copyright="public").narrowed(Metadata(sourceavail="closed", copyright="public"), "msu") == Metadata(
        copyright="public", sourceavail="closed"
    )


def test_a_copy_says_so_and_goes_without_a_trace(tmp_path: Path) -> None:
    put(tmp_path, OLD, copy_of="msul1")
    assert read(tmp_path)[2] == "msul1"
    with directory(tmp_path, PATH) as at, locked(at, exclusive=True):
        remove_copy(at, PATH)
        assert current_version(at, PATH) == -1
    assert names(tmp_path) == set()
    with pytest.raises(FileNotFoundError):
        read(tmp_path)


@pytest.mark.parametrize("at", ["", "msu", "msu/smith", "msu/smith/kin"])
def test_no_directory_that_is_a_link_is_followed(tmp_path: Path, at: str) -> None:
    outside = tmp_path / "outside"
    put(outside, OLD)
    link = tmp_path / "res" / at
    if not at:  # the administrator may put the tree itself elsewhere
        link.symlink_to(outside)
        assert read(link)[0] == OLD
        return
    link.parent.mkdir(parents=True)
    link.symlink_to(outside / at)
    with pytest.raises(NotADirectoryError):
        read(tmp_path / "res")
    with pytest.raises(NotADirectoryError):
        put(tmp_path / "res", NEW)
    assert read(outside)[0] == OLD


@pytest.mark.parametrize("name", ["a.html", "a.html.meta"])
def test_no_file_that_is_a_link_is_followed(tmp_path: Path, name: str) -> None:
    put(tmp_path, OLD)
    file = tmp_path / "msu/smith/kin" / name
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        read(tmp_path)


def test_what_is_no_file_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "msu/smith/kin/a.html").mkdir(parents=True)
    with pytest.raises(FileNotFoundError):
        read(tmp_path)
    (tmp_path / "msu/smith/kin/a.html").rmdir()
    os.mkfifo(tmp_path / "msu/smith/kin/a.html")
    with pytest.raises(FileNotFoundError):
        read(tmp_path)


def test_a_content_without_metadata_is_no_resource(tmp_path: Path) -> None:
    put(tmp_path, OLD)
    (tmp_path / "msu/smith/kin/a.html.meta").write_text("copyright public\n")
    with pytest.raises(MetadataError):
        read(tmp_path)
    (tmp_path / "msu/smith/kin/a.html.meta").unlink()
    with pytest.raises(FileNotFoundError):
        read(tmp_path)


@pytest.mark.parametrize("copy_of", ["", "msul1"])
def test_killed_at_any_step_it_is_the_old_or_the_new_as_a_whole(tmp_path: Path, copy_of: str) -> None:
    outcomes, killed, step = set(), True, 0
    while killed:
        step += 1
        root = tmp_path / str(step)
        put(root, OLD, copy_of=copy_of, new_version=not copy_of)

        def replaced(root: Path = root, step: int = step) -> str:
            calls = Calls(step)
            for name in ("rename", "link", "fsync", "open"):
                setattr(os, name, calls.count(getattr(os, name)))
            put(root, NEW, copy_of=copy_of, new_version=not copy_of)
            return "done"

        try:
            killed = in_child(replaced) != "done"
        except ChildDied:
            killed = True
        content, metadata, home = read(root)
        assert metadata == replace(metadata_of(content), version=metadata.version)
        assert home == copy_of
        outcomes.add(content)
        with directory(root, PATH) as at:
            assert current_version(at, PATH) == (1 if content == OLD or copy_of else 2)
        assert put(root, b"third", copy_of=copy_of, new_version=not copy_of).version in ((0,) if copy_of else (2, 3))
        assert read(root)[0] == b"third"
    assert outcomes == {OLD, NEW} and step > 8


@pytest.mark.parametrize("beside", ["", ".meta", ".copy"])
def test_a_directory_in_the_way_goes_if_it_is_empty(tmp_path: Path, beside: str) -> None:
    in_the_way = tmp_path / f"msu/smith/kin/a.html{beside}"
    in_the_way.mkdir(parents=True)
    (in_the_way / "x").touch()
    with pytest.raises(IsADirectoryError):
        put(tmp_path, OLD, copy_of="msul1")
    (in_the_way / "x").unlink()
    put(tmp_path, OLD, copy_of="msul1")
    content, _, copy_of = read(tmp_path)
    assert (content, copy_of) == (OLD, "msul1")


def test_readers_meanwhile_have_matching_pairs(tmp_path: Path) -> None:
    put(tmp_path, OLD)

    def look(_turn: int) -> None:
        content, metadata, _ = read(tmp_path)
        assert metadata.digest == digest_of(BytesIO(content))

    with ThreadPoolExecutor(4) as pool:
        looks = pool.map(look, range(400))
        for turn in range(30):
            put(tmp_path, (OLD, NEW)[turn % 2])
        assert len(list(looks)) == 400


def test_subscriptions(tmp_path: Path) -> None:
    put(tmp_path, OLD)
    first, second = Subscriber("msua1", "127.0.0.1", 100), Subscriber("hubl1", "::1", 200)
    with directory(tmp_path, PATH) as at:
        for one in (first, second, Subscriber("msua1", "127.0.0.9", 300)):
            subscribe(at, PATH, one)
        assert subscribers(at, PATH) == [Subscriber("msua1", "127.0.0.9", 300), second]
        file = tmp_path / "msu/smith/kin/a.html.subscription"
        assert file.read_text() == "msua1:127.0.0.9:300\nhubl1:::1:200\n"
        file.write_text("nonsense\n" + file.read_text())
        assert unsubscribe(at, PATH, "msua1") and not unsubscribe(at, PATH, "msua1")
        assert subscribers(at, PATH) == [second]
        assert unsubscribe(at, PATH, "hubl1") and not file.exists()


def test_subscriptions_at_the_same_moment(tmp_path: Path) -> None:
    put(tmp_path, OLD)

    def note(number: int) -> None:
        with directory(tmp_path, PATH) as at:
            subscribe(at, PATH, Subscriber(f"msua{number}", "127.0.0.1", number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(note, range(1, 41)))
    with directory(tmp_path, PATH) as at:
        assert {one.since for one in subscribers(at, PATH)} == set(range(1, 41))


def test_a_lock_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, OLD)
    monkeypatch.setattr(resource_directory, "LOCK_SECONDS", 0.02)
    with directory(tmp_path, PATH) as at, locked(at, exclusive=True), pytest.raises(Busy):
        read(tmp_path)
    assert read(tmp_path)[0] == OLD
