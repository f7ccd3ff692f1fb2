"""What holds for every test: it leaves no descriptor and no process behind, and what it measures is shown."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from common.loop import OUR_SIGNALS, Loop
from tests.helpers.waiting import eventually, open_descriptors

# A shell that starts the tests in the background has them ignore these, and with them every process they start.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# Hypothesis takes an example that was held up for 0.2 s, as on a busy machine, for a fault.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def children() -> set[int]:
    """The pids of this process's children, zombies included."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return set()
    own, found = str(os.getpid()), set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if parent == own:
            found.add(int(entry.name))
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """The same descriptors and the same children before and after each test.

    Fixtures of wider scope are older than this one and may own some; what a test owns must end with it. Threads and
    processes that were told to end get a moment.
    """
    descriptors, processes = open_descriptors(), children()
    yield

    def as_before() -> None:
        now = open_descriptors()
        opened = {fd: what for fd, what in now.items() if descriptors.get(fd) != what and not _is_listing(what)}
        closed = {fd: what for fd, what in descriptors.items() if fd not in now and not _is_listing(what)}
        assert (opened, closed) == ({}, {}), f"descriptors left open {opened}, closed that it does not own {closed}"
        assert children() <= processes, f"processes left behind: {children() - processes}"

    eventually(as_before)


def _is_listing(what: str) -> bool:
    return what.startswith("/proc/")  # the descriptor that reads the list stands in it


Measured = Callable[[str], None]
MEASURED = pytest.StashKey[list[str]]()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Takes lines on what a test has measured and does not judge; they are shown at the end of the run."""
    lines = request.config.stash.setdefault(MEASURED, [])
    return lambda text: lines.append(f"{request.node.nodeid.removeprefix('tests/')}: {text}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what was measured."""
    lines = config.stash.get(MEASURED, [])
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.line(line)


class FakeClock:
    """A monotonic clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def clock() -> FakeClock:
    """A clock for tests; nobody waits by it."""
    return FakeClock()


@pytest.fixture
def loop(clock: FakeClock) -> Iterator[Loop]:
    """A loop on the fake clock in this process, whose signals are put back afterwards.

    With a clock that stands still a wait for a timer would not end: tests make sure that each turn has something to do.
    """
    handlers = {number: signal.getsignal(number) for number in OUR_SIGNALS}
    loop = Loop(clock)
    yield loop
    loop.close()
    for number, handler in handlers.items():
        signal.signal(number, handler)
