"""docs/programming.md does what it says: all its code is run against real daemons, its results are compared.

A section is a test. It has `net`, and what earlier sections imported. Comments ``<!-- run: stop HOST -->`` and
``<!-- run: start HOST -->`` are obeyed where they stand; after ``<!-- run: on HOST -->`` `net` is that host's.
"""

from __future__ import annotations

import doctest
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.federation import QUICK, Federation
from tests.helpers.members import make_member
from tests.helpers.raw_server import RawServer, raw_server

PAGE = Path(__file__).parents[2] / "docs" / "programming.md"

_STEP = re.compile(r"^```(pycon|python)\n(.*?)^```$|^<!-- run: (stop|start|on) (\w+) -->$", re.DOTALL | re.MULTILINE)
_FENCE = re.compile("^```", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A piece of code with its language, or what is to be done with a host."""

    kind: str
    text: str
    line: int


@dataclass(frozen=True)
class Section:
    """What stands below a heading."""

    title: str
    steps: tuple[Step, ...]


def sections(page: str) -> list[Section]:
    """The sections that have something to run, in order."""
    found = []
    for start in re.finditer("^## (.*)$", page, re.MULTILINE):
        end = page.find("\n## ", start.end())
        body = page[start.end() : end if end >= 0 else len(page)]
        assert len(_FENCE.findall(body)) == 2 * len(re.findall("^```(?:pycon|python)$", body, re.MULTILINE))
        steps = tuple(
            Step(step[1] or step[3], step[2] or step[4], page.count("\n", 0, start.end() + step.start()) + 1)
            for step in _STEP.finditer(body)
        )
        if steps:
            found.append(Section(start[1], steps))
    return found


PAGE_SECTIONS = sections(PAGE.read_text())
IMPORT = re.compile(r"^(?:>>> )?((?:from|import) .*)$", re.MULTILINE)


HOSTS = ["msul1", "msul2", "msua1"]


def start_network(made: Federation) -> None:
    """The hosts and users that the page speaks of."""
    made.start()
    for name, host in (("smith", "msul1"), ("physics1", "msul1"), ("jones", "msul2")):
        make_member(made.hosts[host], name)


@pytest.fixture(scope="module")
def serving() -> Iterator[tuple[Federation, RawServer]]:
    """Daemons, and msul1's web server."""
    with ExitStack() as stack:
        made = Federation(HOSTS, settings=QUICK)
        stack.callback(made.close)
        web = stack.enter_context(raw_server(made.hosts["msul1"]))
        start_network(made)
        yield made, web


@pytest.fixture
def shared(serving: tuple[Federation, RawServer]) -> Iterator[Federation]:
    """Daemons for all sections that leave them as they are."""
    made, web = serving
    yield made
    web.wait_until_quiet(made)


@pytest.fixture
def network(shared: Federation, section: Section, federation: Callable[..., Federation]) -> Federation:
    """The daemons of a section: of its own, if it stops some."""
    if not any(step.kind == "stop" for step in section.steps):
        return shared
    beside = shared.hosts["msul1"].ip.rpartition(".")[0]
    own = federation(HOSTS, start=[], addresses={id: f"{beside}.{at}" for at, id in enumerate(HOSTS, 101)})
    start_network(own)
    return own


def imports_before(section: Section) -> str:
    """The import lines of the page up to a section."""
    earlier = PAGE_SECTIONS[: PAGE_SECTIONS.index(section)]
    return "\n".join(found[1] for part in earlier for step in part.steps for found in IMPORT.finditer(step.text))


def run(step: Step, names: dict[str, object], network: Federation) -> None:
    """Run a step; an AssertionError shows what came instead of what the page says."""
    if step.kind == "pycon":
        test = doctest.DocTestParser().get_doctest(step.text, names, PAGE.name, str(PAGE), step.line)
        assert test.examples
        complaints: list[str] = []
        runner = doctest.DocTestRunner(verbose=False)
        result = runner.run(test, out=complaints.append, clear_globs=False)
        names.update(test.globs)
        assert result.failed == 0, "".join(complaints)
    elif step.kind == "python":
        exec(compile("\n" * step.line + step.text, str(PAGE), "exec"), names)
    elif step.kind == "on":
        exec("net.close()", names)
        names["net"] = network.hosts[step.text].lonnet()
    else:
        host, here = network.hosts[step.text], network.hosts["msua1"]
        if step.kind == "stop":
            host.stop()
            here.wait_for_no_link(host.id)
        else:
            host.start()
            here.wait_for_link(host.id)


@pytest.mark.parametrize("section", PAGE_SECTIONS, ids=lambda section: section.title)
def test_section(network: Federation, monkeypatch: pytest.MonkeyPatch, section: Section) -> None:
    monkeypatch.setenv("LONCAPA_CONF", os.fspath(network.hosts["msua1"].conf))
    names: dict[str, object] = {"__name__": "programming"}
    exec(imports_before(section), names)
    exec("from lonnet import Lonnet\nnet = first = Lonnet.from_conf()", names)
    if section.title.startswith("When the home server is down"):
        exec('net.homeserver("jones", "msu")', names)  # this process has spoken with it before
    try:
        for step in section.steps:
            run(step, names, network)
    finally:
        exec("net.close()\nfirst.close()", names)


def test_wrong_results_and_missing_fences_are_noticed(shared: Federation) -> None:
    (section,) = sections("## A\n\n```pycon\n>>> 1 + 1\n3\n```\n## B\nnothing\n")
    assert section == Section("A", (Step("pycon", ">>> 1 + 1\n3\n", 3),))
    with pytest.raises(AssertionError, match=r"Expected:\s+3\s+Got:\s+2\b"):
        run(section.steps[0], {}, shared)
    with pytest.raises(AssertionError):
        sections("## A\n```text\nx\n```\n")
