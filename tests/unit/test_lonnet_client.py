"""Lonnet: replies, retries, critical messages, threads and forks, against scripted children."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.delayed import WAITING, Fifo, Message, Outcome, Row
from common.protocol import unsendable
from common.site import Site
from lonnet import Lonnet
from lonnet.client import LONGEST_TIMEOUT, TRIES
from lonnet.connections import KEPT_PER_THREAD
from tests.unit.test_lonnet_scripted_child import (
    PATIENCE,
    ScriptedChild,
    a_site,
    answers,
    closes_at_once,
    closes_over_the_request,
    echoes,
    read_line,
    reads_then_closes,
    silent,
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "logs").mkdir()
    return a_site(tmp_path, "msul1", "msul2")


@pytest.fixture
def socket_file(site: Site) -> Path:
    return site.config.sock_dir / "msul2"


def perm_log(site: Site) -> list[str]:
    file = site.config.daemons_dir / "logs" / "lonnet.perm.log"
    return file.read_text().splitlines() if file.exists() else []


def stored(site: Site, host: str = "msul2") -> list[Row]:
    with closing(Fifo(site.config.delayed_dir, host)) as fifo:
        return fifo.waiting(0, 100)


# reply


def test_reply(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)
    with ScriptedChild(socket_file, answers(b"msul2\n")):
        assert net.reply("ping", "msul2") == "msul2"
        net.close()


def test_connection_is_used_again(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)
    with ScriptedChild(socket_file, echoes):  # a second connection would find no script
        assert [net.reply(f"log:{n}", "msul2") for n in range(3)] == ["log:0", "log:1", "log:2"]
        net.close()


def test_prefix_encrypt_is_left_to_the_child(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)
    with ScriptedChild(socket_file, echoes):
        assert net.reply("encrypt:currentauth:msu:smith", "msul2") == "encrypt:currentauth:msu:smith"
        net.close()


@given(command=st.binary(min_size=1, max_size=200).filter(lambda b: not re.search(b"[\n\r\0]", b)))
def test_commands_and_replies_may_hold_any_bytes(command: bytes) -> None:
    net = Lonnet(a_site(Path("/nowhere"), "msul1"))
    text = command.decode("utf-8", "surrogateescape")
    assert net._request_line(text, "") == command + b"\n"


def test_other_bytes_than_utf8_come_back_as_they_went(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)
    with ScriptedChild(socket_file, echoes):
        assert net.reply("put:\udcff\u20ac", "msul2") == "put:\udcff\u20ac"
        net.close()


def test_unknown_host(site: Site) -> None:
    net = Lonnet(site)
    assert net.reply("ping", "elsewhere") == "no_such_host"
    assert net.reply("ping", "../msul2") == "no_such_host"
    assert net.critical("ping", "elsewhere") == "no_such_host"
    assert not site.config.delayed_dir.exists()


@pytest.mark.parametrize("call", [Lonnet.reply, Lonnet.critical])
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("", "empty"),
        ("ping\n", "LF, CR or NUL"),
        ("ping\rping", "LF, CR or NUL"),
        ("\0ping", "LF, CR or NUL"),
        ("x" * 1025, r"at most 1024 are allowed \(lonMaxRequest\)"),
        ("\ud800", "surrogates not allowed"),
    ],
)
def test_what_is_no_request_line_is_refused(
    tmp_path: Path, call: Callable[[Lonnet, str, str], str], command: str, reason: str
) -> None:
    site = a_site(tmp_path, "msul1", max_request=1024)
    with pytest.raises(ValueError, match=reason):
        call(Lonnet(site), command, "msul1")
    assert not site.config.delayed_dir.exists()


@pytest.mark.parametrize("call", [Lonnet.reply, Lonnet.critical])
def test_an_encrypted_request_is_refused_at_the_length_at_which_lonc_would(
    tmp_path: Path, call: Callable[[Lonnet, str, str], str]
) -> None:
    net = Lonnet(a_site(tmp_path, "msul1", max_request=1024))
    assert unsendable(504 * b"x", True, 1024) != unsendable(503 * b"x", True, 1024) == b""
    with pytest.raises(ValueError, match=r"encrypted request line of 1032 bytes, at most 1024 are .*\(lonMaxRequest\)"):
        call(net, "encrypt:" + 504 * "x", "msul1")
    with ScriptedChild(tmp_path / "msul1", echoes):
        assert call(net, "encrypt:" + 503 * "x", "msul1").endswith("encrypt:" + 503 * "x")
        net.close()


@pytest.mark.parametrize("call", [Lonnet.reply, Lonnet.critical])
def test_bytes_are_no_request_line(site: Site, call: Callable[[Lonnet, Any, str], str]) -> None:
    with pytest.raises(TypeError, match="command must be str, not bytes"):
        call(Lonnet(site), b"ping", "msul2")


def test_longest_request_line(tmp_path: Path) -> None:
    net = Lonnet(a_site(tmp_path, "msul1", max_request=1024))
    with ScriptedChild(tmp_path / "msul1", echoes):
        assert net.reply("x" * 1024, "msul1") == "x" * 1024
        net.close()


def test_critical_within_critical_is_refused(site: Site) -> None:
    with pytest.raises(ValueError, match="critical: already"):
        Lonnet(site).critical("critical:0:put", "msul2")


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf"), LONGEST_TIMEOUT * 1.01])
def test_what_is_no_time_is_refused(site: Site, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        Lonnet(site).reply("ping", "msul2", timeout)


def test_a_text_is_no_time(site: Site) -> None:
    with pytest.raises(TypeError, match="timeout must be a number of seconds, not str"):
        Lonnet(site).reply("ping", "msul2", "x")  # type: ignore[arg-type]


def test_no_child(site: Site) -> None:
    assert Lonnet(site).reply("ping", "msul2") == "con_lost"


def test_child_that_died_under_the_request_is_not_asked_again(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)
    with ScriptedChild(socket_file, reads_then_closes, answers(b"msul2\n")):
        assert net.reply("ping", "msul2") == "con_lost"
        assert net.reply("ping", "msul2") == "msul2"
        net.close()


def test_late_reply_is_not_taken_for_the_next_one(site: Site, socket_file: Path) -> None:
    timed_out, net = threading.Event(), Lonnet(site)

    def answers_late(connection: socket.socket) -> None:
        assert read_line(connection) == b"first\n"
        assert timed_out.wait(PATIENCE)
        with pytest.raises(BrokenPipeError):
            connection.sendall(b"late\n")

    with ScriptedChild(socket_file, answers_late, echoes):
        assert net.reply("first", "msul2", timeout=0.05) == "con_lost"
        timed_out.set()
        assert net.reply("second", "msul2") == "second"
        net.close()


def test_call_from_a_signal_handler_gets_its_own_reply(site: Site, socket_file: Path) -> None:
    net, inner = Lonnet(site), []
    inner_done = threading.Event()

    def call(*_: object) -> None:
        inner.append(net.reply("inner", "msul2"))
        inner_done.set()

    def second_child() -> None:
        with closing(listener.accept()[0]) as connection:
            connection.sendall(read_line(connection))

    def outer_waits_for_inner(connection: socket.socket) -> None:
        assert read_line(connection) == b"outer\n"
        os.kill(os.getpid(), signal.SIGALRM)
        second_child()
        assert inner_done.wait(PATIENCE)
        connection.sendall(b"outer\n")
        assert read_line(connection) == b""

    old = signal.signal(signal.SIGALRM, call)
    try:
        with ScriptedChild(socket_file, outer_waits_for_inner) as child:
            listener = child.listener
            assert net.reply("outer", "msul2") == "outer"
            assert inner == ["inner"]
            net.close()
    finally:
        signal.signal(signal.SIGALRM, old)


# Retries


def test_rolling_restart_costs_no_reply(site: Site, socket_file: Path, tmp_path: Path) -> None:
    net, replaced = Lonnet(site), threading.Event()

    def drains(connection: socket.socket) -> None:
        connection.sendall(read_line(connection))
        assert replaced.wait(PATIENCE)

    with (
        ScriptedChild(socket_file, drains),
        ScriptedChild(tmp_path / "new", answers(b"new\n")) as fresh,
    ):
        assert net.reply("old", "msul2") == "old"
        fresh.path.rename(socket_file)
        replaced.set()
        assert net.reply("ping", "msul2") == "new"
        net.close()


@pytest.mark.parametrize("closes", [closes_at_once, closes_over_the_request])
def test_request_that_nobody_read_is_sent_again(
    site: Site, socket_file: Path, closes: Callable[[socket.socket], None]
) -> None:
    net = Lonnet(site)
    with ScriptedChild(socket_file, *[closes] * (TRIES - 1), answers(b"msul2\n")):
        assert net.reply("ping", "msul2") == "msul2"
        net.close()


def test_tries_are_bounded(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)
    with ScriptedChild(socket_file, *[closes_over_the_request] * TRIES, answers(b"too late\n")):
        assert net.reply("ping", "msul2") == "con_lost"
        assert net.reply("ping", "msul2") == "too late"
        net.close()


def test_link_goes_down_between_two_tries(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)

    def goes(connection: socket.socket) -> None:
        connection.sendall(read_line(connection))
        socket_file.unlink()

    with ScriptedChild(socket_file, goes):
        assert net.reply("ping", "msul2") == "ping"
    assert net.reply("ping", "msul2") == "con_lost"


def test_fault_of_this_machine_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    net = Lonnet(a_site(tmp_path / "file", "msul1", "msul2"))
    with caplog.at_level(logging.WARNING):
        assert [net.reply("ping", "msul2") for _ in range(3)] == ["con_lost"] * 3
    assert [record.getMessage() for record in caplog.records] == [
        f"socket of msul2 can't be reached: {tmp_path}/file/msul2: [Errno 20] Not a directory"
    ]


# What is kept open


def test_least_recently_used_connection_is_closed(tmp_path: Path) -> None:
    hosts = [f"h{n}" for n in range(KEPT_PER_THREAD + 1)]
    net = Lonnet(a_site(tmp_path, *hosts))
    children = [ScriptedChild(tmp_path / host, echoes) for host in hosts]
    for child in children:
        child.__enter__()
    for host in [*hosts[:-1], hosts[0], hosts[-1]]:
        assert net.reply("ping", host) == "ping"
    children[1].__exit__(None, None, None)  # ends because its connection was closed
    assert net.reply("ping", hosts[0]) == "ping"  # and this one's was not: it has no second script
    net.close()
    for child in (children[0], *children[2:]):
        child.__exit__(None, None, None)


def test_threads_have_their_own_connections_and_close_them(site: Site, socket_file: Path) -> None:
    net, both = Lonnet(site), threading.Barrier(2)
    replies: list[str] = []

    def call() -> None:
        for n in range(3):
            replies.append(net.reply(f"log:{threading.get_ident()}:{n}", "msul2"))
        both.wait(PATIENCE)

    def serve(listener: socket.socket) -> None:
        callers = [listener.accept()[0] for _ in range(2)]
        threads = [threading.Thread(target=echoes, args=(caller,)) for caller in callers]
        for thread in threads:
            thread.start()
        for thread, caller in zip(threads, callers, strict=True):
            thread.join(PATIENCE)  # echoes() ends at the end of file: the caller's thread has closed
            assert not thread.is_alive()
            caller.close()

    with ScriptedChild(socket_file, first=serve):
        threads = [threading.Thread(target=call) for _ in range(2)]
        for thread in threads:
            thread.start()
        expected = {f"log:{thread.ident}:{n}" for thread in threads for n in range(3)}
        for thread in threads:
            thread.join(PATIENCE)
    assert set(replies) == expected


def test_close_reaches_other_threads_and_the_object_stays_usable(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)
    called, go_on = threading.Event(), threading.Event()
    replies: list[str] = []

    def call() -> None:
        replies.append(net.reply("one", "msul2"))
        called.set()
        assert go_on.wait(PATIENCE)
        replies.append(net.reply("two", "msul2"))

    with ScriptedChild(socket_file, echoes, echoes):  # the first ends when close() has closed the thread's
        thread = threading.Thread(target=call)
        thread.start()
        assert called.wait(PATIENCE)
        net.close()
        go_on.set()
        thread.join(PATIENCE)
    assert replies == ["one", "two"]


def test_close_does_not_wait_for_the_garbage_collector(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)
    with ScriptedChild(socket_file, echoes):
        assert net.reply("ping", "msul2") == "ping"
        held = net._connections()  # as a traceback that somebody keeps would
        net.close()
    assert held.take("msul2") is None


def test_connection_in_use_is_closed_after_its_call(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)

    def closes_net_first(connection: socket.socket) -> None:
        line = read_line(connection)
        net.close()
        connection.sendall(line)
        assert read_line(connection) == b""

    with ScriptedChild(socket_file, closes_net_first):
        assert net.reply("ping", "msul2") == "ping"


def test_close_thread(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)
    net.close_thread()  # of a thread that has none
    with ScriptedChild(socket_file, echoes, echoes):
        assert net.reply("one", "msul2") == "one"
        net.close_thread()
        assert net.reply("two", "msul2") == "two"
        net.close_thread()


# Fork


def in_child(body: Callable[[], bytes]) -> bytes:
    """What `body` returns in a forked child; every child ends in os._exit."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the script's thread: it is not in the child
        pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, body())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        result = answer.read()
    os.waitpid(pid, 0)
    return result


def test_forked_child_uses_a_connection_of_its_own(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)

    def serve(listener: socket.socket) -> None:
        parent, child = listener.accept()[0], None
        parent.sendall(read_line(parent))
        child = listener.accept()[0]
        child.sendall(b"to child:" + read_line(child))
        assert read_line(child) == b""
        parent.sendall(b"to parent:" + read_line(parent))
        assert read_line(parent) == b""
        child.close()
        parent.close()

    with ScriptedChild(socket_file, first=serve):
        assert net.reply("before", "msul2") == "before"
        assert in_child(lambda: net.reply("ping", "msul2").encode()) == b"to child:ping"
        assert net.reply("ping", "msul2") == "to parent:ping"  # the child's close() was no shutdown()
        net.close()


def test_forked_child_closes_what_it_inherited_without_shutting_it_down(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)
    with ScriptedChild(socket_file, echoes):
        assert net.reply("before", "msul2") == "before"

        def close() -> bytes:
            before = len(os.listdir("/proc/self/fd"))
            net.close()
            return b"%d" % (before - len(os.listdir("/proc/self/fd")))

        assert in_child(close) == b"1"
        assert net.reply("after", "msul2") == "after"
        net.close()


def test_connections_of_threads_that_are_not_in_the_child_are_closed_there(site: Site, socket_file: Path) -> None:
    net, called, go_on = Lonnet(site), threading.Event(), threading.Event()

    def call() -> None:
        net.reply("ping", "msul2")
        called.set()
        go_on.wait(PATIENCE)

    def sockets() -> int:
        links = [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.islink(entry.path)]
        return sum(link.startswith("socket:") for link in links)

    with ScriptedChild(socket_file, echoes):
        thread = threading.Thread(target=call)
        thread.start()
        assert called.wait(PATIENCE)
        # of the caller's connection two ends are here: the script's own stays
        assert in_child(lambda: b"%d" % sockets()) == b"%d" % (sockets() - 1)
        go_on.set()
        thread.join(PATIENCE)


def test_critical_message_of_a_forked_child_is_stored_beside_the_parents(site: Site) -> None:
    # An inherited SQLite connection would have lost the child's message.
    net = Lonnet(site)
    assert net.critical("log:parent", "msul2") == "con_delayed"
    assert in_child(lambda: net.critical("log:child", "msul2").encode()) == b"con_delayed"
    assert net.critical("log:parent again", "msul2") == "con_delayed"
    assert [row.command for row in stored(site)] == [b"log:parent", b"log:child", b"log:parent again"]


# critical


@pytest.mark.parametrize("answer", [b"ok", b"con_delayed", b"refused"])
def test_childs_answer_to_a_critical_message_stands(site: Site, socket_file: Path, answer: bytes) -> None:
    net, lines = Lonnet(site), []

    def script(connection: socket.socket) -> None:
        lines.append(read_line(connection))
        connection.sendall(answer + b"\n")

    with ScriptedChild(socket_file, script):
        assert net.critical("encrypt:put:a", "msul2") == answer.decode()
        net.close()
    assert re.fullmatch(rb"critical:[0-9a-f]{32}:encrypt:put:a\n", lines[0])
    assert perm_log(site) == []
    assert not site.config.delayed_dir.exists()


def test_child_that_could_not_store(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)
    with ScriptedChild(socket_file, answers(b"con_failed\n")):
        assert net.critical("put:a", "msul2") == "con_failed"
        net.close()
    assert perm_log(site) == [], "the child has written its line already"


def test_critical_without_a_child_is_stored(site: Site) -> None:
    assert Lonnet(site).critical("put:msu:smith", "msul2") == "con_delayed"
    (row,) = stored(site)
    assert (row.command, row.state) == (b"put:msu:smith", WAITING)
    assert re.fullmatch(r"\d+:D:msul2:put:msu:smith:\w+ \w+ +\d+ [\d:]+ \d+", perm_log(site)[0])


@pytest.mark.parametrize("script", [reads_then_closes, silent, answers(b"con_lost\n")])
def test_critical_is_stored_under_the_id_that_the_child_has_seen(
    site: Site, socket_file: Path, script: Callable[[socket.socket], None]
) -> None:
    net, lines = Lonnet(site), []

    def listens(connection: socket.socket) -> None:
        lines.append(connection.recv(1000, socket.MSG_PEEK))
        script(connection)

    with ScriptedChild(socket_file, listens):
        assert net.critical("encrypt:put:a", "msul2", timeout=0.2) == "con_delayed"
        net.close()
    (row,) = stored(site)
    assert lines == [f"critical:{row.id}:encrypt:put:a\n".encode()]
    assert row.command == b"encrypt:put:a"


def test_critical_that_the_child_had_stored_is_there_once(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)

    def stores_then_dies(connection: socket.socket) -> None:
        _, message_id, command = read_line(connection).strip().split(b":", 2)
        with closing(Fifo(site.config.delayed_dir, "msul2")) as fifo:
            fifo.append([Message(message_id.decode(), command)])

    with ScriptedChild(socket_file, stores_then_dies):
        assert net.critical("put:a", "msul2") == "con_delayed"
    assert [row.command for row in stored(site)] == [b"put:a"]


def test_critical_that_was_done_before_the_child_died_is_answered(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)

    def delivers_then_dies(connection: socket.socket) -> None:
        _, message_id, command = read_line(connection).strip().split(b":", 2)
        with closing(Fifo(site.config.delayed_dir, "msul2")) as fifo:
            (row,) = fifo.append([Message(message_id.decode(), command)])
            fifo.commit((), [Outcome(row.seq, "done", b"the reply")])

    with ScriptedChild(socket_file, delivers_then_dies):
        assert net.critical("put:a", "msul2") == "the reply"
    assert perm_log(site) == []


def test_critical_that_can_not_be_stored(site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    broken = replace(site, config=replace(site.config, delayed_dir=tmp_path / "file"))
    with caplog.at_level(logging.ERROR):
        assert Lonnet(broken).critical("encrypt:rolesput:msu:adam:msu:smith:a=b", "msul2") == "con_failed"
    assert re.fullmatch(r"\d+:F:msul2:rolesput:[A-Z].*", perm_log(site)[0])
    assert "could not be stored" in caplog.text
    assert "smith" not in caplog.text


@pytest.mark.parametrize("word", ["auth", "passwd", "makeuser", "changeuserauth"])
def test_a_password_is_not_stored(site: Site, word: str) -> None:
    for prefix in ("", "encrypt:"):
        with pytest.raises(ValueError, match="password must not be stored"):
            Lonnet(site).critical(f"{prefix}{word}:msu:smith:secret", "msul2")
    assert not site.config.delayed_dir.exists()


def test_critical_is_retried_before_it_is_stored(site: Site, socket_file: Path) -> None:
    net = Lonnet(site)
    with ScriptedChild(socket_file, closes_over_the_request, answers(b"ok\n")):
        assert net.critical("put:a", "msul2") == "ok"
        net.close()
    assert not site.config.delayed_dir.exists()


def test_default_limits(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    site = a_site(tmp_path, "msul1", request_timeout=0.01, critical_timeout=0.01)
    asked: list[float] = []
    net = Lonnet(site)
    net._ask = lambda host, line, limit: asked.append(limit) or b"ok"  # type: ignore[method-assign, func-returns-value]
    net.reply("ping", "msul1")
    net.critical("ping", "msul1")
    net.reply("ping", "msul1", 7.5)
    assert asked == [2.01, 2.01, 7.5]
