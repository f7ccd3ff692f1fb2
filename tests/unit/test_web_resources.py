"""/raw, /res, problems and publishing on one host: who gets what, and what is never given away or written."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from common.metadata import Metadata, parse_metadata
from common.resource_directory import locked, open_directory
from common.resource_jobs import ResourceJobs, jobs_path
from common.resource_path import ResourcePath
from lonnet.errors import NoSuchUser
from lonnet.handlers import mount
from lonnet.handlers.authors import author_role, is_in_force
from lonnet.handlers.raw import raw
from lonnet.handlers.reading import may_read_source
from lonnet.handlers.res import res
from lonnet.homes import UserName
from lonnet.sessions import Session, Sessions
from tests.helpers.forms import hidden
from tests.helpers.web import HERE, HOME, OTHER, Browser, NetInMemory, app_of, network

MEMBER = "127.0.0.1"  # msua1
CONTENT = bytes(range(256)) * 1000
PATH = "msu/smith/kin/fall.html"
PROBLEM = "msu/smith/kin/light.problem"
LIGHT = b"""<problem><startouttext />How fast is light in vacuum?<endouttext />
<numericalresponse answer="299792458" unit="m/s"><responseparam type="tolerance" default="1%" /></numericalresponse>
</problem>"""
PLANETS = b"""<problem><startouttext />Which is the largest planet?<endouttext /><radiobuttonresponse><foilgroup>
<foil value="false"><startouttext />Mars<endouttext /></foil>
<foil value="true"><startouttext />Jupiter<endouttext /></foil>
</foilgroup></radiobuttonresponse></problem>"""


@pytest.fixture
def net(tmp_path: Path) -> NetInMemory:
    made = network(tmp_path, HOME, others=("other", "third"))
    made.fake.londs[HOME].users["msu:smith"]["roles"] = {"%2fmsu%2f_au": "0_0"}
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
def nothing_outside(tmp_path: Path) -> Iterator[None]:
    """Whatever a test sends, files appear in the places that are made for them alone."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.html").write_text("secret")
    yield
    assert {path.name for path in tmp_path.iterdir()} <= {"ids", "html", "construction", "outside", "jobs"}
    assert [path.name for path in outside.iterdir()] == ["secret.html"]
    assert (outside / "secret.html").read_text() == "secret"


def publish(net: NetInMemory, path: str = PATH, content: bytes = CONTENT, **metadata: Any) -> None:
    values = {"title": "Free fall", "author": "smith:msu", "copyright": "public", **metadata}
    net.resources.publish(path, BytesIO(content), Metadata(**values))


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


# --- /res -------------------------------------------------------------------------------------------------


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


def test_head(net: NetInMemory, app: Flask, jones: Browser) -> None:
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
def test_who_may_read(net: NetInMemory, app: Flask, copyright: str, of_domain: int, of_other: int) -> None:
    publish(net, copyright=copyright)
    smith, jones, stranger = (Browser(app) for _ in range(3))
    smith.log_in()
    jones.log_in("jones", "another")
    log_in_from_elsewhere(net, stranger)
    assert smith.get(f"/res/{PATH}").status_code == 200
    assert jones.get(f"/res/{PATH}").status_code == of_domain
    assert stranger.get(f"/res/{PATH}").status_code == of_other


def log_in_from_elsewhere(net: NetInMemory, browser: Browser) -> None:
    """A session of a user of the domain other, without asking that domain."""
    session_id, _ = Sessions(net.site.config).create("doe", "other", "otherl1")
    browser.client.set_cookie("lonID", session_id, domain="msua1.example.org")


TRICKS = [
    "../../../etc/passwd",
    "msu/smith/../../../outside/secret.html",
    "msu/smith/%2e%2e/%2e%2e/%2e%2e/outside/secret.html",
    "msu/smith/..%2f..%2f..%2foutside%2fsecret.html",
    "msu/smith/..\\..\\outside\\secret.html",
    "msu/smith/..%5c..%5coutside%5csecret.html",
    "msu/smith/%252e%252e/secret.html",
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
def tricky(net: NetInMemory, tmp_path: Path) -> None:
    """A tree with symbolic links that lead out of it."""
    publish(net)
    here = tmp_path / "html" / "res" / "msu" / "smith"
    os.symlink(tmp_path / "outside" / "secret.html", here / "link.html")
    (here / "link.html.meta").write_bytes((here / "kin" / "fall.html.meta").read_bytes())
    os.symlink(tmp_path / "outside", here / "way")


@pytest.mark.usefixtures("tricky")
@pytest.mark.parametrize("path", TRICKS)
def test_no_path_leads_out_of_the_tree(app: Flask, smith: Browser, path: str) -> None:
    for answer in (smith.get(f"/res/{path}"), Browser(app, MEMBER).get(f"/raw/{path}")):
        assert answer.status_code in (400, 403, 404), answer.status_code
        assert b"secret" not in answer.data.replace(b"secret.html", b"")


# --- /raw -------------------------------------------------------------------------------------------------


def subscribe(tmp_path: Path, host: str = HERE, ip: str = MEMBER) -> None:
    (tmp_path / "html" / "res" / "msu" / "smith" / "kin" / "fall.html.subscription").write_text(
        f"{host}:{ip}:1700000000\n"
    )


def test_subscribers_get_content_and_metadata(net: NetInMemory, app: Flask, tmp_path: Path) -> None:
    publish(net)
    subscribe(tmp_path)
    member = Browser(app, MEMBER)
    answer, meta = member.get(f"/raw/{PATH}"), member.get(f"/raw/{PATH}.meta")
    assert (answer.status_code, answer.data) == (200, CONTENT)
    assert parse_metadata(meta.data, "meta").digest == f"sha256={digest(CONTENT)}"
    for one in (answer, meta):
        assert one.headers["X-Resource-Digest"] == f"sha256={digest(CONTENT)}"
        assert one.headers["X-Resource-Version"] == "1" and one.content_length == len(one.data)


def test_each_delivery_of_a_content_is_counted(net: NetInMemory, app: Flask, tmp_path: Path) -> None:
    publish(net)
    subscribe(tmp_path)
    member = Browser(app, MEMBER)
    for path in (PATH, f"{PATH}.meta", PATH):
        member.get(f"/raw/{path}")
    member.client.head(f"/raw/{PATH}", environ_base={"REMOTE_ADDR": MEMBER}, buffered=True)
    assert net.resources.deliveries("smith", "msu") == {PATH: {"msu": 2}}


@pytest.mark.parametrize("wanted", ["bytes=0-0", "bytes=1-", f"bytes=0-{len(CONTENT) - 2}", "bytes=999999-"])
def test_who_asks_for_a_part_gets_the_whole_and_it_is_counted(
    net: NetInMemory, app: Flask, tmp_path: Path, wanted: str
) -> None:
    publish(net)
    subscribe(tmp_path)
    member = Browser(app, MEMBER)
    answer = member.get(f"/raw/{PATH}", {"Range": wanted})
    assert (answer.status_code, answer.data, answer.headers["Accept-Ranges"]) == (200, CONTENT, "none")
    assert member.get(f"/raw/{PATH}", {"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert net.resources.deliveries("smith", "msu") == {PATH: {"msu": 1}}


def test_the_counter_may_take_a_part_of_the_time_that_the_asking_host_has(tmp_path: Path) -> None:
    """The counter is asked before the first byte leaves: its time must not be all that the other side waits."""
    net = network(tmp_path, HOME, http_timeout=1.0)
    publish(net)
    subscribe(tmp_path)
    limits: list[tuple[str, float | None]] = []
    ask = net.fake.critical

    def noted(command: str, host: str, timeout: float | None = None) -> str:
        limits.append((command.partition(":")[0], timeout))
        return ask(command, host, timeout)

    net.fake.critical = noted  # type: ignore[method-assign]
    assert Browser(app_of(net), MEMBER).get(f"/raw/{PATH}").data == CONTENT
    [(command, limit)] = limits
    assert command == "inc" and limit is not None and limit <= 0.2


def test_a_delivery_does_not_wait_for_its_counter(
    net: NetInMemory, app: Flask, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(net)
    subscribe(tmp_path)
    net.fake.answers[HOME, "inc"] = "error: 28 no room"
    assert Browser(app, MEMBER).get(f"/raw/{PATH}").data == CONTENT
    assert "is not counted: error 28" in caplog.text


def test_strangers_and_those_who_have_not_subscribed_get_nothing(net: NetInMemory, app: Flask, tmp_path: Path) -> None:
    publish(net)
    other = net.site.table[OTHER].ip
    for path in (PATH, f"{PATH}.meta"):
        assert Browser(app, MEMBER).get(f"/raw/{path}").status_code == 403
    subscribe(tmp_path)
    for path in (PATH, f"{PATH}.meta"):
        assert [Browser(app, ip).get(f"/raw/{path}").status_code for ip in (MEMBER, other, "127.9.9.9")] == [
            200,
            403,
            403,
        ]
    assert Browser(app).log_in().status_code == 303, "a session is no membership"


def test_what_is_withdrawn_is_not_sent_even_to_subscribers(net: NetInMemory, app: Flask, tmp_path: Path) -> None:
    publish(net, copyright="private")
    subscribe(tmp_path)
    assert Browser(app, MEMBER).get(f"/raw/{PATH}").status_code == 403


def test_what_is_withdrawn_while_somebody_asks_is_not_sent(
    net: NetInMemory, app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(net)
    subscribe(tmp_path)
    check = net.resources.check_requester

    def checked_too_early(path: str, ip: str) -> object:
        host = check(path, ip)
        publish(net, content=b"secret", copyright="private")
        return host

    monkeypatch.setattr(net.resources, "check_requester", checked_too_early)
    answer = Browser(app, MEMBER).get(f"/raw/{PATH}")
    assert answer.status_code == 403 and b"secret" not in answer.data


def test_raw_can_be_mounted_alone_in_another_application(net: NetInMemory, tmp_path: Path) -> None:
    publish(net)
    subscribe(tmp_path)
    app = Flask("another")
    mount(app, net, raw)
    member, stranger = Browser(app, MEMBER), Browser(app)
    assert member.get(f"/raw/{PATH}").data == CONTENT
    assert member.get("/raw/msu/smith/none.html").status_code == 404
    answer = stranger.get(f"/raw/{PATH}")
    assert answer.status_code == 403 and "for the hosts of the network" in answer.text


def test_without_their_blueprint_problems_are_not_there(net: NetInMemory) -> None:
    publish(net, PROBLEM, LIGHT)
    app = Flask("another")
    mount(app, net, res)
    browser = Browser(app)
    log_in_from_elsewhere(net, browser)
    answer = browser.get(f"/res/{PROBLEM}")
    assert answer.status_code == 404 and "299792458" not in answer.text


# --- problems ---------------------------------------------------------------------------------------------


def hand_in(browser: Browser, text: str, path: str = PROBLEM) -> TestResponse:
    return browser.submit(f"/res/{path}", {"answer": text})


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
def test_answers_are_never_sent(net: NetInMemory, jones: Browser, content: bytes, secrets: list[str]) -> None:
    publish(net, PROBLEM, content, sourceavail="closed", copyright="public")
    stranger = Browser(app_of(net))
    log_in_from_elsewhere(net, stranger)
    net.fake.answers[HOME, "restore"] = "error: 2 nothing"
    pages = [jones.get(f"/res/{PROBLEM}"), hand_in(jones, "9"), jones.get(f"/res/{PROBLEM}", {"Range": "bytes=0-"})]
    for page in pages:
        assert not [secret for secret in secrets if secret in page.text]


def test_after_the_right_answer_nothing_is_stored(net: NetInMemory, jones: Browser) -> None:
    publish(net, PROBLEM, LIGHT)
    form = {**hidden(jones.get(f"/res/{PROBLEM}").text)}
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
    assert "&lt;script&gt;alert(1)" in page and "&lt;script&gt;2" in page


def test_authors_may_see_the_source_and_learners_never(
    net: NetInMemory, app: Flask, smith: Browser, jones: Browser
) -> None:
    publish(net, PROBLEM, LIGHT, sourceavail="open")
    page = smith.get(f"/adm/source/{PROBLEM}")
    assert page.status_code == 200 and "&lt;problem&gt;" in page.text
    assert "/adm/source/" in smith.get(f"/res/{PROBLEM}").text
    assert "/adm/source/" not in jones.get(f"/res/{PROBLEM}").text
    answer = jones.get(f"/adm/source/{PROBLEM}")
    assert answer.status_code == 403 and "299792458" not in answer.text
    net.fake.londs[HOME].users["msu:jones"]["roles"] = {"%2fmsu%2f_au": "0_0"}
    assert jones.get(f"/adm/source/{PROBLEM}").status_code == 200
    net.fake.answers[HOME, "get"] = "con_lost"
    assert jones.get(f"/adm/source/{PROBLEM}").status_code == 403, "nobody can say now that this is an author"
    publish(net)
    assert smith.get(f"/adm/source/{PATH}").status_code == 404


@pytest.mark.parametrize(
    ("who", "sourceavail", "author", "may"),
    [
        (("doe", "other"), "open", True, True),
        (("doe", "other"), "closed", True, False),
        (("doe", "other"), "open", False, False),
        (("jones", "msu"), "closed", True, True),
        (("jones", "msu"), "closed", False, False),
        (("smith", "msu"), "closed", False, True),
        (("smith", "other"), "closed", True, False),
    ],
)
def test_whose_source_is_available(who: tuple[str, str], sourceavail: str, author: bool, may: bool) -> None:
    session = Session(*who, "l1", 0.0, "x")
    metadata = Metadata(copyright="public", sourceavail=sourceavail)
    assert may_read_source(session, ResourcePath.parse(PROBLEM), metadata, author) is may


def test_a_file_that_is_no_problem(net: NetInMemory, jones: Browser, caplog: pytest.LogCaptureFixture) -> None:
    publish(net, PROBLEM, b"<quiz/>")
    answer = jones.get(f"/res/{PROBLEM}")
    assert answer.status_code == 500 and "its file is not one" in answer.text and "quiz" not in answer.text
    assert "the outermost element is quiz" in caplog.text


# --- publishing -------------------------------------------------------------------------------------------


def upload(browser: Browser, content: bytes = CONTENT, filename: str = "fall.html", name: str = "") -> TestResponse:
    return browser.submit("/adm/publish", {"file": (BytesIO(content), filename), "name": name})


FORM = {"title": "Free fall", "copyright": "public", "domains": "", "sourceavail": "open"}


def test_upload_publish_and_publish_again(net: NetInMemory, smith: Browser, tmp_path: Path) -> None:
    assert "Nothing is here yet" in smith.get("/adm/publish").text
    answer = upload(smith, name="kin/fall.html")
    assert (answer.status_code, answer.location) == (303, "/adm/publish/kin/fall.html")
    assert "Not published yet" in smith.get(answer.location).text
    assert "kin/fall.html" in smith.get("/adm/publish").text
    answer = smith.submit("/adm/publish/kin/fall.html", FORM)
    assert answer.status_code == 200 and "Version 1 is published" in answer.text
    assert smith.get(f"/res/{PATH}").data == CONTENT
    upload(smith, b"better", name="kin/fall.html")
    subscribe(tmp_path)
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


def test_a_file_keeps_its_own_name(smith: Browser) -> None:
    assert upload(smith, filename="some/where/pic.png").location == "/adm/publish/pic.png"


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


def test_a_file_can_t_take_the_place_of_a_directory(smith: Browser, tmp_path: Path) -> None:
    space = tmp_path / "construction" / "msu" / "smith"
    upload(smith, name="d.html/b.html")
    answer = upload(smith, name="d.html")
    assert answer.status_code == 422 and "its name is that of a directory already" in answer.text
    assert [path.relative_to(space).as_posix() for path in sorted(space.rglob("*"))] == ["d.html", "d.html/b.html"]
    answer = upload(smith, name="d.html/b.html/c.html")
    assert answer.status_code == 422 and "a part of its path is a file already" in answer.text


def test_an_empty_directory_gives_way_to_a_file(smith: Browser, tmp_path: Path) -> None:
    """It is what an upload to below the name has left that was too large or killed."""
    (tmp_path / "construction" / "msu" / "smith" / "d.html").mkdir(parents=True)
    assert upload(smith, b"x", name="d.html").status_code == 303
    assert (tmp_path / "construction" / "msu" / "smith" / "d.html").read_bytes() == b"x"


def test_uploads_over_the_limit_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    net = network(tmp_path, HOME, max_resource=100_000)
    net.fake.londs[HOME].users["msu:smith"]["roles"] = {"%2fmsu%2f_au": "0_0"}
    smith = Browser(app_of(net))
    smith.log_in()
    form = hidden(smith.get("/adm/publish").text)
    for size, status in ((100_000, 303), (100_001, 413), (200_000, 413)):
        answer = smith.post("/adm/publish", {**form, "file": (BytesIO(b"x" * size), f"{size}.html")})
        assert answer.status_code == status
    files = [path.name for path in (tmp_path / "construction").rglob("*") if path.is_file()]
    assert files == ["100000.html"]


def test_only_authors_may_send_more_than_a_form(jones: Browser, app: Flask) -> None:
    form = hidden(jones.get("/adm/logout").text)
    for browser in (jones, Browser(app)):
        answer = browser.post("/adm/publish", {**form, "file": (BytesIO(b"x" * 100_000), "a.html")})
        assert answer.status_code in (403, 413)


def test_symbolic_links_in_the_construction_space_lead_nowhere(smith: Browser, tmp_path: Path) -> None:
    upload(smith, filename="a.html")
    space = tmp_path / "construction" / "msu" / "smith"
    os.symlink(tmp_path / "outside" / "secret.html", space / "link.html")
    os.symlink(tmp_path / "outside", space / "way")
    assert "link.html" not in smith.get("/adm/publish").text and "way" not in smith.get("/adm/publish").text
    for name in ("link.html", "way/secret.html"):
        assert smith.get(f"/adm/publish/{name}").status_code == 404
        assert smith.submit("/adm/publish/a.html", FORM, f"/adm/publish/{name}").status_code == 404
    assert upload(smith, name="way/new.html").status_code == 422
    assert upload(smith, name="link.html").status_code == 303, "the link is replaced, not followed"


def test_a_problem_with_a_mistake_is_not_published(net: NetInMemory, smith: Browser) -> None:
    upload(smith, b"<problem>\n<script/></problem>", "light.problem")
    page = smith.get("/adm/publish/light.problem").text
    assert "It can&#39;t be published as it is: line 2: the element script in problem is not understood." in page
    answer = smith.submit("/adm/publish/light.problem", {**FORM, "title": "<b>T</b>"})
    assert answer.status_code == 422 and "line 2: the element script in problem is not understood" in answer.text
    assert "&lt;b&gt;T&lt;/b&gt;" in answer.text
    assert smith.get("/res/msu/smith/light.problem").status_code == 404


def test_a_good_problem_has_no_faults(smith: Browser) -> None:
    upload(smith, LIGHT, "light.problem")
    assert 'role="alert"' not in smith.get("/adm/publish/light.problem").text


def test_a_file_is_deleted_after_a_question(smith: Browser, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    upload(smith, name="kin/fall.html")
    smith.submit("/adm/publish/kin/fall.html", FORM)
    assert 'href="/adm/delete/kin/fall.html"' in smith.get("/adm/publish/kin/fall.html").text
    question = smith.get("/adm/delete/kin/fall.html").text
    assert "Delete kin/fall.html?" in question and f"/res/{PATH}</a> stays" in question
    assert (tmp_path / "construction" / PATH).exists()
    answer = smith.submit("/adm/delete/kin/fall.html", {})
    assert (answer.status_code, answer.location) == (303, "/adm/publish")
    assert "Nothing is here yet" in smith.get("/adm/publish").text
    assert f"{PATH} deleted from the construction space by smith:msu" in caplog.text
    assert smith.get(f"/res/{PATH}").data == CONTENT
    assert smith.get("/adm/delete/kin/fall.html").status_code == 404


def test_what_is_not_the_author_s_file_is_not_deleted(smith: Browser, jones: Browser, tmp_path: Path) -> None:
    upload(smith, name="kin/fall.html")
    space = tmp_path / "construction" / "msu" / "smith"
    (space / "link.html").symlink_to(tmp_path / "outside" / "secret.html")
    (space / "d.html").mkdir()
    assert smith.post("/adm/delete/kin/fall.html", {}).status_code == 403, "without the form's token"
    assert jones.submit("/adm/logout", {}, "/adm/delete/kin/fall.html").status_code == 403
    for name in ("link.html", "d.html", "kin", "../smith/kin/fall.html", "other.html"):
        assert smith.submit("/adm/delete/kin/fall.html", {}, f"/adm/delete/{name}").status_code == 404
    assert {path.name for path in space.iterdir()} == {"kin", "link.html", "d.html"}
    assert (space / "kin" / "fall.html").exists()


@pytest.mark.parametrize(
    "wrong", [{"copyright": "every one"}, {"copyright": ""}, {"sourceavail": "x"}, {"title": "a\nb"}]
)
def test_metadata_that_can_t_be_are_refused(smith: Browser, wrong: dict[str, str]) -> None:
    upload(smith, filename="a.html")
    answer = smith.submit("/adm/publish/a.html", {**FORM, **wrong})
    assert answer.status_code == 422 and "Not published" in answer.text


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
    net = network(tmp_path, HOME, max_resource=1000)
    net.fake.londs[HOME].users["msu:smith"]["roles"] = {"%2fmsu%2f_au": "0_0"}
    smith = Browser(app_of(net))
    smith.log_in()
    upload(smith, b"x", "a.html")
    (tmp_path / "construction" / "msu" / "smith" / "a.html").write_bytes(CONTENT)
    answer = smith.submit("/adm/publish/a.html", FORM)
    assert answer.status_code == 422 and "a content of more than 1000 bytes" in answer.text
    assert smith.get("/res/msu/smith/a.html").status_code == 404


def test_one_damaged_resource_does_not_close_the_construction_space(smith: Browser, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        upload(smith, filename=name)
        smith.submit(f"/adm/publish/{name}", FORM)
    (tmp_path / "html" / "res" / "msu" / "smith" / "a.html.meta").write_bytes(b"\xff\n")
    page = smith.get("/adm/publish")
    assert page.status_code == 200 and page.text.count("damaged") == page.text.count("version 1, public") == 1
    assert "damaged; publish it again" in smith.get("/adm/publish/a.html").text
    assert "Version 2 is published" in smith.submit("/adm/publish/a.html", FORM).text
    assert "damaged" not in smith.get("/adm/publish").text
    assert smith.get("/res/msu/smith/a.html").data == CONTENT


def test_a_resource_that_stays_locked_is_shown_as_unreadable(
    smith: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(smith, filename="a.html")
    smith.submit("/adm/publish/a.html", FORM)
    monkeypatch.setattr("common.resource_directory.LOCK_SECONDS", 0.0)
    with open_directory(tmp_path / "html" / "res", ("msu", "smith")) as at, locked(at, exclusive=True):
        for page in ("/adm/publish", "/adm/publish/a.html"):
            answer = smith.get(page)
            assert answer.status_code == 200 and "can&#39;t be read now" in answer.text


def test_only_authors_publish_and_only_at_home_and_by_their_own_forms(
    net: NetInMemory, app: Flask, smith: Browser, jones: Browser, tmp_path: Path
) -> None:
    assert jones.get("/adm/publish").status_code == 403
    assert Browser(app).get("/adm/publish").status_code == 302
    assert smith.post("/adm/publish", {"file": (BytesIO(b"x"), "a.html")}).status_code == 403
    upload(smith, filename="a.html")
    assert smith.post("/adm/publish/a.html", FORM).status_code == 403
    net.fake.londs[OTHER].do_makeuser("msu", "roe", "internal", "pw")
    net.fake.londs[OTHER].users["msu:roe"]["roles"] = {"%2fmsu%2f_au": "0_0"}
    roe = Browser(app)
    roe.log_in("roe", "pw")
    answer = roe.get("/adm/publish")
    assert answer.status_code == 403 and "https://msul2.example.org/adm/publish" in answer.text
    assert "https://msul2.example.org/adm/publish" in roe.get("/").text


@pytest.mark.parametrize(
    ("value", "now", "holds"),
    [
        ("0_0", 5, True),
        ("", 5, False),
        ("10_0", 9, True),
        ("10_0", 10, False),
        ("0_7", 6, False),
        ("0_7", 7, True),
        ("au_0_0", 5, True),
        ("10", 9, True),
        ("x", 5, False),
        ("-1_0", 5, False),
        ("au", 5, False),
    ],
)
def test_roles_have_their_time(value: str, now: float, holds: bool) -> None:
    assert is_in_force(value, now) is holds
    assert author_role("msu") == "/msu/_au"


def test_nothing_of_an_author_s_forms_is_logged_but_what_was_uploaded(
    smith: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    upload(smith, filename="a.html")
    assert "upload of msu/smith/a.html by smith:msu" in caplog.text
