"""What a domain knows as a whole: the ids by which the institution knows its users, and the list of its courses.

Both lie scattered over the library servers of the domain: an id on its user's home server, a course on the course's.
Writing goes to these servers as critical messages; reading asks all library servers of the domain.

Promises: reading is complete or raises: a server that can't be asked may hold what is looked for. Every call ends
within `timeout` seconds (None: lonRequestTimeout; critical messages: lonCriticalTimeout for each home server).

Raises: as :mod:`lonnet.records`. Logs nothing.

Known limits: servers are asked one after the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from common.errors import LonError
from lonnet.deadline import Deadline, limit
from lonnet.home_calls import HomeCalls
from lonnet.homes import Net, UserName
from lonnet.replies import Delivery, delivered, nothing_there, parsed
from lonnet.wire import (
    RAW,
    TEXT,
    Codec,
    Text,
    answered,
    checked_mapping,
    checked_name,
    items,
    key_list,
    pairs,
    question,
)

ALL_COURSES = "."

Result = TypeVar("Result")


class Domain(Generic[Text]):
    """One domain; nothing is sent until a call is made.

    :param net: carries the requests.
    :param name: the domain.
    :param codec: how ids, user names and what is known of courses look.
    :raises ValueError: it is not a name.
    """

    def __init__(self, net: Net, name: str, codec: Codec[Text]) -> None:
        self._net = net
        self._codec: Codec[Text] = codec
        self.name = checked_name(name, "domain")

    def __repr__(self) -> str:
        return f"Domain({self.name!r})"

    @property
    def raw(self) -> Domain[bytes]:
        """The same with ids, user names and what is known of courses as bytes."""
        return Domain(self._net, self.name, RAW)

    def idput(self, users: Mapping[Text, Text], *, timeout: float | None = None) -> Delivery:
        """Note by which ids users are known; a critical message for each user, to the home server.

        :param users: user name by id.
        :returns: DELAYED if one of the messages is.
        :raises NoSuchUser: one does not exist; what belongs to other home servers may have been noted.

        Source: classic-protocol, section 4, as for all calls here.
        """
        by_user: dict[Text, list[Text]] = defaultdict(list)
        for id, user in checked_mapping(users, "users").items():
            by_user[user].append(id)
        results = [self._put_ids(user, ids, timeout) for user, ids in by_user.items()]
        return Delivery.DELAYED if Delivery.DELAYED in results else Delivery.DONE

    def idget(self, *ids: Text, timeout: float | None = None) -> dict[Text, Text]:
        """User names by id; empty for unknown ids."""
        found = dict.fromkeys(ids, self._codec.from_bytes(b""))
        if not ids:
            return found
        line = f"idget:{self.name}:{question(self._codec, ids)}"
        for users in self._ask_all(line, lambda reply: answered(self._codec, ids, reply), timeout):
            found |= {id: user for id, user in users.items() if user}
            if all(found.values()):
                break
        return found

    def courseidput(
        self, courses: Mapping[Text, Sequence[Text]], host: str, *, timeout: float | None = None
    ) -> Delivery:
        """Put courses on the list; a critical message.

        :param courses: by course id a list of texts: the description, then whatever else is to be known.
        :param host: the home server of these courses.
        :raises ValueError: among others, a list is empty: the wire can't tell it from an empty description.
        """
        listed = checked_mapping(courses, "courses").items()
        entries = "&".join([f"{key_list(self._codec, [id])}={self._parts(texts)}" for id, texts in listed])
        seconds = limit(timeout, self._net.site.config.critical_timeout)
        reply = self._net.critical(f"courseidput:{self.name}:{entries}", host, seconds)
        return delivered(host, "courseidput", reply)

    def courseiddump(
        self, since: int = 0, description: str = ALL_COURSES, *, timeout: float | None = None
    ) -> dict[Text, list[Text]]:
        """The courses of the list, each as it was given to :meth:`courseidput`.

        :param since: UNIX seconds; only courses that were put then or later.
        :param description: only courses whose description holds this, in capitals or not.
        """
        if since < 0:
            raise ValueError(f"since is {since}, must be UNIX seconds from 0 on")
        found: dict[Text, list[Text]] = {}
        line = f"courseiddump:{self.name}:{since}:{TEXT.field(description)}"
        for courses in self._ask_all(line, self._courses, timeout):
            found |= courses
        return found

    def _put_ids(self, user: Text, ids: list[Text], timeout: float | None) -> Delivery:
        fields = pairs(self._codec, dict.fromkeys(ids, user))
        name = UserName(TEXT.from_bytes(self._codec.to_bytes(user)), self.name)
        return HomeCalls(self._net, name).tell(f"idput:{self.name}:{fields}", timeout)

    def _parts(self, texts: Sequence[Text]) -> str:
        if isinstance(texts, (str, bytes)):
            raise TypeError("a course is a list of texts, not one text")
        if not texts:
            raise ValueError("a course has at least one text, its description, which may be empty")
        return ":".join([self._codec.field(text) for text in texts])

    def _courses(self, reply: str) -> dict[Text, list[Text]]:
        text = self._codec.text
        return {text(id): [text(part) for part in value.split(":")] for id, value in items(reply)}

    def _ask_all(self, line: str, parse: Callable[[str], Result], timeout: float | None) -> Iterator[Result]:
        """What the library servers answer; the first error comes last, when it is known whether it matters."""
        deadline = Deadline(limit(timeout, self._net.site.config.request_timeout))
        hosts = self._net.site.table.in_domain(self.name, "library")
        problem: LonError | None = None
        for at, host in enumerate(hosts):
            reply = self._net.reply(line, host.id, deadline.share(len(hosts) - at))
            if nothing_there(reply):
                continue
            try:
                result = parsed(host.id, line, reply, parse)
            except LonError as error:
                problem = problem or error
                continue
            yield result
        if problem is not None:
            raise problem
