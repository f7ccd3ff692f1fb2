"""Log-in and log-out: sessions, cookies, tokens, redirects, throttling, off-loading."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask, Response
from werkzeug.test import Client

from common.errors import ConfigError
from common.hosts_table import HostsTable, Spare
from lonnet.handlers import access, create_app, login, mount, wsgi
from lonnet.handlers.home import home
from lonnet.handlers.known_browsers import KEY_FILE
from lonnet.handlers.login import local_path
from lonnet.sessions import Sessions
from tests.helpers.forms import hidden
from tests.helpers.web import CLIENT, HERE, HOME, OTHER, Browser, NetInMemory, app_of, network


@pytest.fixture
def net(tmp_path: Path) -> NetInMemory:
    return network(tmp_path)


@pytest.fixture
def app(net: NetInMemory) -> Flask:
    return app_of(net)


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app)


def test_who_is_not_logged_in_is_sent_to_the_log_in_and_back(browser: Browser) -> None:
    answer = browser.get("/?a=b%20c")
    assert (answer.status_code, answer.location) == (302, "/adm/login?next=/?a%3Db%2520c")
    answer = browser.log_in(page=answer.location)
    assert (answer.status_code, answer.location) == (303, "/?a=b%20c")
    page = browser.get(answer.location)
    assert page.status_code == 200 and "Hello, smith" in page.text and "msul1" in page.text


def test_a_log_in_makes_a_session_on_disk_and_a_line_in_the_activity_log(browser: Browser, net: NetInMemory) -> None:
    browser.log_in()
    session_id = browser.cookie("lonID")
    assert session_id
    session = Sessions(net.site.config).find(session_id)
    assert session and (session.name, session.home) == ("smith:msu", HOME)
    assert net.fake.londs[HOME].activity == ["Login%20127%2e9%2e9%2e9"]
    assert browser.get("/adm/login").location == "/"


@pytest.mark.parametrize(
    ("user", "password", "domain"),
    [
        ("smith", "wrong", "msu"),
        ("smith", "", "msu"),
        ("nobody", "secret", "msu"),
        ("smith", "secret", "other"),
        ("sm ith", "secret", "msu"),
        ("../smith", "secret", "msu"),
        ("", "secret", "msu"),
        ("smith:x\n", "secret", "msu"),
        ("smith", "secret", "msu:x"),
    ],
)
def test_whatever_is_wrong_the_answer_is_the_same(browser: Browser, user: str, password: str, domain: str) -> None:
    answer = browser.submit("/adm/login", {"user": user, "password": password, "domain": domain})
    assert answer.status_code == 401 and "User name or password is wrong." in answer.text
    assert browser.cookie("lonID") is None and "secret" not in answer.text


def test_names_are_shown_as_text(browser: Browser) -> None:
    answer = browser.log_in(user='"><script>alert(1)</script>')
    assert answer.status_code == 401 and "&lt;script&gt;" in answer.text


def test_a_password_that_nobody_can_check(browser: Browser, net: NetInMemory) -> None:
    net.fake.answers[HOME, "auth"] = "auth_mode_error"
    answer = browser.log_in()
    assert answer.status_code == 401 and "Ask your administrator" in answer.text
    assert lanes(net) == ["fresh"]
    assert [browser.log_in().status_code for _ in range(25)] == [401] * 25, "it costs no tries"


def test_a_home_server_that_does_not_answer(browser: Browser, net: NetInMemory) -> None:
    net.fake.down.add(HOME)
    answer = browser.log_in()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "Try again in a moment" in answer.text
    assert 'value="smith"' in answer.text, "the form is shown again"
    assert os.listdir(net.site.config.ids_dir / "throttle") == os.listdir(net.site.config.ids_dir / "fresh") == []


def test_a_home_server_that_has_too_much_to_do(browser: Browser, net: NetInMemory) -> None:
    net.fake.answers[HOME, "auth"] = "error: 11 too many log-ins at once, try again"
    answer = browser.log_in()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "too much to do now. Try again in a moment." in answer.text


@pytest.mark.parametrize("reply", ["con_lost", "error: 11 too many log-ins at once, try again", "refused", "perhaps"])
def test_users_and_others_hear_the_same(browser: Browser, net: NetInMemory, reply: str) -> None:
    net.fake.answers |= {(host, "auth"): reply for host in (HOME, OTHER)}
    user, nobody, remembered = (browser.log_in(name) for name in ("smith", "nobody", "nobody"))
    assert user.status_code == nobody.status_code == remembered.status_code != 401
    assert user.text == nobody.text.replace("nobody", "smith") == remembered.text.replace("nobody", "smith")


def test_an_answer_that_can_t_be_used_is_no_log_in(browser: Browser, net: NetInMemory) -> None:
    net.fake.answers[HOME, "auth"] = "perhaps"
    assert browser.log_in().status_code == 502
    net.fake.answers[HOME, "auth"] = "refused"
    assert browser.log_in().status_code == 403
    assert browser.cookie("lonID") is None


def test_a_log_in_does_not_fail_for_want_of_its_line_in_the_log(browser: Browser, net: NetInMemory) -> None:
    net.fake.answers[HOME, "log"] = "error: 28 no room"
    assert browser.log_in().status_code == 303


# --- sessions and cookies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("secure", "name"), [(True, "__Host-lonID"), (False, "lonID")])
def test_the_cookie_is_kept_from_scripts_other_sites_and_other_hosts(tmp_path: Path, secure: bool, name: str) -> None:
    browser = Browser(app_of(network(tmp_path, secure_cookies=secure)), base="https://msua1.example.org")
    [set_cookie] = [text for text in browser.log_in().headers.getlist("Set-Cookie") if text.startswith(f"{name}=")]
    attributes = {part.strip() for part in set_cookie.split(";")[1:]}
    assert attributes == {"HttpOnly", "SameSite=Lax", "Path=/"} | ({"Secure"} if secure else set())


@pytest.mark.parametrize("forged", ["", "x", "A" * 43, "../../etc/passwd", "%00", "a" * 3000])
def test_a_forged_cookie_is_nobody_s(browser: Browser, forged: str) -> None:
    browser.client.set_cookie("lonID", forged, domain="msua1.example.org")
    assert browser.get("/").status_code == 302


def test_nobody_can_prepare_a_session_for_somebody_else(app: Flask, net: NetInMemory) -> None:
    attacker, victim = Browser(app), Browser(app)
    attacker.log_in("jones", "another")
    planted = attacker.cookie("lonID")
    assert planted
    victim.get("/adm/login")
    victim.client.set_cookie("lonID", planted, domain="msua1.example.org")
    form = hidden(victim.get("/adm/logout").text)
    victim.client.delete_cookie("lonID", domain="msua1.example.org")
    fields = hidden(victim.get("/adm/login").text)
    victim.client.set_cookie("lonID", planted, domain="msua1.example.org")
    victim.post("/adm/login", {**fields, "user": "smith", "password": "secret", "domain": "msu"})
    assert victim.cookie("lonID") not in (None, planted)
    assert Sessions(net.site.config).find(planted) is None, "what was there before the log-in has ended"
    assert form["token"] not in victim.get("/").text


def test_logging_out_ends_the_session_for_good(browser: Browser) -> None:
    browser.log_in()
    session_id = browser.cookie("lonID")
    assert session_id
    answer = browser.submit("/adm/logout", {})
    assert (answer.status_code, answer.location) == (303, "/adm/login") and browser.cookie("lonID") is None
    browser.client.set_cookie("lonID", session_id, domain="msua1.example.org")
    assert browser.get("/").status_code == 302


def test_ids_and_passwords_are_logged_nowhere(
    browser: Browser, net: NetInMemory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    browser.log_in(password="wrong-one")
    browser.log_in()
    session_id = browser.cookie("lonID")
    session = Sessions(net.site.config).find(session_id or "")
    browser.submit("/adm/logout", {})
    assert session and session_id
    for secret in (session_id, session.csrf, "wrong-one", "secret"):
        assert secret not in caplog.text
    assert "log-in of smith:msu" in caplog.text and "log-out of smith:msu" in caplog.text
    assert "failed log-in of smith:msu from 127.9.9.9" in caplog.text


def test_a_password_that_is_typed_as_name_is_logged_nowhere(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("sesame", "se same!"):
        assert browser.log_in(user=name).status_code == 401
    assert "same" not in caplog.text
    assert caplog.text.count("failed log-in of an unknown user from 127.9.9.9") == 2


# --- forms of other sites ---------------------------------------------------------------------------------


def test_another_site_s_form_logs_nobody_in_or_out(browser: Browser) -> None:
    fields = {"user": "smith", "password": "secret", "domain": "msu"}
    for token in ({}, {"token": ""}, {"token": "x" * 43}, {"token": "é"}):
        assert browser.post("/adm/login", {**fields, **token}).status_code == 403
    assert browser.cookie("lonID") is None
    browser.log_in()
    for token in ({}, {"token": ""}, {"token": "x" * 43}, {"token": "é"}):
        answer = browser.post("/adm/logout", token)
        assert answer.status_code == 403 and "not from this session" in answer.text
    assert browser.get("/").status_code == 200


def test_a_form_of_an_ended_session_says_so(browser: Browser) -> None:
    answer = browser.post("/adm/logout", {"token": "x"})
    assert answer.status_code == 403 and "Your session has ended" in answer.text


@pytest.mark.parametrize(
    "foreign",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/%0d\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "",
        "res/x",
        "/" + "x" * 5000,
        "/\x00",
        "/é",
    ],
)
def test_a_log_in_leads_nowhere_else(browser: Browser, foreign: str) -> None:
    assert local_path(foreign) == "/"
    fields = hidden(browser.get("/adm/login").text)
    answer = browser.post(
        "/adm/login", {**fields, "next": foreign, "user": "smith", "password": "secret", "domain": "msu"}
    )
    assert answer.location == "/"


@pytest.mark.parametrize("path", ["/", "/res/msu/smith/a.html", "/a?b=c&d=%2F%2F", "/res/[x]"])
def test_a_log_in_leads_to_paths_of_this_host(path: str) -> None:
    assert local_path(path) == path


def test_a_body_that_is_no_form_is_too_large(browser: Browser) -> None:
    assert browser.post("/adm/login", {"user": "x" * 100_000}).status_code == 413


# --- throttling -------------------------------------------------------------------------------------------


def test_an_address_that_guesses_must_wait_and_others_need_not(tmp_path: Path) -> None:
    app = app_of(network(tmp_path, login_burst=5, login_interval=100.0, fresh_burst=2, fresh_interval=100.0))
    guesser, other = Browser(app), Browser(app, "127.9.8.10")
    for _ in range(2 + 5):  # as anybody, then as a stranger
        assert guesser.log_in(password="guess").status_code == 401
    answer = guesser.log_in()
    assert answer.status_code == 429 and 0 < int(answer.headers["Retry-After"]) <= 101
    assert "Too many log-ins from your address have failed." in answer.text
    assert other.log_in().status_code == 303


def test_who_guesses_at_one_user_keeps_out_no_other_at_the_same_address(tmp_path: Path) -> None:
    app = app_of(network(tmp_path, login_burst=5, login_interval=1000.0, fresh_burst=2, fresh_interval=1000.0))
    while Browser(app).log_in(password="guess").status_code != 429:
        pass
    assert Browser(app).log_in("jones", "another").status_code == 303


def test_who_guesses_at_everybody_uses_up_the_tries_of_the_address(tmp_path: Path) -> None:
    net = network(tmp_path, login_burst=5, login_interval=1000.0, fresh_burst=2, fresh_interval=1000.0)
    app = app_of(net)
    codes = [Browser(app).log_in(f"user{number}", "guess").status_code for number in range(6)]
    assert codes == [401] * 5 + [429]
    assert Browser(app).log_in("jones", "another").status_code == 429
    assert len(os.listdir(net.site.config.ids_dir / "fresh")) == 5, "who was refused lost no try as that user"


def test_right_log_ins_cost_no_tries(tmp_path: Path) -> None:
    browser = Browser(app_of(network(tmp_path, login_burst=2, login_interval=1000.0)))
    for _ in range(5):
        assert browser.log_in().status_code == 303
        browser.submit("/adm/logout", {})


def test_a_home_server_that_is_down_costs_no_tries(tmp_path: Path) -> None:
    net = network(tmp_path, login_burst=2, login_interval=1000.0)
    browser = Browser(app_of(net))
    net.fake.answers[HOME, "auth"] = "con_lost"
    assert [browser.log_in().status_code for _ in range(5)] == [503] * 5
    del net.fake.answers[HOME, "auth"]
    assert browser.log_in().status_code == 303


@pytest.mark.parametrize("reply", ["error: 11 too many log-ins at once, try again", "error: 115 under way"])
def test_strangers_who_are_told_to_try_again_pay_for_it(tmp_path: Path, reply: str) -> None:
    net = network(tmp_path, login_burst=3, login_interval=1000.0, logins_waiting=0)
    app = app_of(net)
    known, stranger, other = known_browser(app, "127.9.9.10"), Browser(app), Browser(app, "127.9.9.11")
    net.fake.answers[HOME, "auth"] = reply
    assert [stranger.log_in().status_code for _ in range(4)] == [503, 503, 503, 429]
    assert other.log_in().status_code == 503
    assert [known.log_in().status_code for _ in range(7)] == [503] * 7
    del net.fake.answers[HOME, "auth"]
    assert known.log_in().status_code == 303


def test_whose_password_is_still_being_checked_comes_again_in_the_same_lane(tmp_path: Path) -> None:
    net = network(tmp_path, login_burst=6, login_interval=1000.0, logins_waiting=0)
    browser = Browser(app_of(net))
    net.fake.answers[HOME, "auth"] = "error: 115 under way"
    for _ in range(5):
        answer = browser.log_in()
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "still being checked. Please log in once more" in answer.text
        assert 'value="smith"' in answer.text, "the form is shown again"
    del net.fake.answers[HOME, "auth"]
    assert browser.log_in().status_code == 303
    assert lanes(net) == ["fresh"] * 6


def lanes(net: NetInMemory) -> list[str]:
    """That which each log-in took."""
    return [line.split(":")[5] for _, line in net.fake.sent if line.startswith("encrypt:auth:")]


def test_who_guesses_leaves_the_fresh_lane(app: Flask, net: NetInMemory) -> None:
    guesser, neighbour, other = Browser(app, "127.9.9.1"), Browser(app, "127.9.9.200"), Browser(app, "127.9.8.1")
    for _ in range(5):
        assert guesser.log_in(password="guess").status_code == 401
    assert neighbour.log_in().status_code == 303
    assert Browser(app, "127.9.9.201").log_in("jones", "another").status_code == 303
    assert other.log_in().status_code == 303
    assert lanes(net) == ["fresh"] * 3 + ["strangers"] * 3 + ["fresh", "fresh"]


@pytest.mark.parametrize(("reply", "code"), [(None, 303), ("con_lost", 503), ("error: 11 try again", 503)])
def test_only_a_wrong_password_leads_out_of_the_fresh_lane(
    app: Flask, net: NetInMemory, reply: str | None, code: int
) -> None:
    if reply:
        net.fake.answers[HOME, "auth"] = reply
    for _ in range(5):
        assert Browser(app).log_in().status_code == code
    assert lanes(net) == ["fresh"] * 5


# --- known browsers ---------------------------------------------------------------------------------------


def strangers_are_busy(net: NetInMemory) -> None:
    """The home server, as it answers while somebody floods smith's log-in with guesses."""
    home = net.fake.londs[HOME]
    check = home.do_auth

    def do_auth(domain: str, user: str, password: str, lane: str = "") -> str:
        busy = user == "smith" and lane != "known"
        return "error: 11 too many log-ins at once, try again" if busy else check(domain, user, password)

    home.do_auth = do_auth  # type: ignore[method-assign]


def known_browser(app: Flask, address: str = CLIENT) -> Browser:
    """A browser with which smith has logged in and out."""
    browser = Browser(app, address)
    browser.log_in()
    browser.submit("/adm/logout", {})
    return browser


def test_a_known_browser_passes_by_the_strangers(app: Flask, net: NetInMemory) -> None:
    known, stranger = known_browser(app), Browser(app)
    strangers_are_busy(net)
    assert stranger.log_in().status_code == 503
    for _ in range(3):
        assert known.log_in().status_code == 303
        known.submit("/adm/logout", {})


def test_a_browser_is_known_for_its_user_alone(app: Flask, net: NetInMemory) -> None:
    mallory = Browser(app)
    mallory.log_in("jones", "another")
    mallory.submit("/adm/logout", {})
    strangers_are_busy(net)
    assert mallory.log_in().status_code == 503


def test_a_wrong_password_makes_no_browser_known(browser: Browser) -> None:
    browser.log_in(password="wrong")
    assert browser.client.get_cookie("lonKnown", domain="msua1.example.org", path="/adm/login") is None


@pytest.mark.parametrize(("secure", "name"), [(True, "__Secure-lonKnown"), (False, "lonKnown")])
def test_its_cookie_is_kept_from_scripts_other_sites_and_other_pages(tmp_path: Path, secure: bool, name: str) -> None:
    net = network(tmp_path, secure_cookies=secure, known_browser=1000.0)
    browser = Browser(app_of(net), base="https://msua1.example.org")
    [set_cookie] = [text for text in browser.log_in().headers.getlist("Set-Cookie") if text.startswith(f"{name}=")]
    attributes = {part.strip() for part in set_cookie.split(";")[1:] if "Expires" not in part}
    wanted = {"HttpOnly", "SameSite=Strict", "Path=/adm/login", "Max-Age=1000"}
    assert attributes == wanted | ({"Secure"} if secure else set())


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    browser = Browser(app_of(network(tmp_path, known_browser=0.0)))
    assert not [text for text in browser.log_in().headers.getlist("Set-Cookie") if "lonKnown" in text]


def test_who_shares_an_address_with_a_guesser_comes_in_with_a_known_browser(tmp_path: Path) -> None:
    app = app_of(network(tmp_path, login_burst=3, login_interval=1000.0))
    known, guesser, stranger = known_browser(app), Browser(app), Browser(app)
    assert [guesser.log_in(password="guess").status_code for _ in range(7)] == [401] * 6 + [429]
    assert stranger.log_in().status_code == 429
    for _ in range(5):
        assert known.log_in().status_code == 303
        known.submit("/adm/logout", {})


def test_a_known_browser_that_guesses_becomes_a_stranger(tmp_path: Path) -> None:
    net = network(tmp_path, login_burst=3, login_interval=1000.0)
    app = app_of(net)
    copied = known_browser(app)
    guesses = [copied.log_in(password="guess").status_code for _ in range(10)]
    assert guesses == [401] * 9 + [429], "the tries of the token, then those of the address"
    assert lanes(net) == ["fresh"] + ["known"] * 3 + ["fresh"] * 3 + ["strangers"] * 3
    assert known_browser(app, "127.9.9.10").log_in().status_code == 303


def test_a_log_in_does_not_fail_for_want_of_the_key(browser: Browser, net: NetInMemory) -> None:
    (net.site.config.ids_dir / KEY_FILE).mkdir(parents=True)
    assert browser.log_in().status_code == 303


def test_tokens_are_logged_nowhere(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    browser.log_in()
    cookie = browser.client.get_cookie("lonKnown", domain="msua1.example.org", path="/adm/login")
    assert cookie and cookie.value not in caplog.text


# --- off-loading ------------------------------------------------------------------------------------------


def with_spares(net: NetInMemory, *spares: Spare) -> NetInMemory:
    """The same host with other ones in spare.tab, and so loaded that it wants to give log-ins away."""
    table = HostsTable(net.site.table.hosts, spares=spares)
    config = replace(net.site.config, load_lim=1e6, user_load_lim=1, balance_timeout=10.0)  # whatever runs beside us
    Sessions(config).create("a", "msu", HOME)
    Sessions(config).create("b", "msu", HOME)
    made = NetInMemory(replace(net.site, config=config, table=table), net.fake)
    for host in (HOME, OTHER):
        made.fake.answers[host, "load"], made.fake.answers[host, "userload"] = "12.5", "50.00"
    return made


def test_a_full_host_sends_log_ins_to_its_spare_by_redirect(net: NetInMemory) -> None:
    full = with_spares(net, Spare(OTHER, "primary"))
    answer = Browser(app_of(full)).get("/adm/login?next=/res/msu/smith/a.html")
    there = "https://msul2.example.org/adm/login?next=/res/msu/smith/a.html&offloaded=1"
    assert (answer.status_code, answer.location) == (302, there)
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_redirect_is_never_followed_by_another_and_never_foreign(net: NetInMemory) -> None:
    browser = Browser(app_of(with_spares(net, Spare(OTHER, "primary"))))
    assert browser.get("/adm/login?offloaded=1").status_code == 200
    answer = browser.get("/adm/login?next=https://evil.example/")
    assert answer.location == "https://msul2.example.org/adm/login?next=/&offloaded=1"


def test_a_full_host_whose_spares_are_dead_or_fuller_serves_itself(net: NetInMemory) -> None:
    full = with_spares(net, Spare(OTHER, "primary"), Spare(HOME, "default"))
    full.fake.answers[OTHER, "load"] = "con_lost"
    full.fake.answers[HOME, "load"] = "900"
    assert Browser(app_of(full)).get("/adm/login").status_code == 200


def test_a_crowd_at_the_log_in_is_no_crowd_at_the_spares(net: NetInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lonnet.balance.KEPT_SECONDS", 600.0)
    full = with_spares(net, Spare(OTHER, "primary"))
    app, asked, ask = app_of(full), [], full.fake.reply

    def noted(command: str, host: str, timeout: float | None = None) -> str:
        asked.append((host, command))
        return ask(command, host, timeout)

    full.fake.reply = noted  # type: ignore[method-assign]
    assert [Browser(app).get("/adm/login").status_code for _ in range(20)] == [302] * 20
    assert asked == [(OTHER, "load"), (OTHER, "userload")]


# --- guards -----------------------------------------------------------------------------------------------


def guarded(net: NetInMemory) -> Flask:
    def member() -> Response:
        return Response("member", mimetype="text/plain")

    def administrator() -> Response:
        return Response("administrator", mimetype="text/plain")

    app = app_of(net)
    app.add_url_rule("/member", view_func=access.members_only(member))
    app.add_url_rule("/administrator", view_func=access.administrators_only(administrator))
    return app


def test_members_are_known_by_their_address(net: NetInMemory) -> None:
    app = guarded(net)
    assert Browser(app).get("/member").status_code == 403
    assert Browser(app, net.site.table[OTHER].ip).get("/member").text == "member"


def test_administrators_are_known_by_their_names(tmp_path: Path) -> None:
    app = guarded(network(tmp_path, administrators="jones:msu, root:other"))
    smith, jones = Browser(app), Browser(app)
    assert jones.get("/administrator").status_code == 302
    smith.log_in()
    jones.log_in("jones", "another")
    assert (smith.get("/administrator").status_code, jones.get("/administrator").text) == (403, "administrator")


def test_a_page_that_is_not_there(browser: Browser) -> None:
    answer = browser.get("/none")
    assert answer.status_code == 404 and "There is nothing at this address." in answer.text


def test_a_bug_shows_nothing_of_the_inside(net: NetInMemory, caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(net)

    def broken() -> str:
        raise RuntimeError("a detail of the inside")

    app.add_url_rule("/broken", view_func=broken)
    answer = Browser(app).get("/broken")
    assert answer.status_code == 500 and "detail" not in answer.text and "detail" in caplog.text


def test_the_style_sheet(browser: Browser) -> None:
    page = browser.get("/adm/login").text
    [address] = re.findall('rel="stylesheet" href="([^"]+)"', page)
    with browser.get(address) as sheet:
        assert (sheet.status_code, sheet.mimetype) == (200, "text/css")


def test_an_application_is_made_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "hosts.tab").write_text("msua1:msu:access:msua1.example.org:127.0.0.1\n")
    conf = tmp_path / "loncapa.conf"
    conf.write_text(
        f"PerlSetVar lonHostID {HERE}\nPerlSetVar lonTabDir {tmp_path}\nPerlSetVar lonIDsDir {tmp_path}/ids\n"
    )
    assert Browser(create_app(conf)).get("/adm/login").status_code == 200


def test_changed_tables_count_without_a_new_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lonnet.site_watch.CHECK_SECONDS", 0.0)
    table, conf = tmp_path / "hosts.tab", tmp_path / "loncapa.conf"
    table.write_text("msua1:msu:access:msua1.example.org:127.0.0.1\n")
    conf.write_text(
        f"PerlSetVar lonHostID {HERE}\nPerlSetVar lonTabDir {tmp_path}\nPerlSetVar lonIDsDir {tmp_path}/ids\n"
    )
    stranger = Browser(create_app(conf), "127.0.0.7")
    assert stranger.get("/raw/msu/smith/a.html").text.count("is for the hosts of the network") == 1
    table.write_text(f"{table.read_text()}hubl1:hub:library:hubl1.example.org:127.0.0.7\n")
    assert "is for the hosts of the network" not in stranger.get("/raw/msu/smith/a.html").text


def test_the_entry_point_makes_an_application_for_each_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    monkeypatch.setattr(wsgi, "_applications", {})
    (tmp_path / "hosts.tab").write_text("a1:msu:access:a1.org:127.0.0.1\nb1:msu:access:b1.org:127.0.0.2\n")
    for host in ("a1", "b1"):
        settings = {"lonHostID": host, "lonTabDir": tmp_path, "lonIDsDir": tmp_path / host}
        text = "".join(f"PerlSetVar {name} {value}\n" for name, value in settings.items())
        (tmp_path / f"{host}.conf").write_text(text)
    client = Client(wsgi.application)
    for host in ("a1", "b1", "a1"):
        answer = client.get("/adm/login", environ_base={"LONCAPA_CONF": str(tmp_path / f"{host}.conf")})
        assert f"<b>{host}</b>" in answer.text
    assert len(wsgi._applications) == 2
    with pytest.raises(ConfigError):
        client.get("/adm/login", environ_base={"LONCAPA_CONF": str(tmp_path / "none.conf")})


def test_a_view_of_one_s_own_has_the_same_guards(net: NetInMemory) -> None:
    app = Flask("physics")
    mount(app, net, home, login.login)

    @app.route("/grades", methods=["GET", "POST"])
    @access.login_required
    def grades() -> Response:
        return Response(access.logged_in().name, mimetype="text/plain")

    client = app.test_client()
    assert client.get("/grades").location == "/adm/login?next=/grades"
    session_id, session = Sessions(net.site.config).create("smith", "msu", HOME)
    client.set_cookie("lonID", session_id)
    assert client.get("/grades").text == "smith:msu"
    assert client.post("/grades").status_code == 403
    assert client.post("/grades", data={"token": session.csrf}).text == "smith:msu"


def test_old_sessions_are_swept_now_and_then(
    browser: Browser, net: NetInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    Sessions(net.site.config, lambda: 1000.0).create("smith", "msu", HOME)
    monkeypatch.setattr(login, "_next_sweep", 0.0)
    browser.log_in()
    assert len(list(net.site.config.ids_dir.glob("*.session"))) == 1


def test_buckets_that_are_full_again_are_swept_now_and_then(
    browser: Browser, net: NetInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.log_in(password="guess")
    old = list(net.site.config.ids_dir.glob("throttle/*")) + list(net.site.config.ids_dir.glob("fresh/*"))
    assert len(old) == 2
    for path in old:
        path.write_bytes(b"")
    monkeypatch.setattr(login, "_next_sweep", 0.0)
    Browser(app_of(net), "127.77.7.7").log_in()
    assert not any(path.exists() for path in old)
