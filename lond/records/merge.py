"""Adding one user's records to another database of the same user, without changing what is there.

Promises: nothing that the target has is changed or removed; doing it twice is doing it once. It runs within one
request of the target's, so it is there as a whole or not at all.

Raises: what the two :class:`lond.records.tables.Tables` raise. Logs nothing.

Known limits: what was removed from the target since an earlier merge comes back. A namespace's history is held in
memory. Lines of history that are new here are appended, whatever their time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import TypeVar

from lond.records.tables import Event, Tables

_Line = TypeVar("_Line")


@dataclass(frozen=True, slots=True)
class Changes:
    """How many of each were added; `kept`: values and versions that differ, and stayed as they are here."""

    namespaces: int = 0
    entries: int = 0
    versions: int = 0
    history: int = 0
    activity: int = 0
    kept: int = 0

    def __add__(self, other: Changes) -> Changes:
        return Changes(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def added(self) -> bool:
        """Whether anything was, or would be, written."""
        return any((self.namespaces, self.entries, self.versions, self.history, self.activity))

    def __str__(self) -> str:
        parts = [
            f"{self.namespaces} namespaces",
            f"{self.entries} values",
            f"{self.versions} versions",
            f"{self.history} lines of history",
            f"{self.activity} of activity",
        ]
        kept = f"; {self.kept} that differ were kept as they are here" if self.kept else ""
        return ", ".join(parts) + kept


def merge(source: Tables, target: Tables) -> Changes:
    """Adds to `target`, in its request under way, what it lacks of `source`."""
    total = Changes()
    for namespace in source.namespaces():
        total += Changes(namespaces=int(target.add_namespace(namespace)))
        total += _merge_entries(source, target, namespace)
        total += _merge_versions(source, target, namespace)

        def add_event(event: Event, namespace: bytes = namespace) -> None:
            target.add_event(namespace, event)

        total += Changes(history=_append_missing(source.history(namespace), target.history(namespace), add_event))
    return total + Changes(activity=_append_missing(source.activity(), target.activity(), target.add_activity))


def _merge_entries(source: Tables, target: Tables, namespace: bytes) -> Changes:
    added = kept = 0
    for key, value in source.entries(namespace):
        if target.add_entry(namespace, key, value):
            added += 1
        elif target.value(namespace, key) != value:
            kept += 1
    return Changes(entries=added, kept=kept)


def _merge_versions(source: Tables, target: Tables, namespace: bytes) -> Changes:
    """Versions of a resource id are added behind those that are there only if these are the same ones."""
    added = kept = 0
    differing: bytes | None = None  # resource ids are never empty, and come one after the other
    for version in source.versions(namespace):
        present = target.version(namespace, version.rid, version.number)
        if present == version:
            continue
        if present is not None or version.rid == differing:
            differing = version.rid
            kept += 1
        else:
            target.add_version(namespace, version)
            added += 1
    return Changes(versions=added, kept=kept)


def _append_missing(lines: Iterable[_Line], present: Iterable[_Line], append: Callable[[_Line], None]) -> int:
    """Appends the lines that are not there; one that comes twice must be there twice."""
    there, added = Counter(present), 0
    for line in lines:
        if there[line] > 0:
            there[line] -= 1
        else:
            append(line)
            added += 1
    return added
