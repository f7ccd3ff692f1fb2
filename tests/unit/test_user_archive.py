"""Archives of users, what merging does with them, and importing them through crashes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import stat
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.site import Site
from lond.authentication.accounts import Account, read_account
from lond.records.database import Opening, Patience
from lond.records.fence import close_to_writers, open_to_writers
from lond.records.merge import Changes, merge
from lond.records.schema import USER_STEPS
from lond.records.tables import Activity, Copy, Event, Version
from lond.storage import Storage
from lonuser.archive import Archive, Head, read_archive, save_archive, write_archive
from lonuser.errors import BadData, NotPossible
from lonuser.importing import UserImport, copy_of_user
from tests.helpers.dispatching import NOW, Lond, connection_class, make_site
from tests.helpers.user_records import SOME, Crash, any_records, contents, crash_at, digest, make_copy

HEAD = Head("msu", "smith", "msul1", NOW)
ACCOUNT = Account("internal", "abNANd1rDfiNc")


def packed(records: dict[str, Any], account: Account = ACCOUNT) -> bytes:
    """The archive of some records."""
    file = io.BytesIO()
    with make_copy(records) as copy:
        write_archive(file, HEAD, account, copy)
    return file.getvalue()


def unpacked(data: bytes) -> Archive:
    return read_archive(io.BytesIO(data), "smith.gz")


def archive_of(*lines: object) -> bytes:
    """An archive with these lines behind the first two, and with the right last one."""
    first = {"format": "loncapa-user", "version": 1, "domain": "msu", "user": "smith", "host": "msul1", "time": 1}
    text = b"".join(json.dumps(line).encode() + b"\n" for line in (first, ["account", "none:"], *lines))
    end = {"lines": 2 + len(lines), "sha256": hashlib.sha256(text).hexdigest()}
    return gzip.compress(text + json.dumps(end).encode() + b"\n")


class TestArchive:
    @settings(max_examples=60)
    @given(any_records, st.sampled_from([ACCOUNT, Account("krb5", "MSU.EDU"), Account("localauth", "x:\udcff\xe4")]))
    def test_what_was_written_is_read(self, records: dict[str, Any], account: Account) -> None:
        data = packed(records, account)
        archive = unpacked(data)
        with archive.records as read, make_copy(records) as original:
            assert (archive.head, archive.account) == (HEAD, account)
            assert contents(read) == contents(original)
            again = io.BytesIO()
            write_archive(again, HEAD, archive.account, read)
        assert again.getvalue() == data

    def test_it_says_what_it_is(self) -> None:
        lines = [json.loads(line) for line in gzip.decompress(packed(SOME)).splitlines()]
        assert lines[0] == {
            "format": "loncapa-user",
            "version": 1,
            "domain": "msu",
            "user": "smith",
            "host": "msul1",
            "time": NOW,
        }
        assert lines[1] == ["account", "internal:abNANd1rDfiNc"]
        assert ["entry", "grades", "b%3a", "%00"] in lines
        assert ["version", "grades", "hw1", 1, [["foo", "bar"], ["timestamp", "1000"]]] in lines
        assert ["history", "roles", 998, "P", "msu:j.doe@x", "%2fmsu%2fcourse1_st=st_0_0"] in lines
        assert lines[-1]["lines"] == len(lines) - 1

    def test_a_part_of_it_is_none(self) -> None:
        data = packed(SOME)
        for length in range(len(data)):
            with pytest.raises(BadData, match=r"smith\.gz"):
                unpacked(data[:length])

    def test_a_line_less_is_noticed(self) -> None:
        lines = gzip.decompress(packed(SOME)).splitlines(keepends=True)
        for at in range(len(lines)):
            with pytest.raises(BadData, match="export the user again"):
                unpacked(gzip.compress(b"".join(lines[:at] + lines[at + 1 :])))

    @given(st.binary(max_size=200), st.booleans())
    @example(b"[" * 100_000 + b"\n", True)
    @example(b'{"format": "loncapa-user", "version": ' + b"9" * 5000 + b"}\n", True)
    def test_any_bytes_are_bad_data(self, data: bytes, compressed: bool) -> None:
        with pytest.raises(BadData):
            unpacked(gzip.compress(data) if compressed else data)

    def test_a_hand_made_one_is_good(self) -> None:
        archive = unpacked(archive_of(["namespace", "a"], ["entry", "a", "k", "v"], ["activity", 5, "msua1", "x"]))
        with archive.records as records:
            assert list(records.entries(b"a")) == [(b"k", b"v")]

    @pytest.mark.parametrize(
        "line",
        [
            ["namespace", "../../etc"],
            ["namespace", "a"],
            ["namespace"],
            ["entry", "b", "k", "v"],
            ["entry", "a", "k", "new\nline"],
            ["entry", "a", "k", "%2F"],
            ["entry", "a", "k:l", "v"],
            ["entry", "a", "\u1234", "v"],
            ["entry", "a", "k", 1],
            ["version", "a", "rid", 0, [["k", "v"]]],
            ["version", "a", "rid", True, [["k", "v"]]],
            ["version", "a", "rid", 1, []],
            ["version", "a", "rid", 1, [["k"]]],
            ["version", "a", "rid", 2**63, [["k", "v"]]],
            ["history", "a", 1, "p", "", "k=v"],
            ["history", "a", -1, "P", "", "k=v"],
            ["history", "a", 1, "P", "", "k=\n"],
            ["activity", 1.5, "msua1", "x"],
            ["activity", 1, "msu/a1", "x"],
            ["passwd", "x"],
            "namespace",
            None,
        ],
    )
    def test_what_could_not_be_stored_as_it_is_is_refused(self, line: object) -> None:
        with pytest.raises(BadData, match="line 4: "):
            unpacked(archive_of(["namespace", "a"], line))

    def test_what_is_there_twice_is_refused(self) -> None:
        for line in (["entry", "a", "k", "v"], ["version", "a", "r", 1, [["k", "v"]]]):
            with pytest.raises(BadData, match="line 5: "):
                unpacked(archive_of(["namespace", "a"], line, line))

    def test_another_version_is_named(self) -> None:
        data = gzip.decompress(packed(SOME)).replace(b'"version":1', b'"version":2', 1)
        with pytest.raises(BadData, match="an archive of version 2, this program knows 1"):
            unpacked(gzip.compress(data))


class TestFile:
    def save(self, path: Path, *, replace: bool = False) -> None:
        with make_copy(SOME) as copy:
            save_archive(path, HEAD, ACCOUNT, copy, replace=replace)

    def test_nobody_else_reads_it(self, tmp_path: Path) -> None:
        self.save(tmp_path / "smith")
        assert stat.S_IMODE((tmp_path / "smith").stat().st_mode) == 0o600
        assert (tmp_path / "smith").read_bytes() == packed(SOME)

    def test_one_that_is_there_stays(self, tmp_path: Path) -> None:
        (tmp_path / "smith").write_text("precious")
        with pytest.raises(FileExistsError):
            self.save(tmp_path / "smith")
        assert digest(tmp_path) == {"smith": hashlib.sha256(b"precious").hexdigest()}
        self.save(tmp_path / "smith", replace=True)
        assert (tmp_path / "smith").read_bytes() == packed(SOME)

    def test_half_of_it_is_never_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        crash_at(monkeypatch, "lonuser.archive.write_archive", "after")
        with pytest.raises(Crash):
            self.save(tmp_path / "smith")
        assert digest(tmp_path) == {}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


class TestCopy:
    def test_it_is_one_state_while_others_write(self, site: Site) -> None:
        with Lond(site) as lond, Lond(site) as other:
            lond.ask("put:msu:smith:data:a=1")
            other.ask("put:msu:smith:data:b=2")
            with copy_of_user(other.storage, b"msu", b"smith") as copy:
                assert lond.ask("put:msu:smith:data:a=9") == b"ok"
                assert list(copy.entries(b"data")) == [(b"a", b"1"), (b"b", b"2")]
            assert other.ask("get:msu:smith:data:a") == b"9"

    def test_trouble_with_it_is_not_damage_of_the_original(self, site: Site) -> None:
        with Lond(site) as lond:
            lond.ask("put:msu:smith:data:a=1")
            with copy_of_user(lond.storage, b"msu", b"smith") as copy:
                copy.database.connection.execute("DROP TABLE activity")
                importer = UserImport(lond.storage, site.config.users_dir, merge=True)
                with pytest.raises(Exception, match="no such table"):
                    importer.add(b"msu", b"smith", ACCOUNT, copy)
            assert lond.ask("get:msu:smith:data:a") == b"1"
            assert not list(lond.user_path("smith").parent.glob("*damaged*"))


class TestMerge:
    def merged(self, source: dict[str, Any], target: dict[str, Any]) -> tuple[Changes, dict[str, Any]]:
        with make_copy(source) as one, make_copy(target) as other:
            return merge(one, other), contents(other)

    @settings(max_examples=40)
    @given(any_records, any_records)
    def test_nothing_is_lost_and_twice_is_once(self, source: dict[str, Any], target: dict[str, Any]) -> None:
        with make_copy(source) as one, make_copy(target) as other:
            before = contents(other)
            merge(one, other)
            after = contents(other)
            assert not merge(one, other).added
            assert contents(other) == after
        for name, (entries, versions, history) in before["namespaces"].items():
            now = after["namespaces"][name]
            assert set(entries) <= set(now[0])
            assert [version for version in versions if version not in now[1]] == []
            assert now[2][: len(history)] == history
        assert after["activity"][: len(before["activity"])] == before["activity"]

    @settings(max_examples=20)
    @given(any_records)
    def test_into_an_empty_one_it_is_a_copy(self, records: dict[str, Any]) -> None:
        with make_copy(records) as copy, Copy() as empty:
            merge(copy, empty)
            assert contents(empty) == contents(copy)

    def test_what_differs_stays(self) -> None:
        target = {"namespaces": {b"grades": {"entries": {b"a": b"2"}, "versions": {}, "history": []}}, "activity": []}
        changes, after = self.merged(SOME, target)
        assert after["namespaces"][b"grades"][0] == [(b"a", b"2"), (b"b%3a", b"%00")]
        assert (changes.entries, changes.kept) == (2, 1)

    @pytest.mark.parametrize(
        ("here", "there", "numbers", "kept"),
        [
            ([{b"k": b"1"}], [{b"k": b"1"}, {b"k": b"2"}], [1, 2], 0),
            ([{b"k": b"1"}, {b"k": b"2"}], [{b"k": b"1"}], [1, 2], 0),
            ([{b"k": b"9"}], [{b"k": b"1"}, {b"k": b"2"}], [1], 2),
            ([{b"k": b"1"}, {b"k": b"9"}], [{b"k": b"1"}, {b"k": b"2"}, {b"k": b"3"}], [1, 2], 2),
        ],
    )
    def test_versions_follow_only_the_same_ones(
        self, here: list[Any], there: list[Any], numbers: list[int], kept: int
    ) -> None:
        def of(versions: list[Any]) -> dict[str, Any]:
            parts = {"entries": {}, "versions": {b"r": versions}, "history": []}
            return {"namespaces": {b"n": parts}, "activity": []}

        changes, after = self.merged(of(there), of(here))
        assert [version.number for version in after["namespaces"][b"n"][1]] == numbers
        assert changes.kept == kept


class TestFence:
    WRITES = (
        "put:msu:smith:data:a=2",
        "put:msu:smith:new:a=2",
        "put:msu:smith:nohist_x:a=2",
        "inc:msu:smith:data:a=1",
        "del:msu:smith:nohist_x:a",
        "store:msu:smith:data:rid:k=v",
        "log:msu:smith:text",
    )

    def test_who_has_it_open_can_not_write(self, site: Site) -> None:
        with Lond(site) as lond:
            assert lond.batch("put:msu:smith:data:a=1", "put:msu:smith:nohist_x:a=1") == [b"ok", b"ok"]
            database = Opening(Patience(0)).open(lond.user_path("smith"), USER_STEPS, create=False, check=False)
            assert database is not None
            close_to_writers(database)
            close_to_writers(database)
            for line in self.WRITES:
                assert lond.ask(line).startswith(b"error: "), line
            assert lond.batch("get:msu:smith:data:a", "get:msu:smith:nohist_x:a") == [b"1", b"1"]
            open_to_writers(database)
            database.close()
            assert {lond.ask(line) for line in self.WRITES} == {b"ok"}


class TestImport:
    @pytest.fixture
    def storage(self, site: Site) -> Iterator[Storage]:
        site.config.users_dir.mkdir()
        storage = Storage(site)
        yield storage
        storage.close()

    def bring(self, storage: Storage, site: Site, records: dict[str, Any] = SOME, **how: bool) -> Any:
        with make_copy(records) as copy:
            return UserImport(storage, site.config.users_dir, **how).add(b"msu", b"smith", ACCOUNT, copy)

    def here(self, storage: Storage) -> dict[str, Any]:
        with copy_of_user(storage, b"msu", b"smith") as copy:
            return contents(copy)

    def wanted(self) -> dict[str, Any]:
        with make_copy(SOME) as copy:
            return contents(copy)

    def test_a_new_user(self, site: Site, storage: Storage) -> None:
        arrival = self.bring(storage, site)
        assert arrival.is_new
        assert arrival.changes == Changes(namespaces=3, entries=3, versions=2, history=3, activity=2)
        assert self.here(storage) == self.wanted()
        assert read_account(storage.user_directory(b"msu", b"smith")) == ACCOUNT

    def test_commands_find_what_was_imported(self, site: Site, storage: Storage) -> None:
        self.bring(storage, site)
        with Lond(site, users=()) as lond:
            assert b"2:bar=foo" in lond.ask("restore:msu:smith:grades:hw1").split(b"&")
            assert lond.ask("store:msu:smith:grades:hw1:x=y") == b"ok"
            assert lond.ask("restore:msu:smith:grades:hw1").startswith(b"version=3&")

    def test_the_same_again_changes_nothing(self, site: Site, storage: Storage) -> None:
        self.bring(storage, site)
        for merging, dry_run in product((False, True), repeat=2):
            arrival = self.bring(storage, site, merge=merging, dry_run=dry_run)
            assert not arrival.is_new
            assert arrival.changes == Changes()
        assert self.here(storage) == self.wanted()

    def test_another_one_needs_to_be_merged(self, site: Site, storage: Storage) -> None:
        self.bring(storage, site)
        more = {"namespaces": {}, "activity": [Activity(7, b"msua1", b"more")]}
        before = self.here(storage)
        for dry_run in (False, True):
            with pytest.raises(NotPossible, match=r"msu:smith is here already .* --merge .* 1 of activity"):
                self.bring(storage, site, more, dry_run=dry_run)
        assert self.here(storage) == before
        assert self.bring(storage, site, more, merge=True).changes == Changes(activity=1)

    def test_the_account_that_is_here_stays(self, site: Site, storage: Storage) -> None:
        directory = storage.user_directory(b"msu", b"smith")
        self.bring(storage, site)
        (directory / "passwd").write_text("none:\n")
        self.bring(storage, site, merge=True)
        assert read_account(directory) == Account("none")

    def test_a_dry_run_changes_nothing(self, site: Site, storage: Storage) -> None:
        empty = digest(site.config.users_dir)
        assert self.bring(storage, site, dry_run=True).changes.entries == 3
        assert digest(site.config.users_dir) == empty
        self.bring(storage, site)
        storage.close()
        full = digest(site.config.users_dir)
        more = {"namespaces": {}, "activity": [Activity(7, b"msua1", b"more")]}
        assert self.bring(storage, site, more, merge=True, dry_run=True).changes == Changes(activity=1)
        storage.close()
        assert digest(site.config.users_dir) == full

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize(
        "step",
        [
            "lonuser.importing.make_user_directory",
            "lonuser.importing.merge",
            "lond.records.tables.Tables.add_event",
            "lond.storage.Storage.commit",
            "lonuser.importing.create_account",
        ],
    )
    def test_after_a_crash_it_goes_on(
        self, site: Site, storage: Storage, monkeypatch: pytest.MonkeyPatch, step: str, when: str
    ) -> None:
        with monkeypatch.context() as patch, make_copy(SOME) as copy:
            crash_at(patch, step, when)
            with pytest.raises(Crash):
                UserImport(storage, site.config.users_dir).add(b"msu", b"smith", ACCOUNT, copy)
        storage.close()
        last = (step, when) == ("lonuser.importing.create_account", "after")
        assert storage.is_home(b"msu", b"smith") == last
        assert self.bring(storage, site).is_new != last
        assert self.here(storage) == self.wanted()

    def test_no_room_is_no_user(self, site: Site) -> None:
        storage = Storage(site, Opening(Patience(0), connection_class(pages=12)))
        many = {b"k%d" % number: b"x" * 500 for number in range(500)}
        large = {"namespaces": {b"n": {"entries": many, "versions": {}, "history": []}}, "activity": []}
        with pytest.raises(Exception, match="28 no space left"):
            self.bring(storage, site, large)
        assert not storage.is_home(b"msu", b"smith")
        storage.close()


def test_a_version_without_values_is_none() -> None:
    with Copy() as copy:
        copy.add_namespace(b"n")
        assert copy.version(b"n", b"r", 1) is None
        assert copy.add_version(b"n", Version(b"r", 1, ((b"k", b"v"),)))
        assert not copy.add_version(b"n", Version(b"r", 1, ((b"k", b"w"),)))
        copy.add_event(b"n", Event(1, "P", b"r", b"k=v"))
        assert copy.version(b"n", b"r", 1) == Version(b"r", 1, ((b"k", b"v"),))
