"""The queue of jobs about resources: one job for each resource, taken once, and by somebody else after a death."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import SpoolError
from common.resource_jobs import ANNOUNCE, CLAIM_SECONDS, UPDATE, Job, ResourceJobs
from tests.conftest import FakeClock
from tests.helpers.in_child import in_child

PATH = "msu/smith/a.html"


@pytest.fixture(autouse=True)
def times(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> FakeClock:
    monkeypatch.setattr("common.resource_jobs.time.time", clock)
    monkeypatch.setattr("common.resource_jobs.time.monotonic", clock)
    return clock


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[ResourceJobs]:
    opened = ResourceJobs(tmp_path / "updates.db")
    yield opened
    opened.close()


def test_a_job_is_taken_once_and_gone_when_done(jobs: ResourceJobs, clock: FakeClock) -> None:
    jobs.add(UPDATE, PATH)
    job = jobs.take()
    assert job is not None and job == Job(UPDATE, PATH, job.request, clock.now, 0)
    assert jobs.take() is None
    jobs.finish(job)
    clock.advance(CLAIM_SECONDS * 2)
    assert jobs.take() is None and jobs.waiting() == [] and jobs.seconds_until_due() is None


def test_several_requests_that_wait_are_one_job(jobs: ResourceJobs) -> None:
    for _ in range(3):
        jobs.add(UPDATE, PATH)
    jobs.add(ANNOUNCE, PATH)
    taken = [job for job in (jobs.take(), jobs.take()) if job]
    assert sorted((job.kind, job.path, job.created, job.attempts) for job in taken) == [
        (ANNOUNCE, PATH, 1000.0, 0),
        (UPDATE, PATH, 1000.0, 0),
    ]
    assert jobs.take() is None


def test_a_request_meanwhile_is_worked_off_once_more(jobs: ResourceJobs) -> None:
    jobs.add(UPDATE, PATH)
    first = jobs.take()
    assert first is not None
    jobs.add(UPDATE, PATH)
    assert jobs.take() is None
    jobs.finish(first)
    second = jobs.take()
    assert second is not None and second.request != first.request
    jobs.add(UPDATE, PATH)
    jobs.postpone(second, 100)
    assert jobs.take() is not None, "the newest request is not postponed"


def test_a_job_that_was_finished_late_takes_no_newer_one_with_it(jobs: ResourceJobs) -> None:
    mine = jobs.add(ANNOUNCE, PATH)
    somebody_elses = jobs.take()
    assert somebody_elses is not None
    jobs.finish(somebody_elses)
    jobs.add(ANNOUNCE, PATH)
    jobs.finish(mine)
    assert len(jobs.waiting()) == 1


def test_the_jobs_of_one_domain_leave_room_for_others(jobs: ResourceJobs, clock: FakeClock) -> None:
    for path in ("msu/smith/a.html", "msu/smith/b.html", "msu/jones/c.html"):
        jobs.add(UPDATE, path)
    clock.advance(1)
    jobs.add(UPDATE, "hub/miller/d.html")
    first, second, third = jobs.take(1), jobs.take(1), jobs.take(1)
    assert first is not None and first.path.startswith("msu/")
    assert second is not None and second.path.startswith("hub/")
    assert third is None
    jobs.finish(first)
    third = jobs.take(1)
    assert third is not None and third.path.startswith("msu/")


def test_a_failed_try_comes_again_in_time(jobs: ResourceJobs, clock: FakeClock) -> None:
    jobs.add(UPDATE, PATH)
    job = jobs.take()
    assert job is not None
    jobs.postpone(job, 30)
    assert jobs.take() is None and jobs.seconds_until_due() == 30
    clock.advance(30)
    assert jobs.take() == job._replace(attempts=1)


def test_a_claim_is_renewed_and_ends_with_its_holder(jobs: ResourceJobs, clock: FakeClock) -> None:
    jobs.add(UPDATE, PATH)
    job = jobs.take()
    assert job is not None
    clock.advance(CLAIM_SECONDS - 1)
    jobs.renew(job)
    clock.advance(CLAIM_SECONDS - 1)
    assert jobs.take() is None and jobs.seconds_until_due() == 1
    clock.advance(1)
    assert jobs.take() == job
    jobs.release(job)
    assert jobs.take() == job


def test_a_claim_from_before_the_machine_was_started_is_void(jobs: ResourceJobs, clock: FakeClock) -> None:
    clock.advance(1_000_000)
    jobs.add(UPDATE, PATH, delay=-2_000_000)
    assert jobs.take() is not None
    clock.now = 100.0
    assert jobs.seconds_until_due() == 0 and jobs.take() is not None


def test_delayed_jobs_and_the_oldest_first(jobs: ResourceJobs, clock: FakeClock) -> None:
    jobs.add(ANNOUNCE, "b", delay=60)
    assert jobs.take() is None and jobs.seconds_until_due() == 60
    clock.advance(70)
    jobs.add(UPDATE, "a")
    assert [job.path for job in (jobs.take(), jobs.take()) if job] == ["b", "a"]


def test_many_processes_share_the_jobs(tmp_path: Path, jobs: ResourceJobs) -> None:
    for number in range(30):
        jobs.add(UPDATE, str(number))
    jobs.close()

    def work() -> list[str]:
        mine = ResourceJobs(tmp_path / "updates.db")
        taken = []
        while (job := mine.take()) is not None:
            taken.append(job.path)
            mine.finish(job)
        mine.close()
        return taken

    done = [path for _ in range(3) for path in in_child(work)]
    assert sorted(done, key=int) == [str(number) for number in range(30)]


def test_what_is_wrong_with_the_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "updates.db").write_bytes(b"x" * 5000)
    with pytest.raises(SpoolError, match=r"updates\.db"):
        ResourceJobs(tmp_path / "updates.db")
    jobs = ResourceJobs(tmp_path / "other.db")
    jobs.close()
    with pytest.raises(SpoolError) as caught:
        jobs.add(UPDATE, PATH)
    assert isinstance(caught.value.__cause__, sqlite3.Error)
