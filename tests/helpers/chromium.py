"""A real browser without a window, which asks nobody on the network for anything but what it is told to open."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from tests.helpers.waiting import eventually, processes_in_session

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """The browser; the test is skipped where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("there is no chromium here (Debian: apt install chromium chromium-driver)")
    with tempfile.TemporaryDirectory(prefix="lonchromium") as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = Service(driver, popen_kw={"start_new_session": True})
        browser = webdriver.Chrome(options=options, service=service)
        session = service.process.pid
        try:
            yield browser
        finally:
            browser.quit()
            eventually(lambda: not processes_in_session(session))  # some write to the profile to the last


def show(browser: webdriver.Chrome, address: str, width: int, height: int, *, dark: bool = False) -> None:
    """Open a page as a screen of this size shows it, and see that the browser has nothing to complain of."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(address)
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def follow(browser: webdriver.Chrome, how: str, what: str) -> None:
    """Click on what leads to another page, and wait until it does.

    The browser tells which load of a page it shows. An element of the old page must not be asked: in the middle of the
    change the answer is sometimes an error of the driver, which says nothing of the page.
    """
    before = loader(browser)
    browser.find_element(how, what).click()
    wait = WebDriverWait(browser, 60, ignored_exceptions=[WebDriverException])
    wait.until(lambda _: loader(browser) != before)


def loader(browser: webdriver.Chrome) -> str:
    """What names the load of the page that is shown."""
    tree = browser.execute_cdp_cmd("Page.getFrameTree", {})
    name: str = tree["frameTree"]["frame"]["loaderId"]
    return name


def screenshot(browser: webdriver.Chrome, path: Path) -> None:
    """The whole page, however long."""
    width = browser.execute_script("return window.innerWidth")
    height = browser.execute_script("return document.documentElement.scrollHeight")
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert browser.save_screenshot(str(path))
