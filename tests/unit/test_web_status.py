"""/lon-status/ and /metrics as handlers: who may see them, and what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from tests.helpers.web import HERE, Browser, app_of, network

PAGES = ["/lon-status/", "/lon-status/status.json", "/metrics"]


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    return app_of(
        network(
            tmp_path,
            administrators="smith:msu, boss:msu",
            sock_dir=tmp_path / "sock_dir",
            delayed_dir=tmp_path / "delayed_dir",
            daemons_dir=tmp_path / "daemons_dir",
        )
    )


@pytest.fixture
def member(app: Flask) -> Browser:
    table = app.extensions["lonnet"].site.table
    return Browser(app, address=table["msul2"].ip)


@pytest.mark.parametrize("path", PAGES)
def test_hosts_of_the_network_and_administrators_may_see_it(app: Flask, member: Browser, path: str) -> None:
    assert member.get(path).status_code == 200
    somebody = Browser(app)
    assert (somebody.get(path).status_code, somebody.get(path).location) == (302, f"/adm/login?next={path}")
    somebody.log_in("jones", "another")
    assert somebody.get(path).status_code == 403
    administrator = Browser(app)
    administrator.log_in("smith", "secret")
    assert administrator.get(path).status_code == 200


def test_the_page_is_of_now(member: Browser) -> None:
    answer = member.get("/lon-status/")
    assert answer.mimetype == "text/html" and answer.headers["Cache-Control"] == "no-store"
    assert f"<title>{HERE}: in trouble</title>" in answer.text  # its daemons do not run
    assert "If that time does not move on" not in answer.text
    style = answer.headers["Content-Security-Policy"]
    assert "style-src 'sha256-" in style and "'unsafe-inline'" not in style
    assert member.get("/lon-status").location.endswith("/lon-status/")
    assert '<a href="/">To the start page</a>' in answer.text


def test_programs_get_json_and_prometheus_its_text(member: Browser) -> None:
    values = json.loads(member.get("/lon-status/status.json").data)
    assert values["host"] == HERE and {peer["state"] for peer in values["peers"]} == {"stopped"}
    answer = member.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"loncapa_build_info", "loncapa_peer_up", "loncapa_delayed_messages"} <= names


def test_administrators_find_it_on_their_first_page(app: Flask) -> None:
    for user, password, finds in (("smith", "secret", True), ("jones", "another", False)):
        browser = Browser(app)
        browser.log_in(user, password)
        assert ('href="/lon-status/"' in browser.get("/").text) == finds
