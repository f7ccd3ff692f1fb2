"""Everything that is measured on this host, as Prometheus reads it.

What the daemons count comes from their counters (:mod:`common.metrics` has the table), what can be seen at any time
from scoreboards, FIFOs and files. Nothing is asked of a daemon: one that hangs or is dead shows as what it is. Counters
of one that does not run are left out. ``python -m lonstatus.metrics`` prints the table of docs/metrics.md.
"""

from __future__ import annotations

import platform
from collections import Counter as Tallied
from collections.abc import Iterator, Sequence

from common.counters import Counters, Numbers, counters_path
from common.metrics import STORED, Counter, Histogram, Metric
from common.scoreboard import Scoreboard, Slot, scoreboard_path
from common.site import Site
from common.version import VERSION
from lonstatus.daemons import is_running
from lonstatus.exposition import Family, rendered
from lonstatus.peers import Peer, peers

PREFIX = "loncapa_"
SEEN: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("build_info", ("version", "python", "host", "domain", "role"), "always 1; what runs here"),
    ("daemon_up", ("daemon",), "1 if the daemon runs"),
    ("children", ("daemon", "state"), "children by what they do"),
    ("peer_up", ("peer",), "1 if the link to the peer stands and serves"),
    ("peer_state", ("peer", "state"), "1 for the state that the link to the peer is in"),
    ("peer_waiting_requests", ("peer",), "requests that wait for room on the link or for a reply"),
    ("peer_links_served", ("peer",), "links of the peer that lond serves now"),
    ("delayed_messages", ("peer", "state"), "critical messages in the FIFO that are not done"),
    ("delayed_oldest_seconds", ("peer",), "age of the oldest critical message that waits; 0: none waits"),
    ("delayed_unreadable", ("peer",), "1 if the peer's FIFO can't be read"),
    ("config_last_reload_successful", ("daemon",), "0 if the configuration could not be taken over at the last reload"),
    ("loncron_last_run_timestamp_seconds", (), "when loncron last wrote its page"),
)


def metrics(site: Site) -> str:
    """The text for Prometheus."""
    return rendered((*_seen(site), *(family for name in STORED for family in _counted(site, name))))


def _seen(site: Site) -> list[Family]:
    families = {name: Family(PREFIX + name, "gauge", help, labels) for name, labels, help in SEEN}
    own = site.own
    families["build_info"].add(1, VERSION, platform.python_version(), own.id, own.domain, own.role)
    running = {name: is_running(site, name) for name in STORED}
    for name, runs in running.items():
        families["daemon_up"].add(runs, name)
        if runs:
            _add_children(families, name, _slots(site, name))
            _add_reload(families["config_last_reload_successful"], name, _numbers(site, name).get(""))
    for peer in peers(site, running["lonc"]):
        _add_peer(families, peer)
    _add_last_run(families["loncron_last_run_timestamp_seconds"], site)
    return list(families.values())


def _add_children(families: dict[str, Family], daemon: str, slots: Sequence[Slot]) -> None:
    for state, number in sorted(Tallied(slot.state for slot in slots).items()):
        families["children"].add(number, daemon, state)
    if daemon == "lond":
        for host, number in sorted(Tallied(slot.host for slot in slots if slot.state == "serving").items()):
            families["peer_links_served"].add(number, host)


def _add_peer(families: dict[str, Family], peer: Peer) -> None:
    families["peer_up"].add(peer.state == "up", peer.host)
    families["peer_state"].add(1, peer.host, peer.state)
    families["peer_waiting_requests"].add(peer.waiting, peer.host)
    families["delayed_unreadable"].add(peer.unreadable, peer.host)
    if not peer.unreadable:
        for state, number in (("waiting", peer.delayed), ("held", peer.held), ("failed", peer.failed)):
            families["delayed_messages"].add(number, peer.host, state)
        families["delayed_oldest_seconds"].add(peer.oldest or 0, peer.host)


def _add_reload(family: Family, daemon: str, numbers: Numbers | None) -> None:
    if numbers is not None:
        family.add(numbers.latest("reload_succeeded") >= numbers.latest("reload_failed"), daemon)


def _add_last_run(family: Family, site: Site) -> None:
    try:
        family.add((site.config.doc_root / "lon-status" / "status.json").stat().st_mtime)
    except OSError:
        return


def _slots(site: Site, daemon: str) -> list[Slot]:
    try:
        board = Scoreboard.open(scoreboard_path(site.config.sock_dir, daemon))
    except (OSError, ValueError):
        return []
    try:
        return list(board.all())
    finally:
        board.close()


def _numbers(site: Site, daemon: str) -> dict[str, Numbers]:
    try:
        return Counters.read(counters_path(site.config.sock_dir, daemon), STORED[daemon])
    except (OSError, ValueError):
        return {}


def _counted(site: Site, daemon: str) -> Iterator[Family]:
    numbers = _numbers(site, daemon) if is_running(site, daemon) else {}
    for metric in STORED[daemon]:
        family = _family(daemon, metric)
        for host, row in sorted(numbers.items()):
            if metric.own == (host == ""):
                _add(family, metric, row, () if metric.own else (host,))
        yield family


def _family(daemon: str, metric: Metric) -> Family:
    name = f"{PREFIX}{daemon}_{metric.name}"
    labels: tuple[str, ...] = () if metric.own else ("peer",)
    if isinstance(metric, Counter):
        labels += (metric.label,) if metric.label else ()
        return Family(f"{name}_total", "counter", metric.help, labels)
    if isinstance(metric, Histogram):
        return Family(name, "histogram", metric.help, labels)
    return Family(f"{name}_timestamp_seconds", "gauge", metric.help, labels)


def _add(family: Family, metric: Metric, numbers: Numbers, labels: tuple[str, ...]) -> None:
    if isinstance(metric, Counter):
        for value, number in numbers.counter(metric).items():
            family.add(number, *labels, *((value,) if metric.label else ()))
    elif isinstance(metric, Histogram):
        family.add_histogram(metric.bounds, *numbers.histogram(metric), *labels)
    elif when := numbers.latest(metric.name):
        family.add(when, *labels)


def metrics_table() -> str:
    """All metrics as the Markdown table of docs/metrics.md."""
    seen = [Family(PREFIX + name, "gauge", help, labels) for name, labels, help in SEEN]
    counted = [_family(daemon, metric) for daemon, table in STORED.items() for metric in table]
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    rows += [f"| {f.name} | {f.kind} | {', '.join(f.labels)} | {f.help} |" for f in (*seen, *counted)]
    return "\n".join(rows)


if __name__ == "__main__":
    print(metrics_table())
