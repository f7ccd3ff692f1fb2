"""Every reply of the commands on user records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.config import Config
from common.crypto import LinkCipher, new_build_key
from common.frames import frame_length
from lonnet.replies import FAILURE_WORDS
from tests.helpers.dispatching import NOW, Lond, make_site


@pytest.fixture
def lond(tmp_path: Path) -> Iterator[Lond]:
    with Lond(make_site(tmp_path)) as lond:
        yield lond


def test_put_and_get(lond: Lond) -> None:
    assert lond.ask("put:msu:smith:data:a=1&b=%3cx%3e&c=") == b"ok"
    assert lond.ask("get:msu:smith:data:b&none&a&c") == b"%3cx%3e&&1&"
    assert lond.ask("put:msu:smith:data:a=2") == b"ok"
    assert lond.ask("get:msu:smith:data:a") == b"2"


def test_a_key_is_the_same_in_every_spelling(lond: Lond) -> None:
    lond.ask("put:msu:smith:data:a%2Fb=%2F")
    for spelling in ("a%2fb", "a%2Fb", "a/b", "%61%2fb"):
        assert lond.ask(f"get:msu:smith:data:{spelling}") == b"%2f"
    assert lond.ask("keys:msu:smith:data") == b"a%2fb"


def test_an_equals_sign_in_a_value_is_kept(lond: Lond) -> None:
    assert lond.ask("put:msu:smith:data:a=b=c") == b"ok"
    assert lond.ask("dump:msu:smith:data") == b"a=b%3dc"


def test_a_slash_in_a_namespace_counts_as_underscore(lond: Lond) -> None:
    lond.ask("put:msu:smith:a/b:k=v")
    assert lond.ask("get:msu:smith:a_b:k") == b"v"


def test_newput_is_all_or_nothing(lond: Lond) -> None:
    assert lond.ask("newput:msu:smith:data:a=1&b=2") == b"ok"
    assert lond.ask("newput:msu:smith:data:c=3&b=4") == b"key_exists: b"
    assert lond.ask("dump:msu:smith:data") == b"a=1&b=2"


def test_inc_adds(lond: Lond) -> None:
    assert lond.ask("inc:msu:smith:data:a=&b=%2d5&c=1%2e5") == b"ok"
    assert lond.ask("inc:msu:smith:data:a=&b=2&c=%2e1") == b"ok"
    assert lond.ask("get:msu:smith:data:a&b&c") == b"2&%2d3&1%2e6"
    assert lond.ask("inc:msu:smith:data:a=1&a=1") == b"ok"
    assert lond.ask("get:msu:smith:data:a") == b"4"


def test_inc_refuses_what_is_no_number_as_a_whole(lond: Lond) -> None:
    lond.ask("put:msu:smith:data:a=1&b=text")
    assert lond.ask("inc:msu:smith:data:a=1&b=1") == b"error: 22 not a number"
    assert lond.ask("inc:msu:smith:data:a=x") == b"error: 22 not a number"
    assert lond.ask(f"inc:msu:smith:data:a={'9' * 31}") == b"error: 22 not a number"
    assert lond.ask("inc:msu:smith:data:c=1e308&c=1e308") == b"error: 22 number too large"
    assert lond.ask(f"inc:msu:smith:data:c={'9' * 30}&c=") == b"error: 22 number too large"
    assert lond.ask("get:msu:smith:data:a&b&c") == b"1&text&"


def test_del(lond: Lond) -> None:
    lond.ask("put:msu:smith:data:a=1&b=2&c=3")
    assert lond.ask("del:msu:smith:data:a&none&b") == b"ok"
    assert lond.ask("keys:msu:smith:data") == b"c"
    assert lond.ask("del:msu:smith:other:a") == b"ok"
    assert lond.ask("keys:msu:smith:other") == b""


def test_eget_frames_or_says_that_there_is_no_key(lond: Lond) -> None:
    lond.ask("put:msu:smith:data:a=1")
    assert lond.ask("eget:msu:smith:data:a") == b"error:no_key"
    lond.session.frame = lambda clear: b"enc:%d:%s" % (len(clear), clear.hex().encode())
    assert lond.ask("eget:msu:smith:data:a&b") == b"enc:2:3126"


@pytest.mark.parametrize(("stored", "question", "reply"), [
    ("store:msu:smith:d:enc:4=x", "currentdump:msu:smith:d", b"%%65nc:4=x&enc:timestamp=%d" % NOW),
    ("store:msu:smith:d:error:2=x", "currentdump:msu:smith:d", b"%%65rror:2=x&error:timestamp=%d" % NOW),
    ("store:msu:smith:d:encore:2=x", "currentdump:msu:smith:d", b"encore:2=x&encore:timestamp=%d" % NOW),
    *[("put:msu:smith:d:k=" + word, "get:msu:smith:d:k", b"%%%x%b" % (ord(word[0]), word[1:].encode()))
      for word in sorted(FAILURE_WORDS)],
    ("put:msu:smith:d:k=refused", "get:msu:smith:d:k&k", b"refused&refused"),
    ("put:msu:smith:d:refused=1", "keys:msu:smith:d", b"%72efused"),
    ("put:msu:smith:d:refused=1", "dump:msu:smith:d", b"refused=1"),
    ("idput:msu:4711=refused", "idget:msu:4711", b"%72efused"),
    ("put:msu:smith:d:k=error", "get:msu:smith:d:k", b"error"),
])  # fmt: skip
def test_what_users_have_written_is_not_taken_for_a_frame_an_error_or_a_failure(
    lond: Lond, stored: str, question: str, reply: bytes
) -> None:
    assert lond.ask(stored) == b"ok"
    assert lond.ask(question) == reply


def test_dump_whole_by_expression_and_by_range(lond: Lond) -> None:
    lond.ask("put:msu:smith:data:user%3aa=1&user%3ab=2&other=3&user%3ac=4")
    everything = b"other=3&user%3aa=1&user%3ab=2&user%3ac=4"
    assert lond.ask("dump:msu:smith:data") == everything
    assert lond.ask("dump:msu:smith:data:%2e") == everything
    assert lond.ask("dump:msu:smith:data:") == everything
    assert lond.ask("dump:msu:smith:data:%5euser%3a%5bbc%5d") == b"user%3ab=2&user%3ac=4"
    assert lond.ask("dump:msu:smith:data:%5euser:1-3") == b"user%3ab=2&user%3ac=4"
    assert lond.ask("dump:msu:smith:data:.:1") == b"other=3"
    assert lond.ask("dump:msu:smith:data:.:7-9") == b""
    assert lond.ask("dump:msu:smith:data:.:x") == b"error: 22 not a range START-END"
    assert lond.ask("dump:msu:smith:data:%28").startswith(b"error: 22 expression is not one of RE2")


@pytest.mark.parametrize("request_", ["get:msu:smith:no:a", "keys:msu:smith:no", "dump:msu:smith:no",
                                      "restore:msu:smith:no:r", "currentdump:msu:smith:no"])  # fmt: skip
def test_reading_what_is_not_there_is_error_2(lond: Lond, request_: str) -> None:
    assert lond.ask(request_).startswith(b"error: 2 ")
    assert not lond.user_path("smith").exists(), "reading makes no database"
    lond.ask("put:msu:smith:data:a=1")
    assert lond.ask(request_) == b"error: 2 no such namespace"
    assert lond.ask(request_.replace("smith", "nobody")).startswith(b"error: 2 ")


@pytest.mark.parametrize("request_", ["put:msu:nobody:d:a=1", "newput:msu:nobody:d:a=1", "inc:msu:nobody:d:a=1",
                                      "del:msu:nobody:d:a", "store:msu:nobody:d:r:a=1",
                                      "log:msu:nobody:text"])  # fmt: skip
def test_no_data_command_makes_a_user(lond: Lond, request_: str) -> None:
    assert lond.ask(request_).startswith(b"error: 2 ")
    assert not lond.storage.user_directory(b"msu", b"nobody").exists()


@pytest.mark.parametrize("request_", ["put:msu:smith:roles:a=1", "newput:msu:smith:roles:a=1",
                                      "inc:msu:smith:roles:a=1", "del:msu:smith:roles:a",
                                      "store:msu:smith:roles:r:a=1"])  # fmt: skip
def test_roles_have_commands_of_their_own(lond: Lond, request_: str) -> None:
    assert lond.ask(request_) == b"refused"
    assert lond.ask(request_, encrypted=True) == b"refused"


def test_rolesput_and_rolesdel(lond: Lond) -> None:
    assert lond.ask("rolesput:msu:dc:msu:smith:r1=x&r2=y") == b"refused"
    assert lond.ask("rolesput:msu:dc:msu:smith:r1=x&r2=y", encrypted=True) == b"ok"
    assert lond.ask("rolesdel:msu:dc:msu:smith:r1") == b"refused"
    assert lond.ask("rolesdel:msu:dc:msu:smith:r1", encrypted=True) == b"ok"
    assert lond.ask("dump:msu:smith:roles") == b"r2=y"
    history = list(lond.storage.user(b"msu", b"smith").history(b"roles"))
    assert history == [b"P:%d:msu:dc:r1=x&r2=y" % NOW, b"D:%d:msu:dc:r1" % NOW]


def test_the_published_example_of_store_and_restore(lond: Lond) -> None:
    assert lond.ask("store:msu:smith:course:res1:foo=bar") == b"ok"
    lond.services.time += 5
    assert lond.ask("store:msu:smith:course:res1:foo=notbar&bar=foo") == b"ok"
    reply = lond.ask("restore:msu:smith:course:res1")
    assert reply.startswith(b"version=2&1:keys=")
    found = dict(item.split(b"=") for item in reply.split(b"&"))
    assert set(found.pop(b"2:keys").split(b":")[:-1]) == {b"foo", b"bar"}
    assert found == {
        b"version": b"2",
        b"1:foo": b"bar",
        b"1:keys": b"foo:timestamp",
        b"1:timestamp": b"%d" % NOW,
        b"2:bar": b"foo",
        b"2:foo": b"notbar",
        b"2:timestamp": b"%d" % (NOW + 5),
    }
    assert b"2:keys=foo:bar:timestamp" in reply.split(b"&")
    # The merged values are the caller's business on the wire; currentdump has them from here.
    current = dict(item.split(b"=") for item in lond.ask("currentdump:msu:smith:course").split(b"&"))
    assert current == {b"res1:bar": b"foo", b"res1:foo": b"notbar", b"res1:timestamp": b"%d" % (NOW + 5)}


def test_stored_versions_are_seen_by_dump_and_keys(lond: Lond) -> None:
    lond.ask("put:msu:smith:course:k=v")
    lond.ask("store:msu:smith:course:res1:foo=bar")
    time = b"%d" % NOW
    assert lond.ask("dump:msu:smith:course") == (
        b"k=v&1:res1:foo=bar&1:res1:timestamp=" + time + b"&1:keys:res1=foo:timestamp&version:res1=1"
    )
    assert lond.ask("keys:msu:smith:course") == b"k&1:res1:foo&1:res1:timestamp&1:keys:res1&version:res1"


def test_versions_of_several_resources_do_not_mix(lond: Lond) -> None:
    lond.batch(*[f"store:msu:smith:course:res{number % 3}:n={number}" for number in range(9)])
    for rid in range(3):
        reply = lond.ask(f"restore:msu:smith:course:res{rid}")
        assert re.findall(rb"[0-9]:n=([0-9])", reply) == [b"%d" % (rid + 3 * version) for version in range(3)]


def test_restore_of_what_was_never_stored(lond: Lond) -> None:
    lond.ask("put:msu:smith:course:k=v")
    assert lond.ask("restore:msu:smith:course:res1") == b"version=0"
    assert lond.ask("currentdump:msu:smith:course") == b""
    assert lond.ask("restore:msu:smith:course:") == b"error: 22 no resource id"


def test_a_timestamp_of_the_caller_does_not_count(lond: Lond) -> None:
    lond.ask("store:msu:smith:course:r:timestamp=1&a=b")
    assert lond.ask("restore:msu:smith:course:r") == b"version=1&1:keys=a:timestamp&1:a=b&1:timestamp=%d" % NOW


def test_log_and_history(lond: Lond) -> None:
    assert lond.ask("log:msu:smith:did%20this") == b"ok"
    lond.ask("put:msu:smith:data:a=1&b=2")
    lond.ask("inc:msu:smith:data:a=1")
    lond.ask("store:msu:smith:data:res:x=y")
    lond.ask("del:msu:smith:data:a")
    lond.ask("put:msu:smith:nohist_data:a=1")
    records = lond.storage.user(b"msu", b"smith")
    assert list(records.activity()) == [b"%d:msua1:did%%20this" % NOW]
    lines = [b"P:%d:a=1&b=2", b"P:%d:a=1", b"P:%d:res:x=y", b"D:%d:a"]
    assert list(records.history(b"data")) == [line % NOW for line in lines]
    assert list(records.history(b"nohist_data")) == []
    assert records.namespaces() == [b"data", b"nohist_data"]


def test_a_framed_reply_has_a_limit_of_its_own(tmp_path: Path) -> None:
    with Lond(make_site(tmp_path, londMaxFramed=1024)) as lond:
        lond.session.frame = LinkCipher("msul1", "msua1", new_build_key()).frame
        lond.ask(b"put:msu:smith:data:a=%b&b=1" % (503 * b"x"))
        assert len(lond.ask("eget:msu:smith:data:a")) == 1016  # the next length that a frame can have is 1032
        assert lond.ask("eget:msu:smith:data:a&none") == b"error: 7 reply too long to be encrypted"
        assert lond.ask("get:msu:smith:data:a&none") == 503 * b"x" + b"&"
        question = b"tmpget:" + lond.ask(b"tmpput:enc:" + 500 * b"x")
        assert lond.ask(question) == b"error: 7 reply too long to be encrypted"


def test_any_one_value_that_a_request_can_bring_may_be_framed() -> None:
    limits = Config(host_id="msul1")
    assert frame_length(limits.max_request - len("put:a:b:c:d=")) <= limits.max_framed


def test_a_reply_has_a_limit(tmp_path: Path) -> None:
    with Lond(make_site(tmp_path, lonMaxReply=65536)) as lond:
        lond.ask(b"put:msu:smith:data:a=" + b"x" * 65534)
        assert len(lond.ask("dump:msu:smith:data")) == 65536
        lond.ask("put:msu:smith:data:b=")
        assert lond.ask("dump:msu:smith:data") == b"error: 7 reply too long"
        assert lond.ask("get:msu:smith:data:a&a") == b"error: 7 reply too long"
        assert lond.ask("ping") == b"msul1"
