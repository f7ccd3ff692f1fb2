"""Authors: who is one, and what they alone may: see sources, publish, and send more than a form."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from flask import Flask

from common.metadata import Metadata
from common.resource_path import ResourcePath
from lonnet.handlers.authors import is_in_force
from lonnet.handlers.reading import may_read_source
from lonnet.sessions import Session
from tests.helpers.forms import hidden
from tests.helpers.web import HOME, OTHER, Browser, NetInMemory
from tests.helpers.web_resources import FORM, LIGHT, PATH, PROBLEM, make_author, publish, upload


@pytest.mark.parametrize(
    ("value", "now", "holds"),
    [
        ("0_0", 5, True),
        ("", 5, False),
        ("10_0", 9, True),
        ("10_0", 10, False),
        ("0_7", 6, False),
        ("0_7", 7, True),
        ("au_0_0", 5, True),
        ("10", 9, True),
        ("x", 5, False),
        ("-1_0", 5, False),
        ("au", 5, False),
    ],
)
def test_roles_have_their_time(value: str, now: float, holds: bool) -> None:
    assert is_in_force(value, now) is holds


def test_only_authors_publish_and_only_at_home_and_by_their_own_forms(
    net: NetInMemory, app: Flask, smith: Browser, jones: Browser
) -> None:
    assert jones.get("/adm/publish").status_code == 403
    assert Browser(app).get("/adm/publish").status_code == 302
    assert smith.post("/adm/publish", {"file": (BytesIO(b"x"), "a.html")}).status_code == 403
    upload(smith, filename="a.html")
    assert smith.post("/adm/publish/a.html", FORM).status_code == 403
    net.fake.londs[OTHER].do_makeuser("msu", "roe", "internal", "pw")
    make_author(net, "roe", OTHER)
    roe = Browser(app)
    roe.log_in("roe", "pw")
    answer = roe.get("/adm/publish")
    assert answer.status_code == 403 and "https://msul2.example.org/adm/publish" in answer.text
    assert "https://msul2.example.org/adm/publish" in roe.get("/").text


def test_only_authors_may_send_more_than_a_form(smith: Browser, jones: Browser, app: Flask, tmp_path: Path) -> None:
    token, much = hidden(jones.get("/adm/logout").text), b"x" * 100_000
    for browser, status in ((jones, 413), (Browser(app), 403)):
        answer = browser.post("/adm/publish", {**token, "file": (BytesIO(much), "a.html")})
        assert answer.status_code == status
    assert not (tmp_path / "construction").exists()
    assert upload(smith, much).status_code == 303


def test_authors_may_see_the_source_and_learners_never(net: NetInMemory, smith: Browser, jones: Browser) -> None:
    publish(net, PROBLEM, LIGHT, sourceavail="open")
    page = smith.get(f"/adm/source/{PROBLEM}")
    assert page.status_code == 200 and "&lt;problem&gt;" in page.text
    assert "/adm/source/" in smith.get(f"/res/{PROBLEM}").text
    assert "/adm/source/" not in jones.get(f"/res/{PROBLEM}").text
    answer = jones.get(f"/adm/source/{PROBLEM}")
    assert answer.status_code == 403 and "299792458" not in answer.text
    make_author(net, "jones")
    assert jones.get(f"/adm/source/{PROBLEM}").status_code == 200
    net.fake.answers[HOME, "get"] = "con_lost"
    assert jones.get(f"/adm/source/{PROBLEM}").status_code == 403, "nobody can say now that this is an author"
    publish(net)
    assert smith.get(f"/adm/source/{PATH}").status_code == 404


@pytest.mark.parametrize(
    ("who", "sourceavail", "author", "may"),
    [
        (("doe", "other"), "open", True, True),
        (("doe", "other"), "closed", True, False),
        (("doe", "other"), "open", False, False),
        (("jones", "msu"), "closed", True, True),
        (("jones", "msu"), "closed", False, False),
        (("smith", "msu"), "closed", False, True),
        (("smith", "other"), "closed", True, False),
    ],
)
def test_whose_source_is_available(who: tuple[str, str], sourceavail: str, author: bool, may: bool) -> None:
    session = Session(*who, "l1", 0.0, "x")
    metadata = Metadata(copyright="public", sourceavail=sourceavail)
    assert may_read_source(session, ResourcePath.parse(PROBLEM), metadata, author) is may
