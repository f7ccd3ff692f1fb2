"""Paths that would lead out of the tree of resources or of a construction space: by their names, by symbolic links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from flask import Flask

from tests.helpers.web import Browser, NetInMemory
from tests.helpers.web_resources import FORM, MEMBER, publish, upload

TRICKS = [
    "../../outside/secret.html",
    "msu/smith/../../../../outside/secret.html",
    "msu/smith/%2e%2e/%2e%2e/%2e%2e/%2e%2e/outside/secret.html",
    "msu/smith/..%2f..%2f..%2f..%2foutside%2fsecret.html",
    "msu/smith/..\\..\\..\\..\\outside\\secret.html",
    "msu/smith/..%5c..%5c..%5c..%5coutside%5csecret.html",
    "msu/smith/%252e%252e/%252e%252e/%252e%252e/%252e%252e/outside/secret.html",
    "msu/smith/secret.html%00.png",
    "msu/smith/%00",
    "msu/smith/.hidden.html",
    "msu/smith/kin/fall.html.meta",
    "msu/smith/kin/fall.html.subscription",
    "msu/smith/link.html",
    "msu/smith/way/secret.html",
    "msu/smith/" + "x" * 10_000 + ".html",
    "msu/smith/" + "d/" * 5_000 + "x.html",
    "msu/smith",
    "msu",
    "%2fetc/passwd",
    "msu/smith/%ff%fe.html",
    "msu/smith/a%0d%0aSet-Cookie:x.html",
]


@pytest.fixture
def tricky(net: NetInMemory, tmp_path: Path, outside: Path) -> None:
    """A tree with symbolic links that lead out of it."""
    publish(net)
    here = tmp_path / "html" / "res" / "msu" / "smith"
    os.symlink(outside / "secret.html", here / "link.html")
    for beside in (".meta", ".subscription"):
        (here / f"link.html{beside}").write_bytes((outside / f"secret.html{beside}").read_bytes())
    os.symlink(outside, here / "way")


@pytest.mark.usefixtures("tricky")
@pytest.mark.parametrize("path", TRICKS)
def test_no_path_leads_out_of_the_tree(app: Flask, smith: Browser, path: str) -> None:
    for answer in (smith.get(f"/res/{path}"), Browser(app, MEMBER).get(f"/raw/{path}")):
        assert answer.status_code in (400, 403, 404), answer.status_code
        assert b"secret" not in answer.data.replace(b"secret.html", b"")


@pytest.mark.parametrize(
    "name",
    [
        "../jones/fall.html",
        "../../fall.html",
        "a/../../../b.html",
        "a\\..\\b.html",
        ".htaccess.txt",
        "a/.git/b.html",
        "a%2e%2e/b.html",
        "a\0.html",
        "fall.html.meta",
        "fall.html.subscription",
        "fall.3.html",
        "noextension",
        "x" * 10_000 + ".html",
        "a//b.html",
        "a\nb.html",
    ],
)
def test_names_that_resources_can_t_have_are_refused(smith: Browser, tmp_path: Path, name: str) -> None:
    answer = upload(smith, name=name)
    assert answer.status_code == 422 and "was not kept" in answer.text
    assert not [path for path in (tmp_path / "construction").rglob("*") if path.is_file()]
    assert smith.get(f"/adm/publish/{name.replace('%', '%25')}").status_code == 404


def test_symbolic_links_in_the_construction_space_lead_nowhere(smith: Browser, tmp_path: Path, outside: Path) -> None:
    upload(smith, filename="a.html")
    space = tmp_path / "construction" / "msu" / "smith"
    os.symlink(outside / "secret.html", space / "link.html")
    os.symlink(outside, space / "way")
    assert "link.html" not in smith.get("/adm/publish").text and "way" not in smith.get("/adm/publish").text
    for name in ("link.html", "way/secret.html"):
        assert smith.get(f"/adm/publish/{name}").status_code == 404
        assert smith.submit("/adm/publish/a.html", FORM, f"/adm/publish/{name}").status_code == 404
    assert upload(smith, name="way/new.html").status_code == 422
    assert upload(smith, name="link.html").status_code == 303, "the link is replaced, not followed"
