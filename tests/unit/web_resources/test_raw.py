"""/raw: contents and metadata for the hosts that have subscribed, and how deliveries are counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from common.metadata import parse_metadata
from lonnet.handlers import mount
from lonnet.handlers.raw import raw
from tests.helpers.web import CLIENT, HOME, OTHER, Browser, NetInMemory, app_of, network
from tests.helpers.web_resources import CONTENT, MEMBER, PATH, digest, publish, subscribe


def test_subscribers_get_content_and_metadata(net: NetInMemory, app: Flask) -> None:
    publish(net)
    subscribe(net)
    member = Browser(app, MEMBER)
    answer, meta = member.get(f"/raw/{PATH}"), member.get(f"/raw/{PATH}.meta")
    assert (answer.status_code, answer.data) == (200, CONTENT)
    assert parse_metadata(meta.data, "meta").digest == f"sha256={digest(CONTENT)}"
    for one in (answer, meta):
        assert one.headers["X-Resource-Digest"] == f"sha256={digest(CONTENT)}"
        assert one.headers["X-Resource-Version"] == "1" and one.content_length == len(one.data)


def test_each_delivery_of_a_content_is_counted(net: NetInMemory, app: Flask) -> None:
    publish(net)
    subscribe(net)
    member = Browser(app, MEMBER)
    for path in (PATH, f"{PATH}.meta", PATH):
        member.get(f"/raw/{path}")
    head = member.client.head(f"/raw/{PATH}", environ_base={"REMOTE_ADDR": MEMBER}, buffered=True)
    assert (head.status_code, head.data) == (200, b"")
    assert net.resources.deliveries("smith", "msu") == {PATH: {"msu": 2}}


@pytest.mark.parametrize("wanted", ["bytes=0-0", "bytes=1-", f"bytes=0-{len(CONTENT) - 2}", "bytes=999999-"])
def test_who_asks_for_a_part_gets_the_whole_and_it_is_counted(net: NetInMemory, app: Flask, wanted: str) -> None:
    publish(net)
    subscribe(net)
    member = Browser(app, MEMBER)
    answer = member.get(f"/raw/{PATH}", {"Range": wanted})
    assert (answer.status_code, answer.data, answer.headers["Accept-Ranges"]) == (200, CONTENT, "none")
    assert member.get(f"/raw/{PATH}", {"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert net.resources.deliveries("smith", "msu") == {PATH: {"msu": 1}}


def test_the_counter_may_take_a_part_of_the_time_that_the_asking_host_has(tmp_path: Path) -> None:
    """The counter is asked before the first byte leaves: its time must not be all that the other side waits."""
    net = network(tmp_path, HOME, http_timeout=1.0)
    publish(net)
    subscribe(net)
    limits: list[tuple[str, float | None]] = []
    ask = net.fake.critical

    def noted(command: str, host: str, timeout: float | None = None) -> str:
        limits.append((command.partition(":")[0], timeout))
        return ask(command, host, timeout)

    net.fake.critical = noted  # type: ignore[method-assign]
    assert Browser(app_of(net), MEMBER).get(f"/raw/{PATH}").data == CONTENT
    [(command, limit)] = limits
    assert command == "inc" and limit is not None and limit <= 0.2


def test_what_can_t_be_counted_is_delivered_all_the_same(
    net: NetInMemory, app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    publish(net)
    subscribe(net)
    net.fake.answers[HOME, "inc"] = "error: 28 no room"
    assert Browser(app, MEMBER).get(f"/raw/{PATH}").data == CONTENT
    assert "is not counted: error 28" in caplog.text


def test_strangers_and_those_who_have_not_subscribed_get_nothing(net: NetInMemory, app: Flask) -> None:
    publish(net)
    other = net.site.table[OTHER].ip
    for path in (PATH, f"{PATH}.meta"):
        assert Browser(app, MEMBER).get(f"/raw/{path}").status_code == 403
    subscribe(net)
    for path in (PATH, f"{PATH}.meta"):
        assert [Browser(app, ip).get(f"/raw/{path}").status_code for ip in (MEMBER, other, CLIENT)] == [200, 403, 403]


def test_a_session_is_no_membership(net: NetInMemory, smith: Browser) -> None:
    publish(net)
    subscribe(net)
    assert smith.get(f"/res/{PATH}").status_code == 200
    assert smith.get(f"/raw/{PATH}").status_code == 403


def test_what_is_withdrawn_is_not_sent_even_to_subscribers(net: NetInMemory, app: Flask) -> None:
    publish(net, copyright="private")
    subscribe(net)
    assert Browser(app, MEMBER).get(f"/raw/{PATH}").status_code == 403


def test_what_is_withdrawn_while_somebody_asks_is_not_sent(
    net: NetInMemory, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(net)
    subscribe(net)
    check = net.resources.check_requester

    def checked_too_early(path: str, ip: str) -> object:
        host = check(path, ip)
        publish(net, content=b"secret", copyright="private")
        return host

    monkeypatch.setattr(net.resources, "check_requester", checked_too_early)
    answer = Browser(app, MEMBER).get(f"/raw/{PATH}")
    assert answer.status_code == 403 and b"secret" not in answer.data


def test_raw_can_be_mounted_alone_in_another_application(net: NetInMemory) -> None:
    publish(net)
    subscribe(net)
    app = Flask("another")
    mount(app, net, raw)
    member, stranger = Browser(app, MEMBER), Browser(app)
    assert member.get(f"/raw/{PATH}").data == CONTENT
    assert member.get("/raw/msu/smith/none.html").status_code == 404
    answer = stranger.get(f"/raw/{PATH}")
    assert answer.status_code == 403 and "for the hosts of the network" in answer.text
