"""One selector loop with timers and signals, for parents and children alike.

A turn has a fixed order: wait; run due timers; handle ready descriptors, signals among them; then the end-of-turn
calls, in which everything that a turn gathered is committed and written at once, and in which a parent compares
the children it wants with those it has, so that no order of events within a turn matters.

Signal handlers are empty. The interpreter writes each signal's number to a pipe that is one more descriptor of the
selector; a pipe, because it holds 65,536 numbers where a socket pair is full after some 270. The clock is monotonic.
An exception in a callback leaves :meth:`Loop.run`: the process ends, and its parent forks another.
"""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Protocol

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

Clock = Callable[[], float]

# Every signal that has a meaning here; blocked from before a fork until the child's loop can deliver them.
OUR_SIGNALS = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD))


class HasFileno(Protocol):
    """Anything with a descriptor."""

    def fileno(self) -> int: ...


class Watch:
    """A descriptor under watch; `on_ready` gets the mask of READ and WRITE."""

    __slots__ = ("active", "on_ready")

    def __init__(self, on_ready: Callable[[int], None]) -> None:
        self.on_ready = on_ready
        self.active = True


class Timer:
    """A call that is due at `when` on the loop's clock."""

    __slots__ = ("_number", "call", "when")
    _numbers = itertools.count()

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self._number = next(Timer._numbers)  # of calls that are due at the same time, the first made is the first
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Make sure the call does not happen; harmless afterwards."""
        self.call = None

    def __lt__(self, other: Timer) -> bool:
        return (self.when, self._number) < (other.when, other._number)


class Loop:
    """See the module. Made after the fork, in the process that runs it, on the main thread."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.turns = 0
        self._selector = selectors.DefaultSelector()
        self._timers: list[Timer] = []
        self._on_signal: dict[int, Callable[[], None]] = {}
        self._end_of_turn: list[Callable[[], None]] = []
        self._running = False
        self._wakeup_read, self._wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wakeup_read, READ, Watch(self._deliver_signals))
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)

    def watch(self, channel: HasFileno, events: int, on_ready: Callable[[int], None]) -> None:
        """Call `on_ready` with the ready mask in every turn in which the channel is ready."""
        self._selector.register(channel, events, Watch(on_ready))

    def change(self, channel: HasFileno, events: int) -> None:
        """Watch the channel for other events from now on."""
        self._selector.modify(channel, events, self._selector.get_key(channel).data)

    def forget(self, channel: HasFileno) -> None:
        """Watch the channel no longer, if it was watched; must come before its close, for its number is reused."""
        with suppress(KeyError, ValueError):  # not watched, or closed without ever having been
            self._selector.unregister(channel).data.active = False

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call once, `seconds` from now."""
        timer = Timer(self.clock() + seconds, call)
        heapq.heappush(self._timers, timer)
        return timer

    def every(self, seconds: float, call: Callable[[], None]) -> None:
        """Call again and again, `seconds` after the last call ended."""

        def again() -> None:
            call()
            self.call_later(seconds, again)

        self.call_later(seconds, again)

    def on_signal(self, number: int, call: Callable[[], None]) -> None:
        """Call in the turn after the signal came; several that came meanwhile count once."""
        self._on_signal[number] = call
        signal.signal(number, _deliver_by_wakeup)

    def at_end_of_turn(self, call: Callable[[], None]) -> None:
        """Call at the end of every turn, in the order of registration."""
        self._end_of_turn.append(call)

    def run(self) -> None:
        """Turn until :meth:`stop`. Unblocks our signals first: until now nobody could have delivered them."""
        self._running = True
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OUR_SIGNALS)
        while self._running:
            self.turn()

    def stop(self) -> None:
        """Leave :meth:`run` at the end of this turn."""
        self._running = False

    def turn(self) -> None:
        """Wait for something to happen, then handle all that did."""
        ready = self._selector.select(self._until_next_timer())
        self.turns += 1
        self._run_due_timers()
        for key, mask in ready:
            watch: Watch = key.data
            if watch.active:  # a handler before it in this turn may have closed it
                watch.on_ready(mask)
        for call in self._end_of_turn:
            call()

    def _until_next_timer(self) -> float | None:
        while self._timers and self._timers[0].call is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0].when - self.clock()) if self._timers else None

    def _deliver_signals(self, _mask: int) -> None:
        for number in sorted(set(os.read(self._wakeup_read, 65536))):
            if call := self._on_signal.get(number):
                call()

    def _run_due_timers(self) -> None:
        now = self.clock()
        while self._timers and self._timers[0].when <= now:
            timer = heapq.heappop(self._timers)
            if timer.call is not None:
                timer.call()

    def close(self) -> None:
        """Free the descriptors; safe in a forked child, where the parent's registrations must stay untouched."""
        signal.set_wakeup_fd(-1)
        self._selector.close()
        os.close(self._wakeup_read)
        os.close(self._wakeup_write)


def _deliver_by_wakeup(_number: int, _frame: FrameType | None) -> None:
    """Empty on purpose: the number is in the wakeup pipe already."""
