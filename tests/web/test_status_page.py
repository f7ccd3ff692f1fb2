"""The status page in a real browser: as loncron writes it, as the web application shows it, and with hostile names.

Screenshots are kept in .artifacts/web.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from lonstatus.page import rendered
from tests.helpers import reports
from tests.helpers.chromium import chromium, follow, screenshot, show
from tests.helpers.federation import ROOT, Federation
from tests.helpers.waiting import eventually
from tests.helpers.web import HERE, app_of, network

WIDE, TALL = 1200, 900
TELEPHONE = 390
KEPT = ROOT / ".artifacts" / "web"


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    KEPT.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        yield browser


def style(browser: webdriver.Chrome, selector: str, name: str) -> str:
    """A computed style: only a browser that accepted the style sheet has one that is not its own default."""
    return str(browser.execute_script(f"return getComputedStyle(document.querySelector('{selector}')).{name}"))


def pills(browser: webdriver.Chrome) -> set[str]:
    return {pill.text for pill in browser.find_elements(By.CLASS_NAME, "pill")}


def test_the_page_that_loncron_writes(browser: webdriver.Chrome) -> None:
    federation = Federation(["msul1", "msul2", "hubl1"])
    try:
        here = federation.hosts["msul1"]
        here.write_conf(lonRetryFirst="300", lonRetryMax="300")  # the link that is down is neither tried nor given up
        federation.start("msul1", "msul2")
        eventually(lambda: here.lonc.slot("hubl1", "waiting").next_try > time.time() + 60)
        for n in range(3):
            assert here.lonnet().critical(f"log:hub:smith:{n}", "hubl1") == "con_delayed"
        for _ in range(2):
            command = [sys.executable, str(ROOT / "scripts" / "loncron"), "--conf", str(here.conf)]
            ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
            assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
            assert here.lonnet().reply("ping", "msul2") == "msul2"
        show(browser, (here.directory / "html" / "lon-status" / "index.html").as_uri(), WIDE, TALL)
        assert browser.title == "msul1: needs a look"
        assert {"running", "up", "down", "warning", "needs a look"} <= pills(browser)
        assert "3 messages to hubl1 wait" in browser.find_element(By.TAG_NAME, "main").text
        assert style(browser, ".pill.green", "backgroundColor") == "rgb(217, 242, 227)"
        assert len(browser.find_elements(By.CSS_SELECTOR, "svg[role=img]")) == 3
        screenshot(browser, KEPT / "status-page.png")
    finally:
        federation.close()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [WIDE, TELEPHONE])
def test_wide_or_narrow_light_or_dark(browser: webdriver.Chrome, tmp_path: Path, width: int, dark: bool) -> None:
    page = tmp_path / "page.html"
    page.write_text(rendered(reports.report()))
    show(browser, page.as_uri(), width, TALL, dark=dark)
    assert style(browser, "body", "backgroundColor") == ("rgb(18, 23, 30)" if dark else "rgb(245, 246, 248)")
    assert style(browser, "tbody td", "display") == ("flex" if width == TELEPHONE else "table-cell")
    assert style(browser, "tbody tr", "display") == ("flex" if width == TELEPHONE else "table-row")
    screenshot(browser, KEPT / f"status-{'narrow' if width == TELEPHONE else 'wide'}-{'dark' if dark else 'light'}.png")


def test_hostile_names_are_text(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(rendered(reports.hostile()))
    show(browser, page.as_uri(), WIDE, TALL)  # an alert would be an error here
    assert browser.execute_script("return document.scripts.length") == 0
    assert '<script>alert("x")</script>&\'' in browser.find_element(By.TAG_NAME, "h1").text


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingMixIn, WSGIServer):
    """A browser makes connections in advance, and may keep them for minutes without a word: each has a thread of its
    own, and is cut when the server ends."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        for channel in self._open.copy():
            with suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)
        super().server_close()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The web application on a loopback address, asked by a host of the network."""
    sock_dir, delayed_dir, daemons_dir = (tmp_path / name for name in ("run", "delayed", "daemons"))
    app = app_of(network(tmp_path, sock_dir=sock_dir, delayed_dir=delayed_dir, daemons_dir=daemons_dir))
    member = app.extensions["lonnet"].site.table["msul2"].ip

    def asked_by_member(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        return app({**environ, "REMOTE_ADDR": member}, start)

    with make_server("127.0.0.1", 0, asked_by_member, _Server, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_page_of_the_web_application_keeps_its_own_policy(browser: webdriver.Chrome, address: str) -> None:
    show(browser, f"{address}/lon-status/", WIDE, TALL)
    assert browser.title == f"{HERE}: in trouble"
    assert style(browser, ".pill.red", "backgroundColor") == "rgb(251, 220, 220)"
    follow(browser, By.LINK_TEXT, "the same for programs")
    assert f'"host": "{HERE}"' in browser.find_element(By.TAG_NAME, "body").text
