"""The construction space: files are uploaded, replaced and deleted, and nothing else of it is changed or told."""

from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path

import pytest

from common.resource_directory import locked, open_directory
from tests.helpers.forms import hidden
from tests.helpers.web import HOME, Browser, network
from tests.helpers.web_resources import CONTENT, FORM, PATH, an_author, upload


def test_a_file_keeps_its_own_name(smith: Browser) -> None:
    assert upload(smith, filename="some/where/pic.png").location == "/adm/publish/pic.png"


def test_a_file_can_t_take_the_place_of_a_directory(smith: Browser, tmp_path: Path) -> None:
    space = tmp_path / "construction" / "msu" / "smith"
    upload(smith, name="d.html/b.html")
    answer = upload(smith, name="d.html")
    assert answer.status_code == 422 and "its name is that of a directory already" in answer.text
    assert [path.relative_to(space).as_posix() for path in sorted(space.rglob("*"))] == ["d.html", "d.html/b.html"]
    answer = upload(smith, name="d.html/b.html/c.html")
    assert answer.status_code == 422 and "a part of its path is a file already" in answer.text


def test_an_empty_directory_gives_way_to_a_file(smith: Browser, tmp_path: Path) -> None:
    """It is what an upload to below the name has left that was too large or killed."""
    (tmp_path / "construction" / "msu" / "smith" / "d.html").mkdir(parents=True)
    assert upload(smith, b"x", name="d.html").status_code == 303
    assert (tmp_path / "construction" / "msu" / "smith" / "d.html").read_bytes() == b"x"


def test_uploads_over_the_limit_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    smith = an_author(network(tmp_path, HOME, max_resource=100_000))
    form = hidden(smith.get("/adm/publish").text)
    for size, status in ((100_000, 303), (100_001, 413), (200_000, 413)):
        answer = smith.post("/adm/publish", {**form, "file": (BytesIO(b"x" * size), f"{size}.html")})
        assert answer.status_code == status
    files = [path.name for path in (tmp_path / "construction").rglob("*") if path.is_file()]
    assert files == ["100000.html"]


def test_a_file_is_deleted_after_a_question(smith: Browser, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    upload(smith, name="kin/fall.html")
    smith.submit("/adm/publish/kin/fall.html", FORM)
    assert 'href="/adm/delete/kin/fall.html"' in smith.get("/adm/publish/kin/fall.html").text
    question = smith.get("/adm/delete/kin/fall.html").text
    assert "Delete kin/fall.html?" in question and f"/res/{PATH}</a> stays" in question
    assert (tmp_path / "construction" / PATH).exists()
    answer = smith.submit("/adm/delete/kin/fall.html", {})
    assert (answer.status_code, answer.location) == (303, "/adm/publish")
    assert "Nothing is here yet" in smith.get("/adm/publish").text
    assert f"{PATH} deleted from the construction space by smith:msu" in caplog.text
    assert smith.get(f"/res/{PATH}").data == CONTENT
    assert smith.get("/adm/delete/kin/fall.html").status_code == 404


def test_what_is_not_the_author_s_file_is_not_deleted(
    smith: Browser, jones: Browser, tmp_path: Path, outside: Path
) -> None:
    upload(smith, name="kin/fall.html")
    space = tmp_path / "construction" / "msu" / "smith"
    (space / "link.html").symlink_to(outside / "secret.html")
    (space / "d.html").mkdir()
    assert smith.post("/adm/delete/kin/fall.html", {}).status_code == 403, "without the form's token"
    assert jones.submit("/adm/logout", {}, "/adm/delete/kin/fall.html").status_code == 403
    for name in ("link.html", "d.html", "kin", "../smith/kin/fall.html", "other.html"):
        assert smith.submit("/adm/delete/kin/fall.html", {}, f"/adm/delete/{name}").status_code == 404
    assert {path.name for path in space.iterdir()} == {"kin", "link.html", "d.html"}
    assert (space / "kin" / "fall.html").exists()


def test_one_damaged_resource_does_not_close_the_construction_space(smith: Browser, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        upload(smith, filename=name)
        smith.submit(f"/adm/publish/{name}", FORM)
    (tmp_path / "html" / "res" / "msu" / "smith" / "a.html.meta").write_bytes(b"\xff\n")
    page = smith.get("/adm/publish")
    assert page.status_code == 200 and page.text.count("damaged") == page.text.count("version 1, public") == 1
    assert "damaged; publish it again" in smith.get("/adm/publish/a.html").text
    assert "Version 2 is published" in smith.submit("/adm/publish/a.html", FORM).text
    assert "damaged" not in smith.get("/adm/publish").text
    assert smith.get("/res/msu/smith/a.html").data == CONTENT


def test_a_resource_that_stays_locked_is_shown_as_unreadable(
    smith: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(smith, filename="a.html")
    smith.submit("/adm/publish/a.html", FORM)
    monkeypatch.setattr("common.resource_directory.LOCK_SECONDS", 0.0)
    with open_directory(tmp_path / "html" / "res", ("msu", "smith")) as at, locked(at, exclusive=True):
        for page in ("/adm/publish", "/adm/publish/a.html"):
            answer = smith.get(page)
            assert answer.status_code == 200 and "can&#39;t be read now" in answer.text


def test_nothing_of_an_author_s_forms_is_logged_but_what_was_uploaded(
    smith: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upload(smith, b"what it says", "a.html")
    smith.submit("/adm/publish/a.html", {**FORM, "title": "what it is called"})
    assert "upload of msu/smith/a.html by smith:msu" in caplog.text
    assert "what it" not in caplog.text
