"""Names, texts and lists on the wire, and what replies mean."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import LonError
from lonnet import Delivery, errors
from lonnet.deadline import ALLOWANCE, LONGEST_TIMEOUT, SHORTEST, Deadline, limit
from lonnet.replies import checked, command_of, delivered, failure, nothing_there, parsed
from lonnet.versions import Restored, Version, parse_current, parse_restored
from lonnet.wire import (
    RAW,
    TEXT,
    Malformed,
    answered,
    checked_name,
    checked_namespace,
    items,
    key_list,
    pairs,
    question,
    whole_number,
)
from tests.conftest import FakeClock

AWKWARD = ["", "a", "&", "=", ":", "%", "%2f", "%zz", "a&b=c:d%", "\n", "\r\n", "\0", "/", "é", "\U0001f600", "\udcff"]
texts = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(AWKWARD)
keys = texts.filter(bool)


def test_every_byte_is_one_field() -> None:
    every = bytes(range(256))
    field = RAW.field(every)
    assert re.fullmatch("[A-Za-z0-9_%]*", field)
    assert wire_round_trip(field) == every
    assert [wire_round_trip(RAW.field(bytes([byte]))) for byte in every] == [bytes([byte]) for byte in every]


def wire_round_trip(field: str) -> bytes:
    return RAW.text(field)


@given(texts)
def test_text_comes_back(text: str) -> None:
    assert TEXT.text(TEXT.field(text)) == text


@given(st.binary())
def test_bytes_that_are_not_utf_8_pass_through_str_unharmed(data: bytes) -> None:
    text = TEXT.text(RAW.field(data))
    assert RAW.text(TEXT.field(text)) == data


@given(st.dictionaries(keys, texts))
def test_pairs_come_back(values: dict[str, str]) -> None:
    line = pairs(TEXT, values)
    assert re.fullmatch("[A-Za-z0-9_%&=]*", line)
    assert {TEXT.text(key): TEXT.text(value) for key, value in items(line)} == values


@given(st.dictionaries(keys, texts, min_size=1))
def test_answers_go_to_their_keys(values: dict[str, str]) -> None:
    reply = "&".join(TEXT.field(values[TEXT.text(key)]) if key else "" for key in question(TEXT, values).split("&"))
    assert answered(TEXT, values, reply) == values
    assert failure("msul1", reply) is None


def test_spellings_of_other_peers_are_read() -> None:
    assert TEXT.text("a%2Fb") == TEXT.text("a%2fb") == TEXT.text("a/b") == "a/b"


@pytest.mark.parametrize("reply", ["", "a", "&a", "&a&b&c"])
def test_wrong_number_of_answers(reply: str) -> None:
    with pytest.raises(Malformed):
        answered(TEXT, ["a", "b"], reply)


def test_items_need_an_equals_sign() -> None:
    assert list(items("")) == []
    assert list(items("a=&b=c=d&")) == [("a", ""), ("b", "c=d")]
    with pytest.raises(Malformed):
        list(items("a=b&c"))


@pytest.mark.parametrize("name", ["smith", "_", "a.b@c-d_1", "9", "x" * 64])
def test_names(name: str) -> None:
    assert checked_name(name, "user name") == name


@pytest.mark.parametrize("name", ["", ".a", "-a", "a..b", "a/b", "a:b", "a b", "a\n", "é", "x" * 65])
def test_wrong_names(name: str) -> None:
    with pytest.raises(ValueError, match="is not a user name: at most 64 of"):
        checked_name(name, "user name")


def test_namespaces() -> None:
    assert checked_namespace("msu/course1") == "msu_course1"
    with pytest.raises(ValueError, match="namespace"):
        checked_namespace("a:b")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TEXT.field(b"secret"), "a text must be str, not bytes; bytes go through .raw"),  # type: ignore[arg-type]
        (lambda: TEXT.field(7), "a text must be str, not int"),  # type: ignore[arg-type]
        (lambda: pairs(TEXT, {"a": "b", "lang": 7}), "value of 'lang': a text must be str, not int"),  # type: ignore[misc]
        (lambda: pairs(TEXT, {7: "secret"}), "key 7: a text must be str, not int"),  # type: ignore[misc]
        (lambda: pairs(TEXT, ["secret"]), "values must be a mapping, such as a dict, not list"),  # type: ignore[arg-type]
        (lambda: RAW.field("secret"), "raw data must be bytes, not str"),  # type: ignore[arg-type]
        (lambda: checked_name(7, "domain"), "a domain must be str, not int"),  # type: ignore[arg-type]
        (lambda: checked_namespace(None), "a namespace must be str, not NoneType"),  # type: ignore[arg-type]
    ],
)
def test_wrong_types(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message) as caught:
        call()
    assert "secret" not in str(caught.value)


def test_a_text_that_is_no_utf_8_is_not_in_the_error() -> None:
    with pytest.raises(ValueError, match="character 6 of a text") as caught:
        TEXT.field("secret\ud800")
    assert "secret" not in repr(caught.value)
    assert caught.value.__cause__ is None and not isinstance(caught.value, UnicodeError)


def test_empty_keys() -> None:
    with pytest.raises(ValueError, match="empty"):
        key_list(TEXT, ["a", ""])
    with pytest.raises(ValueError, match="empty"):
        pairs(RAW, {b"": b"a"})
    with pytest.raises(ValueError, match="empty"):
        question(TEXT, [""])


@pytest.mark.parametrize("field", ["", "-1", "1.5", "x", "²", "1" * 16])
def test_numbers(field: str) -> None:
    assert whole_number("0123") == 123
    with pytest.raises(Malformed):
        whole_number(field)


# Replies


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("con_lost", errors.HostUnreachable("msul1")),
        ("con_delayed", errors.Delayed("msul1")),
        ("con_failed", errors.DeliveryFailed("msul1")),
        ("no_such_host", errors.NoSuchHost("msul1")),
        ("refused", errors.Refused("msul1: refused")),
        ("unknown_cmd", errors.RemoteError(38, "msul1 does not know this command")),
        ("error: 2 no such user", errors.RemoteError(2, "no such user")),
        ("error: 28", errors.RemoteError(28, "")),
        ("error:28: full", errors.RemoteError(28, "full")),
        ("error:no_key", errors.RemoteError(0, "no_key")),
        ("error: request too long", errors.RemoteError(0, "request too long")),
        ("error: 2nd try", errors.RemoteError(0, "2nd try")),
        ("error:", errors.RemoteError(0, "")),
        ("error: 5 a\x1b[1mb\udcff", errors.RemoteError(5, "a?[1mb?")),
        ("error: 5 " + "x" * 300, errors.RemoteError(5, "x" * 200)),
    ],
)
def test_failures(reply: str, error: LonError) -> None:
    found = failure("msul1", reply)
    assert (type(found), str(found), vars(found)) == (type(error), str(error), vars(error))
    with pytest.raises(type(error)):
        checked("msul1", reply)


@pytest.mark.parametrize("reply", ["", "ok", "con_lost ", "&con_lost", "errors", "a=refused", "version=0"])
def test_no_failures(reply: str) -> None:
    assert checked("msul1", reply) == reply


@given(st.text())
def test_any_reply_is_judged(reply: str) -> None:
    error = failure("msul1", reply)
    assert error is None or isinstance(error, LonError)
    assert nothing_there(reply) == (isinstance(error, errors.RemoteError) and error.number == 2)


def test_delivery() -> None:
    assert delivered("msul1", "put", "ok") is Delivery.DONE
    assert delivered("msul1", "put", "con_delayed") is Delivery.DELAYED
    with pytest.raises(errors.DeliveryFailed):
        delivered("msul1", "put", "con_failed")
    with pytest.raises(errors.UnexpectedReply, match="msul1: put can't have this reply: maybe"):
        delivered("msul1", "put", "maybe")


def test_unexpected_replies_show_no_data() -> None:
    def parse(_reply: str) -> str:
        raise Malformed

    with pytest.raises(errors.UnexpectedReply) as caught:
        parsed("msul1", "encrypt:get:msu:smith:ns:secret", "grade=5", parse)
    assert str(caught.value) == "msul1: get can't have this reply: 7 characters"
    travelled = pickle.loads(pickle.dumps(caught.value))
    assert (str(travelled), vars(travelled)) == (str(caught.value), vars(caught.value))
    assert command_of("put") == "put"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.UserExists("smith", "msu"), "smith:msu: exists already"),
        (errors.NotAuthorized("smith", "msu"), "smith:msu: wrong password (non_authorized)"),
        (errors.AuthModeError("smith", "msu"), "smith:msu: not with this type of authentication (auth_mode_error)"),
        (errors.PasswordChangeFailed("smith", "msu"), "smith:msu: the password was not changed (pwchange_failure)"),
        (errors.NotRightDomain("smith", "msu"), "smith:msu: not on a host of another domain (not_right_domain)"),
        (errors.KeyExists("a\nb"), r"key 'a\nb' exists already"),
    ],
)
def test_errors_about_users_travel_between_processes(error: LonError, text: str) -> None:
    assert str(error) == text
    travelled = pickle.loads(pickle.dumps(error))
    assert (type(travelled), str(travelled), vars(travelled)) == (type(error), text, vars(error))


# restore and currentdump


def test_the_published_example() -> None:
    reply = (
        "version=2&1:keys=foo:timestamp&1:foo=bar&1:timestamp=1000&"
        "2:keys=bar:foo:timestamp&2:bar=foo&2:foo=notbar&2:timestamp=2000"
    )
    restored = parse_restored(TEXT, reply)
    assert restored.versions == (Version(1, 1000, {"foo": "bar"}), Version(2, 2000, {"foo": "notbar", "bar": "foo"}))
    assert restored.values == {"foo": "notbar", "bar": "foo"}
    assert (restored.version, restored.timestamp, bool(restored)) == (2, 2000, True)


def test_restored_in_any_order_and_with_awkward_names() -> None:
    reply = "version=10&10:timestamp=9&10:keys=keys:timestamp&2:keys=timestamp&10:keys=a%3ab&2:timestamp=5"
    restored = parse_restored(RAW, reply)
    empty: dict[bytes, bytes] = {}
    assert restored.versions == (Version(2, 5, empty), Version(10, 9, {b"keys": b"a:b"}))


def test_nothing_restored() -> None:
    restored = parse_restored(TEXT, "version=0")
    assert restored == Restored(())
    assert (restored.version, restored.timestamp, restored.values, bool(restored)) == (0, 0, {}, False)


@pytest.mark.parametrize("reply", ["", "1:a=b", "version=1&a=b", "version=1&x:a=b", "version=1&1:timestamp=x", "a"])
def test_what_is_not_restored(reply: str) -> None:
    with pytest.raises(Malformed):
        parse_restored(TEXT, reply)


def test_current() -> None:
    reply = "r1:a=1&r1:timestamp=5&r%3a2:%26=%3d&r3:timestamp=5"
    assert parse_current(TEXT, reply) == {"r1": {"a": "1"}, "r:2": {"&": "="}, "r3": {}}
    with pytest.raises(Malformed):
        parse_current(TEXT, "a=b")


# Deadlines


def test_limits() -> None:
    assert limit(None, 60.0) == 60.0 + ALLOWANCE
    assert limit(0.5, 60.0) == 0.5
    for wrong in (0.0, -1.0, float("nan"), float("inf"), LONGEST_TIMEOUT * 1.01):
        with pytest.raises(ValueError, match="must be more than 0"):
            limit(wrong, 60.0)


def test_deadline(clock: FakeClock) -> None:
    deadline = Deadline(10.0, clock)
    assert (deadline.left(), deadline.share(4)) == (10.0, 2.5)
    clock.advance(9.0)
    assert (deadline.left(), deadline.share(4)) == (1.0, 0.25)
    clock.advance(5.0)
    assert (deadline.left(), deadline.share(4)) == (SHORTEST, SHORTEST)
