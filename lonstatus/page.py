"""The status page: a :class:`lonstatus.report.Report` as one HTML document that needs nothing else.

No script, no picture, no font from elsewhere; it refreshes itself, follows the reader's choice of light or dark, and
on a narrow screen shows each row of a table as a card. Every state is a word, the colour only repeats it. All text goes
through :mod:`lonstatus.markup`. Pure but for the local time zone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from common.version import SOFTWARE
from lonstatus.children import COLUMNS as CHILD_COLUMNS
from lonstatus.findings import Finding, Level, score
from lonstatus.history import quantiles, rates
from lonstatus.markup import Markup, document, element, joined
from lonstatus.page_style import POLICY, STYLE
from lonstatus.peers import Peer
from lonstatus.plot import Line, plot, plots
from lonstatus.report import Light, Report, peer_light
from lonstatus.text import duration
from lonstatus.versions import compared, is_other

REFRESH_SECONDS = 60
NOTHING = "-"  # there is nothing to tell; lonstatus.text writes it as well
JSON_NAME = "status.json"
_WORDS = {Light.GREEN: "all is well", Light.YELLOW: "needs a look", Light.RED: "in trouble"}
_LEVEL_LIGHTS = {Level.NOTICE: Light.GREEN, Level.WARNING: Light.YELLOW, Level.ERROR: Light.RED}
PEER_HEADINGS = ("Peer", "State", "Since", "Requests", "Under way", "Waiting", "Oldest", "Next try", "Why")
VERSION_HEADINGS = ("Host", "Version", "Compared with this host", "Asked")
QUEUE_HEADINGS = ("For", "Waiting", "Oldest", "Held", "Failed")


def rendered(report: Report, *, live: bool = False, start: str = "") -> str:
    """The page.

    :param live: it is made anew each time that it is asked for, not by loncron now and then.
    :param start: address of the start page of the web pages around it; empty: there is none.
    """
    return document(_head(report), _body(report, live, start))


def _head(report: Report) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("title", f"{report.host}: {_WORDS[report.light]}"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="robots", content="noindex"),
        element("meta", http_equiv="refresh", content=REFRESH_SECONDS),
        element("link", rel="alternate", type="application/json", href=JSON_NAME),
        element("style", STYLE),
    )


def _body(report: Report, live: bool, start: str) -> Markup:
    return element(
        "body",
        _header(report, live),
        element(
            "main",
            _findings(report),
            _section("Peers", "peers", _peers(report.peers)),
            _section("Delayed messages", "queue", _queue(report.peers)),
            _section("The last 24 hours", "history", _plots(report)),
            _section("Processes", "children", _children(report)),
            _section("Versions", "versions", _versions(report)),
        ),
        _footer(report, start),
    )


def _section(title: str, id: str, *content: object) -> Markup:
    return element("section", element("h2", title, id=id), *content, aria_labelledby=id)


def _pill(light: Light, text: object) -> Markup:
    return element("span", text, class_=f"pill {light.word}")


def _moment(at: float) -> Markup:
    shown = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at)).strip()
    return element("time", shown, datetime=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)))


def _header(report: Report, live: bool) -> Markup:
    stale = "" if live else " If that time does not move on, loncron does not run."
    up = sum(peer.state == "up" for peer in report.peers)
    waiting = sum(peer.delayed for peer in report.peers)
    facts = [
        *(joined(f"{daemon.name} ", _pill(daemon.light, daemon.state)) for daemon in report.daemons),
        joined(element("b", f"{up} of {len(report.peers)}"), " links up"),
        joined(element("b", f"{waiting:,}"), " delayed message" + ("" if waiting == 1 else "s")),
    ]
    return element(
        "header",
        element("h1", report.host, " ", _pill(report.light, _WORDS[report.light])),
        element("p", f"{report.role} server of {report.domain}, {report.hostname}", class_="quiet"),
        element("ul", *(element("li", fact) for fact in facts), class_="facts"),
        element(
            "p",
            "As of ",
            _moment(report.at),
            f"; this page loads itself again every {REFRESH_SECONDS} s.{stale}",
            class_="quiet",
        ),
    )


def _findings(report: Report) -> Markup:
    if report.checked is None:
        return _section("Checks", "checks", element("p", "loncron has not run yet.", class_="quiet"))
    when = element("p", "Checked by loncron at ", _moment(report.checked), ".", class_="quiet")
    if not report.findings:
        return _section("Checks", "checks", element("p", "Nothing to complain of."), when)
    worst_first = sorted(report.findings, key=lambda finding: -finding.level)
    items = element("ul", *(_finding(finding) for finding in worst_first), class_="findings")
    return _section(f"Checks: {score(report.findings):,} points", "checks", items, when)


def _finding(finding: Finding) -> Markup:
    pill = _pill(_LEVEL_LIGHTS[finding.level], finding.level.word)
    return element("li", pill, " ", element("span", element("b", finding.check), ": ", finding.text))


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]], numbers: frozenset[str]) -> Markup:
    """A table; `numbers` names the columns that are aligned to the right."""

    def cell(heading: str, content: object, first: bool) -> Markup:
        class_ = " ".join(["number"] * (heading in numbers) + ["none"] * (content == NOTHING)) or None
        if first:
            return element("th", content, scope="row", class_=class_)
        return element("td", content, data_label=heading, class_=class_)

    head = (element("th", h, scope="col", class_="number" if h in numbers else None) for h in headings)
    body = (
        element("tr", *(cell(h, content, at == 0) for at, (h, content) in enumerate(zip(headings, row, strict=True))))
        for row in rows
    )
    return element(
        "div", element("table", element("thead", element("tr", *head)), element("tbody", *body)), class_="wide"
    )


def _peers(peers: Sequence[Peer]) -> Markup:
    worst_first = sorted(peers, key=lambda peer: (-peer_light(peer), peer.host))
    numbers = frozenset(("Since", "Requests", "Under way", "Waiting", "Oldest", "Next try"))
    return _table(PEER_HEADINGS, (_peer(peer) for peer in worst_first), numbers)


def _peer(peer: Peer) -> list[object]:
    counts = [_count(number) for number in (peer.requests, peer.waiting, peer.delayed)]
    times = [duration(seconds) for seconds in (peer.oldest, peer.next_try)]
    state = _pill(peer_light(peer), peer.state)
    return [peer.host, state, duration(peer.since), *counts, *times, peer.why if peer.state != "up" else ""]


def _count(number: int) -> str:
    return f"{number:,}" if number else NOTHING


def _queue(peers: Sequence[Peer]) -> Markup:
    behind = [peer for peer in peers if peer.delayed or peer.held or peer.failed]
    if not behind:
        return element("p", "No critical message waits, is held or has failed.")
    rows = (
        [p.host, _count(p.delayed), duration(p.oldest), _count(p.held), _count(p.failed)]
        for p in sorted(behind, key=lambda peer: -(peer.oldest or 0))
    )
    text = "Held and failed ones wait for you: "
    hint = element("p", text, element("code", "loncontrol queue ls HOST"), class_="quiet")
    return joined(_table(QUEUE_HEADINGS, rows, frozenset(QUEUE_HEADINGS[1:])), hint)


def _plots(report: Report) -> Markup:
    history, now = report.history, report.at
    delayed = [(sample.at, float(sample.delayed)) for sample in history]
    return plots(
        plot(
            "requests",
            "Requests",
            [Line("to peers", rates(history, "sent")), Line("from peers", rates(history, "executed"))],
            now,
            _per_second,
        ),
        plot(
            "latency",
            "Answering time of peers",
            [Line("half within", quantiles(history, 0.5)), Line("95 % within", quantiles(history, 0.95))],
            now,
            _seconds,
        ),
        plot("delayed", "Delayed messages", [Line("waiting", delayed)], now, _plain),
    )


def _plain(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) or number >= 100 else f"{number:.3g}"


def _per_second(number: float) -> str:
    return f"{_plain(number)}/s"


def _seconds(number: float) -> str:
    return f"{number:.3g} s" if number >= 1 else f"{number * 1000:.3g} ms"


def _children(report: Report) -> Markup:
    if not report.children:
        return element("p", "No daemon runs.")
    rows = (child.row() for child in report.children)
    headings = [column.capitalize().replace("Cpu", "CPU").replace(" mb", " MB") for column in CHILD_COLUMNS]
    numbers = frozenset(headings) - {"Daemon", "State", "Host"}
    return _table(headings, rows, numbers)


def _versions(report: Report) -> Markup:
    others = sum(is_other(peer.version) for peer in report.peers)
    told = f"{others} of {len(report.peers)} hosts run something else." if others else "No host is known to differ."
    rows = (
        [peer.host, peer.version or NOTHING, compared(peer.version), _ago(report.at, peer.version_asked)]
        for peer in sorted(report.peers, key=lambda peer: (not is_other(peer.version), peer.host))
    )
    hint = element("p", f"This host runs {SOFTWARE}. {told}")
    return joined(hint, _table(VERSION_HEADINGS, rows, frozenset(("Asked",))))


def _ago(now: float, then: float | None) -> str:
    return NOTHING if then is None else f"{duration(max(0.0, now - then))} ago"


def _footer(report: Report, start: str) -> Markup:
    data = element("a", "the same for programs", href=JSON_NAME)
    back = [element("p", element("a", "To the start page", href=start))] if start else []
    return element("footer", *back, element("p", f"loncapa-net {report.version}, Python {report.python}; ", data))
