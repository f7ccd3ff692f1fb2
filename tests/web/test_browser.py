"""A person with a real browser: Chromium, at a host under Apache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from lonnet.handlers.work import NAMESPACE
from tests.helpers.chromium import chromium, follow
from tests.helpers.chromium import screenshot as picture
from tests.web.conftest import ACCESS, AUTHOR, HOME, LEARNER, Site

TELEPHONE, DESK = (390, 844), (1100, 900)
LIGHT = """<problem>
<startouttext /><p>A ball falls from rest, without friction. How fast is it after <b>2 s</b>?</p>
<p>Take g = 9.81 m/s<sup>2</sup>.</p><endouttext />
<numericalresponse answer="19.62" unit="m/s"><responseparam type="tolerance" default="1%" /></numericalresponse>
</problem>"""
PLANETS = """<problem><startouttext />Which planet has the longest day?<endouttext /><radiobuttonresponse><foilgroup>
<foil value="false"><startouttext />Mars<endouttext /></foil>
<foil value="true"><startouttext />Venus<endouttext /></foil>
<foil value="false"><startouttext />Jupiter<endouttext /></foil></foilgroup></radiobuttonresponse></problem>"""

Screenshot = Callable[[str], None]


@pytest.fixture
def chrome(site: Site) -> Iterator[Chrome]:
    """A browser with a profile of its own."""
    with chromium() as browser:
        browser.set_page_load_timeout(60)
        screen(browser, *DESK)
        yield browser
        log: list[dict[str, str]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
        refused = [entry["message"] for entry in log if "Content Security" in entry["message"]]
        assert refused == [], "the pages do what their own policy forbids"


def screen(browser: Chrome, width: int, height: int) -> None:
    """Show pages as a screen of this size does."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.fixture
def screenshot(chrome: Chrome, artifacts: Path) -> Screenshot:
    """Keeps a picture of the page; nothing on it may be wider than the window."""

    def keep(name: str) -> None:
        wider = chrome.execute_script("return document.documentElement.scrollWidth > window.innerWidth")
        assert not wider, f"{name}: the page must be scrolled sideways"
        picture(chrome, artifacts / f"{name}.png")

    return keep


def log_in(chrome: Chrome, site: Site, host: str, who: tuple[str, str], path: str = "/") -> None:
    """Log in by the page, as one is sent there."""
    chrome.get(site.apaches[host].base + path)
    chrome.find_element(By.ID, "user").send_keys(who[0])
    chrome.find_element(By.ID, "password").send_keys(who[1])
    Select(chrome.find_element(By.ID, "domain")).select_by_visible_text("msu")
    press(chrome, "Log in")


def press(chrome: Chrome, text: str) -> None:
    """Press the button with this text on the page, not in its head."""
    follow(chrome, By.XPATH, f"//main//button[normalize-space()='{text}']")


def answer(chrome: Chrome, text: str) -> None:
    field = chrome.find_element(By.ID, "answer")
    field.clear()
    field.send_keys(text)
    press(chrome, "Submit")


def main_text(chrome: Chrome) -> str:
    text: str = chrome.find_element(By.TAG_NAME, "main").text
    return text


def test_a_learner_solves_a_problem(site: Site, chrome: Chrome, screenshot: Screenshot) -> None:
    path = site.publish("kin/ball.problem", LIGHT.encode(), title="A falling ball")
    log_in_page = site.apaches[ACCESS].base + f"/res/{path}"
    chrome.get(log_in_page)
    screenshot("1-log-in")
    log_in(chrome, site, ACCESS, ("jones", "wrong"), f"/res/{path}")
    assert "User name or password is wrong." in main_text(chrome)
    screenshot("2-log-in-wrong")
    chrome.find_element(By.ID, "password").send_keys(LEARNER[1])
    press(chrome, "Log in")
    assert chrome.current_url == log_in_page and chrome.title == "A falling ball · msua1"
    screenshot("3-problem")
    assert "19.62" not in chrome.page_source
    answer(chrome, "quick")
    assert "Write a number" in main_text(chrome)
    screenshot("4-no-number")
    answer(chrome, "9.81")
    assert "Not right yet" in main_text(chrome)
    screenshot("5-wrong")
    answer(chrome, "19.6")
    assert "You have solved this problem on try 2." in main_text(chrome)
    rows = [row.text for row in chrome.find_elements(By.CSS_SELECTOR, "tbody tr")]
    assert [row.partition(" 20")[0] for row in rows] == ["2 19.6 m/s right", "1 9.81 m/s wrong"]
    screenshot("6-right")
    with site.net() as net:
        stored = net.user("jones", "msu").restore(NAMESPACE, path)
        assert net.homeserver("jones", "msu") == HOME
    assert [(one.values["answer"], one.values["host"]) for one in stored.versions] == [
        ("9.81", ACCESS),
        ("19.6", ACCESS),
    ]
    follow(chrome, By.CSS_SELECTOR, "a.brand")
    assert "kin/ball.problem" in main_text(chrome) and "solved" in main_text(chrome)
    screenshot("7-start")
    follow(chrome, By.XPATH, "//header//button")
    screenshot("8-logged-out")
    assert chrome.title.startswith("Log in") and "lonID" not in [one["name"] for one in chrome.get_cookies()]
    chrome.get(log_in_page)
    assert chrome.title.startswith("Log in")


def test_a_choice_on_a_telephone(site: Site, chrome: Chrome, screenshot: Screenshot) -> None:
    path = site.publish("planets.problem", PLANETS.encode(), title="The longest day")
    screen(chrome, *TELEPHONE)
    log_in(chrome, site, ACCESS, LEARNER, f"/res/{path}")
    screenshot("9-telephone-choice")
    for label in ("Mars", "Venus"):
        chrome.find_element(By.XPATH, f"//label[normalize-space()='{label}']").click()
        press(chrome, "Submit")
    assert "solved" in main_text(chrome)
    screenshot("10-telephone-right")
    chrome.get(site.apaches[ACCESS].base + "/none")
    assert "There is nothing at this address." in main_text(chrome)
    screenshot("11-telephone-error")
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    chrome.get(site.apaches[ACCESS].base + f"/res/{path}")
    screenshot("12-telephone-dark")


def test_an_author_publishes(site: Site, chrome: Chrome, screenshot: Screenshot, tmp_path: Path) -> None:
    file = tmp_path / "wave.problem"
    file.write_text(LIGHT)
    log_in(chrome, site, HOME, AUTHOR, "/adm/publish")
    chrome.find_element(By.ID, "file").send_keys(str(file))
    chrome.find_element(By.ID, "name").send_keys("waves/wave.problem")
    press(chrome, "Upload")
    assert "Not published yet" in main_text(chrome)
    screenshot("13-draft")
    chrome.find_element(By.ID, "title").send_keys("A <b>wave</b>")
    press(chrome, "Publish")
    assert "Version 1 is published" in main_text(chrome)
    screenshot("14-published")
    follow(chrome, By.LINK_TEXT, "/res/msu/smith/waves/wave.problem")
    assert chrome.find_element(By.TAG_NAME, "h1").text == "A <b>wave</b>"
    site.browser(ACCESS, LEARNER).get("/res/msu/smith/waves/wave.problem")
    chrome.get(site.apaches[HOME].base + "/adm/publish/waves/wave.problem")
    assert ACCESS in main_text(chrome)
    screenshot("15-subscribers")
    follow(chrome, By.LINK_TEXT, "Back to the construction space")
    screenshot("16-construction-space")


def test_what_an_author_wrote_runs_no_script(site: Site, chrome: Chrome, screenshot: Screenshot) -> None:
    page = b"<!DOCTYPE html><title>quiet</title><p onclick='x'>Text</p><script>document.title = 'loud'</script>"
    path = site.publish("page.html", page)
    log_in(chrome, site, ACCESS, LEARNER, f"/res/{path}")
    assert chrome.title == "quiet"
    chrome.get_log("browser")  # type: ignore[no-untyped-call]  # the refusals that this page was meant to cause
