"""What the dispatcher promises of every command: checks in one place, order, policy, group commit, bugs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.hosts_table import Host
from lond.commands import registry
from lond.commands.registry import REGISTRY, Context, Handler, Pending, Reply, Trust, command
from lond.dispatcher import LARGE_BYTES
from lond.records.database import Opening, Patience
from tests.helpers.dispatching import Connection, Lond, connection_class, make_site

Register = Callable[..., Callable[[Handler], Handler]]


@pytest.fixture
def lond(tmp_path: Path) -> Iterator[Lond]:
    with Lond(make_site(tmp_path)) as lond:
        yield lond


@pytest.fixture
def extra_command() -> Iterator[Register]:
    """Registers commands for one test."""
    before = dict(REGISTRY)
    yield command
    registry.REGISTRY.clear()
    registry.REGISTRY.update(before)


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("get:msu:smith:data", "error: 22 wrong number of arguments"),
        ("get:msu:smith:data:a:b", "error: 22 wrong number of arguments"),
        ("get", "error: 22 wrong number of arguments"),
        ("get:", "error: 22 wrong number of arguments"),
        ("ping:x", "error: 22 wrong number of arguments"),
        ("dump:msu:smith:data:.:0-1:x", "error: 22 wrong number of arguments"),
        ("get::smith:data:a", "error: 22 not a domain"),
        ("get:msu::data:a", "error: 22 not a user"),
        ("get:msu:smith::a", "error: 22 not a namespace"),
        ("get:..:smith:data:a", "error: 22 not a domain"),
        ("get:msu:a..b:data:a", "error: 22 not a user"),
        ("get:msu:.a:data:a", "error: 22 not a user"),
        ("get:msu:a/b:data:a", "error: 22 not a user"),
        ("get:msu:a%2fb:data:a", "error: 22 not a user"),
        ("get:msu:smith:../x:a", "error: 22 not a namespace"),
        (f"get:msu:{'x' * 65}:data:a", "error: 22 not a user"),
        ("put:msu:smith:data:=1", "error: 22 a value without a key"),
        ("put:msu:smith:data:a=1\nx", "error: 22 line feed in a request"),
    ],
)
def test_arguments_are_checked(lond: Lond, line: str, reply: str) -> None:
    assert lond.ask(line, encrypted=True) == reply.encode()


def test_names_may_be_as_long_and_odd_as_allowed(lond: Lond, tmp_path: Path) -> None:
    user = "_" + "a.b@c-" * 10 + "xyz"
    assert len(user) == 64
    with Lond(lond.site, users=[user]) as other:
        assert other.ask(f"put:msu:{user}:{user}:a=1") == b"ok"
        assert other.ask(f"get:msu:{user}:{user}:a") == b"1"


def test_encryption_is_asked_for_before_anything_else(lond: Lond) -> None:
    assert lond.ask("rolesput:nonsense") == b"refused"
    assert lond.ask("rolesput:nonsense", encrypted=True) == b"error: 22 wrong number of arguments"


def test_any_command_may_come_encrypted(lond: Lond) -> None:
    assert lond.ask("ping", encrypted=True) == b"msul1"


@pytest.mark.parametrize("text", [b"enc:", b"enc:4:3519a5adb04ebb8f", b"enc:zz"])
def test_a_reply_that_begins_like_a_frame_is_framed(lond: Lond, text: bytes) -> None:
    question = b"tmpget:" + lond.ask(b"tmpput:" + text)
    assert lond.ask(question) == b"error:no_key"
    lond.session.frame = lambda clear: b"enc:%d:%s" % (len(clear), clear.hex().encode())
    assert lond.ask(question) == b"enc:%d:%s" % (len(text), text.hex().encode())


def test_a_batch_sees_its_own_writes_in_order(lond: Lond) -> None:
    replies = lond.batch(
        "put:msu:smith:data:a=1", "get:msu:smith:data:a", "inc:msu:smith:data:a=1", "get:msu:smith:data:a",
        "del:msu:smith:data:a", "get:msu:smith:data:a", "nonsense", "get:msu:smith:data",
    )  # fmt: skip
    assert replies == [
        b"ok", b"1", b"ok", b"2", b"ok", b"", b"unknown_cmd", b"error: 22 wrong number of arguments",
    ]  # fmt: skip


def test_an_empty_batch(lond: Lond) -> None:
    assert lond.dispatcher.execute([]) == []


def test_large_replies_end_a_batch(lond: Lond) -> None:
    value = "x" * (LARGE_BYTES // 2)
    lond.ask(f"put:msu:smith:data:a={value}")
    requests = [(b"dump:msu:smith:data", False)] * 3 + [(b"put:msu:smith:data:a=1", False)]
    replies = lond.dispatcher.execute(requests)
    assert replies == [b"a=" + value.encode()] * 2  # one alone is not large enough
    assert len(lond.ask("get:msu:smith:data:a")) == len(value)  # the write behind them was not executed
    assert lond.dispatcher.execute(requests[3:]) == [b"ok"]


def test_what_was_written_before_a_batch_ended_early_is_committed(lond: Lond) -> None:
    lond.ask(f"put:msu:smith:data:a={'x' * LARGE_BYTES}")
    assert len(lond.dispatcher.execute([(b"put:msu:jones:data:b=1", False), (b"dump:msu:smith:data", False)] * 2)) == 2
    with Lond(lond.site) as other:
        assert other.ask("get:msu:jones:data:b") == b"1"


def commits(connections: type[Connection]) -> list[str]:
    return [sql for sql in connections.seen if sql in ("BEGIN IMMEDIATE", "COMMIT")]


def test_one_commit_for_each_user_of_a_batch(tmp_path: Path) -> None:
    connections = connection_class()
    with Lond(make_site(tmp_path), opening=Opening(Patience(1), connections)) as lond:
        lond.batch("put:msu:smith:data:a=1", "put:msu:jones:data:a=1")
        connections.seen.clear()
        lond.batch(*[f"inc:msu:{user}:data:a=1" for _ in range(50) for user in ("smith", "jones")])
        assert commits(connections) == ["BEGIN IMMEDIATE", "BEGIN IMMEDIATE", "COMMIT", "COMMIT"]
        assert lond.batch("get:msu:smith:data:a", "get:msu:jones:data:a") == [b"51", b"51"]


def test_reading_takes_no_write_lock(tmp_path: Path) -> None:
    connections = connection_class()
    with Lond(make_site(tmp_path), opening=Opening(Patience(1), connections)) as lond:
        lond.ask("put:msu:smith:data:a=1")
        connections.seen.clear()
        lond.batch("get:msu:smith:data:a", "dump:msu:smith:data", "keys:msu:smith:data")
        assert "BEGIN IMMEDIATE" not in connections.seen


def test_a_failed_commit_fails_all_of_that_user_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = connection_class()
    with Lond(make_site(tmp_path), opening=Opening(Patience(1), connections)) as lond:
        lond.batch("put:msu:smith:data:a=1", "put:msu:jones:data:a=1")
        # smith's database was opened first, so its commit is the first one.
        outcomes = iter([(13, "database or disk is full")])
        original = connections._check

        def fail_once(self: Connection, sql: str) -> None:
            original(self, sql)
            outcome = next(outcomes, None) if sql == "COMMIT" else None
            if outcome:
                connections.failing["COMMIT"] = outcome
                try:
                    original(self, sql)
                finally:
                    connections.failing.clear()

        monkeypatch.setattr(connections, "_check", fail_once)
        replies = lond.batch(
            "put:msu:smith:data:a=2", "put:msu:jones:data:a=2", "get:msu:smith:data:a", "get:msu:jones:data:a", "ping"
        )
        full = b"error: 28 no space left on device"
        assert replies == [full, b"ok", full, b"2", b"msul1"]
        assert lond.batch("get:msu:smith:data:a", "put:msu:smith:data:a=3") == [b"1", b"ok"]


def test_a_bug_is_logged_without_arguments_and_the_rest_goes_on(
    lond: Lond, extra_command: Register, caplog: pytest.LogCaptureFixture
) -> None:
    @extra_command("broken", trust=Trust.NONE, replies="")
    def broken(context: Context) -> Reply:
        context.storage.user(b"msu", b"smith", write=True).put(b"data", {b"a": b"half"}, 1)
        raise ValueError("secret-password")

    replies = lond.batch("put:msu:smith:data:b=1", "broken", "put:msu:smith:data:c=1")
    assert replies == [b"ok", b"error: 70 internal error", b"ok"]
    assert lond.ask("dump:msu:smith:data") == b"b=1&c=1"
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "broken" in record.getMessage()
    assert "ValueError" in record.getMessage()
    assert "test_dispatcher.py" in record.getMessage()
    assert "secret" not in caplog.text
    assert record.exc_info is None, "a traceback would show the exception's text"


def test_a_reply_with_a_line_feed_is_a_bug_and_undone(lond: Lond, extra_command: Register) -> None:
    @extra_command("broken", trust=Trust.NONE, replies="")
    def broken(context: Context) -> bytes:
        return b"two\nlines"

    assert lond.ask("broken") == b"error: 70 internal error"


def test_a_reply_may_come_later(lond: Lond, extra_command: Register) -> None:
    later = Pending()

    @extra_command("later", trust=Trust.NONE, replies="")
    def answer(context: Context) -> Pending:
        return later

    assert lond.dispatcher.execute([(b"later", False), (b"ping", False)]) == [later, b"msul1"]
    calls: list[bytes | None] = []
    later.on_settled(lambda pending: calls.append(pending.reply))
    assert (later.reply, calls) == (None, [])
    later.settle(b"done")
    later.settle(b"too late")
    assert (later.reply, calls) == (b"done", [b"done"])
    later.on_settled(lambda pending: calls.append(pending.reply))
    assert calls == [b"done", b"done"], "who asks late is told at once"


class OnlyOwn:
    """Members may use the records of their own domain."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []

    def allows(self, trust_class: str, asking: Host, domain: bytes) -> bool:
        self.asked.append((trust_class, asking.id, domain))
        return asking.domain == domain.decode()


def test_policy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    policy = OnlyOwn()
    with Lond(make_site(tmp_path), policy=policy) as lond:
        lond.session.peer = lond.site.table["hubl1"]
        assert lond.ask("put:msu:smith:data:a=secret") == b"refused"
        assert lond.ask("rolesput:hub:dc:msu:smith:a=1", encrypted=True) == b"refused"
        assert lond.ask("setannounce:x") == b"refused"
        assert lond.ask("put:hub:smith:data:a=1").startswith(b"error: 2 ")
        assert lond.batch("ping", "home:msu:smith") == [b"msul1", b"not_found"]
        assert policy.asked == [
            ("records", "hubl1", b"msu"),
            ("roles", "hubl1", b"msu"),
            ("resources", "hubl1", b"msu"),
            ("records", "hubl1", b"hub"),
        ]
        assert "secret" not in caplog.text
