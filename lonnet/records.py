"""A user's records: values by namespace and key, versions of stored resources, the activity log.

:class:`Records` is made for text (``net.user("smith", "msu")``) or bytes (``.raw`` of it); both have the same calls.

Writes that must not be lost (put, inc, delete, store, log) go as critical messages: they are executed now
(``Delivery.DONE``), or are on disk here and will be (``Delivery.DELAYED``), or raise. So does the order of one
process's writes to one home server hold. ``newput`` is a plain request, because its answer is the point of it.

Promises: every call ends within `timeout` seconds (None: lonRequestTimeout; critical messages: lonCriticalTimeout); a
value that was put is got as it was, whatever characters or bytes it has. Reading what was never written gives
empty values, not an error.

Raises: NoSuchUser; HostUnreachable (a request may have been executed or not; a critical message then was not even
stored, because nobody could say where the user's home server is); DeliveryFailed; Refused (the policy of the domain,
or a namespace with calls of its own); RemoteError (28: no room there, 11: busy, 22: not accepted, ...);
UnexpectedReply; ValueError and TypeError for what can't be sent. Logs nothing.

Known limits: a link that breaks at the wrong moment can make a classic peer execute a critical message twice: ``inc``
then counts twice and ``store`` stores the same version again. A request holds at most lonMaxRequest bytes, half
of them if it travels encrypted.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from math import isfinite
from typing import Generic

from lonnet.errors import KeyExists
from lonnet.home_calls import HomeCalls
from lonnet.homes import Net, UserName
from lonnet.replies import FAILURE_WORDS, Delivery, acknowledged, checked, nothing_there
from lonnet.versions import TIMESTAMP, Restored, parse_current, parse_restored
from lonnet.wire import (
    TEXT,
    Codec,
    Text,
    answered,
    checked_mapping,
    checked_namespace,
    items,
    key_list,
    pairs,
    question,
)

ALL = "."  # the expression that every key matches
NO_END = 999_999_999  # matches: more than a reply can hold
_KEY_EXISTS = "key_exists: "


class Records(Generic[Text]):
    """The records of one user; nothing is sent until a call is made.

    :param net: carries the requests.
    :param user: whose records.
    :param codec: how its texts look.
    """

    def __init__(self, net: Net, user: UserName, codec: Codec[Text]) -> None:
        self._at_home = HomeCalls(net, user)
        self._user = user
        self._codec: Codec[Text] = codec

    def put(self, namespace: str, values: Mapping[Text, Text], *, timeout: float | None = None) -> Delivery:
        """Set values; a critical message.

        :param namespace: ``/`` counts as ``_``.
        :param values: by key; keys are not empty.

        Source: classic-protocol, sections 4 and 5, as for all calls here.
        """
        return self._at_home.tell(self._line("put", namespace, pairs(self._codec, values)), timeout)

    def newput(self, namespace: str, values: Mapping[Text, Text], *, timeout: float | None = None) -> None:
        """Set values if none of the keys exists; not critical, because who sends it needs the answer.

        :raises KeyExists: one exists; nothing was stored.
        """
        line = self._line("newput", namespace, pairs(self._codec, values))
        host, reply = self._at_home.reply(line, timeout)
        if reply.startswith(_KEY_EXISTS):
            raise KeyExists(TEXT.text(reply.removeprefix(_KEY_EXISTS)))
        acknowledged(host, "newput", reply)

    def inc(
        self, namespace: str, amounts: Mapping[Text, int | float | Decimal], *, timeout: float | None = None
    ) -> Delivery:
        """Add to stored numbers, a missing one counts as 0; a critical message.

        Whole numbers of up to 30 digits are added exactly, others with 15 significant digits.

        :param amounts: by key.
        :raises RemoteError: 22, a stored value is no number; nothing was changed.
        """
        added = {
            key: self._codec.from_bytes(_number(amount)) for key, amount in checked_mapping(amounts, "amounts").items()
        }
        return self._at_home.tell(self._line("inc", namespace, pairs(self._codec, added)), timeout)

    def delete(self, namespace: str, *keys: Text, timeout: float | None = None) -> Delivery:
        """Remove values; that one is missing is no error. A critical message."""
        return self._at_home.tell(self._line("del", namespace, key_list(self._codec, keys)), timeout)

    def get(self, namespace: str, *keys: Text, timeout: float | None = None) -> dict[Text, Text]:
        """The values of the keys; empty for missing ones."""
        return self._values("get", namespace, keys, timeout)

    def eget(self, namespace: str, *keys: Text, timeout: float | None = None) -> dict[Text, Text]:
        """As :meth:`get`; the values travel encrypted.

        :raises RemoteError: 7, together they have more than about half of the home server's londMaxFramed bytes.
        """
        return self._values("eget", namespace, keys, timeout)

    def keys(self, namespace: str, *, timeout: float | None = None) -> list[Text]:
        """All keys of a namespace, without stored versions."""
        deadline = self._at_home.deadline(timeout)
        host, reply = self._at_home.reply(self._line("keys", namespace), deadline.left())
        if nothing_there(reply):
            return []
        if reply not in FAILURE_WORDS or not self._is_only_key(namespace, reply, deadline.left()):
            checked(host, reply)
        return [self._codec.text(key) for key in reply.split("&") if key and ":" not in key]

    def dump(
        self,
        namespace: str,
        pattern: str = ALL,
        *,
        start: int = 0,
        end: int = NO_END,
        timeout: float | None = None,
    ) -> dict[Text, Text]:
        """The values of a namespace, without stored versions (for these: :meth:`restore`, :meth:`current`).

        :param pattern: regular expression that is searched in the keys; docs/commands.md says what it may have.
        :param start: how many of the matches, in the home server's order, are skipped.
        :param end: the match before which the result ends. Stored versions count as matches, and come last.
        :raises RemoteError: 22, an expression that is not understood; 7, it takes or gives too much.
        """
        if not 0 <= start <= end <= NO_END:
            raise ValueError(f"matches from {start} to before {end}: both from 0 to {NO_END}, start not above end")
        wanted = "" if (start, end) == (0, NO_END) else f":{start}-{end}"
        line = self._line("dump", namespace, TEXT.field(pattern)) + wanted
        return self._at_home.read(line, self._entries, timeout) or {}

    def store(
        self, namespace: str, resource_id: Text, values: Mapping[Text, Text], *, timeout: float | None = None
    ) -> Delivery:
        """Keep `values` as a new version of a resource id; a critical message.

        The home server adds the time of its storing, also for a message that was delayed.

        :param resource_id: any text but the empty one.
        :raises ValueError: among others, a key is ``timestamp``.
        """
        fields = pairs(self._codec, values)
        if self._codec.from_bytes(TIMESTAMP.encode()) in values:
            raise ValueError("the key timestamp is set by the home server; choose another one")
        line = self._line("store", namespace, f"{key_list(self._codec, [resource_id])}:{fields}")
        return self._at_home.tell(line, timeout)

    def restore(self, namespace: str, resource_id: Text, *, timeout: float | None = None) -> Restored[Text]:
        """All versions that were stored of a resource id; false if there is none."""
        line = self._line("restore", namespace, key_list(self._codec, [resource_id]))
        found = self._at_home.read(line, lambda reply: parse_restored(self._codec, reply), timeout)
        return Restored(()) if found is None else found

    def current(self, namespace: str, *, timeout: float | None = None) -> dict[Text, dict[Text, Text]]:
        """The last values of everything that was stored in a namespace, by resource id (``currentdump``)."""
        line = self._line("currentdump", namespace)
        return self._at_home.read(line, lambda reply: parse_current(self._codec, reply), timeout) or {}

    def log(self, text: Text, *, timeout: float | None = None) -> Delivery:
        """Append a line to the user's activity log, with time and our host id; a critical message."""
        return self._at_home.tell(f"log:{self._user.fields}:{self._codec.field(text)}", timeout)

    def _values(self, command: str, namespace: str, keys: tuple[Text, ...], timeout: float | None) -> dict[Text, Text]:
        if not keys:
            return {}
        line = self._line(command, namespace, question(self._codec, keys))
        found = self._at_home.read(line, lambda reply: answered(self._codec, keys, reply), timeout)
        return dict.fromkeys(keys, self._codec.from_bytes(b"")) if found is None else found

    def _is_only_key(self, namespace: str, word: str, timeout: float) -> bool:
        """Whether `word`, the reply to ``keys``, is no failure but the only key: it looks the same."""
        return list(self.dump(namespace, end=2, timeout=timeout)) == [self._codec.text(word)]

    def _entries(self, reply: str) -> dict[Text, Text]:
        # The names of stored versions hold bare colons, those of entries are escaped as a whole.
        text = self._codec.text
        return {text(key): text(value) for key, value in items(reply) if ":" not in key}

    def _line(self, command: str, namespace: str, *rest: str) -> str:
        return ":".join((command, self._user.fields, checked_namespace(namespace), *rest))


def _number(amount: int | float | Decimal) -> bytes:
    if isinstance(amount, bool) or not isinstance(amount, (int, float, Decimal)):
        raise TypeError(f"an amount must be a number, not {type(amount).__name__}")
    if not isfinite(amount):
        raise ValueError(f"an amount must be finite, not {amount}")
    return str(amount).encode("ascii")
