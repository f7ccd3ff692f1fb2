"""What a reply says about its request: done, delayed, or one of the errors of :mod:`lonnet.errors`.

=====================  =========================================
reply                  raised
=====================  =========================================
``con_lost``           HostUnreachable
``con_delayed``        Delayed; nothing by :func:`delivered`
``con_failed``         DeliveryFailed
``no_such_host``       NoSuchHost
``refused``            Refused
``unknown_cmd``        RemoteError 38 (ENOSYS)
``error: NUMBER TEXT`` RemoteError
``error:TEXT``         RemoteError 0
=====================  =========================================

Promises: total: any reply is an error of the table or stands. Logs nothing.
"""

from __future__ import annotations

import enum
import errno
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from common.errors import LonError
from lonnet.errors import (
    Delayed,
    DeliveryFailed,
    HostUnreachable,
    NoSuchHost,
    Refused,
    RemoteError,
    UnexpectedReply,
)
from lonnet.wire import Malformed

Result = TypeVar("Result")

TEXT_SHOWN = 200  # characters of the other side's explanation that are kept


class Delivery(enum.Enum):
    """What became of a critical message; in both cases it is on disk and not lost.

    DONE: the other side has executed it. DELAYED: it could not be reached in time; the message is executed as soon as
    it can, after all earlier ones to the same host and before all later ones. Until then a read shows the old state,
    and nobody hears of it if it is refused in the end, as for a user who has moved to another host meanwhile: it is
    kept as failed, where an administrator finds it.
    """

    DONE = "done"
    DELAYED = "delayed"


_WORDS: Mapping[str, Callable[[str], LonError]] = {
    "con_lost": HostUnreachable,
    "con_delayed": Delayed,
    "con_failed": DeliveryFailed,
    "no_such_host": NoSuchHost,
    "refused": lambda host: Refused(f"{host}: refused"),
    "unknown_cmd": lambda host: RemoteError(errno.ENOSYS, f"{host} does not know this command"),
}
_ERROR = re.compile(r"error: *(?:([0-9]{1,9})\b)?[ :]*(.*)", re.DOTALL)
_UNPRINTABLE = re.compile(r"[^ -~]")

FAILURE_WORDS = frozenset(_WORDS)


def failure(host: str, reply: str) -> LonError | None:
    """The error that `reply` of `host` stands for, None if for none."""
    word = _WORDS.get(reply)
    if word:
        return word(host)
    error = _ERROR.fullmatch(reply)
    if error:
        return RemoteError(int(error[1] or 0), _UNPRINTABLE.sub("?", error[2])[:TEXT_SHOWN])
    return None


def checked(host: str, reply: str) -> str:
    """`reply`, if it stands for no error; otherwise the error is raised."""
    error = failure(host, reply)
    if error is not None:
        raise error
    return reply


def command_of(line: str) -> str:
    """The first word of a request, which is all that an error may say of it."""
    return line.removeprefix("encrypt:").partition(":")[0]


def parsed(host: str, line: str, reply: str, parse: Callable[[str], Result]) -> Result:
    """What `parse` makes of a reply.

    :param line: the request, for the error.
    :raises UnexpectedReply: it raised Malformed; or the error that the reply stands for.
    """
    try:
        return parse(checked(host, reply))
    except Malformed:
        raise UnexpectedReply(host, command_of(line), reply) from None


def acknowledged(host: str, command: str, reply: str) -> None:
    """Nothing, if the request was executed.

    :param command: its first word, for the error.
    :raises UnexpectedReply: the reply is not ``ok``; or the error that it stands for.
    """
    if checked(host, reply) != "ok":
        raise UnexpectedReply(host, command, reply)


def delivered(host: str, command: str, reply: str) -> Delivery:
    """What became of a critical message; errors as :func:`acknowledged`."""
    if reply == "con_delayed":
        return Delivery.DELAYED
    acknowledged(host, command, reply)
    return Delivery.DONE


def nothing_there(reply: str) -> bool:
    """Whether the other side has no such user, namespace or id (``error: 2 ...``)."""
    error = _ERROR.fullmatch(reply)
    return error is not None and error[1] == str(errno.ENOENT)
