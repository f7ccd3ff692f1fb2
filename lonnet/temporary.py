"""Texts that are kept on one host for a while (a week there, if it is one of ours), under an id that it chooses.

Who knows the id has the text, so it can pass between hosts where no user is known yet, as a session that moves. The
requests are plain ones: a text without its id would be of no use.

Promises: what was put is got as it was. Every call ends within `timeout` seconds (None: lonRequestTimeout).

Raises: HostUnreachable, NoSuchHost, RemoteError, Refused, UnexpectedReply; ValueError for what can't be sent.
Logs nothing.

Source: classic-protocol, section 4.
"""

from __future__ import annotations

import re
from typing import Generic

from lonnet.errors import UnexpectedReply
from lonnet.homes import Net
from lonnet.replies import FAILURE_WORDS, acknowledged, checked, nothing_there
from lonnet.wire import RAW, Codec, Text

_ID = re.compile("[A-Za-z0-9_]{1,128}")


class Temporary(Generic[Text]):
    """The temporary texts of one host.

    :param net: carries the requests.
    :param host: host id.
    :param codec: how the texts look.
    """

    def __init__(self, net: Net, host: str, codec: Codec[Text]) -> None:
        self._net, self._host = net, host
        self._codec: Codec[Text] = codec

    @property
    def raw(self) -> Temporary[bytes]:
        """The same with texts as bytes."""
        return Temporary(self._net, self._host, RAW)

    def put(self, text: Text, *, timeout: float | None = None) -> str:
        """Have a text kept.

        :returns: its id.
        """
        line = f"tmpput:{_unmistakable(self._codec.field(text))}"
        reply = checked(self._host, self._net.reply(line, self._host, timeout))
        if not _ID.fullmatch(reply):
            raise UnexpectedReply(self._host, "tmpput", reply)
        return reply

    def get(self, id: str, *, timeout: float | None = None) -> Text | None:
        """The text of an id; None if there is none (any more)."""
        reply = self._net.reply(f"tmpget:{_checked_id(id)}", self._host, timeout)
        return None if nothing_there(reply) else self._codec.text(checked(self._host, reply))

    def delete(self, id: str, *, timeout: float | None = None) -> bool:
        """Have a text forgotten; whether there was one."""
        reply = self._net.reply(f"tmpdel:{_checked_id(id)}", self._host, timeout)
        if nothing_there(reply):
            return False
        acknowledged(self._host, "tmpdel", reply)
        return True


def _checked_id(id: str) -> str:
    if not _ID.fullmatch(id):
        raise ValueError("not the id of a temporary text: at most 128 letters, digits and _")
    return id


def _unmistakable(field: str) -> str:
    """A field that no failure looks like; the text is kept as it is sent, so the spelling stays."""
    return f"%{ord(field[0]):02x}{field[1:]}" if field in FAILURE_WORDS else field
