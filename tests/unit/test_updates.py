"""What becomes of updates: jobs done, tried again, given up; a queue made anew; which replies to `sub` are believed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from common import resource_directory
from common.config import Config
from common.resource_directory import directory, locked
from common.resource_jobs import ANNOUNCE, UPDATE, Job, ResourceJobs, jobs_path
from common.resource_path import ResourcePath
from common.subscriptions import Subscriber, subscribe
from common.transfer_file import begin_transfer
from lond.updates.recovery import recover
from lond.updates.userfiles import UserFile
from lond.updates.work import Outcome, perform
from lonnet.copies import Touches
from lonnet.errors import AccessDenied, ResourceNotFound, TransferFailed, UnexpectedReply
from lonnet.replies import Delivery
from tests.helpers.in_child import Calls, ChildDied, in_child
from tests.helpers.one_host import HERE, HOME, PATH, OneHost, copy_at
from tests.helpers.published import put_resource


@pytest.fixture
def host(tmp_path: Path) -> OneHost:
    return OneHost(tmp_path)


def job(kind: str = UPDATE, age: float = 0.0, attempts: int = 0, path: str = PATH) -> Job:
    return Job(kind, path, 1, time.time() - age, attempts)


def test_a_failed_update_is_tried_again_later_and_later(host: OneHost) -> None:
    file = copy_at(host)
    for attempts, seconds in ((0, 1), (3, 8), (20, 300), (5000, 300)):
        outcome = perform(host, job(attempts=attempts))
        assert outcome.again_in is not None and 0.8 * seconds <= outcome.again_in <= 1.2 * seconds
    assert file.read_bytes() == b"one"


@pytest.mark.parametrize("home", ["found", "con_lost"])
def test_given_up_after_a_named_age(tmp_path: Path, caplog: pytest.LogCaptureFixture, home: str) -> None:
    host = OneHost(tmp_path, update_age=100.0)
    host.answers["home"] = home
    file = copy_at(host)
    host.answers["unsub"] = "con_delayed"
    assert perform(host, job(age=50)).again_in is not None
    assert perform(host, job(age=101)) == Outcome()
    assert [record.levelno for record in caplog.records if "given up" in record.message] == [logging.CRITICAL]
    assert not file.exists() and host.sent[-1] == f"{HOME} unsub:/home/httpd/html/res/{PATH}"


@pytest.mark.parametrize("reply", ["not_found", "rejected", "refused", "directory"])
def test_what_the_home_server_does_not_give_any_more_goes(host: OneHost, reply: str) -> None:
    file = copy_at(host)
    host.answers |= {"sub": reply, "unsub": "not_subscribed"}
    assert perform(host, job()) == Outcome()
    assert not file.exists()


def test_copies_of_an_author_who_is_no_more_go(host: OneHost) -> None:
    file = copy_at(host)
    host.answers["home"] = "not_found"
    assert perform(host, job()) == Outcome()
    assert not file.exists() and not any("unsub" in line for line in host.sent)


def test_an_unused_copy_goes_without_a_question(host: OneHost) -> None:
    file = copy_at(host)
    os.utime(f"{file}.copy", (0, 0))
    host.answers["unsub"] = "ok"
    assert perform(host, job()) == Outcome()
    assert not file.exists() and not any(" sub:" in line for line in host.sent)


def test_nothing_to_do(host: OneHost) -> None:
    for path in (PATH, "../x", "msu/smith/none.html"):
        assert perform(host, job(path=path)) == Outcome()
        assert perform(host, job(ANNOUNCE, path=path)) == Outcome()
    assert host.sent == []


def test_a_bug_in_one_job_is_a_failed_try(host: OneHost, caplog: pytest.LogCaptureFixture) -> None:
    copy_at(host)

    def broken(*_: object) -> str:
        raise ZeroDivisionError

    host.reply = broken
    assert perform(host, job()).again_in is not None
    assert "internal error" in caplog.text


def test_an_announcement_tells_whom_it_can(host: OneHost) -> None:
    put_resource(host.site.config.doc_root / "res", PATH, b"one", new_version=True)
    with directory(host.site.config.doc_root / "res", ResourcePath.parse(PATH)) as at:
        for id in (HOME, HERE, "gone"):
            subscribe(at, ResourcePath.parse(PATH), Subscriber(id, "127.0.0.1", 1))

    def reply(command: str, host: str, timeout: float | None = None) -> str:
        return {HOME: "not_found", HERE: "con_failed"}.get(host, "no_such_host")

    host.critical = reply
    assert perform(host, job(ANNOUNCE)) == Outcome()
    assert [one.host for one in host.resources.subscribers(PATH)] == [HERE], "the others have no copy"
    with closing(ResourceJobs(jobs_path(host.site.config))) as jobs:
        assert [(kind, path) for kind, path, _, _ in jobs.waiting()] == [(f"{ANNOUNCE} {HERE}", PATH)]
    again = job(f"{ANNOUNCE} {HERE}")
    assert perform(host, again).again_in is not None
    host.critical = lambda *_: "con_delayed"
    assert perform(host, again) == Outcome()


@pytest.mark.parametrize(
    ("reply", "again"),
    [("con_failed", True), ("error: 28 no space left on device", True), ("error: 11 locked", True),
     ("refused", False), ("unknown_cmd", False), ("error: 22 not the path of a resource", False), ("what?", False)],
)  # fmt: skip
def test_who_refuses_is_not_told_again_and_nobody_because_of_another(host: OneHost, reply: str, again: bool) -> None:
    with directory(host.site.config.doc_root / "res", ResourcePath.parse(PATH), create=True) as at:
        for id in ("good", "bad"):
            subscribe(at, ResourcePath.parse(PATH), Subscriber(id, "127.0.0.1", 1))
    told: list[str] = []

    def critical(_command: str, to: str, _timeout: float | None = None) -> str:
        told.append(to)
        return reply if to == "bad" else "ok"

    host.critical = critical
    perform(host, job(ANNOUNCE))
    with closing(ResourceJobs(jobs_path(host.site.config))) as jobs:
        waiting = [kind for kind, _, _, _ in jobs.waiting()]
    assert waiting == ([f"{ANNOUNCE} bad"] if again else [])
    for kind in waiting:
        assert perform(host, job(kind)).again_in is not None
    assert told == (["good", "bad", "bad"] if again else ["good", "bad"])


def test_who_subscribes_again_while_it_is_told_stays_a_subscriber(host: OneHost) -> None:
    path = ResourcePath.parse(PATH)
    with directory(host.site.config.doc_root / "res", path, create=True) as at:
        subscribe(at, path, Subscriber(HERE, "127.0.0.1", 1000))

        def critical(*_: object) -> str:
            subscribe(at, path, Subscriber(HERE, "127.0.0.1", 1000))  # in the same second
            return "not_found"

        host.critical = critical
        perform(host, job(ANNOUNCE))
    assert [one.host for one in host.resources.subscribers(PATH)] == [HERE]


def test_nobody_fetches_a_copy_again_before_its_end_is_told(host: OneHost) -> None:
    copy_at(host)

    def critical(*_: object) -> str:
        with directory(host.site.config.doc_root / "res", ResourcePath.parse(PATH)) as at:
            assert begin_transfer(at, ResourcePath.parse(PATH)) is None
        host.sent.append("told")
        return "ok"

    host.critical = critical
    assert host.resources.unsubscribe(PATH) is Delivery.DONE
    assert host.sent[-1] == "told" and not (host.site.config.doc_root / "res/msu").exists()


def test_an_outdated_copy_that_can_t_be_deleted_now_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = OneHost(tmp_path, update_age=100.0)
    file = copy_at(host)
    with directory(tmp_path / "res", ResourcePath.parse(PATH)) as at:
        monkeypatch.setattr(resource_directory, "LOCK_SECONDS", 0.02)
        with locked(at, exclusive=True):
            assert perform(host, job(age=101)) == Outcome(host.site.config.retry_max)
    assert file.exists()
    host.answers["unsub"] = "con_delayed"
    assert perform(host, job(age=101)) == Outcome()
    assert not file.exists()


def test_a_lock_at_the_home_server_is_waited_for(host: OneHost) -> None:
    replies = iter(["error: 11 the directory is locked, try again", "rejected"])

    def reply(command: str, *_: object) -> str:
        return "found" if command.startswith("home") else next(replies)

    host.reply = reply
    with pytest.raises(AccessDenied):
        host.resources.subscribe(PATH)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("not_found", ResourceNotFound),
        ("directory", ResourceNotFound),
        ("rejected", AccessDenied),
        ("refused", AccessDenied),
        ("nonsense", UnexpectedReply),
        ("http://evil.example.org/raw/msu/smith/a.html", TransferFailed),
        ("http://msul1.example.org@evil.org/raw/msu/smith/a.html", TransferFailed),
        ("http://{name}/raw/msu/smith/b.html", TransferFailed),
        ("http://{name}/raw/msu/smith/../../etc/passwd", TransferFailed),
        ("http://{name}/raw/msu/smith/a%2ehtml%00", TransferFailed),
        ("http://{name}", TransferFailed),
        ("httpx", TransferFailed),
    ],
)
def test_replies_to_a_subscription(host: OneHost, reply: str, error: type[Exception]) -> None:
    host.answers["sub"] = reply.replace("{name}", host.site.table[HOME].hostname)
    with pytest.raises(error):
        host.resources.fetch(PATH)
    assert set(host.site.config.doc_root.rglob("*")) <= {host.site.config.doc_root / "res"}


def test_no_directory_is_made_for_what_the_home_server_does_not_give(
    host: OneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    mkdir = os.mkdir

    def noted(name: str, *rest: Any, **more: Any) -> None:
        made.append(name)
        mkdir(name, *rest, **more)

    monkeypatch.setattr(os, "mkdir", noted)
    host.answers["sub"] = "not_found"
    with pytest.raises(ResourceNotFound):
        host.resources.fetch("msu/smith/fall.html/x.html")
    assert made == []


def test_a_directory_in_the_way_is_no_reason_to_give_a_copy_up(host: OneHost, caplog: pytest.LogCaptureFixture) -> None:
    file = copy_at(host)
    Path(f"{file}.in.transfer").mkdir()
    assert perform(host, job()).again_in is not None
    assert "a directory lies in the place of" in caplog.text and "copy deleted" not in caplog.text
    assert file.read_bytes() == b"one"


def test_empty_directories_go_after_a_day(host: OneHost) -> None:
    file = copy_at(host, "msu/smith/kin/a.html")
    empty, fresh = file.parent / "fall.html", file.parent / "new"
    empty.mkdir()
    fresh.mkdir()
    for old in (empty, file.parent):
        os.utime(old, (0, 0))
    assert host.resources.sweep().leftovers == 1
    assert not empty.exists() and fresh.exists() and file.exists()


def test_a_home_server_that_is_one_no_more_is_not_believed(host: OneHost) -> None:
    host.answers["sub"] = "not_found"
    asked: list[str] = []

    def reply(command: str, to: str, timeout: float | None = None) -> str:
        asked.append(command.partition(":")[0])
        return "not_found" if len(asked) > 1 else "found"

    host.reply = reply
    with pytest.raises(ResourceNotFound):
        host.resources.fetch(PATH)
    assert asked[:3] == ["home", "sub", "home"]


def test_a_touch_is_written_now_and_then(host: OneHost) -> None:
    file, path = copy_at(host), ResourcePath.parse(PATH)
    touches, config, marker = Touches(), host.site.config, Path(f"{file}.copy")
    os.utime(marker, (0, 0))
    touches.touch(config, path)
    assert marker.stat().st_mtime > 0
    os.utime(marker, (0, 0))
    touches.touch(config, path)
    assert marker.stat().st_mtime == 0, "within a minute it is not written again"
    touches.touch(config, ResourcePath.parse("msu/smith/none.html"))
    assert not Path(f"{file.parent}/none.html.copy").exists()


def damaged_queue(config: Config) -> None:
    jobs_path(config).write_bytes(b"x" * 10_000)


def cut_queue(config: Config) -> None:
    with closing(ResourceJobs(jobs_path(config))) as jobs:
        jobs.add_all((UPDATE, f"msu/smith/{number}.html") for number in range(2000))
    with jobs_path(config).open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 20_000)


@pytest.mark.parametrize("damage", [damaged_queue, cut_queue])
def test_a_damaged_queue_is_made_anew_from_the_tree(host: OneHost, damage: Callable[[Config], None]) -> None:
    config = host.site.config
    copy_at(host)
    put_resource(config.doc_root / "res", "msu/jones/kin/b.html", b"one", new_version=True)
    (config.doc_root / "res/msu/jones/kin/b.html.subscription").touch()
    damage(config)
    assert recover(config) and not recover(config)
    with closing(ResourceJobs(jobs_path(config))) as jobs:
        assert {(kind, path) for kind, path, _, _ in jobs.waiting()} == {
            (UPDATE, PATH),
            (ANNOUNCE, "msu/jones/kin/b.html"),
        }
    assert [file.name.partition("-")[0] for file in config.daemons_dir.glob("updates.db*damaged*")] == [
        "updates.db.damaged"
    ]


def test_a_queue_is_not_lost_by_who_is_killed_while_it_is_made_anew(tmp_path: Path) -> None:
    killed, step = True, 0
    while killed:
        step += 1
        directory = tmp_path / str(step)
        directory.mkdir()
        host = OneHost(directory)
        config = host.site.config
        copy_at(host)
        damaged_queue(config)

        def recovered(config: Config = config, step: int = step) -> str:
            calls = Calls(step)
            for name in ("rename", "replace", "link", "fsync", "unlink"):
                setattr(os, name, calls.count(getattr(os, name)))
            recover(config)
            return "done"

        with suppress(ChildDied):
            killed = in_child(recovered) != "done"
        assert jobs_path(config).exists(), "another process would make an empty one"
        recover(config)
        with closing(ResourceJobs(jobs_path(config))) as jobs:
            assert [(kind, path) for kind, path, _, _ in jobs.waiting()] == [(UPDATE, PATH)]
    assert step > 2


def test_a_queue_that_is_only_busy_stays(host: OneHost) -> None:
    config = host.site.config
    with closing(ResourceJobs(jobs_path(config))) as jobs:
        jobs.add(UPDATE, PATH)
        assert not recover(config)
        assert len(jobs.waiting()) == 1


def test_an_uploaded_file_as_a_line() -> None:
    wanted = UserFile.parse("msua1", "msu/smith/my/essay é.txt")
    assert UserFile.decode(wanted.encode()) == wanted == UserFile("msua1", "msu", "smith", ("my", "essay é.txt"))
    for wrong in ("msu/smith", "msu/smith/../x", "/msu/smith/x", "msu/smith/.x"):
        with pytest.raises(ValueError, match=r"name|not DOMAIN"):
            UserFile.parse("msua1", wrong)
