"""Lines over the last 24 hours as inline SVG, with axes, a legend, and the same in words for who can't see them.

Colours come from the page's style sheet (classes ``line-1``, ``line-2``). Where no sample was taken for long the line
is broken, so that a gap is not taken for quiet. Pure but for the local time zone of the labels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lonstatus.markup import Markup, element, joined

SPAN = 86400.0  # seconds
WIDTH, HEIGHT = 520, 220
LEFT, RIGHT, TOP, BOTTOM = 66, 12, 14, 32
GAP_SECONDS = 900.0  # without a sample that break a line, if that is unusual
USUAL_GAPS = 3  # so many times the usual distance of samples is unusual
HOURS = 4  # between two labels
STEPS = 4  # on the vertical axis, about

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """One line: what it shows, and its points (UNIX time, number)."""

    name: str
    points: Sequence[Point]


def plot(id: str, title: str, lines: Sequence[Line], now: float, shown: Callable[[float], str]) -> Markup:
    """A figure.

    :param id: unique on the page.
    :param now: the right end, UNIX time.
    :param shown: a number with its unit.
    """
    words = " ".join(_in_words(line, shown) for line in lines)
    heading = element("h3", title, id=f"{id}-title")
    if not any(line.points for line in lines):
        text = "No samples yet: each run of loncron takes one, and a line needs two."
        return element("figure", heading, element("p", text, class_="quiet"), class_="plot")
    top, ticks = _scale(max(value for line in lines for _, value in line.points))
    svg = element(
        "svg",
        element("desc", words, id=f"{id}-words"),
        *_horizontal_lines(top, ticks, shown),
        *_hours(now),
        *(path for number, line in enumerate(lines, 1) for path in _paths(line, f"line-{number}", now, top)),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby=f"{id}-title",
        aria_describedby=f"{id}-words",
    )
    legend = element("figcaption", *(_legend(number, line, shown) for number, line in enumerate(lines, 1)))
    return element("figure", heading, svg, legend, class_="plot")


def _in_words(line: Line, shown: Callable[[float], str]) -> str:
    if not line.points:
        return f"{line.name}: none."
    at, most = max(line.points, key=lambda point: point[1])
    return f"{line.name}: now {shown(line.points[-1][1])}, at most {shown(most)} at {_clock(at)}."


def _legend(number: int, line: Line, shown: Callable[[float], str]) -> Markup:
    mark = element("span", class_=f"mark mark-{number}", aria_hidden="true")
    return element("span", mark, _in_words(line, shown), class_="legend")


def _clock(at: float) -> str:
    return time.strftime("%H:%M", time.localtime(at))


def _x(at: float, now: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (1 - (now - at) / SPAN)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def _scale(most: float) -> tuple[float, list[float]]:
    """The top of the vertical axis and its ticks: 1, 2 or 5 times a power of ten apart."""
    if most <= 0:
        return 1.0, [0.0, 1.0]
    rough = most / STEPS
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    number = math.ceil(most / step * 0.999)
    return number * step, [step * n for n in range(number + 1)]


def _horizontal_lines(top: float, ticks: Sequence[float], shown: Callable[[float], str]) -> Iterator[Markup]:
    for tick in ticks:
        y = f"{_y(tick, top):.1f}"
        yield element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="axis" if tick == 0 else "grid")
        yield element("text", shown(tick), x=LEFT - 6, y=y, dy="0.32em", text_anchor="end")


def _hours(now: float) -> Iterator[Markup]:
    """Labels at whole hours of the local day."""
    local = time.localtime(now)
    hour = now - local.tm_min * 60 - local.tm_sec
    for back in range(24):
        at = hour - 3600 * back
        if time.localtime(at).tm_hour % HOURS == 0 and at > now - SPAN:
            x = f"{_x(at, now):.1f}"
            yield element("line", x1=x, x2=x, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM + 5, class_="axis")
            yield element("text", _clock(at), x=x, y=HEIGHT - 8, text_anchor="middle")


def _paths(line: Line, class_: str, now: float, top: float) -> Iterator[Markup]:
    for piece in _pieces([point for point in line.points if point[0] > now - SPAN]):
        places = [(f"{_x(at, now):.1f}", f"{_y(value, top):.1f}") for at, value in piece]
        if len(places) == 1:
            yield element("circle", cx=places[0][0], cy=places[0][1], r=2, class_=f"dot {class_}")
        else:
            yield element("polyline", points=" ".join(",".join(place) for place in places), class_=class_)


def _pieces(points: Sequence[Point]) -> Iterator[list[Point]]:
    """The points up to each gap."""
    distances = sorted(after[0] - before[0] for before, after in pairwise(points))
    usual = distances[len(distances) // 2] if distances else 0.0
    piece: list[Point] = []
    for point in points:
        if piece and point[0] - piece[-1][0] > max(GAP_SECONDS, USUAL_GAPS * usual):
            yield piece
            piece = []
        piece.append(point)
    if piece:
        yield piece


def plots(*figures: Markup) -> Markup:
    """Several figures beside each other where there is room."""
    return element("div", joined(*figures), class_="plots")
