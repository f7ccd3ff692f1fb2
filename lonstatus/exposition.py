"""Numbers as Prometheus reads them: the text format, version 0.0.4.

A :class:`Family` is one metric with all its samples. Written here because the format is a page long, and the client
library of the field keeps its numbers in objects of its own process, where ours are in shared memory and in files.

Pure. Source: prometheus.io, "Exposition formats".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Family:
    """One metric.

    :param kind: counter, gauge or histogram.
    :param labels: names of its labels, without `le`.
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)

    def add(self, number: float, *values: str) -> None:
        """A sample with the values of its labels."""
        self.lines.append(f"{self.name}{_labels(dict(zip(self.labels, values, strict=True)))} {_number(number)}")

    def add_histogram(self, bounds: Sequence[float], buckets: Sequence[float], total: float, *values: str) -> None:
        """A histogram's samples.

        :param buckets: how many in each, not added up; the last for what is above all bounds.
        :param total: the sum of what was observed.
        """
        labels = dict(zip(self.labels, values, strict=True))
        count = 0.0
        for bound, number in zip((*map(_number, bounds), "+Inf"), buckets, strict=True):
            count += number
            self.lines.append(f"{self.name}_bucket{_labels({**labels, 'le': bound})} {_number(count)}")
        self.lines.append(f"{self.name}_sum{_labels(labels)} {_number(total)}")
        self.lines.append(f"{self.name}_count{_labels(labels)} {_number(count)}")


def rendered(families: Iterable[Family]) -> str:
    """The text; families without a sample are left out."""
    lines: list[str] = []
    for family in families:
        if family.lines:
            lines += [f"# HELP {family.name} {_help(family.help)}", f"# TYPE {family.name} {family.kind}"]
            lines += family.lines
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_value(value)}"' for name, value in labels.items()) + "}"


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _value(text: str) -> str:
    return _help(text).replace('"', r"\"")


def _number(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)
