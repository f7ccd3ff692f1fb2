"""The typed calls against hosts in memory."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import LonError
from common.login_lanes import LoginLane
from lonnet import Delivery, Lonnet, home_calls
from lonnet.courses import Chat, Course, Post, parse_chat
from lonnet.domains import Domain
from lonnet.errors import (
    AuthModeError,
    DeliveryFailed,
    HostUnreachable,
    KeyExists,
    NoSuchDomain,
    NoSuchHost,
    NoSuchUser,
    NotAuthorized,
    NotRightDomain,
    PasswordChangeFailed,
    Refused,
    RemoteError,
    UnexpectedReply,
    UserExists,
)
from lonnet.homes import UserName
from lonnet.replies import FAILURE_WORDS
from lonnet.temporary import Temporary
from lonnet.users import AUTHENTICATION_TYPES, Authentication, User
from lonnet.versions import Restored
from lonnet.wire import TEXT, Malformed
from tests.helpers.fake_net import NOW, FakeLond, FakeNet
from tests.helpers.in_child import in_child
from tests.unit.test_lonnet_scripted_child import a_site

# Bytes of every kind, and texts that could be taken for something else on the wire.
awkward = st.sampled_from(
    [
        "&",
        "=",
        ":",
        "%",
        "%2f",
        "a&b=c",
        "\n",
        "\r",
        "\0",
        "\udcff",
        "1:keys:r",
        "version",
        "ok",
        *sorted(FAILURE_WORDS),
    ]
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | awkward
keys = texts.filter(bool)
rids = keys
values = st.dictionaries(keys, texts, max_size=4)
stored = values.map(lambda found: {key: value for key, value in found.items() if key != "timestamp"})


def a_net() -> FakeNet:
    net = FakeNet(["msul1", "msul2", "msua1"], own="msua1")
    net.londs["msul2"].users["msu:smith"] = {}
    net.londs["msul2"].users["msu:dean"] = {}
    net.londs["msul1"].users["msu:course1"] = {}
    return net


@pytest.fixture
def net() -> FakeNet:
    return a_net()


@pytest.fixture
def smith(net: FakeNet) -> User:
    return User(net, "smith", "msu")


# Hashes


@given(values, st.data())
def test_what_is_put_is_got(put: dict[str, str], data: st.DataObject) -> None:
    smith = User(a_net(), "smith", "msu")
    assert smith.put("ns", put) is Delivery.DONE
    assert smith.get("ns", *put) == smith.eget("ns", *put) == smith.dump("ns") == put
    for key, value in put.items():
        assert smith.get("ns", key) == {key: value}
    assert sorted(smith.keys("ns")) == sorted(put)
    gone = data.draw(st.sets(st.sampled_from(sorted(put)))) if put else set()
    smith.delete("ns", *gone)
    assert smith.dump("ns") == {key: value for key, value in put.items() if key not in gone}


@given(st.dictionaries(st.binary(min_size=1), st.binary(), max_size=4))
def test_raw_bytes_are_put_and_got(put: dict[bytes, bytes]) -> None:
    raw = User(a_net(), "smith", "msu").raw
    raw.put("ns", put)
    raw.store("ns", b"r\xff", {b"a" + key: value for key, value in put.items()})
    assert raw.get("ns", *put) == raw.dump("ns") == put
    assert sorted(raw.keys("ns")) == sorted(put)
    assert raw.restore("ns", b"r\xff").values == {b"a" + key: value for key, value in put.items()}


@given(st.binary(min_size=1), st.binary())
def test_raw_bytes_go_through_roles_ids_courses_and_chat(key: bytes, value: bytes) -> None:
    net = a_net()
    smith, domain, course = User(net, "smith", "msu"), Domain(net, "msu", TEXT).raw, Course(net, "course1", "msu").raw
    smith.raw.rolesput({key: value}, by=smith)
    assert smith.raw.dump("roles") == {key: value}
    smith.raw.rolesdel(key, by=smith)
    assert smith.raw.dump("roles") == {}
    domain.idput({key: b"smith"})
    assert domain.idget(key, key + b"x") == {key: b"smith", key + b"x": b""}
    domain.courseidput({key: [value, b"", key]}, "msul1")
    assert domain.courseiddump() == {key: [value, b"", key]}
    course.chatsend(value)
    assert course.chatretr(smith).posts == (Post(NOW, value),)
    course.put("ns", {key: value})
    assert course.get("ns", key) == {key: value}


@given(rids, st.lists(stored, max_size=3), st.lists(stored, max_size=2))
def test_what_is_stored_is_restored(rid: str, versions: list[dict[str, str]], others: list[dict[str, str]]) -> None:
    smith = User(a_net(), "smith", "msu")
    smith.put("ns", {"entry": "1"})
    for version in versions:
        smith.store("ns", rid, version)
    for version in others:
        smith.store("ns", rid + "x", version)
    found = smith.restore("ns", rid)
    assert [(v.number, v.timestamp, v.values) for v in found.versions] == [
        (number, NOW + number, version) for number, version in enumerate(versions, 1)
    ]
    merged = {key: value for version in versions for key, value in version.items()}
    assert found.values == merged
    assert smith.current("ns").get(rid, {}) == merged
    assert smith.dump("ns") == {"entry": "1"}
    assert smith.keys("ns") == ["entry"]


@given(texts)
def test_any_text_is_logged_posted_and_kept(text: str) -> None:
    net = a_net()
    User(net, "smith", "msu").log(text)
    assert [TEXT.text(entry) for entry in net.londs["msul2"].activity] == [text]
    course = Course(net, "course1", "msu")
    course.chatsend(text)
    assert course.chatretr(User(net, "smith", "msu")) == Chat((UserName("smith", "msu"),), (Post(NOW, text),))
    kept = Temporary(net, "msul1", TEXT)
    assert kept.get(kept.put(text)) == text


def test_missing_keys_and_namespaces_are_empty(smith: User) -> None:
    assert smith.get("never", "a") == {"a": ""}
    assert smith.raw.get("never", b"a") == {b"a": b""}
    assert smith.get("never") == {}
    assert (smith.keys("never"), smith.dump("never"), smith.current("never")) == ([], {}, {})
    assert smith.restore("never", "r") == Restored(())
    smith.put("ns", {})
    assert smith.get("ns", "a") == {"a": ""}
    assert not smith.restore("ns", "r")


@pytest.mark.parametrize("word", sorted(FAILURE_WORDS))
def test_a_failure_is_not_taken_for_a_lone_key(net: FakeNet, smith: User, word: str) -> None:
    smith.put("ns", {word: "", "other": ""})
    net.answers["msul2", "keys"] = word
    with pytest.raises(LonError):
        smith.keys("ns")


def test_newput(smith: User) -> None:
    smith.newput("ns", {"a:b": "1", "c": "2"})
    with pytest.raises(KeyExists) as caught:
        smith.newput("ns", {"new": "1", "a:b": "2"})
    assert caught.value.key == "a:b"
    assert smith.dump("ns") == {"a:b": "1", "c": "2"}


def test_inc(net: FakeNet, smith: User) -> None:
    smith.inc("ns", {"tries": 1, "points": -2})
    smith.inc("ns", {"tries": 10**29})
    assert smith.dump("ns") == {"tries": str(10**29 + 1), "points": "-2"}
    net.answers["msul2", "inc"] = "ok"
    smith.raw.inc("ns", {b"a": 0.5, b"b": Decimal("0.10"), b"c": 1e300})
    assert net.sent[-1][1] == "critical:inc:msu:smith:ns:a=0%2e5&b=0%2e10&c=1e%2b300"
    for wrong in (float("nan"), float("inf"), Decimal("NaN")):
        with pytest.raises(ValueError, match="finite"):
            smith.inc("ns", {"a": wrong})
    for odd in ("1", True, None):
        with pytest.raises(TypeError, match="an amount must be a number"):
            smith.inc("ns", {"a": odd})  # type: ignore[dict-item]


def test_dump_of_a_part(net: FakeNet, smith: User) -> None:
    smith.put("ns", {"a1": "1", "b": "2", "a2": "3", "a3": "4"})
    assert smith.dump("ns", "a") == {"a1": "1", "a2": "3", "a3": "4"}
    assert smith.dump("ns", "a", start=1) == {"a2": "3", "a3": "4"}
    assert smith.dump("ns", "a", end=1) == {"a1": "1"}
    assert smith.dump("ns", start=1, end=2) == {"b": "2"}
    assert net.sent[-1][1] == "dump:msu:smith:ns:%2e:1-2"
    for start, end in ((-1, 2), (2, 1), (0, 10**9)):
        with pytest.raises(ValueError, match="matches from"):
            smith.dump("ns", start=start, end=end)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda u: u.put("a:b", {}), ValueError),
        (lambda u: u.put("ns", {"": "x"}), ValueError),
        (lambda u: u.put("ns", {"a": 1}), TypeError),
        (lambda u: u.put("ns", ["a"]), TypeError),
        (lambda u: u.put("ns", "a=b"), TypeError),
        (lambda u: u.newput("ns", None), TypeError),
        (lambda u: u.store("ns", "r", ["a"]), TypeError),
        (lambda u: u.inc("ns", ["a"]), TypeError),
        (lambda u: u.rolesput(["/msu"], by=u), TypeError),
        (lambda u: u.rolesput({"/msu": "1"}, by="jones"), TypeError),
        (lambda u: u.rolesdel("/msu", by=None), TypeError),
        (lambda u: u.get("ns", b"a"), TypeError),
        (lambda u: u.store("ns", "", {}), ValueError),
        (lambda u: u.store("ns", "r", {"timestamp": "1"}), ValueError),
        (lambda u: u.raw.store("ns", b"r", {b"timestamp": b"1"}), ValueError),
        (lambda u: u.create("krb9"), ValueError),
        (lambda u: u.create("none", host="msua1"), ValueError),
        (lambda u: u.create("none", host="nowhere"), ValueError),
        (lambda u: u.create("none"), ValueError),
    ],
)
def test_what_can_not_be_sent_is_not_sent(
    net: FakeNet, smith: User, call: Callable[[User], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        call(smith)
    assert net.sent == []


def test_which_calls_are_critical(net: FakeNet, smith: User) -> None:
    dean, course = User(net, "dean", "msu"), Course(net, "course1", "msu")
    smith.put("ns", {"a": "1"})
    smith.inc("ns", {"a": 1})
    smith.delete("ns", "a")
    smith.store("ns", "r", {})
    smith.log("text")
    smith.rolesput({"/msu": "1"}, by=dean)
    smith.rolesdel("/msu", by=dean)
    Domain(net, "msu", TEXT).idput({"A1": "smith"})
    Domain(net, "msu", TEXT).courseidput({"msu_course1": ["Physics"]}, "msul1")
    critical = [line.split(":")[1] for _, line in net.sent if line.startswith("critical:")]
    assert critical == ["put", "inc", "del", "store", "log", "encrypt", "encrypt", "idput", "courseidput"]
    net.sent.clear()
    net.londs["msul2"].passwords["msu:smith"] = "x"
    smith.newput("ns", {"b": "1"})
    smith.authenticate("x")
    course.chatsend("text")
    assert not any(line.startswith("critical:") for _, line in net.sent)


def test_delayed_and_lost(net: FakeNet, smith: User) -> None:
    smith.put("ns", {"a": "1"})
    net.down = {"msul2"}
    assert smith.put("ns", {"a": "2"}) is Delivery.DELAYED
    for read in (lambda: smith.get("ns", "a"), lambda: smith.keys("ns"), lambda: smith.newput("ns", {"b": "1"})):
        with pytest.raises(HostUnreachable, match="msul2"):
            read()
    net.answers["msul2", "put"] = "con_failed"
    with pytest.raises(DeliveryFailed):
        smith.put("ns", {"a": "2"})


@pytest.mark.parametrize(
    ("reply", "error"),
    [("refused", Refused), ("error: 28 full", RemoteError), ("unknown_cmd", RemoteError), ("what", UnexpectedReply)],
)
def test_what_the_home_server_refuses(net: FakeNet, smith: User, reply: str, error: type[Exception]) -> None:
    net.answers |= dict.fromkeys([("msul2", "put"), ("msul2", "newput"), ("msul2", "get"), ("msul2", "restore")], reply)
    for call in (
        lambda: smith.put("ns", {"a": "2"}),
        lambda: smith.newput("ns", {"a": "2"}),
        lambda: smith.get("ns", "a"),
        lambda: smith.restore("ns", "a"),
    ):
        with pytest.raises(error):
            call()


# Accounts


def test_log_in(net: FakeNet, smith: User) -> None:
    net.londs["msul2"].passwords["msu:smith"] = TEXT.field("s&c:r=t%é\n")
    assert smith.authenticate("s&c:r=t%é\n") is True
    assert smith.authenticate("s&c:r=t%é\n".encode()) is True
    assert smith.authenticate("") is False
    with pytest.raises(NoSuchUser):
        User(net, "nobody", "msu").authenticate("x")
    assert all(line.startswith("encrypt:") for _, line in net.sent if "home:" not in line)


def test_a_password_of_nobody_is_checked_by_the_same_server_each_time(net: FakeNet) -> None:
    nobody = User(net, "nobody", "msu")
    asked = []
    for call in (
        lambda: nobody.authenticate("x", lane=LoginLane.KNOWN),
        lambda: User(net, "nobody", "msu").authenticate("x"),
        lambda: nobody.change_password("x", "y"),
    ):
        with pytest.raises(NoSuchUser):
            call()
        asked.append(net.commands())
    [server] = {commands[-1].split()[0] for commands in asked}
    assert asked == [["msul1 home", "msul2 home", f"{server} auth"], [f"{server} auth"], [f"{server} passwd"]]


def test_passwords_of_nobody_are_spread_over_the_servers(net: FakeNet) -> None:
    for number in range(20):
        with pytest.raises(NoSuchUser):
            User(net, f"nobody{number}", "msu").authenticate("x")
    assert {host for host, line in net.sent if line.startswith("encrypt:auth:")} == {"msul1", "msul2"}


@pytest.mark.parametrize(
    ("reply", "error"),
    [("error: 11 busy", RemoteError), ("con_lost", HostUnreachable), ("refused", Refused), ("hello", UnexpectedReply)],
)
def test_nobody_hears_what_a_user_would(net: FakeNet, reply: str, error: type[Exception]) -> None:
    net.answers |= {(host, "auth"): reply for host in ("msul1", "msul2")}
    for _ in range(2):
        with pytest.raises(error):
            User(net, "nobody", "msu").authenticate("x")


def test_where_nobody_can_be_a_user_no_password_is_checked(net: FakeNet) -> None:
    with pytest.raises(NoSuchDomain):
        User(net, "smith", "hub").authenticate("x")
    assert net.sent == []


def test_who_was_made_since_the_search_logs_in(net: FakeNet) -> None:
    new = User(net, "new", "msu")
    with pytest.raises(NoSuchUser):
        new.authenticate("x")
    server = net.commands()[-1].split()[0]
    net.londs[server].do_makeuser("msu", "new", "internal", "x")
    assert new.authenticate("x")
    assert new.home() == server


def test_who_was_removed_is_found_out_with_one_check(net: FakeNet, smith: User) -> None:
    net.londs["msul2"].passwords["msu:smith"] = "x"
    assert smith.authenticate("x")
    net.sent.clear()
    net.londs["msul2"] = FakeLond("msul2")
    with pytest.raises(NoSuchUser):
        smith.authenticate("x")
    assert net.commands() == ["msul2 auth", "msul2 home", "msul1 home", "msul2 home"]


def test_the_lane_of_a_log_in_is_told_in_a_last_field(net: FakeNet, smith: User) -> None:
    net.londs["msul2"].passwords["msu:smith"] = "old"
    assert smith.authenticate("old", lane=LoginLane.KNOWN) is True
    smith.change_password("old", "new", lane=LoginLane.FRESH)
    assert smith.authenticate("new") is True
    lines = [line for _, line in net.sent if line.startswith("encrypt:")]
    assert lines == [
        "encrypt:auth:msu:smith:old:known",
        "encrypt:passwd:msu:smith:old:new:fresh",
        "encrypt:auth:msu:smith:new:strangers",
    ]


def test_passwords_are_changed(net: FakeNet, smith: User) -> None:
    net.londs["msul2"].passwords["msu:smith"] = "old"
    smith.change_password("old", "new:1")
    assert smith.authenticate("new:1")
    with pytest.raises(NotAuthorized):
        smith.change_password("old", "newer")
    with pytest.raises(PasswordChangeFailed):
        smith.change_password("new:1", "")
    smith.change_authentication("internal", "other")
    assert smith.authenticate("other")
    assert smith.authentication_type() == Authentication("internal", "")


def set_login_wait(net: FakeNet, seconds: float, most: int = 2) -> None:
    net.site = replace(net.site, config=replace(net.site.config, login_wait=seconds, logins_waiting=most))


def test_account_requests_are_made_again_while_the_home_server_is_busy(
    net: FakeNet, smith: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            net.answers.clear()

    monkeypatch.setattr(home_calls, "sleep", sleep)
    set_login_wait(net, 100.0)
    net.answers["msul2", "auth"] = "error: 11 busy"
    net.londs["msul2"].passwords["msu:smith"] = "sesame"
    assert smith.authenticate("sesame")
    for pause, middle in zip(pauses, (0.1, 0.2, 0.4, 0.8), strict=True):
        assert 0.5 * middle <= pause <= 1.5 * middle


def test_a_check_that_is_under_way_is_waited_for_to_the_end(
    net: FakeNet, smith: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 20:
            net.answers.clear()

    monkeypatch.setattr(home_calls, "sleep", sleep)
    set_login_wait(net, 0.0, most=1)  # that is for other reasons
    net.answers["msul2", "auth"] = "error: 115 under way"
    net.londs["msul2"].passwords["msu:smith"] = "sesame"
    assert smith.authenticate("sesame")
    assert len(pauses) == 20


@pytest.mark.parametrize("number", [11, 115])
def test_no_more_than_a_few_calls_of_a_process_and_lane_wait_for_a_busy_home_server(
    net: FakeNet, smith: User, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    asleep: list[float] = []
    places = [LoginLane.STRANGERS] * 3 + [LoginLane.FRESH] * 3

    def sleep(seconds: float) -> None:
        """While this one waits, another comes."""
        asleep.append(seconds)
        if len(asleep) == 3:
            with pytest.raises(RemoteError):
                smith.authenticate("sesame")
        if len(asleep) < 6:
            assert smith.authenticate("sesame", lane=places[len(asleep)])
        else:
            with pytest.raises(RemoteError):
                smith.authenticate("sesame", lane=LoginLane.FRESH)
            net.answers.clear()

    monkeypatch.setattr(home_calls, "sleep", sleep)
    set_login_wait(net, 100.0, most=3)
    net.londs["msul2"].passwords["msu:smith"] = "sesame"
    for _ in range(2):  # the second time, because each has given its place back
        net.answers["msul2", "auth"] = f"error: {number} busy"
        assert smith.authenticate("sesame", lane=places[0])
        assert len(asleep) == 6
        asleep.clear()


def test_a_process_that_was_forked_counts_its_own_waiting_calls_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    lane = LoginLane.STRANGERS
    monkeypatch.setattr(home_calls, "_waiting", [(os.getpid(), lane)] * 2)
    assert not home_calls._may_wait(lane, 2)
    assert in_child(lambda: home_calls._may_wait(lane, 2)) is True


@pytest.mark.parametrize(
    ("number", "login_wait", "timeout"), [(11, 0.0, None), (11, 0.2, None), (11, 100.0, 0.2), (115, 100.0, 0.2)]
)
def test_a_home_server_that_stays_busy_is_not_asked_without_end(
    net: FakeNet, smith: User, number: int, login_wait: float, timeout: float | None
) -> None:
    set_login_wait(net, login_wait)
    net.answers["msul2", "auth"] = f"error: {number} busy"
    with pytest.raises(RemoteError, match=str(number)):
        smith.authenticate("sesame", timeout=timeout)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("auth_mode_error", AuthModeError),
        ("not_right_domain", NotRightDomain),
        ("unknown_user", NoSuchUser),
        ("refused", Refused),
        ("error: 11 busy", RemoteError),
        ("con_lost", HostUnreachable),
        ("hello", UnexpectedReply),
    ],
)
def test_account_errors_hold_no_password(net: FakeNet, smith: User, reply: str, error: type[Exception]) -> None:
    words = ("auth", "passwd", "changeuserauth", "currentauth", "makeuser")
    net.answers |= {(host, word): reply for host in ("msul1", "msul2") for word in words}
    for call in (
        lambda: smith.authenticate("sesame"),
        lambda: smith.change_password("sesame", "sesame"),
        lambda: smith.change_authentication("internal", "sesame"),
        lambda: smith.authentication_type(),
        lambda: User(net, "new", "msu").create("internal", "sesame", host="msul1"),
    ):
        with pytest.raises(error) as caught:
            call()
        shown = "".join(traceback.format_exception_only(type(caught.value), caught.value))
        assert "sesame" not in shown + repr(vars(caught.value)) + repr(caught.value.__cause__)


def test_users_are_created(net: FakeNet) -> None:
    new = User(net, "new", "msu")
    with pytest.raises(NoSuchUser):
        new.home()
    assert new.create("internal", "pass:word", host="msul2") == "msul2"
    assert new.home() == "msul2"  # though it was just said that there is none
    assert new.authenticate("pass:word")
    for host in ("msul1", "msul2"):
        with pytest.raises(UserExists):
            new.create("internal", "x", host=host)
    assert User(FakeNet(["msul1"]), "new", "msu").create("none") == "msul1"


def test_a_user_is_created_only_if_nobody_else_has_it(net: FakeNet) -> None:
    net.down = {"msul1"}
    with pytest.raises(HostUnreachable):
        User(net, "new", "msu").create("none", host="msul2")
    assert "msu:new" not in net.londs["msul2"].users


def test_types_are_those_of_the_protocol() -> None:
    assert AUTHENTICATION_TYPES == ("internal", "unix", "krb4", "krb5", "localauth", "none")


def test_roles(net: FakeNet, smith: User) -> None:
    dean = User(net, "dean", "msu")
    smith.rolesput({"/msu/course1_st": "0_1700000000"}, by=dean)
    assert net.sent[-1][1] == "critical:encrypt:rolesput:msu:dean:msu:smith:%2fmsu%2fcourse1_st=0_1700000000"
    assert smith.dump("roles") == {"/msu/course1_st": "0_1700000000"}
    smith.rolesdel("/msu/course1_st", by=dean)
    assert smith.dump("roles") == {}


def test_how_a_user_looks(smith: User) -> None:
    assert (repr(smith), smith.name, smith.domain, smith.home()) == ("User('smith', 'msu')", "smith", "msu", "msul2")


# Domains, courses, temporary texts


def test_ids_lie_on_the_home_servers_of_their_users(net: FakeNet) -> None:
    domain = Domain(net, "msu", TEXT)
    assert domain.idput({"A1": "smith", "A&2": "smith", "C1": "course1"}) is Delivery.DONE
    assert (net.londs["msul1"].ids, net.londs["msul2"].ids) == ({"C1": "course1"}, {"A1": "smith", "A%262": "smith"})
    assert domain.idget("C1", "A&2", "B") == {"C1": "course1", "A&2": "smith", "B": ""}
    assert domain.idget() == {}
    net.down = {"msul2"}
    assert domain.idget("C1") == {"C1": "course1"}
    with pytest.raises(HostUnreachable):
        domain.idget("C1", "A1")
    assert domain.idput({"A3": "smith", "C2": "course1"}) is Delivery.DELAYED


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda net: Domain(net, "msu", TEXT).idput(["A1"]), "users must be a mapping, such as a dict, not list"),  # type: ignore[arg-type]
        (
            lambda net: Domain(net, "msu", TEXT).courseidput("msu_1", "msul1"),  # type: ignore[arg-type]
            "courses must be a mapping, such as a dict, not str",
        ),
        (lambda net: Course(net, "course1", "msu").chatretr("smith"), "member must be a user"),  # type: ignore[arg-type]
    ],
)
def test_what_is_of_a_wrong_type_is_not_sent(net: FakeNet, call: Callable[[FakeNet], object], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        call(net)
    assert net.sent == []


def test_courses_are_listed(net: FakeNet) -> None:
    domain = Domain(net, "msu", TEXT)
    domain.courseidput({"msu_1": ["Physics: 1&2", "phy"], "msu_2": ["Art"]}, "msul1")
    domain.courseidput({"msu_3": [""]}, "msul2")
    assert domain.courseiddump() == {"msu_1": ["Physics: 1&2", "phy"], "msu_2": ["Art"], "msu_3": [""]}
    domain.courseiddump(5, "phy.")
    assert net.sent[-1][1] == "courseiddump:msu:5:phy%2e"
    with pytest.raises(TypeError, match="list of texts"):
        domain.courseidput({"msu_1": "Physics"}, "msul1")
    with pytest.raises(ValueError, match="since"):
        domain.courseiddump(-1)
    with pytest.raises(NoSuchHost):
        domain.courseidput({"msu_1": ["Physics"]}, "nowhere")
    net.answers["msul1", "courseiddump"] = "x"
    with pytest.raises(UnexpectedReply):
        domain.courseiddump()


def test_a_course_without_a_text_is_not_sent(net: FakeNet) -> None:
    with pytest.raises(ValueError, match="at least one text, its description"):
        Domain(net, "msu", TEXT).courseidput({"msu_1": ["Physics"], "msu_2": []}, "msul1")
    assert net.sent == []


@pytest.mark.parametrize("stored", ["caf%e9", "caf\udce9"])  # as the original's servers may have it: escaped, or bare
def test_what_is_not_utf8_can_be_read(net: FakeNet, stored: str) -> None:
    domain, course, smith = Domain(net, "msu", TEXT), Course(net, "course1", "msu"), User(net, "smith", "msu")
    net.answers["msul1", "chatretr"] = f"active_participant%3asmith%3amsu:{NOW}_000001%3a" + stored.replace("%", "%25")
    assert course.chatretr(smith).posts == (Post(NOW, "caf\udce9"),)
    assert course.raw.chatretr(smith).posts == (Post(NOW, b"caf\xe9"),)
    net.answers["msul1", "idget"] = f"&{stored}"
    assert (domain.idget("A1"), domain.raw.idget(b"A1")) == ({"A1": "caf\udce9"}, {b"A1": b"caf\xe9"})
    net.answers["msul1", "courseiddump"] = f"{stored}={stored}:phy"
    assert domain.courseiddump() == {"caf\udce9": ["caf\udce9", "phy"]}
    assert domain.raw.courseiddump() == {b"caf\xe9": [b"caf\xe9", b"phy"]}


def test_courses_are_users(net: FakeNet) -> None:
    course = Course(net, "course1", "msu")
    course.put("environment", {"description": "Physics"})
    assert (course.home(), course.get("environment", "description")) == ("msul1", {"description": "Physics"})
    assert repr(course) == "Course('course1', 'msu')"


@pytest.mark.parametrize(
    "reply", ["x", "active_participant%3aa", "active_participant%3a%2e%2e%3amsu", "x%3ay%3az", "x%3ay"]
)
def test_what_is_no_chat(reply: str) -> None:
    assert parse_chat(TEXT, "") == Chat()
    with pytest.raises(Malformed):
        parse_chat(TEXT, reply)


def test_temporary_texts(net: FakeNet) -> None:
    kept = Temporary(net, "msul1", TEXT)
    id = kept.put("a text")
    assert (kept.get(id), kept.raw.get(id), kept.delete(id), kept.delete(id), kept.get(id)) == (
        *("a text", b"a text", True, False, None),
    )
    for wrong in ("", "a:b", "a\n", "x" * 129):
        with pytest.raises(ValueError, match="not the id"):
            kept.get(wrong)
    net.answers["msul1", "tmpput"] = "not an id"
    with pytest.raises(UnexpectedReply):
        kept.put("text")
    with pytest.raises(NoSuchHost):
        Temporary(net, "nowhere", TEXT).put("text")


# The way from a Lonnet


def test_lonnet_makes_them_all(tmp_path: Path) -> None:
    net = Lonnet(a_site(tmp_path, "msul1", "msul2"))
    assert repr(net.user("smith", "msu")) == "User('smith', 'msu')"
    assert isinstance(net.course("c", "msu"), Course)
    assert repr(net.domain("msu")) == "Domain('msu')"
    with pytest.raises(HostUnreachable):
        net.homeserver("smith", "msu")
    with pytest.raises(HostUnreachable, match="msul1"):
        net.temporary().put("text")
    with pytest.raises(HostUnreachable, match="msul2"):
        net.temporary("msul2").put("text")
    net.homes.remember(UserName("smith", "msu"), "msul2")
    assert net.homeserver("smith", "msu") == "msul2"
    assert net.user("smith", "msu").put("ns", {"a": "1"}) is Delivery.DELAYED
