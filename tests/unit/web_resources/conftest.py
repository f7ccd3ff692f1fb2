"""What the tests of resources share: smith, an author, and jones, a learner, on their home server msul1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.helpers.published import metadata_of
from tests.helpers.web import HERE, HOME, Browser, NetInMemory, app_of, network
from tests.helpers.web_resources import MEMBER, make_author


@pytest.fixture
def net(tmp_path: Path) -> NetInMemory:
    made = network(tmp_path, HOME, others=("other", "third"))
    make_author(made)
    return made


@pytest.fixture
def app(net: NetInMemory) -> Flask:
    return app_of(net)


@pytest.fixture
def smith(app: Flask) -> Browser:
    browser = Browser(app)
    browser.log_in()
    return browser


@pytest.fixture
def jones(app: Flask) -> Browser:
    browser = Browser(app)
    browser.log_in("jones", "another")
    return browser


@pytest.fixture(autouse=True)
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory that no path leads to, with a resource that anybody might read; it stays as it is.

    Whatever a test sends, files appear in the places that are made for them alone.
    """
    made = tmp_path / "outside"
    made.mkdir()
    (made / "secret.html").write_bytes(b"secret")
    (made / "secret.html.meta").write_bytes(metadata_of(b"secret").encode())
    (made / "secret.html.subscription").write_text(f"{HERE}:{MEMBER}:1700000000\n")
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    yield made
    assert {path.name for path in tmp_path.iterdir()} <= {"ids", "html", "construction", "outside", "jobs"}
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before
