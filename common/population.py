"""The children of one parent: who lives, who was asked to end, who has ended.

Mechanism only; the parents of lonc and lond decide whom they want. Here alone children are forked, signalled and
reaped, and only a child in the table, which has not been reaped, is ever signalled. TERM is sent once; a child that
is still there after the grace is killed.

Each child has a lifeline, a socket pair of which the parent alone holds the other end: its end of file tells the
child that the parent is gone, and messages go over it both ways. A descriptor can travel with a message.
"""

from __future__ import annotations

import enum
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from common.fork import fork
from common.loop import READ, Loop
from common.scoreboard import Scoreboard, Slot

log = logging.getLogger(__name__)

MESSAGE_BYTES = 65536  # the longest message on a lifeline
FORK_PAUSE = 1.0  # seconds before the next try when the system can't give us a process
_MAX_DESCRIPTORS = 1


class Phase(enum.Enum):
    """Where a child stands between its fork and its reaping."""

    ALIVE = "alive"
    ENDING = "ending"
    KILLED = "killed"


class System:
    """The operating system's calls on processes; tests put a double in its place."""

    def fork(self, release: Callable[[], None], body: Callable[[], int]) -> int:
        """See :func:`common.fork.fork`."""
        return fork(release, body)

    def kill(self, pid: int, number: int) -> None:
        """Send a signal."""
        os.kill(pid, number)

    def reap(self) -> tuple[int, int] | None:
        """(pid, exit code or negative signal number) of a child that ended, None if there is none."""
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        return (pid, os.waitstatus_to_exitcode(status)) if pid else None


@dataclass(slots=True, eq=False)
class Member:
    """A child as its parent knows it; `note` is the parent's own word on what the child is doing."""

    key: str
    generation: int
    slot: int
    lifeline: socket.socket
    started: float
    pid: int = 0
    phase: Phase = Phase.ALIVE
    deadline: float = 0.0
    note: str = ""
    ended: bool = False


class Lifeline:
    """The child's end: what it tells its parent, and how it learns of the parent's end."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def tell(self, message: bytes, descriptors: tuple[int, ...] = ()) -> bool:
        """Send a message; False if the parent is gone or so far behind that it would have to be waited for."""
        try:
            socket.send_fds(self._channel, [message], list(descriptors))
        except OSError:
            return False
        return True

    def tell_all(self, message: bytes) -> None:
        """Send a message of any length in pieces, waiting for the parent to take them (at most 10 s each)."""
        self._channel.settimeout(10)
        for start in range(0, len(message), MESSAGE_BYTES):
            self._channel.send(message[start : start + MESSAGE_BYTES])

    def watch(self, loop: Loop, on_message: Callable[[bytes], None], on_orphaned: Callable[[], None]) -> None:
        """Deliver the parent's messages, and its end, through the loop."""

        def ready(_mask: int) -> None:
            try:
                message = self._channel.recv(MESSAGE_BYTES)
            except ConnectionResetError:  # the parent was killed before it had read everything
                message = b""
            if message:
                on_message(message)
            else:
                loop.forget(self._channel)
                on_orphaned()

        loop.watch(self._channel, READ, ready)

    def close(self) -> None:
        """Close this end."""
        self._channel.close()


@dataclass(frozen=True, slots=True)
class Birth:
    """What a child is born with."""

    generation: int
    slot: int
    board: Scoreboard
    lifeline: Lifeline


class Population:
    """See the module.

    :param loop: the parent's loop; lifelines are watched by it.
    :param board: gives each child its slot.
    :param grace: seconds between TERM and KILL.
    :param on_message: called with (member, message, descriptors); descriptors must be closed or kept.
    :param on_end: called with (member, exit code or negative signal number) when a child was reaped.
    :param release: closes what the parent owns beside loop and lifelines; called in each child.
    :param reserved: the key for which the last slot is kept, so that however many others live, it can have a child.
    """

    def __init__(
        self,
        loop: Loop,
        board: Scoreboard,
        grace: float,
        on_message: Callable[[Member, bytes, list[int]], None],
        on_end: Callable[[Member, int], None],
        release: Callable[[], None],
        system: System | None = None,
        reserved: str = "",
    ) -> None:
        self.grace = grace
        self.members: dict[int, Member] = {}
        self._loop, self._board = loop, board
        self._on_message, self._on_end, self._release = on_message, on_end, release
        self._system, self._reserved = system or System(), reserved
        self._free = list(range(board.slots - 1, -1, -1))
        self._generation = 0
        self._pause_until = 0.0

    def __len__(self) -> int:
        return len(self.members)

    def of(self, key: str) -> Iterator[Member]:
        """The living children of this key that have not been asked to end, oldest first."""
        return (m for m in list(self.members.values()) if m.key == key and m.phase is Phase.ALIVE)

    def alive(self) -> list[Member]:
        """All children that have not been asked to end, oldest first."""
        return [m for m in self.members.values() if m.phase is Phase.ALIVE]

    def has_slot(self, key: str) -> bool:
        """Whether a slot is free for a child of this key."""
        return len(self._free) > (self._reserved not in ("", key))

    def start(self, key: str, body: Callable[[Birth], int]) -> Member | None:
        """Fork a child that lives in `body`; None if there is no slot or no process to be had now."""
        if not self.has_slot(key) or self._loop.clock() < self._pause_until:
            return None
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            self._pause(error)
            return None
        ours.setblocking(False)
        theirs.setblocking(False)
        self._generation += 1
        member = Member(key, self._generation, self._free[-1], ours, self._loop.clock())
        birth = Birth(member.generation, member.slot, self._board, Lifeline(theirs))
        try:
            member.pid = self._system.fork(lambda: self._release_in_child(ours), lambda: body(birth))
        except OSError as error:
            self._pause(error)
            ours.close()
            return None
        finally:
            theirs.close()
        self._free.pop()
        self.members[member.pid] = member
        self._loop.watch(ours, READ, lambda _mask: self._on_readable(member))
        return member

    def _release_in_child(self, ours: socket.socket) -> None:
        self._loop.close()
        ours.close()
        for sibling in self.members.values():
            sibling.lifeline.close()
        self._release()

    def _pause(self, error: OSError) -> None:
        log.error("can't fork: %s; next try in %.0f s", error, FORK_PAUSE)
        self._pause_until = self._loop.clock() + FORK_PAUSE
        self._loop.call_later(FORK_PAUSE, lambda: None)  # a turn, in which the parent compares again

    def tell(self, member: Member, message: bytes) -> None:
        """Send a child a message; one that does not listen is no reason to wait."""
        with suppress(OSError):
            member.lifeline.send(message)

    def signal(self, number: int, key: str | None = None) -> None:
        """Send a signal to every child that has not been asked to end; with `key`, only to those of that key."""
        for member in self.alive():
            if key in (None, member.key):
                self._kill(member, number)

    def stop(self, member: Member) -> None:
        """Ask a child to end: TERM now (once), KILL after the grace."""
        if member.phase is not Phase.ALIVE or member.ended:
            return
        member.phase = Phase.ENDING
        member.deadline = self._loop.clock() + self.grace
        self._kill(member, signal.SIGTERM)
        self._loop.call_later(self.grace + 0.01, self.kill_overdue)

    def stop_all(self) -> None:
        """Ask every child to end."""
        for member in self.alive():
            self.stop(member)

    def kill_overdue(self) -> None:
        """KILL those that had their grace."""
        now = self._loop.clock()
        for member in self.members.values():
            if member.phase is Phase.ENDING and now >= member.deadline:
                log.warning("child %d (%s) did not end within %.0f s and is killed", member.pid, member.key, self.grace)
                member.phase = Phase.KILLED
                self._kill(member, signal.SIGKILL)

    def _kill(self, member: Member, number: int) -> None:
        with suppress(ProcessLookupError):  # only reaping changes what we believe of a child
            self._system.kill(member.pid, number)

    def reap(self) -> None:
        """Take note of every child that ended; SIGCHLD is only a hint that there are some."""
        while (ended := self._system.reap()) is not None:
            pid, code = ended
            member = self.members.pop(pid, None)
            if member is None:
                log.debug("a process that is not ours was reaped: %d", pid)
                continue
            member.ended = True  # before its last words are read: its number may be somebody else's by now
            self._drain(member)
            self._board.clear(member.slot)
            self._free.append(member.slot)
            self._on_end(member, code)

    def _drain(self, member: Member) -> None:
        """Hear an ended child's last words, after its lifeline is closed: a message may have us fork another child."""
        last_words = []
        while (words := self._receive(member)) is not None:
            last_words.append(words)
        if member.lifeline.fileno() >= 0:
            self._hang_up(member)
        for message, descriptors in last_words:
            self._on_message(member, message, descriptors)

    def _on_readable(self, member: Member) -> None:
        if (words := self._receive(member)) is not None:
            self._on_message(member, *words)

    def _receive(self, member: Member) -> tuple[bytes, list[int]] | None:
        """Take one message with its descriptors; None when there is none, or no more will come."""
        if member.lifeline.fileno() < 0:
            return None
        try:
            message, descriptors, _, _ = socket.recv_fds(member.lifeline, MESSAGE_BYTES, _MAX_DESCRIPTORS)
        except BlockingIOError:
            return None
        except ConnectionResetError:  # it ended without having read our last word; its own last words follow
            return self._receive(member)
        except OSError:
            message, descriptors = b"", []
        if not message:
            self._hang_up(member)
            return None
        return message, descriptors

    def _hang_up(self, member: Member) -> None:
        self._loop.forget(member.lifeline)
        member.lifeline.close()

    def slot(self, member: Member) -> Slot:
        """What the child last said of itself on the scoreboard."""
        return self._board.read(member.slot)
