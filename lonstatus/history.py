"""The last 24 hours, as loncron saw them: one sample per run, in a file that can't grow.

A sample has the daemons' counters as they stood; how much there was between two samples is their difference, or all of
the later one if the daemon was started anew in between. The file is ``loncron/history.json`` in lonDaemons, written
whole by loncron alone; what can't be read counts as no history.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from common.config import Config
from common.counters import Counters, counters_path
from common.durable import replacing
from common.metrics import LONC, STORED, Counter, Histogram
from common.site import Site
from lonstatus.peers import Peer

KEPT_SECONDS = 86400.0
MOST_SAMPLES = 1500

_REPLIES = next(metric for metric in LONC if isinstance(metric, Histogram) and metric.name == "reply_seconds")
BOUNDS = _REPLIES.bounds


@dataclass(frozen=True, slots=True)
class Sample:
    """How things were at one moment.

    :param at: UNIX time.
    :param sent: requests that lonc had sent to peers since its start.
    :param executed: requests that lond had executed for peers since its start.
    :param replies: lonc's histogram of reply times.
    :param delayed: critical messages that waited.
    :param oldest: age in seconds of the oldest of them, 0 if none waited.
    """

    at: float
    sent: float
    executed: float
    replies: tuple[float, ...]
    delayed: int
    oldest: float


def sample(site: Site, peers: Sequence[Peer], now: float) -> Sample:
    """How things are now."""
    lonc, lond = (_sums(site, name) for name in ("lonc", "lond"))
    replies = lonc[_REPLIES.name] if _REPLIES.name in lonc else (0.0,) * (len(BOUNDS) + 1)
    delayed = sum(peer.delayed for peer in peers)
    oldest = max((peer.oldest or 0.0 for peer in peers), default=0.0)
    return Sample(now, sum(lonc.get("requests", ())), sum(lond.get("requests", ())), replies, delayed, oldest)


def _sums(site: Site, daemon: str) -> dict[str, tuple[float, ...]]:
    """Counters and histograms of a daemon, summed over all peers."""
    try:
        rows = Counters.read(counters_path(site.config.sock_dir, daemon), STORED[daemon])
    except (OSError, ValueError):
        return {}
    found: dict[str, tuple[float, ...]] = {}
    for metric in STORED[daemon]:
        if isinstance(metric, Counter):
            columns = [list(row.counter(metric).values()) for row in rows.values()]
        elif isinstance(metric, Histogram):
            columns = [row.histogram(metric)[0] for row in rows.values()]
        else:
            continue
        found[metric.name] = tuple(map(sum, zip(*columns, strict=True)))
    return found


def history_path(config: Config) -> Path:
    """Where the samples are."""
    return config.daemons_dir / "loncron" / "history.json"


def read_history(config: Config) -> list[Sample]:
    """The samples, oldest first."""
    try:
        rows = json.loads(history_path(config).read_bytes())
        samples = [Sample(**{**row, "replies": tuple(map(float, row["replies"]))}) for row in rows]
        usable = all(len(s.replies) == len(BOUNDS) + 1 and s.at + s.sent + s.executed >= 0 for s in samples)
    except (OSError, ValueError, TypeError, KeyError):
        return []
    return samples if usable else []


def add_sample(config: Config, newest: Sample) -> list[Sample]:
    """Write the history with one sample more; what it is now.

    :raises OSError: it can't be written.
    """
    samples = [s for s in read_history(config) if newest.at - KEPT_SECONDS <= s.at < newest.at] + [newest]
    samples = samples[-MOST_SAMPLES:]
    with replacing(history_path(config), 0o640) as file:
        file.write(json.dumps([asdict(s) for s in samples]).encode())
    return samples


def rates(samples: Sequence[Sample], name: str) -> list[tuple[float, float]]:
    """(UNIX time, requests per second until then) for `sent` or `executed`."""
    found = []
    for before, after in pairwise(samples):
        first, last = getattr(before, name), getattr(after, name)
        found.append((after.at, (last - first if last >= first else last) / (after.at - before.at)))
    return found


def quantiles(samples: Sequence[Sample], part: float) -> list[tuple[float, float]]:
    """(UNIX time, seconds within which that part of all requests was answered until then); none without requests."""
    found = []
    for before, after in pairwise(samples):
        restarted = sum(after.replies) < sum(before.replies)
        first = (0.0,) * len(after.replies) if restarted else before.replies
        buckets = [max(0.0, b - a) for a, b in zip(first, after.replies, strict=True)]
        if (seconds := quantile(buckets, part)) is not None:
            found.append((after.at, seconds))
    return found


def quantile(buckets: Sequence[float], part: float) -> float | None:
    """The quantile of a histogram by :data:`BOUNDS`, linear within a bucket; None if it is empty.

    What is above all bounds counts as the highest bound.
    """
    wanted = part * sum(buckets)
    if not wanted:
        return None
    low = 0.0
    for bound, number in zip(BOUNDS, buckets):  # noqa: B905 - the last bucket has no bound
        if number and number >= wanted:
            return low + (bound - low) * wanted / number
        wanted -= number
        low = bound
    return BOUNDS[-1]
