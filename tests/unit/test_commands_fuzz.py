"""Any bytes in any field: always a reply that is a line, never a traceback, never a file elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lond.commands.registry import REGISTRY, Pending
from tests.helpers.dispatching import Lond, make_site
from tests.helpers.fuzzed_lines import LINES
from tests.helpers.soaking import TIMES

BESIDE = {"users", "html", "announcement.txt"}

# One host for all examples of a test: what one of them stores, the next one meets.
SHARED = [HealthCheck.function_scoped_fixture]


@pytest.fixture
def lond(tmp_path: Path) -> Iterator[Lond]:
    with Lond(make_site(tmp_path)) as lond:
        yield lond


def outside(lond: Lond) -> set[str]:
    """All that lies beside the directory of users, and that no user's directory was made."""
    directory = lond.site.config.users_dir.parent
    users = {path.parent.name for path in lond.site.config.users_dir.rglob("records.db*")}
    assert users <= {"smith", "jones"}
    return {path.name for path in directory.iterdir()} | {path.name for path in lond.site.config.doc_root.iterdir()}


class Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record.getMessage())


@settings(max_examples=400 * TIMES, suppress_health_check=SHARED)
@given(st.lists(st.tuples(LINES, st.booleans()), min_size=1, max_size=6))
def test_every_line_has_a_reply(lond: Lond, requests: list[tuple[bytes, bool]]) -> None:
    errors = Errors()
    logging.getLogger("lond").addHandler(errors)
    try:
        replies = lond.dispatcher.execute(requests)
    finally:
        logging.getLogger("lond").removeHandler(errors)
    assert len(replies) == len(requests)
    ready = [reply.reply if isinstance(reply, Pending) else reply for reply in replies]
    assert all(reply is None or b"\n" not in reply for reply in ready)
    assert errors.records == []
    assert outside(lond) <= BESIDE


@settings(max_examples=200 * TIMES, suppress_health_check=SHARED)
@given(st.data())
def test_every_argument_of_every_command_is_checked(lond: Lond, data: st.DataObject) -> None:
    """A right request with any bytes in one place."""
    command = REGISTRY[data.draw(st.sampled_from(sorted(REGISTRY)))]
    if not command.arguments or command.handler is None:
        return
    right = {"udom": b"msu", "cdom": b"msu", "exedom": b"msu", "uname": b"smith", "cnum": b"c1", "exeuser": b"dc",
             "ns": b"data", "start-end": b"0-1", "since": b"0", "id": b"x"}  # fmt: skip
    fields = [right.get(argument.name, b"a=1") for argument in command.arguments]
    at = data.draw(st.integers(0, len(fields) - 1))
    fields[at] = data.draw(st.binary(max_size=200))
    reply = lond.ask(command.name + b":" + b":".join(fields), encrypted=True)
    assert b"\n" not in reply
    assert not reply.startswith(b"error: 70")
    assert outside(lond) <= BESIDE
