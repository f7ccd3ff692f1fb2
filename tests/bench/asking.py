"""Callers that ask through lonnet, as a web handler does: one thread, one kept connection, one request at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lonnet import Lonnet
from tests.bench.crowd import Prepare, Run, closed_loop


def expecting(answer: str, expected: str) -> None:
    """An answer that is not the expected one ends the measurement: its speed would mean nothing."""
    if answer != expected:
        raise AssertionError(f"answer {answer!r} instead of {expected!r}")


def asking(conf: Path, operation_of: Callable[[Lonnet], Callable[[], object]]) -> Prepare:
    """A caller process on the host of a configuration file.

    :param operation_of: makes what the caller does again and again.
    """

    def prepare() -> Run:
        operation = operation_of(Lonnet.from_conf(conf))
        operation()
        return closed_loop(operation)

    return prepare


def replying(conf: Path, host: str, command: str, expected: str) -> Prepare:
    """A caller that sends one request again and again and waits for its reply each time."""

    def operation_of(net: Lonnet) -> Callable[[], object]:
        return lambda: expecting(net.reply(command, host), expected)

    return asking(conf, operation_of)
