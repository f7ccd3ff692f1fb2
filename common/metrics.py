"""What the daemons count, and where each number stands among the others.

:data:`LONC` and :data:`LOND` are the tables of all numbers that children and parents keep in the counters' file
(:mod:`common.counters`). What can be seen at any time without counting (states, queues) is not here but where it is
read (:mod:`lonstatus.metrics`). Labels have few values, all of them named here, so that nothing a peer says or does
can make the tables grow.

Promises: pure. Raises KeyError for a number that is in no table.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from common.login_lanes import LoginLane
from common.trust_table import TRUST_CLASSES

OTHER = "other"  # stands for a label's value that is not in the table


@dataclass(frozen=True, slots=True)
class Counter:
    """A number that only grows.

    :param label: what its parts differ in; "" if there is only one.
    :param values: of the label.
    :param own: it is the daemon's own, not one for each peer.
    """

    name: str
    help: str
    label: str = ""
    values: tuple[str, ...] = ("",)
    own: bool = False

    @property
    def cells(self) -> int:
        """How many numbers it takes."""
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long something took: a number for each bound (seconds, included) and one above them, then the sum."""

    name: str
    help: str
    bounds: tuple[float, ...]
    own: bool = False

    @property
    def cells(self) -> int:
        """How many numbers it takes."""
        return len(self.bounds) + 2


@dataclass(frozen=True, slots=True)
class Latest:
    """When something happened last, UNIX time; 0: never."""

    name: str
    help: str
    own: bool = False
    cells: int = 1


Metric = Counter | Histogram | Latest

LINK_ENDS = (
    "connection_refused",
    "unreachable",
    "timeout",
    "wrong_host",
    "refused",
    "protocol",
    "closed",
    "silent",
    OTHER,
)
REJECTIONS = ("unknown_address", "too_many", "timeout", "hung_up", "protocol", OTHER)
LANES = tuple(lane.value for lane in LoginLane)
DELIVERIES = ("delivered", "refused", "postponed", "interrupted", "held")

_REPLY_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_COMMIT_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

_PARENT: tuple[Metric, ...] = (
    Counter("reloads", "reloads of configuration and tables", "result", ("ok", "failed"), own=True),
    Latest("reload_succeeded", "when the configuration was last taken over, by a reload or the start", own=True),
    Latest("reload_failed", "when a reload last failed", own=True),
    Latest("turned", "when the daemon's parent last turned its loop, which it does every second", own=True),
    Counter("children_ended", "children that ended", "how", ("orderly", "unexpectedly"), own=True),
)

LONC: tuple[Metric, ...] = (
    Counter("requests", "requests sent to the peer, critical messages and pings included"),
    Histogram("reply_seconds", "from sending a request to the peer to its reply", _REPLY_BOUNDS),
    Latest("last_received", "when the last byte came from the peer"),
    Counter("links_opened", "links that came up; all but the first are reconnects"),
    Counter("links_lost", "links that broke after they had come up", "reason", LINK_ENDS),
    Counter("key_exchanges_failed", "tries that ended before the link was up", "reason", LINK_ENDS),
    Counter("deliveries", "deliveries of critical messages by their result", "result", DELIVERIES),
    Histogram("commit_seconds", "commits to the FIFO, their wait for the disk included", _COMMIT_BOUNDS),
    *_PARENT,
)

LOND: tuple[Metric, ...] = (
    Counter("requests", "requests executed for the peer"),
    Counter("links_opened", "links of the peer that were opened"),
    Counter(
        "connections_rejected", "connections that were closed without being served", "reason", REJECTIONS, own=True
    ),
    Counter("log_ins_failed", "log-ins that the peer asked for with a wrong password or name", "lane", LANES),
    Counter("trust_refusals", "requests of the peer that trust.tab does not allow", "class", TRUST_CLASSES),
    Histogram("commit_seconds", "commits of user records, their wait for the disk included", _COMMIT_BOUNDS),
    *_PARENT,
)

STORED = {"lonc": LONC, "lond": LOND}


class Layout:
    """Where each number of a table stands in a row of cells."""

    def __init__(self, metrics: tuple[Metric, ...]) -> None:
        self.metrics = metrics
        self.start: dict[str, int] = {}
        self.bounds: dict[str, tuple[float, ...]] = {}
        self._cell: dict[tuple[str, str], int] = {}
        self.size = 0
        for metric in metrics:
            self.start[metric.name] = self.size
            if isinstance(metric, Counter):
                self._cell |= {(metric.name, value): self.size + n for n, value in enumerate(metric.values)}
            elif isinstance(metric, Histogram):
                self.bounds[metric.name] = metric.bounds
            self.size += metric.cells

    @property
    def fingerprint(self) -> int:
        """Differs between tables that differ, so that nobody reads a file of another version."""
        return zlib.crc32(repr(self.metrics).encode())

    def cell(self, name: str, value: str) -> int:
        """The cell of a counter; a label's value that is not in the table counts as :data:`OTHER`."""
        found = self._cell.get((name, value))
        return self._cell[name, OTHER] if found is None else found

    def latest(self) -> Iterator[int]:
        """The cells of which the greatest counts, not the sum."""
        return (self.start[metric.name] for metric in self.metrics if isinstance(metric, Latest))
