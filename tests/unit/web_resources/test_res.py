"""/res: whole resources and parts of them, for those who are logged in and may read them."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.helpers.web import Browser, NetInMemory
from tests.helpers.web_resources import CONTENT, PATH, digest, log_in_from_elsewhere, publish


def test_a_resource_is_sent_whole_with_its_digest_as_tag(net: NetInMemory, jones: Browser) -> None:
    publish(net)
    answer = jones.get(f"/res/{PATH}")
    assert (answer.status_code, answer.data, answer.mimetype) == (200, CONTENT, "text/html")
    assert answer.headers["ETag"] == f'"{digest(CONTENT)}"'
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "script-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=0-9", 206, CONTENT[:10]),
        ("bytes=100-", 206, CONTENT[100:]),
        ("bytes=-5", 206, CONTENT[-5:]),
        ("bytes=255999-300000", 206, CONTENT[255999:]),
        ("bytes=256000-", 416, None),
        ("lines=1-2", 200, CONTENT),
        ("bytes=x", 200, CONTENT),
    ],
)
def test_parts(net: NetInMemory, jones: Browser, wanted: str, status: int, part: bytes | None) -> None:
    publish(net)
    answer = jones.get(f"/res/{PATH}", {"Range": wanted})
    assert answer.status_code == status
    if part is not None:
        assert answer.data == part and answer.headers["Content-Length"] == str(len(part))


def test_conditional_requests(net: NetInMemory, jones: Browser) -> None:
    publish(net)
    tag = jones.get(f"/res/{PATH}").headers["ETag"]
    same = jones.get(f"/res/{PATH}", {"If-None-Match": tag})
    assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)
    part = {"Range": "bytes=0-9", "If-Range": tag}
    assert jones.get(f"/res/{PATH}", part).data == CONTENT[:10]
    publish(net, content=b"new")
    assert jones.get(f"/res/{PATH}", {"If-None-Match": tag}).data == b"new"
    assert jones.get(f"/res/{PATH}", part).data == b"new"


def test_head(net: NetInMemory, jones: Browser) -> None:
    publish(net)
    answer = jones.client.head(f"/res/{PATH}", base_url="http://msua1.example.org", buffered=True)
    assert (answer.status_code, answer.data, answer.content_length) == (200, b"", len(CONTENT))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html"),
        ("a.png", "image/png"),
        ("a.svg", "image/svg+xml"),
        ("a.pdf", "application/pdf"),
        ("a.css", "text/css"),
        ("a.js", "text/javascript"),
        ("a.webp", "image/webp"),
        ("a.tar.gz", "application/gzip"),
        ("a.unknownthing", "application/octet-stream"),
    ],
)
def test_media_types_do_not_depend_on_the_machine(net: NetInMemory, jones: Browser, name: str, kind: str) -> None:
    publish(net, f"msu/smith/{name}", b"x")
    assert jones.get(f"/res/msu/smith/{name}").mimetype == kind


def test_names_of_all_scripts(net: NetInMemory, jones: Browser) -> None:
    publish(net, "msu/smith/übung 1/été.html", b"x")
    assert jones.get("/res/msu/smith/übung 1/été.html").data == b"x"


def test_an_older_version(net: NetInMemory, jones: Browser) -> None:
    publish(net, content=b"one")
    publish(net, content=b"two")
    assert jones.get("/res/msu/smith/kin/fall.1.html").data == b"one"
    assert jones.get(f"/res/{PATH}").data == b"two"


def test_nobody_reads_without_a_log_in(net: NetInMemory, app: Flask) -> None:
    publish(net)
    answer = Browser(app).get(f"/res/{PATH}")
    assert (answer.status_code, answer.location) == (302, f"/adm/login?next=/res/{PATH}")


@pytest.mark.parametrize(
    ("copyright", "of_domain", "of_other"),
    [("public", 200, 200), ("domain", 200, 403), ("private", 403, 403), ("other", 200, 200), ("third", 200, 403)],
)
def test_who_may_read(
    net: NetInMemory, app: Flask, smith: Browser, jones: Browser, copyright: str, of_domain: int, of_other: int
) -> None:
    publish(net, copyright=copyright)
    stranger = Browser(app)
    log_in_from_elsewhere(net, stranger)
    assert smith.get(f"/res/{PATH}").status_code == 200
    assert jones.get(f"/res/{PATH}").status_code == of_domain
    assert stranger.get(f"/res/{PATH}").status_code == of_other
