"""Reading the original's user directories: real GDBM files, whatever of this machine can read and write them."""

from __future__ import annotations

import importlib
import os
import struct
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.escape import escape
from lond.authentication.accounts import Account
from lond.records.tables import Activity, Copy, Event, Version
from lonuser import gdbm
from lonuser.classic import (
    ClassicUser,
    Notes,
    _Stored,
    classic_account,
    find_all_users,
    find_user,
    read_records,
)
from lonuser.errors import BadData, NotPossible, UnknownUser, WrongUse
from lonuser.gdbm import GnuReader, PerlReader, Reader, find_perl, find_reader, import_gnu
from tests.helpers.user_records import contents, digest

PERL = find_perl()
needs_perl = pytest.mark.skipif(PERL is None, reason="perl with GDBM_File is not installed")
needs_gnu = pytest.mark.skipif(import_gnu() is None, reason="this Python was built without dbm.gnu")
needs_gdbm = pytest.mark.skipif(
    PERL is None and import_gnu() is None, reason="neither perl's GDBM_File nor dbm.gnu is here to write GDBM files"
)

_WRITE = r"""
use GDBM_File; binmode STDIN; local $/; my @texts = unpack('(N/a*)*', <STDIN>);
tie(my %hash, 'GDBM_File', $ARGV[0], &GDBM_NEWDB, 0640) or die "$!";
while (@texts) { my $key = shift @texts; $hash{$key} = shift @texts; }
untie %hash;
"""

GRADES = {
    b"plain": b"value",
    b"with%2Fupper": b"%C3%a4",
    b"number": b"-1.5",
    b"version:hw1": b"2",
    b"1:keys:hw1": b"foo:timestamp",
    b"1:hw1:foo": b"bar",
    b"1:hw1:timestamp": b"1000",
    b"2:keys:hw1": b"foo:bar:timestamp",
    b"2:hw1:foo": b"notbar",
    b"2:hw1:bar": b"foo",
    b"2:hw1:timestamp": b"1001",
}


def write_gdbm(path: Path, items: Mapping[bytes, bytes]) -> None:
    """A real GDBM file."""
    module: Any = import_gnu()
    if module is not None:
        with module.open(str(path), "n") as file:
            for key, value in items.items():
                file[key] = value
        return
    texts = b"".join(struct.pack(">I", len(text)) + text for item in items.items() for text in item)
    subprocess.run([str(PERL), "-e", _WRITE, str(path)], input=texts, check=True, timeout=30)


class Hashes:
    """A reader that knows what is in the files, for tests of what is made of it."""

    def __init__(self, **hashes: Mapping[bytes, bytes]) -> None:
        self.hashes = hashes

    def read(self, path: Path) -> Iterator[tuple[bytes, bytes]]:
        yield from self.hashes[path.stem].items()

    def __enter__(self) -> Hashes:
        return self

    def __exit__(self, *_: object) -> None:
        return


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The classic directory of smith, without databases."""
    home = tmp_path / "msu" / "s" / "m" / "i" / "smith"
    home.mkdir(parents=True)
    (home / "passwd").write_text("internal:abNANd1rDfiNc\n")
    return home


def read(home: Path, reader: Reader) -> tuple[Any, Notes]:
    with Copy() as copy:
        notes = read_records(ClassicUser(b"msu", b"smith", home), reader, copy)
        return contents(copy), notes


class TestRecords:
    def test_a_whole_directory(self, home: Path) -> None:
        (home / "grades.db").touch()
        (home / "grades.hist").write_bytes(
            b"P:999:plain=value\nP:1000:hw1:foo=bar\nD:1002:a&b%2F\r\n\nS:1003:hw1:x=y\n"
        )
        (home / "roles.hist").write_bytes(b"P:998:msu:j.doe:%2fmsu%2fc_st=st_0_0\n")
        (home / "activity.log").write_bytes(b"1002:msua1:Login 10:30\n1002:msua1:Login 10:30\n")
        (home / "userfiles").mkdir()
        before = digest(home)
        found, notes = read(home, Hashes(grades=GRADES))
        entries, versions, history = found["namespaces"][b"grades"]
        assert entries == [(b"number", b"%2d1%2e5"), (b"plain", b"value"), (b"with%2fupper", b"%c3%a4")]
        assert versions == [
            Version(b"hw1", 1, ((b"foo", b"bar"), (b"timestamp", b"1000"))),
            Version(b"hw1", 2, ((b"foo", b"notbar"), (b"bar", b"foo"), (b"timestamp", b"1001"))),
        ]
        assert history == [
            Event(999, "P", b"", b"plain=value"),
            Event(1000, "P", b"hw1", b"foo=bar"),
            Event(1002, "D", b"", b"a&b%2f"),
            Event(1003, "S", b"hw1", b"x=y"),
        ]
        assert found["namespaces"][b"roles"] == ([], [], [Event(998, "P", b"msu:j.doe", b"%2fmsu%2fc_st=st_0_0")])
        assert found["activity"] == [Activity(1002, b"msua1", b"Login%2010%3a30")] * 2
        assert notes == Notes([], ["userfiles"])
        assert digest(home) == before

    def test_what_can_not_be_understood_is_named(self, home: Path) -> None:
        (home / "bad name.db").touch()
        (home / "grades.db").touch()
        (home / "grades.hist").write_bytes(b"P:1:a=b\nnonsense\n")
        (home / "activity.log").write_bytes(b"\xff\n")
        (home / "records.db").write_bytes(b"SQLite format 3\0...")
        found, notes = read(home, Hashes(grades={b"a%2f": b"1", b"a%2F": b"2", b"": b"3"}))
        assert found["namespaces"] == {b"grades": ([(b"a%2f", b"1")], [], [Event(1, "P", b"", b"a=b")])}
        assert notes.faults == [
            "activity.log:1: not a line of activity",
            "bad name.db: not a name for a namespace",
            "grades.db: a%2f is there in two spellings",
            "grades.db: a value without a key",
            "grades.hist:2: not a line of history",
        ]
        assert notes.left == ["records.db"]

    @settings(max_examples=50)
    @given(
        st.dictionaries(
            st.binary(min_size=1, max_size=4).map(escape),
            st.lists(st.dictionaries(st.binary(min_size=1, max_size=4).map(escape), st.binary(max_size=4).map(escape),
                                     min_size=1, max_size=3), min_size=1, max_size=3),
            max_size=3,
        ),
        st.randoms(),
    )  # fmt: skip
    def test_versions_come_back_from_their_keys_in_any_order(self, stored: Any, random: Any) -> None:
        keys: dict[bytes, bytes] = {}
        for rid, versions in stored.items():
            keys[b"version:" + rid] = b"%d" % len(versions)
            for number, values in enumerate(versions, 1):
                values.pop(b"timestamp", None)
                values[b"timestamp"] = b"%d" % number
                keys[b"%d:keys:%b" % (number, rid)] = b":".join(values)
                keys |= {b"%d:%b:%b" % (number, rid, key): value for key, value in values.items()}
        if b"keys" in stored:
            return  # "1:keys:x" says two things there, as in the original
        items = list(keys.items())
        random.shuffle(items)
        one = _Stored()
        assert all([one.take(key, value) for key, value in items])
        wanted = {
            Version(rid, number, tuple(values.items()))
            for rid, versions in stored.items()
            for number, values in enumerate(versions, 1)
        }
        assert set(one.versions()) == wanted

    @given(st.dictionaries(st.binary(max_size=12), st.binary(max_size=12), max_size=8), st.binary(max_size=60))
    @example({b"0:a:b": b"", b"1::b": b"", b"version:": b"", b"1:a:": b"", b"1:keys:": b""}, b"P:1::x")
    def test_any_bytes_become_what_can_be_stored(
        self, tmp_path_factory: pytest.TempPathFactory, items: dict[bytes, bytes], text: bytes
    ) -> None:
        home = tmp_path_factory.mktemp("home")
        (home / "a.db").touch()
        (home / "a.hist").write_bytes(text)
        (home / "activity.log").write_bytes(text)
        found, _ = read(home, Hashes(a=items))
        entries, versions, history = found["namespaces"][b"a"]
        texts = [part for item in entries for part in item]
        texts += [part for version in versions for item in version.values for part in item]
        texts += [event.what for event in history] + [activity.text for activity in found["activity"]]
        assert not any(set(part) & set(b"\n\r\0: ") for part in texts)


class TestAccount:
    @pytest.mark.parametrize(
        ("line", "account"),
        [
            ("internal:abNANd1rDfiNc", Account("internal", "abNANd1rDfiNc")),
            ("krb4:MSU.EDU", Account("krb4", "MSU.EDU")),
        ],
    )
    def test_it_is_taken_as_it_is(self, home: Path, line: str, account: Account) -> None:
        (home / "passwd").write_text(line)
        assert classic_account(ClassicUser(b"msu", b"smith", home)) == account

    def test_an_unknown_type_is_bad_data_and_not_shown(self, home: Path) -> None:
        (home / "passwd").write_text("lti:secret")
        with pytest.raises(BadData, match=r"passwd: .* import msu:smith again") as caught:
            classic_account(ClassicUser(b"msu", b"smith", home))
        assert "secret" not in str(caught.value)


class TestFinding:
    def test_by_any_of_the_three_directories(self, tmp_path: Path, home: Path) -> None:
        wanted = ClassicUser(b"msu", b"smith", home)
        assert find_user(home, b"msu", None) == wanted
        assert find_user(tmp_path, b"msu", b"smith") == wanted
        assert find_user(tmp_path / "msu", b"msu", b"smith") == wanted

    def test_all_users_of_one_domain(self, tmp_path: Path, home: Path) -> None:
        for place in (
            "msu/x/_/_/x",
            "msu/a/b/a.b",
            "msu/a/b/c/wrong",
            "hub/j/o/n/jones",
            "msu/s/m/i/smith/s/m/i/smith",
        ):
            (tmp_path / place).mkdir(parents=True)
            (tmp_path / place / "passwd").write_text("none:\n")
        (tmp_path / "msu" / "s" / "m" / "i" / "smiley").mkdir()
        (tmp_path / "msu" / "l").symlink_to(tmp_path / "msu" / "s")
        for directory in (tmp_path, tmp_path / "msu"):
            assert [one.user for one in find_all_users(directory, b"msu")] == [b"a.b", b"smith", b"x"]

    def test_what_is_wrong_is_said(self, tmp_path: Path, home: Path) -> None:
        with pytest.raises(WrongUse, match="give --user or --all"):
            find_user(tmp_path, b"msu", None)
        with pytest.raises(UnknownUser, match=r"j/o/n/jones has no passwd file"):
            find_user(tmp_path, b"msu", b"jones")
        with pytest.raises(WrongUse, match="give the right name with --user"):
            find_user(home.rename(home.parent / "old smith"), b"msu", None)


class TestReaders:
    ITEMS = {b"a": b"1", b"": b"empty key", b"nul\0\n": bytes(range(256)), b"long": b"x" * 200_000}

    @needs_perl
    def test_perl(self, tmp_path: Path) -> None:
        assert PERL is not None
        write_gdbm(tmp_path / "one.db", self.ITEMS)
        write_gdbm(tmp_path / "two.db", {b"k": b"v"})
        write_gdbm(tmp_path / "none.db", {})
        with PerlReader(PERL) as reader:
            for _ in range(2):
                assert dict(reader.read(tmp_path / "one.db")) == self.ITEMS
                assert list(reader.read(tmp_path / "two.db")) == [(b"k", b"v")]
                assert list(reader.read(tmp_path / "none.db")) == []

    @needs_perl
    def test_perl_goes_on_after_what_it_can_not_read(self, tmp_path: Path) -> None:
        assert PERL is not None
        (tmp_path / "bad.db").write_bytes(b"not a database" * 10)
        write_gdbm(tmp_path / "good.db", self.ITEMS)
        with PerlReader(PERL) as reader:
            for name in ("bad.db", "missing.db"):
                with pytest.raises(BadData, match=rf"{name} can not be read as a GDBM file \(\w.*\)"):
                    list(reader.read(tmp_path / name))
                assert dict(reader.read(tmp_path / "good.db")) == self.ITEMS
            next(reader.read(tmp_path / "good.db"))  # and after one that nobody wanted to the end
            assert dict(reader.read(tmp_path / "good.db")) == self.ITEMS

    @needs_gdbm
    def test_files_are_not_changed(self, tmp_path: Path) -> None:
        write_gdbm(tmp_path / "one.db", self.ITEMS)
        (tmp_path / "one.db").chmod(0o440)
        before = digest(tmp_path), (tmp_path / "one.db").stat().st_mtime_ns
        with find_reader() as reader:
            list(reader.read(tmp_path / "one.db"))
        assert (digest(tmp_path), (tmp_path / "one.db").stat().st_mtime_ns) == before

    @pytest.mark.parametrize(
        ("program", "reason"),
        [
            ("#!/bin/sh\nexit 1\n", "perl"),
            ("#!/bin/sh\nexec 1>&-\nread x\n", "perl ended in the middle of it"),
        ],
    )
    def test_a_perl_that_fails(self, tmp_path: Path, program: str, reason: str) -> None:
        perl = tmp_path / "perl"
        perl.write_text(program)
        perl.chmod(0o755)
        (tmp_path / "a.db").touch()
        with PerlReader(str(perl)) as reader, pytest.raises(BadData, match=reason):
            list(reader.read(tmp_path / "a.db"))

    def test_a_perl_that_hangs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gdbm, "READ_SECONDS", 0.05)
        perl = tmp_path / "perl"
        perl.write_text("#!/bin/sh\nexec sleep 600\n")
        perl.chmod(0o755)
        (tmp_path / "a.db").touch()
        with PerlReader(str(perl)) as reader, pytest.raises(BadData, match="no answer from perl within"):
            list(reader.read(tmp_path / "a.db"))

    @needs_gnu
    def test_gnu(self, tmp_path: Path) -> None:
        write_gdbm(tmp_path / "one.db", self.ITEMS)
        with GnuReader(importlib.import_module("dbm.gnu")) as reader:
            assert dict(reader.read(tmp_path / "one.db")) == self.ITEMS
            with pytest.raises(BadData, match="can not be read as a GDBM file"):
                list(reader.read(tmp_path / "missing.db"))

    def test_gnu_s_interface_and_a_file_that_leads_in_a_circle(self, tmp_path: Path) -> None:
        (tmp_path / "a.db").write_bytes(b"x" * 40)
        with GnuReader(FakeGnu({b"k": b"1", b"l": b"2"})) as reader:
            assert list(reader.read(tmp_path / "a.db")) == [(b"k", b"1"), (b"l", b"2")]
        with (
            GnuReader(FakeGnu({b"k": b"1", b"l": b"2"}, circle=True)) as reader,
            pytest.raises(BadData, match="says more than it can hold"),
        ):
            list(reader.read(tmp_path / "a.db"))
        with GnuReader(FakeGnu({})) as reader, pytest.raises(BadData, match=r"b\.db can not be read"):
            list(reader.read(tmp_path / "b.db"))

    def test_the_first_that_is_there_is_taken(self) -> None:
        assert isinstance(find_reader(lambda: FakeGnu({}), lambda: "/usr/bin/perl"), GnuReader)
        assert isinstance(find_reader(lambda: None, lambda: "/usr/bin/perl"), PerlReader)

    def test_what_is_missing_is_said(self) -> None:
        with pytest.raises(NotPossible, match=r"dbm\.gnu \(Debian: python3-gdbm\) or perl with GDBM_File") as caught:
            find_reader(lambda: None, lambda: None)
        assert caught.value.exit_code == 69

    def test_a_perl_without_the_module_is_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        perl = tmp_path / "perl"
        perl.write_text("#!/bin/sh\nexit 2\n")
        perl.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_perl() is None
        perl.unlink()
        assert find_perl() is None


class FakeGnu:
    """What the module dbm.gnu promises, by its documentation; `circle`: a damaged file without an end."""

    error = OSError

    def __init__(self, items: dict[bytes, bytes], circle: bool = False) -> None:
        self.items, self.circle = items, circle

    def open(self, path: str, flag: str) -> FakeGnu:
        assert flag == "r"
        os.stat(path)
        return self

    def firstkey(self) -> bytes | None:
        return next(iter(self.items), None)

    def nextkey(self, key: bytes) -> bytes | None:
        keys = [*self.items, next(iter(self.items)) if self.circle else None]
        return keys[keys.index(key) + 1]

    def __getitem__(self, key: bytes) -> bytes:
        return self.items[key]

    def __enter__(self) -> FakeGnu:
        return self

    def __exit__(self, *_: object) -> None:
        return


@needs_gdbm
def test_a_real_directory(home: Path) -> None:
    write_gdbm(home / "grades.db", GRADES)
    write_gdbm(home / "nohist_x.db", {b"a": b"1"})
    with find_reader() as reader:
        found, notes = read(home, reader)
    assert found == read(home, Hashes(grades=GRADES, nohist_x={b"a": b"1"}))[0]
    assert len(found["namespaces"][b"grades"][1]) == 2
    assert notes == Notes()
