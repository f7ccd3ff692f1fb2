"""Files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.durable import replacing


def test_the_new_file_takes_the_old_one_s_place(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data, mode in ((b"old", 0o600), (b"new", 0o644)):
        with replacing(path, mode) as file:
            file.write(data)
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (data, mode)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_until_the_end_and_after_an_error_there_is_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="stop"), replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        raise ValueError("stop")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("file", b"old")]


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "none" / "file"):
        pytest.fail("there is nowhere to write")
