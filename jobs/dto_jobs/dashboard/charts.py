"""Lines and bars as SVG. They name classes, and the page's style gives these their colours."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from dto_jobs.dashboard.gathering import Named, Window
from dto_jobs.dashboard.units import on_axis, written
from dto_jobs.report.svg import Scale, box, dot, drawing, label, line, path, polygon, ticks

WIDTH, HEIGHT = 360.0, 168.0
LEFT, RIGHT, FOOT, HEAD = 52.0, 8.0, 22.0, 8.0
COLOURS = 8
MOST_LINES, MOST_BARS = 12, 12
LONGEST_NAME = 44
ROW = 27.0
STEPS = (
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10_800,
    21_600,
    43_200,
    86_400,
    172_800,
    604_800,
)
"""Seconds between two times written below a picture."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line to draw: its name, points and colour."""

    name: str
    points: tuple[tuple[float, float], ...]
    style: str
    floor: tuple[tuple[float, float], ...] = ()
    """What a stacked line stands on."""


def strokes(found: Sequence[Named], *, stacked: bool) -> list[Stroke]:
    """Return the lines of series, the tallest where there are too many; stacked ones stand on those before them."""
    most = sorted(found, key=lambda one: -max(value for _, value in one.series.points))[:MOST_LINES]
    kept = [one for one in found if one in most]
    height: dict[float, float] = {}
    made = []
    for index, one in enumerate(kept):
        points = one.series.points
        floor: tuple[tuple[float, float], ...] = ()
        if stacked:
            floor = tuple((time, height.get(time, 0.0)) for time, _ in points)
            points = tuple((time, below + value) for (time, below), (_, value) in zip(floor, points, strict=True))
            height |= dict(points)
        made.append(Stroke(one.name, points, style(one.name, index), floor))
    return made


def style(name: str, index: int) -> str:
    """Return the class of a series: its model's, or one of the colours in turn."""
    return next((variant for variant in ("base", "tuned") if name.endswith(variant)), f"s{index % COLOURS}")


def lines(drawn: Sequence[Stroke], title: str, unit: str, window: Window) -> Markup:
    """Draw lines over the time shown; a gap in the data is a gap in the line."""
    values = [value for stroke in drawn for _, value in stroke.points]
    low, high = min(0.0, *values), max(values)
    x = Scale(window.start, window.end, LEFT, WIDTH - RIGHT)
    y = Scale(low, high + 0.05 * (high - low) if high > low else low + 1.0, HEIGHT - FOOT, HEAD)
    marks = [*_value_axis(x, y, unit), *_time_axis(x, y, window)]
    for stroke in drawn:
        if stroke.floor:
            edge = [(x(time), y(value)) for time, value in (*stroke.points, *reversed(stroke.floor))]
            marks.append(polygon(edge, f"area {stroke.style}"))
        pieces = _pieces(stroke.points, 2.5 * window.step)
        marks += [_stroke([(x(time), y(value)) for time, value in piece], stroke.style) for piece in pieces]
    said = "; ".join(f"{one.name or title} {written(one.points[-1][1], unit)}" for one in drawn)
    return drawing(WIDTH, HEIGHT, f"{title}, over time; last: {said}", marks, "lines")


def _stroke(points: list[tuple[float, float]], look: str) -> Markup:
    return dot(*points[0], 1.8, f"mark {look}") if len(points) == 1 else path(points, f"stroke {look}")


def _pieces(points: Sequence[tuple[float, float]], longest: float) -> Iterator[list[tuple[float, float]]]:
    piece: list[tuple[float, float]] = []
    for time, value in points:
        if piece and time - piece[-1][0] > longest:
            yield piece
            piece = []
        piece.append((time, value))
    yield piece


def _value_axis(x: Scale, y: Scale, unit: str) -> Iterator[Markup]:
    for tick in ticks(y.least, y.most, 4):
        yield line(x.start, y(tick), x.end, y(tick), "grid")
        yield label(x.start - 6, y(tick) + 3.5, on_axis(tick, unit, y.most), "tick end")


def _time_axis(x: Scale, y: Scale, window: Window) -> Iterator[Markup]:
    step = next((step for step in STEPS if window.seconds / step <= 6), STEPS[-1])
    form = "%H:%M:%S" if step < 60 else "%H:%M" if window.seconds <= 172_800 else "%d %b"
    for number in range(math.ceil(window.start / step), math.floor(window.end / step) + 1):
        place = x(number * step)
        side = "middle" if place < WIDTH - 24 else "end"
        yield line(place, y.start, place, y.start + 3, "axis")
        yield label(place, y.start + 15, f"{datetime.fromtimestamp(number * step, UTC):{form}}", f"tick {side}")
    yield line(x.start, y.start, x.end, y.start, "axis")


def bars(found: Sequence[Named], title: str, unit: str, most: float | None, decimals: int | None = None) -> Markup:
    """Draw a bar for each series, its name above and its value at the right."""
    kept = found[:MOST_BARS]
    values = [one.last for one in kept]
    x = Scale(0.0, most or max(*values, 0.0) or 1.0, 0.0, WIDTH)
    marks: list[Markup] = []
    for index, one in enumerate(kept):
        top, look = index * ROW, "base" if one.name.endswith("base") else "tuned"
        marks += [
            label(0, top + 11, _cut(one.name or title), "name"),
            label(WIDTH, top + 11, written(one.last, unit, decimals), "value end"),
            box((0, top + 16, WIDTH, 6), "groove"),
            box((0, top + 16, max(1.0, x(one.last)), 6), f"bar {look}", one.name),
        ]
    said = "; ".join(f"{one.name} {written(one.last, unit, decimals)}" for one in kept)
    return drawing(WIDTH, ROW * len(kept), f"{title}: {said}", marks, "bars")


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME // 2]}…{name[-LONGEST_NAME // 2 :]}"
