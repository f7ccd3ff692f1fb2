"""What a run leaves for people and programs: the status page, its JSON, the history behind its plots, the metrics.

Each file is whole whenever somebody reads it. Raises OSError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from common.durable import replacing
from common.site import Site
from lonstatus.findings import Finding
from lonstatus.history import add_sample, sample
from lonstatus.metrics import metrics
from lonstatus.page import JSON_NAME, rendered
from lonstatus.report import collect, status_directory

PAGE_NAME = "index.html"


def write_page(site: Site, findings: Sequence[Finding]) -> None:
    """The page and its JSON, with one sample more in the plots."""
    report = collect(site, findings)
    history = add_sample(site.config, sample(site, report.peers, report.at))
    report = replace(report, history=history)
    directory = status_directory(site.config)
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    _write(directory / PAGE_NAME, rendered(report).encode(), 0o640)
    _write(directory / JSON_NAME, report.as_json(), 0o640)


def write_metrics(site: Site) -> None:
    """The metrics, if lonMetricsFile says where; node_exporter, which is another user, must be able to read them."""
    if site.config.metrics_file:
        _write(Path(site.config.metrics_file), metrics(site).encode(), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    with replacing(path, mode) as file:
        file.write(content)
