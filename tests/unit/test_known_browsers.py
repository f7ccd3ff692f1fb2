"""Tokens of known browsers: whom they make known, for how long, and that nobody else can make one."""

from __future__ import annotations

import os
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.config import Config
from common.durable import PREFIX
from lonnet.handlers.known_browsers import KEY_FILE, TOKENS, KnownBrowsers, _mac
from lonnet.sessions import Sessions
from tests.conftest import FakeClock

LIFETIME = 1000.0


@pytest.fixture
def browsers(tmp_path: Path, clock: FakeClock) -> KnownBrowsers:
    return KnownBrowsers(tmp_path / "ids", LIFETIME, clock)


@pytest.fixture
def cookie(browsers: KnownBrowsers) -> str:
    """Of a browser with which smith has logged in."""
    return browsers.remember("", "smith", "msu")


def altered(cookie: str, at: int) -> str:
    """The cookie with another bit in one byte of its token."""
    token = bytearray(urlsafe_b64decode(cookie))
    token[at] ^= 1
    return urlsafe_b64encode(token).decode()


class TestWhoIsKnown:
    def test_the_user_in_all_processes(self, cookie: str, tmp_path: Path, clock: FakeClock) -> None:
        found = [KnownBrowsers(tmp_path / "ids", LIFETIME, clock).recognise(cookie, "smith", "msu") for _ in range(2)]
        assert found[0] and found[0] == found[1]

    @pytest.mark.parametrize(
        ("user", "domain"),
        [("jones", "msu"), ("smith", "hub"), ("Smith", "msu"), ("msu", "smith"), ("", ""), ("smith", "msu\0smith"),
         ("msu\0smith", ""), ("", "msu\0smith"), ("smith\0", "msu"), ("smïth", "msu"), ("\ud800", "msu")],
    )  # fmt: skip
    def test_nobody_else(self, browsers: KnownBrowsers, cookie: str, user: str, domain: str) -> None:
        assert browsers.recognise(cookie, user, domain) is None

    @pytest.mark.parametrize("at", range(48))
    def test_not_with_a_bit_altered(self, browsers: KnownBrowsers, cookie: str, at: int) -> None:
        assert browsers.recognise(altered(cookie, at), "smith", "msu") is None

    def test_not_at_another_host(self, cookie: str, tmp_path: Path, clock: FakeClock) -> None:
        assert KnownBrowsers(tmp_path / "other", LIFETIME, clock).recognise(cookie, "smith", "msu") is None

    def test_not_for_longer_than_its_time(self, browsers: KnownBrowsers, cookie: str, clock: FakeClock) -> None:
        clock.advance(LIFETIME - 1)
        assert browsers.recognise(cookie, "smith", "msu")
        clock.advance(1)
        assert browsers.recognise(cookie, "smith", "msu") is None

    def test_not_for_longer_than_the_setting_says_now(self, cookie: str, tmp_path: Path, clock: FakeClock) -> None:
        for lifetime in (LIFETIME / 2, 0.0):
            assert KnownBrowsers(tmp_path / "ids", lifetime, clock).recognise(cookie, "smith", "msu") is None

    @pytest.mark.parametrize(
        "odd",
        ["", ".", "...", "A" * 64, "é" * 64, "A" * 63 + "=", "\0", "x" * 1_000_000, "." * 100_000, "A" * 63 + "\n"],
    )
    def test_whatever_the_cookie_says(self, browsers: KnownBrowsers, cookie: str, odd: str) -> None:
        assert browsers.recognise(odd, "smith", "msu") is None
        assert browsers.recognise(f"{cookie}.{odd}", "smith", "msu"), "what stands behind it does not matter"
        assert browsers.recognise(browsers.remember(odd, "smith", "msu"), "smith", "msu")

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.text(), st.text(), st.text())
    def test_any_text(self, browsers: KnownBrowsers, text: str, user: str, domain: str) -> None:
        assert browsers.recognise(text, user, domain) is None
        assert browsers.recognise(browsers.remember(text, "smith", "msu"), "smith", "msu")

    def test_it_can_be_turned_off(self, tmp_path: Path) -> None:
        assert KnownBrowsers(tmp_path / "ids", 0.0).remember("", "smith", "msu") == ""
        assert not (tmp_path / "ids").exists()


class TestCookie:
    def test_each_log_in_brings_a_new_token_in_the_place_of_the_old(self, browsers: KnownBrowsers, cookie: str) -> None:
        renewed = browsers.remember(cookie, "smith", "msu")
        assert len(renewed) == len(cookie)
        nonces = [browsers.recognise(text, "smith", "msu") for text in (cookie, renewed)]
        assert None not in nonces and len(set(nonces)) == 2

    def test_people_who_share_a_computer_are_all_known_up_to_a_few(self, browsers: KnownBrowsers) -> None:
        cookie, people = "", [f"user{number}" for number in range(TOKENS + 3)]
        for person in people:
            cookie = browsers.remember(cookie, person, "msu")
        known = [person for person in people if browsers.recognise(cookie, person, "msu")]
        assert known == people[-TOKENS:]
        assert len(cookie) == TOKENS * 65 - 1

    def test_no_more_of_them_are_looked_at(self, browsers: KnownBrowsers, cookie: str) -> None:
        others = [browsers.remember("", "jones", "msu") for _ in range(TOKENS)]
        assert browsers.recognise(".".join([*others[1:], cookie]), "smith", "msu")
        assert browsers.recognise(".".join([*others, cookie]), "smith", "msu") is None

    def test_it_drops_what_has_ended(self, browsers: KnownBrowsers, cookie: str, clock: FakeClock) -> None:
        clock.advance(LIFETIME)
        assert len(browsers.remember(cookie, "jones", "msu")) == len(cookie)

    def test_it_says_nothing_of_the_user(self, browsers: KnownBrowsers, cookie: str) -> None:
        long = browsers.remember("", "s" * 60, "msu")
        assert len(long) == len(cookie)
        assert b"smith" not in urlsafe_b64decode(cookie) and b"msu" not in urlsafe_b64decode(cookie)


class TestKey:
    def test_the_owner_alone_reads_it_and_it_is_in_no_cookie(self, cookie: str, tmp_path: Path) -> None:
        path = tmp_path / "ids" / KEY_FILE
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
        assert path.read_bytes() not in urlsafe_b64decode(cookie)
        assert not list(path.parent.glob(f"{PREFIX}*"))

    def test_it_outlives_sessions(self, browsers: KnownBrowsers, cookie: str, tmp_path: Path) -> None:
        config = Config(host_id="msua1", ids_dir=tmp_path / "ids")
        Sessions(config, lambda: 1000.0).create("smith", "msu", "msul1")
        os.utime(tmp_path / "ids" / KEY_FILE, (0, 0))
        assert Sessions(config).sweep() == 1
        assert browsers.recognise(cookie, "smith", "msu")

    @pytest.mark.parametrize("damaged", [b"", b"x", b"x" * 31, b"x" * 33])
    def test_a_damaged_one_is_replaced(
        self, browsers: KnownBrowsers, cookie: str, tmp_path: Path, damaged: bytes
    ) -> None:
        (tmp_path / "ids" / KEY_FILE).write_bytes(damaged)
        assert browsers.recognise(cookie, "smith", "msu") is None
        assert browsers.recognise(browsers.remember(cookie, "smith", "msu"), "smith", "msu")

    def test_one_that_may_not_be_read_is_replaced(
        self, browsers: KnownBrowsers, cookie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def forbidden(_path: Path) -> bytes:
            raise PermissionError

        before = (tmp_path / "ids" / KEY_FILE).read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", forbidden)
            assert browsers.recognise(cookie, "smith", "msu") is None
        assert (tmp_path / "ids" / KEY_FILE).read_bytes() != before
        assert browsers.recognise(browsers.remember(cookie, "smith", "msu"), "smith", "msu")

    def test_without_one_nobody_is_known_and_the_log_says_so(
        self, browsers: KnownBrowsers, cookie: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "ids" / KEY_FILE).unlink()
        (tmp_path / "ids" / KEY_FILE).mkdir()
        claim = urlsafe_b64decode(cookie)[:24]
        forged = urlsafe_b64encode(claim + _mac(b"", claim, "smith", "msu")).decode()
        assert browsers.recognise(cookie, "smith", "msu") is None
        assert browsers.recognise(forged, "smith", "msu") is None
        assert browsers.remember(cookie, "smith", "msu") == ""
        assert KEY_FILE in caplog.text and cookie not in caplog.text

    def test_processes_that_miss_it_at_the_same_time_make_one(
        self, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        together, read, has_met = threading.Barrier(8), KnownBrowsers._read, threading.local()

        def all_miss_it(browsers: KnownBrowsers) -> bytes | None:
            key = read(browsers)
            if not hasattr(has_met, "others"):
                has_met.others = together.wait(30)
            return key

        monkeypatch.setattr(KnownBrowsers, "_read", all_miss_it)
        cookies: list[str] = []
        here = [KnownBrowsers(tmp_path / "ids", LIFETIME, clock) for _ in range(8)]
        threads = [
            threading.Thread(target=lambda one=one: cookies.append(one.remember("", "smith", "msu"))) for one in here
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        monkeypatch.undo()
        assert len(cookies) == 8 and all(here[0].recognise(cookie, "smith", "msu") for cookie in cookies)
