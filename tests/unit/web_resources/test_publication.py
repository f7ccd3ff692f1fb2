"""Publishing: a file of the construction space becomes a version of a resource, or why not is said."""

from __future__ import annotations

import os
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from common.metadata import Metadata
from common.resource_jobs import ResourceJobs, jobs_path
from lonnet.errors import NoSuchUser
from tests.helpers.web import HERE, HOME, Browser, NetInMemory, network
from tests.helpers.web_resources import CONTENT, FORM, LIGHT, PATH, an_author, subscribe, upload


def test_upload_publish_and_publish_again(net: NetInMemory, smith: Browser) -> None:
    assert "Nothing is here yet" in smith.get("/adm/publish").text
    answer = upload(smith, name="kin/fall.html")
    assert (answer.status_code, answer.location) == (303, "/adm/publish/kin/fall.html")
    assert "Not published yet" in smith.get(answer.location).text
    assert "kin/fall.html" in smith.get("/adm/publish").text
    answer = smith.submit("/adm/publish/kin/fall.html", FORM)
    assert answer.status_code == 200 and "Version 1 is published" in answer.text
    assert smith.get(f"/res/{PATH}").data == CONTENT
    upload(smith, b"better", name="kin/fall.html")
    subscribe(net)
    answer = smith.submit("/adm/publish/kin/fall.html", {**FORM, "copyright": "domains", "domains": "other, third"})
    assert "Version 2 is published" in answer.text and f'<td data-label="Host">{HERE}</td>' in answer.text
    metadata = net.resources.fetch(PATH).metadata
    assert (metadata.title, metadata.author, metadata.copyright) == ("Free fall", "smith:msu", "other,third")
    page = smith.get("/adm/publish/kin/fall.html").text
    assert 'value="other,third"' in page and '<td data-label="Address">127.0.0.1</td>' in page


def test_nobody_publishes_for_a_domain_that_is_none(net: NetInMemory, smith: Browser) -> None:
    upload(smith, name="fall.html")
    answer = smith.submit("/adm/publish/fall.html", {**FORM, "copyright": "domains", "domains": "other, publick"})
    assert answer.status_code == 422 and not (net.site.config.doc_root / "res").exists()
    assert "Not published: &#39;publick&#39; may not read: no host of hosts.tab is of this domain." in answer.text


@pytest.mark.parametrize(
    ("path", "source", "metadata", "error", "text"),
    [
        (PATH, CONTENT, Metadata(), TypeError, "source must be a file that is open for reading bytes, not bytes"),
        (PATH, BytesIO(), {}, TypeError, "metadata must be common.metadata.Metadata, not dict"),
        ("msu/nobody/a.html", BytesIO(), Metadata(), NoSuchUser, "nobody:msu: no such user"),
        ("nodom/smith/a.html", BytesIO(), Metadata(), NoSuchUser, "smith:nodom: no library server of nodom is in"),
    ],
)
def test_what_can_not_be_published(
    net: NetInMemory, path: str, source: Any, metadata: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        net.resources.publish(path, source, metadata)
    assert not (net.site.config.doc_root / "res").exists()


def test_a_problem_with_a_mistake_is_not_published(smith: Browser) -> None:
    upload(smith, b"<problem>\n<script/></problem>", "light.problem")
    page = smith.get("/adm/publish/light.problem").text
    assert "It can&#39;t be published as it is: line 2: the element script in problem is not understood." in page
    answer = smith.submit("/adm/publish/light.problem", {**FORM, "title": "<b>T</b>"})
    assert answer.status_code == 422 and "line 2: the element script in problem is not understood" in answer.text
    assert "&lt;b&gt;T&lt;/b&gt;" in answer.text
    assert smith.get("/res/msu/smith/light.problem").status_code == 404


def test_a_good_problem_has_no_faults(smith: Browser) -> None:
    upload(smith, LIGHT, "light.problem")
    page = smith.get("/adm/publish/light.problem")
    assert page.status_code == 200 and "published as it is" not in page.text and 'role="alert"' not in page.text


@pytest.mark.parametrize(
    "wrong", [{"copyright": "every one"}, {"copyright": ""}, {"sourceavail": "x"}, {"title": "a\nb"}]
)
def test_metadata_that_can_t_be_are_refused(smith: Browser, wrong: dict[str, str]) -> None:
    upload(smith, filename="a.html")
    answer = smith.submit("/adm/publish/a.html", {**FORM, **wrong})
    assert answer.status_code == 422 and "Not published" in answer.text
    assert smith.get("/res/msu/smith/a.html").status_code == 404


def test_a_title_that_metadata_can_t_hold_is_refused_before_anything_is_changed(
    net: NetInMemory, smith: Browser, tmp_path: Path
) -> None:
    upload(smith, filename="a.html")
    smith.submit("/adm/publish/a.html", FORM)
    answer = smith.submit("/adm/publish/a.html", {**FORM, "title": "t" * 65_380})
    assert answer.status_code == 422 and "Not published: metadata would have up to 65" in answer.text
    assert sorted(os.listdir(tmp_path / "html" / "res" / "msu" / "smith")) == ["a.html", "a.html.meta"]
    with closing(ResourceJobs(jobs_path(net.site.config))) as jobs:
        assert jobs.waiting() == []


def test_a_file_over_a_limit_that_was_lowered_is_not_published(tmp_path: Path) -> None:
    smith = an_author(network(tmp_path, HOME, max_resource=1000))
    upload(smith, b"x", "a.html")
    (tmp_path / "construction" / "msu" / "smith" / "a.html").write_bytes(CONTENT)
    answer = smith.submit("/adm/publish/a.html", FORM)
    assert answer.status_code == 422 and "a content of more than 1000 bytes" in answer.text
    assert smith.get("/res/msu/smith/a.html").status_code == 404
