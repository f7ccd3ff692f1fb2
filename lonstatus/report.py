"""How this host is, all in one: what the status page, its JSON and loncron's mail tell.

:func:`collect` reads pid files, scoreboards, FIFOs and what loncron left; it asks no process and starts none. The
report is plain data; :mod:`lonstatus.page` makes a page of it.
"""

from __future__ import annotations

import enum
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from common.config import Config
from common.site import Site
from common.version import VERSION
from lonstatus.children import Child, children
from lonstatus.daemons import ORDER, Daemon, State
from lonstatus.findings import Finding, Level
from lonstatus.history import Sample, read_history
from lonstatus.peers import Peer, peers
from lonstatus.text import duration

JSON_VERSION = 1


class Light(enum.IntEnum):
    """How good or bad something is; the greatest counts."""

    GREEN = 0
    YELLOW = 1
    RED = 2

    @property
    def word(self) -> str:
        """In lower case."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class DaemonReport:
    """One daemon; `state` is in words."""

    name: str
    state: str
    pid: int | None
    hangs: bool = False

    @property
    def light(self) -> Light:
        """Red unless it runs and turns."""
        return Light.RED if self.pid is None or self.hangs else Light.GREEN


@dataclass(frozen=True, slots=True)
class Report:
    """See the module.

    :param at: when it was made, UNIX time.
    :param findings: of loncron's last run.
    :param checked: when that was, UNIX time; None: never.
    """

    host: str
    domain: str
    role: str
    hostname: str
    at: float
    daemons: Sequence[DaemonReport]
    peers: Sequence[Peer]
    children: Sequence[Child]
    findings: Sequence[Finding]
    checked: float | None
    history: Sequence[Sample]
    version: str = VERSION
    python: str = platform.python_version()

    @property
    def light(self) -> Light:
        """Red: this host does not do its work; yellow: something needs a look."""
        levels = {finding.level for finding in self.findings}
        if Level.ERROR in levels or any(daemon.light is Light.RED for daemon in self.daemons):
            return Light.RED
        others = max((peer_light(peer) for peer in self.peers), default=Light.GREEN)
        if others is Light.GREEN and Level.WARNING not in levels:
            return Light.GREEN
        own_is_up = all(peer.state == "up" for peer in self.peers if peer.host == self.host)
        return Light.YELLOW if own_is_up else Light.RED

    def as_json(self) -> bytes:
        """For programs; also what a later report takes loncron's findings from."""
        values = {
            "version": JSON_VERSION,
            "host": self.host,
            "domain": self.domain,
            "role": self.role,
            "at": self.at,
            "light": self.light.word,
            "software": {"version": self.version, "python": self.python},
            "daemons": [asdict(daemon) for daemon in self.daemons],
            "peers": [{**peer.as_json(), "light": peer_light(peer).word} for peer in self.peers],
            "children": [asdict(child) for child in self.children],
            "checked": self.checked,
            "findings": [finding.as_json() for finding in self.findings],
        }
        return json.dumps(values, indent=1).encode() + b"\n"


_RED_STATES = ("given up", "hung", "stopped")


def peer_light(peer: Peer) -> Light:
    """How bad the state of a link and its messages is."""
    if peer.state in _RED_STATES or peer.unreadable:
        return Light.RED
    if peer.state != "up" or peer.held or peer.failed:
        return Light.YELLOW
    return Light.GREEN


def collect(site: Site, findings: Sequence[Finding] | None = None) -> Report:
    """The report as of now.

    :param findings: those of a run of loncron that ends just now; None: as its last run left them.
    """
    now = time.time()
    checked: float | None = now
    if findings is None:
        findings, checked = last_findings(site.config)
    daemons = [Daemon(name, site.config, Path(site.file)) for name in ORDER]
    reports = [_daemon(daemon) for daemon in daemons]
    running = {report.name: report.pid is not None for report in reports}
    return Report(
        host=site.own.id,
        domain=site.own.domain,
        role=site.own.role,
        hostname=site.own.hostname,
        at=now,
        daemons=reports,
        peers=list(peers(site, running["lonc"])),
        children=[child for name in ORDER if running[name] for child in children(site, name)],
        findings=findings,
        checked=checked,
        history=read_history(site.config),
    )


def _daemon(daemon: Daemon) -> DaemonReport:
    state, pid = daemon.state, daemon.pid
    if state is not State.RUNNING:
        return DaemonReport(daemon.name, state.value, None)
    hung = daemon.hangs_for
    return DaemonReport(daemon.name, f"hangs since {duration(hung)}" if hung else state.value, pid, bool(hung))


def status_directory(config: Config) -> Path:
    """Where loncron's page and its JSON are."""
    return config.doc_root / "lon-status"


def last_findings(config: Config) -> tuple[list[Finding], float | None]:
    """What loncron's last run found, and when; nothing and None if there is nothing to be read."""
    try:
        values = json.loads((status_directory(config) / "status.json").read_bytes())
        return [Finding.from_json(finding) for finding in values["findings"]], float(values["checked"])
    except (OSError, ValueError, KeyError, TypeError):
        return [], None
