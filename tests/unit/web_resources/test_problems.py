"""Problems: they are asked, graded and stored, and neither their answers nor anybody's HTML gets out."""

from __future__ import annotations

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from lonnet.handlers import mount
from lonnet.handlers.res import res
from lonnet.homes import UserName
from tests.helpers.fake_net import FakeLond
from tests.helpers.forms import hidden
from tests.helpers.web import HOME, Browser, NetInMemory
from tests.helpers.web_resources import LIGHT, PROBLEM, log_in_from_elsewhere, publish

PLANETS = b"""<problem><startouttext />Which is the largest planet?<endouttext /><radiobuttonresponse><foilgroup>
<foil value="false"><startouttext />Mars<endouttext /></foil>
<foil value="true"><startouttext />Jupiter<endouttext /></foil>
</foilgroup></radiobuttonresponse></problem>"""


def hand_in(browser: Browser, text: str) -> TestResponse:
    return browser.submit(f"/res/{PROBLEM}", {"answer": text})


def test_a_problem_is_asked_graded_and_stored(net: NetInMemory, jones: Browser) -> None:
    publish(net, PROBLEM, LIGHT, title="Speed of light")
    page = jones.get(f"/res/{PROBLEM}").text
    assert "How fast is light in vacuum?" in page and "m/s" in page and "Your answers" not in page
    answer = hand_in(jones, "3e6")
    assert (answer.status_code, answer.location) == (303, f"/res/{PROBLEM}")
    assert "Not right yet" in jones.get(f"/res/{PROBLEM}").text
    hand_in(jones, "3.0e8")
    page = jones.get(f"/res/{PROBLEM}").text
    assert "You have solved this problem on try 2." in page and "3e6 m/s" in page and 'name="answer"' not in page
    stored = net.user("jones", "msu").restore("problems", PROBLEM)
    assert [dict(version.values) for version in stored.versions] == [
        {"answer": "3e6", "award": "incorrect", "version": "1", "host": HOME},
        {"answer": "3.0e8", "award": "correct", "version": "1", "host": HOME},
    ]
    assert f'<a href="/res/{PROBLEM}">' in jones.get("/").text and "solved" in jones.get("/").text


def test_a_choice(net: NetInMemory, jones: Browser) -> None:
    publish(net, PROBLEM, PLANETS)
    hand_in(jones, "1")
    hand_in(jones, "2")
    page = jones.get(f"/res/{PROBLEM}").text
    assert "solved this problem" in page and page.count("Jupiter") == page.count("Mars") == 1


@pytest.mark.parametrize(("content", "secrets"), [(LIGHT, ["299792458", "1%"]), (PLANETS, ["true", "false"])])
def test_answers_are_never_sent(
    net: NetInMemory, app: Flask, jones: Browser, content: bytes, secrets: list[str]
) -> None:
    publish(net, PROBLEM, content)
    stranger = Browser(app)
    log_in_from_elsewhere(net, stranger)
    net.fake.londs["otherl1"] = FakeLond("otherl1", {"other:doe": {}})
    sent = [hand_in(jones, "1")]
    for browser in (jones, stranger):
        pages = [browser.get(f"/res/{PROBLEM}"), browser.get(f"/res/{PROBLEM}", {"Range": "bytes=0-"})]
        assert all('class="question"' in page.text for page in pages)
        sent += pages
    assert not [secret for secret in secrets for page in sent if secret in page.text]


def test_after_the_right_answer_nothing_is_stored(net: NetInMemory, jones: Browser) -> None:
    publish(net, PROBLEM, LIGHT)
    form = hidden(jones.get(f"/res/{PROBLEM}").text)
    for text in ("299792458", "5"):
        jones.post(f"/res/{PROBLEM}", {**form, "answer": text})
    assert net.user("jones", "msu").restore("problems", PROBLEM).version == 1


@pytest.mark.parametrize("text", ["", "fast", "<script>alert(1)</script>", "1" * 1000, '"><b>'])
def test_what_can_t_be_graded_is_said_and_not_stored(net: NetInMemory, jones: Browser, text: str) -> None:
    publish(net, PROBLEM, LIGHT)
    answer = hand_in(jones, text)
    assert answer.status_code == 422 and ("Write a number" in answer.text or "at most" in answer.text)
    assert not net.user("jones", "msu").restore("problems", PROBLEM)


def test_an_answer_whose_home_server_is_down_is_kept(net: NetInMemory, jones: Browser) -> None:
    publish(net, PROBLEM, LIGHT)
    form = hidden(jones.get(f"/res/{PROBLEM}").text)
    net.fake.down.add(HOME)
    net.homes.forget(UserName("jones", "msu"))  # as in a process that has just started
    page = jones.get(f"/res/{PROBLEM}")
    assert page.status_code == 200 and "does not answer now" in page.text
    answer = jones.post(f"/res/{PROBLEM}", {**form, "answer": "3e8"})
    assert answer.status_code == 200 and "Right." in answer.text and "will arrive there by itself" in answer.text
    assert [line.partition(":")[0] for _, line in net.fake.delayed] == ["store"]


def test_an_answer_that_could_not_be_stored_is_not_called_right(net: NetInMemory, jones: Browser) -> None:
    publish(net, PROBLEM, LIGHT)
    net.fake.answers[HOME, "store"] = "con_failed"
    answer = hand_in(jones, "3e8")
    assert answer.status_code == 503 and "Right" not in answer.text


def test_another_site_can_t_answer_for_a_learner(net: NetInMemory, jones: Browser) -> None:
    publish(net, PROBLEM, LIGHT)
    assert jones.post(f"/res/{PROBLEM}", {"answer": "3e8"}).status_code == 403
    assert not net.user("jones", "msu").restore("problems", PROBLEM)


def test_html_in_titles_and_stored_answers_is_text(net: NetInMemory, jones: Browser) -> None:
    publish(net, PROBLEM, PLANETS, title="<script>alert(1)</script>")
    net.user("jones", "msu").store("problems", PROBLEM, {"answer": "<script>2</script>", "award": "incorrect"})
    page = jones.get(f"/res/{PROBLEM}").text
    assert "&lt;script&gt;alert(1)" in page and "&lt;script&gt;2" in page and "<script" not in page


def test_a_file_that_is_no_problem(net: NetInMemory, jones: Browser, caplog: pytest.LogCaptureFixture) -> None:
    publish(net, PROBLEM, b"<quiz/>")
    answer = jones.get(f"/res/{PROBLEM}")
    assert answer.status_code == 500 and "its file is not one" in answer.text and "quiz" not in answer.text
    assert "the outermost element is quiz" in caplog.text


def test_without_their_blueprint_problems_are_not_there(net: NetInMemory) -> None:
    publish(net, PROBLEM, LIGHT)
    app = Flask("another")
    mount(app, net, res)
    browser = Browser(app)
    log_in_from_elsewhere(net, browser)
    answer = browser.get(f"/res/{PROBLEM}")
    assert answer.status_code == 404 and "299792458" not in answer.text
