"""The status page: valid, in words, with nobody's markup but its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import html5lib
import pytest
from html5lib.html5parser import HTMLParser

from common.version import SOFTWARE
from lonstatus.findings import Finding, Level, score
from lonstatus.history import BOUNDS, Sample, quantile, quantiles, rates
from lonstatus.markup import Markup, element, escaped
from lonstatus.page import rendered
from lonstatus.peers import Peer
from lonstatus.plot import Line, plot
from lonstatus.report import DaemonReport, Light, Report, peer_light
from tests.helpers import reports
from tests.helpers.tidy import complaints, needs_tidy

PAGES = [reports.report, reports.quiet, reports.hostile]


def parsed(page: str) -> Any:
    return HTMLParser(html5lib.getTreeBuilder("etree"), strict=True, namespaceHTMLElements=False).parse(page)


def text_of(tree: Any) -> str:
    return " ".join(" ".join(tree.itertext()).split())


@pytest.mark.parametrize("make", PAGES)
@pytest.mark.parametrize("live", [True, False])
def test_the_page_is_valid(make: Callable[[], Report], live: bool) -> None:
    parsed(rendered(make(), live=live))


@needs_tidy
@pytest.mark.parametrize("make", PAGES)
@pytest.mark.parametrize("live", [True, False])
def test_tidy_has_nothing_to_complain_of(make: Callable[[], Report], live: bool) -> None:
    assert complaints(rendered(make(), live=live)) == ""


@needs_tidy
@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("<th ", '<th align="left" ', 'attribute "align" not allowed for HTML5'),
        ('scope="col"', 'scope="colum"', 'attribute "scope" has invalid value "colum"'),
        ("<h2", "<div><h2", "missing </div>"),
        ("<table", "<tables", "<tables> is not recognized"),
    ],
)
def test_tidy_would_find_it(right: str, wrong: str, told: str) -> None:
    assert told in complaints(rendered(reports.report()).replace(right, wrong, 1))


def test_ids_are_unique_and_what_refers_to_them_finds_them() -> None:
    tree = parsed(rendered(reports.report()))
    ids = [node.get("id") for node in tree.iter() if node.get("id")]
    assert len(ids) == len(set(ids))
    for node in tree.iter():
        for name in ("aria-labelledby", "aria-describedby"):
            assert node.get(name, ids[0]) in ids


def test_names_with_markup_are_text() -> None:
    page = rendered(reports.hostile())
    tree = parsed(page)
    assert "<script" not in page and "\x00" not in page
    assert list(tree.iter("script")) == []
    shown = reports.HOSTILE.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    texts = [node.text for node in tree.iter() if node.text]
    assert sum(shown in text for text in texts) >= 10
    assert tree.find("head/title").text.startswith(shown)


def test_the_page_needs_no_script_and_nothing_from_elsewhere() -> None:
    tree = parsed(rendered(reports.report()))
    names = {node.tag for node in tree.iter()}
    assert names & {"script", "img", "iframe", "object"} == set()
    links = {node.get(name) for node in tree.iter() for name in ("src", "href") if node.get(name)}
    assert links == {"status.json"}
    metas = {node.get("http-equiv"): node.get("content") for node in tree.iter("meta")}
    assert metas["refresh"] == "60"
    assert "style-src 'sha256-" in metas["Content-Security-Policy"]


def test_every_state_is_a_word_and_a_colour() -> None:
    tree = parsed(rendered(reports.report()))
    pills = {(node.text, node.get("class")) for node in tree.iter("span") if "pill" in (node.get("class") or "")}
    assert {
        ("up", "pill green"),
        ("down", "pill yellow"),
        ("given up", "pill red"),
        ("error", "pill red"),
        ("in trouble", "pill red"),
    } <= pills


def test_the_worst_comes_first() -> None:
    tree = parsed(rendered(reports.report()))
    tables = list(tree.iter("table"))
    assert next(row.find("th").text for row in tables[0].find("tbody")) == "hubl1"
    assert [row.find("th").text for row in tables[1].find("tbody")] == ["hubl1", "msua1", "ostl1", "ostl2"]
    [findings] = [node for node in tree.iter("ul") if node.get("class") == "findings"]
    assert [item.find("span").text for item in findings] == ["error", "warning", "notice"]


def test_what_there_is_nothing_of_is_said() -> None:
    text = text_of(parsed(rendered(reports.quiet())))
    assert "loncron has not run yet." in text
    assert "No critical message waits, is held or has failed." in text
    assert "No daemon runs." in text
    assert text.count("No samples yet") == 3 and "all is well" in text


def test_who_runs_another_version_is_said_in_words() -> None:
    tree = parsed(rendered(reports.report()))
    table = list(tree.iter("table"))[-1]
    rows = [[cell.text for cell in row] for row in table.find("tbody")]
    assert rows[:3] == [
        ["msua1", "2.11.4", "another software", "10d 10h ago"],
        ["msul2", "loncapa-net-0.0.9", "another version", "23h 53m ago"],
        ["hubl1", "-", "not known: it was not asked yet", "-"],
    ]
    assert ["msul1", SOFTWARE, "the same", "3d 00h ago"] in rows
    assert f"This host runs {SOFTWARE}. 2 of 6 hosts run something else." in text_of(tree)
    assert "No host is known to differ." in text_of(parsed(rendered(reports.quiet())))


def test_plots_have_axes_and_say_the_same_in_words() -> None:
    tree = parsed(rendered(reports.report()))
    drawn = [node for node in tree.iter() if node.tag.endswith("svg")]
    assert [node.get("role") for node in drawn] == ["img"] * 3
    for svg in drawn:
        kinds = [child.tag.split("}")[-1] for child in svg]
        assert kinds.count("desc") == 1 and kinds.count("text") >= 8 and kinds.count("line") >= 8
    words = text_of(drawn[2])
    assert re.search(r"waiting: now 0, at most 300 at \d\d:\d\d\.", words)


def plotted(*points: tuple[float, float]) -> str:
    return plot("p", "P", [Line("line", points)], 86400.0, str)


def test_a_line_is_broken_where_nothing_was_sampled() -> None:
    quick = [(80000.0 + 60 * n, 1.0) for n in range(10)]
    assert plotted(*quick).count("<polyline") == 1
    assert plotted(*quick[:5], (83000.0, 1.0), (83060.0, 2.0)).count("<polyline") == 2
    slow = [(3600.0 * n, 1.0) for n in range(1, 20)]
    assert plotted(*slow).count("<polyline") == 1, "once an hour is usual here"
    lonely = plotted(*quick, (86000.0, 3.0))
    assert lonely.count("<polyline") == lonely.count("<circle") == 1


@pytest.mark.parametrize("value", [0.0, 1e-9, 0.3, 1.0, 7.0, 99.0, 1234567.0, 1e15])
def test_any_number_fits_the_plot(value: float) -> None:
    heights = [float(y) for y in re.findall(r"[\d.]+,([\d.]+)", plotted((86000.0, 0.0), (86100.0, value)))]
    assert len(heights) == 2 and all(0 <= y <= 230 for y in heights)


def at(when: float, sent: float = 0, replies: tuple[float, ...] = (0.0,) * (len(BOUNDS) + 1)) -> Sample:
    return Sample(when, sent, 0, replies, 0, 0)


def test_rates_are_differences_and_a_restart_begins_at_zero() -> None:
    assert rates([at(0, 100), at(10, 150), at(20, 30)], "sent") == [(10, 5.0), (20, 3.0)]


def test_quantiles_are_read_from_the_histogram_between_two_samples() -> None:
    def buckets(**numbers: float) -> tuple[float, ...]:
        return tuple(numbers.get(f"b{n}", 0.0) for n in range(len(BOUNDS) + 1))

    samples = [at(0, 0, buckets(b0=5)), at(10, 0, buckets(b0=5, b1=4)), at(20, 0, buckets(b0=5, b1=4))]
    [(when, middle)] = quantiles(samples, 0.5)
    assert when == 10 and BOUNDS[0] < middle < BOUNDS[1]
    assert quantiles([at(0, 0, buckets(b0=9)), at(10, 0, buckets(b2=1))], 0.5)[0][1] > BOUNDS[1], "a restart"
    assert quantile(buckets(b15=3), 0.5) == BOUNDS[-1], "above all bounds"
    assert quantile(buckets(), 0.5) is None


@pytest.mark.parametrize(
    ("peer", "light"),
    [
        (Peer("msul1", "up"), Light.GREEN),
        (Peer("msul1", "up", held=1), Light.YELLOW),
        (Peer("msul1", "down"), Light.YELLOW),
        (Peer("msul1", "paused"), Light.YELLOW),
        (Peer("msul1", "given up"), Light.RED),
        (Peer("msul1", "hung"), Light.RED),
        (Peer("msul1", "up", unreadable=True), Light.RED),
    ],
)
def test_what_counts_as_bad(peer: Peer, light: Light) -> None:
    assert peer_light(peer) is light


def test_one_lost_peer_is_no_trouble_of_this_host_but_its_own_link_is() -> None:
    lost = replace(reports.quiet(), peers=[Peer("msul1", "up"), Peer("msul2", "given up")])
    assert lost.light is Light.YELLOW
    assert replace(lost, peers=[Peer("msul1", "down"), Peer("msul2", "up")]).light is Light.RED
    assert replace(lost, daemons=[DaemonReport("lonc", "stopped", None)]).light is Light.RED
    assert replace(reports.quiet(), findings=reports.FINDINGS[:1]).light is Light.GREEN


def test_findings_travel_as_json() -> None:
    values = json.loads(reports.report().as_json())
    assert [Finding.from_json(value) for value in values["findings"]] == reports.FINDINGS
    assert {peer["host"]: peer["light"] for peer in values["peers"]}["hubl1"] == "red"
    assert score(reports.FINDINGS) == 105
    assert score([Finding(Level.WARNING, "logs", "lonc", "many", 1000)]) == 100


def test_only_what_was_made_here_is_markup() -> None:
    assert element("p", "<b>", Markup("<br>"), title='"') == '<p title="&quot;">&lt;b&gt;<br></p>'
    assert element("meta", charset="utf-8", content=None) == '<meta charset="utf-8">'
    assert escaped("a\ud800b") == "a\N{REPLACEMENT CHARACTER}b"
