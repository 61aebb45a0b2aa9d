"""The few marks that charts are drawn with. Colours come from the page's style, by class."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Area = tuple[float, float, float, float]
"""Left, top, width and height."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values onto places along one axis of a drawing."""

    least: float
    most: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a value, values outside put on the edge."""
        span = self.most - self.least or 1.0
        share = min(1.0, max(0.0, (value - self.least) / span))
        return self.start + share * (self.end - self.start)


def drawing(width: float, height: float, title: str, marks: Iterable[Markup], kind: str = "") -> Markup:
    """Return an SVG image of marks with a title that is read aloud."""
    body = Markup("").join(marks)
    return Markup('<svg class="chart {}" viewBox="0 0 {} {}" role="img"><title>{}</title>{}</svg>').format(
        kind, number(width), number(height), title, body
    )


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    """Return a straight line."""
    places = map(number, (x1, y1, x2, y2))
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(*places, style)


def path(points: Sequence[tuple[float, float]], style: str) -> Markup:
    """Return a line through points."""
    text = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return Markup('<polyline points="{}" class="{}"/>').format(text, style)


def polygon(points: Sequence[tuple[float, float]], style: str) -> Markup:
    """Return a filled area between points."""
    text = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return Markup('<polygon points="{}" class="{}"/>').format(text, style)


def dot(x: float, y: float, radius: float, style: str, title: str = "") -> Markup:
    """Return a filled circle; the title shows when pointed at."""
    note = Markup("<title>{}</title>").format(title) if title else Markup("")
    places = map(number, (x, y, radius))
    return Markup('<circle cx="{}" cy="{}" r="{}" class="{}">{}</circle>').format(*places, style, note)


def box(area: Area, style: str, title: str = "") -> Markup:
    """Return a filled rectangle; the title shows when pointed at."""
    note = Markup("<title>{}</title>").format(title) if title else Markup("")
    places = map(number, area)
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}">{}</rect>').format(*places, style, note)


def label(x: float, y: float, text: str, style: str = "") -> Markup:
    """Return a text; the style may hold `middle` or `end` for where x lies."""
    return Markup('<text x="{}" y="{}" class="{}">{}</text>').format(number(x), number(y), style, escape(text))


def number(value: float) -> str:
    """Return a coordinate, short."""
    return f"{value:.1f}".removesuffix(".0")


def ticks(least: float, most: float, wanted: int = 5) -> list[float]:
    """Return about so many round values from least to most."""
    span = most - least
    if span <= 0:
        return [least]
    rough = span / wanted
    power: float = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough * 0.999)
    first = math.ceil(least / step - 1e-9)
    return [index * step for index in range(first, math.floor(most / step + 1e-9) + 1)]
