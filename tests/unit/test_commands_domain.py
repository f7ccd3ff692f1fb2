"""Every reply of the commands on a domain's and this host's own records."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from common.escape import unescape
from lond.records.domain import CHAT_KEPT, PRESENT_FOR, TEMPORARY_KEPT
from tests.helpers.dispatching import NOW, Lond, make_site


@pytest.fixture
def lond(tmp_path: Path) -> Iterator[Lond]:
    with Lond(make_site(tmp_path), users=()) as lond:
        yield lond


def test_ids(lond: Lond) -> None:
    assert lond.ask("idget:msu:A1").startswith(b"error: 2 ")
    assert lond.ask("idput:msu:A1=smith&A2=jones") == b"ok"
    assert lond.ask("idput:msu:A2=jones2") == b"ok"
    assert lond.ask("idget:msu:A2&A9&A1") == b"jones2&&smith"


def test_another_domain_has_no_records_here_unless_its_directory_is_there(lond: Lond) -> None:
    assert lond.ask("idput:hub:A1=smith").startswith(b"error: 2 ")
    assert lond.ask("idget:hub:A1").startswith(b"error: 2 ")
    (lond.site.config.users_dir / "hub").mkdir(parents=True)
    assert lond.ask("idput:hub:A1=smith") == b"ok"
    assert lond.ask("idget:hub:A1") == b"smith"


def test_courses(lond: Lond) -> None:
    assert lond.ask("courseiddump:msu").startswith(b"error: 2 ")
    assert lond.ask("courseidput:msu:c1=Intro%20Physics:ph101&c2=Chemistry") == b"ok"
    lond.services.time += 100
    assert lond.ask("courseidput:msu:c3=Physics%20II:ph102:owner%3amsu") == b"ok"
    first, second, third = b"c1=Intro%20Physics:ph101", b"c2=Chemistry", b"c3=Physics%20II:ph102:owner%3amsu"
    everything = b"&".join([first, second, third])
    for request in ("courseiddump:msu", "courseiddump:msu:", "courseiddump:msu:0:.", f"courseiddump:msu:{NOW}"):
        assert lond.ask(request) == everything
    assert lond.ask(f"courseiddump:msu:{NOW + 1}:.") == third
    assert lond.ask("courseiddump:msu:0:pHYSICS") == first + b"&" + third
    assert lond.ask("courseiddump:msu:0:ph101") == b"", "the filter looks at the description only"
    assert lond.ask("courseiddump:msu:0:%2e%2a") == b"", "and is no expression"
    assert lond.ask("courseiddump:msu:x") == b"error: 22 not a time in seconds"


def test_temporary_texts(lond: Lond) -> None:
    key = lond.ask("tmpput:some:text&%20=")
    assert re.fullmatch(rb"[0-9a-f]{32}", key)
    assert lond.ask("tmpput:x") != key
    assert lond.ask(b"tmpget:" + key) == b"some:text&%20="
    assert lond.ask(b"tmpdel:" + key) == b"ok"
    assert lond.ask(b"tmpget:" + key) == b"error: 2 no such id"
    assert lond.ask(b"tmpdel:" + key) == b"error: 2 no such id"
    assert lond.ask(b"tmpget:../x") == b"error: 22 not an id"


def test_temporary_texts_are_forgotten(lond: Lond) -> None:
    key = lond.ask("tmpput:old")
    lond.services.time += TEMPORARY_KEPT
    lond.ask("tmpput:new")
    assert lond.ask(b"tmpget:" + key) == b"old"
    lond.services.time += 1
    lond.ask("tmpput:newer")
    assert lond.ask(b"tmpget:" + key) == b"error: 2 no such id"


def chat(lond: Lond, user: str) -> list[bytes]:
    return [unescape(line) for line in lond.ask(f"chatretr:msu:c1:msu:{user}").split(b":")]


def test_chat(lond: Lond) -> None:
    assert lond.ask("chatsend:msu:c1:hello%20there") == b"ok"
    assert lond.ask("chatsend:msu:c2:elsewhere") == b"ok"
    assert chat(lond, "smith") == [b"active_participant:smith:msu", b"%d_000001:hello%%20there" % NOW]
    lond.services.time += PRESENT_FOR - 1
    lond.ask("chatsend:msu:c1:again")
    assert chat(lond, "jones")[:2] == [b"active_participant:jones:msu", b"active_participant:smith:msu"]
    lond.services.time += 1
    assert chat(lond, "jones")[0] == b"active_participant:jones:msu"
    assert [line.rpartition(b":")[2] for line in chat(lond, "jones")[1:]] == [b"hello%20there", b"again"]
    lond.services.time += CHAT_KEPT - PRESENT_FOR + 1
    assert [line.rpartition(b":")[2] for line in chat(lond, "jones")[1:]] == [b"again"]


def test_queries(lond: Lond) -> None:
    key = lond.ask("querysend:select%20x:arg1:arg2")
    assert re.fullmatch(rb"[0-9a-f]{32}", key)
    row = lond.storage.domain(b"msu").database.select("SELECT * FROM query").fetchall()
    assert row == [(key, NOW, b"msua1", b"select%20x:arg1:arg2")]
    assert lond.ask(b"queryreply:" + key + b":result:more") == b"ok"
    assert lond.ask(b"tmpget:" + key) == b"result:more"
    assert lond.ask("queryreply:../x:y") == b"error: 22 not an id"


def test_setannounce(lond: Lond) -> None:
    file = lond.site.config.doc_root / "announcement.txt"
    assert lond.ask("setannounce:closed%0aon%20Monday") == b"ok"
    assert file.read_bytes() == b"closed\non Monday"
    assert lond.ask("setannounce:") == b"ok"
    assert file.read_bytes() == b""
    assert [path.name for path in file.parent.iterdir()] == ["announcement.txt"]
    file.unlink()
    file.parent.rmdir()
    assert lond.ask("setannounce:x") == b"error: 2 no such file or directory"


@pytest.mark.parametrize(("number", "reply"), [(errno.EMFILE, b"error: 11 "), (errno.EDQUOT, b"error: 28 ")])
@pytest.mark.parametrize("line", ["setannounce:x", "makeuser:msu:jones:none:", "unsub:/res/msu/smith/a.html"])
def test_what_may_pass_is_not_final(
    lond: Lond, monkeypatch: pytest.MonkeyPatch, line: str, number: int, reply: bytes
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(number, "x")

    lond.ask("makeuser:msu:smith:none:", encrypted=True)
    for place in (
        "commands.announcement.replacing",
        "commands.resources.directory",
        "authentication.accounts.make_user_directory",
    ):
        monkeypatch.setattr(f"lond.{place}", refuse)
    assert lond.ask(line, encrypted=True).startswith(reply)
