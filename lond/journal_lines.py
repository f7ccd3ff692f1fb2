"""What of a batch stands in the journal: a line for each command that writes (:mod:`lond.journal`).

Pure but for the clock. Raises nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from lond.commands.registry import REGISTRY, Pending, Reply
from lond.journal import NO_DIGEST, digest

_WORD = re.compile(rb"[a-z_]{2,24}")


def journal_lines(host: str, requests: Sequence[tuple[bytes, bool]], replies: Sequence[Reply]) -> list[bytes]:
    """The lines of a batch that was executed and committed.

    :param host: who asked.
    :param requests: as the dispatcher got them: line without LF, whether it came encrypted.
    """
    lines, asking, now = [], host.encode(), int(time.time())
    for (line, encrypted), reply in zip(requests, replies, strict=True):
        word = line.partition(b":")[0]
        command = REGISTRY.get(word)
        if command is not None and command.writes:
            told = NO_DIGEST if encrypted or command.encrypted else digest(line)
            lines.append(b"%d:%b:%b:%b:%b\n" % (now, asking, word, told, _kind(reply)))
    return lines


def _kind(reply: Reply) -> bytes:
    """The first word of a reply, of an error with its number; nothing that could be data."""
    if isinstance(reply, Pending):
        return b"later"
    word, _, rest = reply.partition(b":")
    if word == b"error":
        number = rest.split()[:1]
        return b"error %b" % number[0] if number and number[0].isdigit() else b"error"
    return word if _WORD.fullmatch(word) else b"reply"
