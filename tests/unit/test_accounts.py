"""The passwd file: what it may say, and that it is there as a whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lond.authentication.accounts import (
    TYPES,
    Account,
    AccountError,
    create_account,
    parse_account,
    read_account,
    replace_account,
)
from lond.records.paths import make_user_directory, user_directory

INTERNAL = Account("internal", "abNANd1rDfiNc")
KRB5 = Account("krb5", "MSU.EDU")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The directory of smith, without a passwd file."""
    return make_user_directory(tmp_path, b"msu", b"smith")


def written(home: Path, data: bytes) -> Path:
    (home / "passwd").write_bytes(data)
    return home


def make(tmp_path: Path, account: Account = INTERNAL) -> bool:
    return create_account(tmp_path, b"msu", b"smith", account)


class TestLine:
    @pytest.mark.parametrize(
        ("data", "type_", "info"),
        [
            (b"internal:abNANd1rDfiNc\n", "internal", "abNANd1rDfiNc"),
            (b"internal:$6$a$b", "internal", "$6$a$b"),
            (b"unix:\n", "unix", ""),
            (b"unix\n", "unix", ""),
            (b"krb4:MSU.EDU\r\n", "krb4", "MSU.EDU"),
            (b"krb5:MSU.EDU\nrest that nobody reads", "krb5", "MSU.EDU"),
            (b"localauth:ldap:ou=people:x\n", "localauth", "ldap:ou=people:x"),
            (b"none:\n", "none", ""),
        ],
    )
    def test_every_type(self, home: Path, data: bytes, type_: str, info: str) -> None:
        assert read_account(written(home, data)) == Account(type_, info)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\n",
            b"lti:x",
            b"Internal:x",
            b":x",
            b"internal:a\tb",
            b"krb5:\x7f",
            b"\xff\xfe:x",
            b"unix:" + b"x" * 4100,
        ],
    )
    def test_unknown_content_is_an_error_without_the_content(self, home: Path, data: bytes) -> None:
        with pytest.raises(AccountError) as caught:
            read_account(written(home, data))
        assert caught.value.number == errno.EIO
        assert str(caught.value) == "the passwd file can not be understood, an administrator must act"

    @given(st.binary(max_size=5000))
    @example(b"internal:\xff\xfe")
    def test_any_content_is_an_account_or_an_error(self, data: bytes) -> None:
        try:
            account = parse_account(data)
        except AccountError as error:
            assert error.number == errno.EIO
        else:
            assert account.type in TYPES
            assert parse_account(account.line()) == account

    @pytest.mark.parametrize("info", ["a\nb", "a\0", "\x1b[1m", "x" * 5000])
    def test_what_does_not_fit_into_the_line_is_no_account(self, info: str) -> None:
        with pytest.raises(AccountError) as caught:
            Account("localauth", info)
        assert caught.value.number == errno.EINVAL

    def test_a_hash_is_not_in_the_repr(self) -> None:
        assert "abNANd1rDfiNc" not in repr(INTERNAL)


class TestReading:
    def test_without_a_file_this_is_not_the_home_server(self, home: Path) -> None:
        assert read_account(home) is None
        assert read_account(home / "nowhere") is None
        assert read_account(written(home, b"unix:") / "passwd") is None

    def test_a_fifo_keeps_nobody_waiting(self, home: Path) -> None:
        os.mkfifo(home / "passwd")
        with pytest.raises(AccountError, match="not a regular file"):
            read_account(home)

    def test_errors_of_the_system_have_their_number(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any) -> int:
            raise PermissionError(errno.EACCES, "x")

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(AccountError) as caught:
            read_account(home)
        assert (caught.value.number, caught.value.text) == (errno.EACCES, "permission denied")


class TestCreating:
    def test_the_user_is_at_home_here(self, tmp_path: Path) -> None:
        assert make(tmp_path)
        home = user_directory(tmp_path, b"msu", b"smith")
        assert (home / "passwd").read_bytes() == b"internal:abNANd1rDfiNc\n"
        assert stat.S_IMODE((home / "passwd").stat().st_mode) == 0o600
        assert [path.name for path in home.iterdir()] == ["passwd"]

    def test_who_exists_is_left_alone(self, tmp_path: Path, home: Path) -> None:
        written(home, b"broken")
        assert not make(tmp_path)
        assert [path.name for path in home.iterdir()] == ["passwd"]
        assert (home / "passwd").read_bytes() == b"broken"

    def test_everything_is_on_disk_before_it_counts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with steps(monkeypatch) as seen:
            make(tmp_path)
        assert seen[-4:] == ["fsync file", "link", "unlink", "fsync directory"]

    def test_disk_full_leaves_nothing(self, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(AccountError) as caught:
            make(tmp_path)
        assert caught.value.number == errno.ENOSPC
        assert list(home.iterdir()) == []


class TestReplacing:
    def test_the_new_line_takes_the_place(self, home: Path) -> None:
        assert replace_account(written(home, b"internal:x\n"), KRB5)
        assert (home / "passwd").read_bytes() == b"krb5:MSU.EDU\n"
        assert stat.S_IMODE((home / "passwd").stat().st_mode) == 0o600
        assert [path.name for path in home.iterdir()] == ["passwd"]

    def test_a_broken_file_can_be_replaced(self, home: Path) -> None:
        assert replace_account(written(home, b"\xff"), KRB5)
        assert read_account(home) == KRB5

    def test_who_is_not_here_is_not_created(self, home: Path) -> None:
        assert not replace_account(home, KRB5)
        assert not replace_account(home / "nowhere", KRB5)
        assert list(home.iterdir()) == []

    def test_only_what_was_expected_is_replaced(self, home: Path) -> None:
        written(home, INTERNAL.line())
        assert not replace_account(home, KRB5, expected=Account("internal", "another"))
        assert read_account(home) == INTERNAL
        assert replace_account(home, KRB5, expected=INTERNAL)
        assert read_account(home) == KRB5

    def test_nobody_waits_for_who_is_changing_it(self, home: Path) -> None:
        descriptor = os.open(written(home, INTERNAL.line()), os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            assert not replace_account(home, KRB5)
        finally:
            os.close(descriptor)
        assert replace_account(home, KRB5)

    def test_everything_is_on_disk_before_it_counts(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        written(home, INTERNAL.line())
        with steps(monkeypatch) as seen:
            replace_account(home, KRB5)
        assert seen == ["fsync file", "rename", "fsync directory"]

    def test_disk_full_leaves_the_old_line(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        written(home, INTERNAL.line())
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(AccountError) as caught:
            replace_account(home, KRB5)
        assert caught.value.number == errno.ENOSPC
        assert [path.name for path in home.iterdir()] == ["passwd"]
        assert read_account(home) == INTERNAL

    def test_a_failed_rename_leaves_the_old_line(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        written(home, INTERNAL.line())
        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(AccountError):
            replace_account(home, KRB5)
        assert [path.name for path in home.iterdir()] == ["passwd"]
        assert read_account(home) == INTERNAL


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "x")


@contextmanager
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Records the order of what makes a change durable."""
    seen: list[str] = []
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        seen.append("fsync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")
        real_fsync(descriptor)

    def recorded(real: Any, word: str) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if not keywords.get("missing_ok"):
                seen.append(word)
            return real(*arguments, **keywords)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        for owner, name, word in ((os, "link", "link"), (Path, "replace", "rename"), (Path, "unlink", "unlink")):
            patch.setattr(owner, name, recorded(getattr(owner, name), word))
        yield seen


def test_processes_that_create_at_once_have_one_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_link = os.link

    def late_link(source: Path, target: Path) -> None:
        target.write_bytes(KRB5.line())  # another process, between the look and the link
        real_link(source, target)

    monkeypatch.setattr(os, "link", late_link)
    assert not make(tmp_path)
    home = user_directory(tmp_path, b"msu", b"smith")
    assert read_account(home) == KRB5
    assert [path.name for path in home.iterdir()] == ["passwd"]
