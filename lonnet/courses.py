"""A course: a user of its domain whose records are the course's, with a chat room on its home server.

Posts go as plain requests: an hour later nobody would read them.

Promises and raises: as :mod:`lonnet.records`. Logs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from lonnet.homes import UserName
from lonnet.replies import acknowledged
from lonnet.users import User, UserRecords, fields_of
from lonnet.wire import RAW, TEXT, Codec, Malformed, Text, whole_number

PARTICIPANT = "active_participant"


@dataclass(frozen=True, slots=True)
class Post(Generic[Text]):
    """One contribution to a chat.

    :param timestamp: when the home server got it, UNIX seconds.
    :param text: as it was sent.
    """

    timestamp: int
    text: Text


@dataclass(frozen=True, slots=True)
class Chat(Generic[Text]):
    """A chat room at one moment.

    :param participants: who looked into it during the last minute.
    :param posts: of the last hour, oldest first.
    """

    participants: tuple[UserName, ...] = ()
    posts: tuple[Post[Text], ...] = ()


class CourseRecords(UserRecords[Text]):
    """A course's records and its chat room."""

    def chatsend(self, text: Text, *, timeout: float | None = None) -> None:
        """Post to the chat room; not critical.

        Source: classic-protocol, section 4, as for all calls here.
        """
        host, reply = self._at_home.reply(f"chatsend:{self._user.fields}:{self._codec.field(text)}", timeout)
        acknowledged(host, "chatsend", reply)

    def chatretr(self, member: User, *, timeout: float | None = None) -> Chat[Text]:
        """What is in the chat room; `member` counts as present for the next minute."""
        line = f"chatretr:{self._user.fields}:{fields_of(member, 'member')}"
        return self._at_home.read(line, lambda reply: parse_chat(self._codec, reply), timeout) or Chat()


class Course(User, CourseRecords[str]):
    """One course; nothing is sent until a call is made.

    :param name: the course's number, which is its user name.
    :param domain: the course's domain.
    :raises ValueError: one of them is not a name.
    """

    @property
    def raw(self) -> CourseRecords[bytes]:
        """The same records, roles and posts as bytes."""
        return CourseRecords(self._net, self._user, RAW)


def parse_chat(codec: Codec[Text], reply: str) -> Chat[Text]:
    """Reads the reply of ``chatretr``: escaped lines joined by ``:``, the participants' first.

    :raises Malformed: it is none.
    """
    lines = [TEXT.text(line).split(":", 2) for line in reply.split(":") if line]
    here = tuple(_participant(line) for line in lines if line[0] == PARTICIPANT)
    return Chat(here, tuple(_post(codec, line) for line in lines if line[0] != PARTICIPANT))


def _participant(line: list[str]) -> UserName:
    try:
        _, name, domain = line
        return UserName(name, domain)
    except ValueError:
        raise Malformed("a participant that is not NAME:DOMAIN") from None


def _post(codec: Codec[Text], line: list[str]) -> Post[Text]:
    if len(line) != 2:
        raise Malformed("a post that is not UNIXTIME_NUMBER:TEXT")
    return Post(whole_number(line[0].partition("_")[0]), codec.text(line[1]))
