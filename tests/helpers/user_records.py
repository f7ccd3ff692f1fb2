"""One user's records for tests: made, compared, and crashes in the middle of what is done with them."""

from __future__ import annotations

import hashlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from common.escape import escape
from lond.records.tables import Activity, Copy, Event, Tables, Version

Contents = dict[str, Any]

_names = st.from_regex(rb"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,8}", fullmatch=True).filter(lambda name: b".." not in name)
_escaped = st.binary(max_size=12).map(escape)
_keys = st.binary(min_size=1, max_size=6).map(escape)
_times = st.integers(0, 2**40)
_pairs = st.dictionaries(_keys, _escaped, max_size=4).map(
    lambda pairs: b"&".join([key + b"=" + value for key, value in pairs.items()])
)
_abouts = st.one_of(st.just(b""), _keys, st.builds(lambda domain, user: domain + b":" + user, _names, _names))
_versions = st.dictionaries(
    _keys, st.lists(st.dictionaries(_keys, _escaped, min_size=1, max_size=3), min_size=1, max_size=3), max_size=3
)
_namespace = st.fixed_dictionaries(
    {
        "entries": st.dictionaries(_keys, _escaped, max_size=4),
        "versions": _versions,
        "history": st.lists(st.builds(Event, _times, st.sampled_from(["P", "D"]), _abouts, _pairs), max_size=4),
    }
)
#: What :func:`make_copy` takes: any records that a user can have.
any_records = st.fixed_dictionaries(
    {
        "namespaces": st.dictionaries(_names, _namespace, max_size=3),
        "activity": st.lists(st.builds(Activity, _times, _names, _escaped), max_size=4),
    }
)

SOME: Contents = {
    "namespaces": {
        b"empty": {"entries": {}, "versions": {}, "history": []},
        b"grades": {
            "entries": {b"a": b"1", b"b%3a": b"%00"},
            "versions": {
                b"hw1": [
                    {b"foo": b"bar", b"timestamp": b"1000"},
                    {b"foo": b"notbar", b"bar": b"foo", b"timestamp": b"1001"},
                ]
            },
            "history": [Event(999, "P", b"", b"a=1&b%3a=%00"), Event(1000, "P", b"hw1", b"foo=bar")],
        },
        b"roles": {
            "entries": {b"%2fmsu%2fcourse1_st": b"st_0_0"},
            "versions": {},
            "history": [Event(998, "P", b"msu:j.doe@x", b"%2fmsu%2fcourse1_st=st_0_0")],
        },
    },
    "activity": [Activity(1002, b"msua1", b"Login"), Activity(1002, b"msua1", b"Login")],
}


def make_copy(records: Contents) -> Copy:
    """A copy that holds these records."""
    copy = Copy()
    for namespace, parts in records["namespaces"].items():
        copy.add_namespace(namespace)
        for key, value in parts["entries"].items():
            assert copy.add_entry(namespace, key, value)
        for rid, versions in parts["versions"].items():
            for number, values in enumerate(versions, 1):
                assert copy.add_version(namespace, Version(rid, number, tuple(values.items())))
        for event in parts["history"]:
            copy.add_event(namespace, event)
    for activity in records["activity"]:
        copy.add_activity(activity)
    return copy


def contents(tables: Tables) -> Contents:
    """Everything that is in the tables, to be compared."""
    return {
        "activity": list(tables.activity()),
        "namespaces": {
            name: (list(tables.entries(name)), list(tables.versions(name)), list(tables.history(name)))
            for name in tables.namespaces()
        },
    }


def digest(directory: Path) -> dict[str, str]:
    """What is in a directory tree, to be compared."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(directory.rglob("*"))
    }


class Crash(BaseException):
    """The process ends here: nothing may catch this."""


def crash_at(monkeypatch: pytest.MonkeyPatch, step: str, when: str, call: int = 1) -> None:
    """Lets a call of a function, given with its module, end in a Crash.

    :param when: before or after it did its work.
    """
    module, _, name = step.rpartition(".")
    calls = 0

    def crashing(original: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **keywords: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call and when == "before":
                raise Crash
            result = original(*arguments, **keywords)
            if calls == call:
                raise Crash
            return result

        return stepped

    target = pkgutil.resolve_name(module)
    monkeypatch.setattr(target, name, crashing(getattr(target, name)))
