"""One host's resources, with copies on disk and peers that answer as a test says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.site import Site
from lonnet.homes import HomeCache
from lonnet.resources import Resources
from tests.helpers.fake_net import FakeNet
from tests.helpers.published import put_resource

PATH = "msu/smith/a.html"
HOME, HERE = "msul1", "msua1"


class OneHost:
    """A host whose peers answer as a test says, which may replace `reply` and `critical`; what it sends is noted."""

    def __init__(self, directory: Path, own: str = HERE, **settings: Any) -> None:
        site = FakeNet([HOME, HERE], own).site
        config = replace(site.config, doc_root=directory, daemons_dir=directory, bind_address="", **settings)
        self.site: Site = replace(site, config=config)
        self.homes = HomeCache()
        self.answers: dict[str, str] = {"home": "found"}
        self.sent: list[str] = []
        self.reply: Callable[..., str] = self._answer
        self.critical: Callable[..., str] = self._answer
        self.resources = Resources(self)

    def _answer(self, command: str, host: str, timeout: float | None = None) -> str:
        self.sent.append(f"{host} {command}")
        return self.answers.get(command.partition(":")[0], "con_lost")


def copy_at(host: OneHost, path: str = PATH) -> Path:
    put_resource(host.site.config.doc_root / "res", path, b"one", copy_of=HOME)
    return host.site.config.doc_root / "res" / path
