"""The report's charts: records in, SVG out. They name classes, and the page's style gives these their colours."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dto_jobs.core.interval import Interval
from dto_jobs.core.records import SearchedTrace
from dto_jobs.core.results import ExitResults, Slice
from dto_jobs.report.svg import Area, Scale, box, dot, drawing, label, line, path, ticks
from dto_jobs.report.words import count, percent

WIDTH = 360.0
BINS = 24
MOST_CROSSES = 8
"""Slices whose intervals are drawn; the crosses of more would hide each other."""
# A label's size on the page, to keep labels apart: letters are about half as wide as they are high.
LETTER, LINE = 5.4, 11.0


# Accuracy against tokens


def scatter(slices: Sequence[Slice]) -> Markup:
    """Draw accuracy against tokens, an arrow from base to tuned per slice, intervals as crosses."""
    models = [model for part in slices for model in (part.base, part.tuned)]
    height = 300.0
    tokens = [bound for model in models for bound in _ends(model.tokens)]
    accuracies = [bound for model in models for bound in _ends(model.accuracy)]
    low = max(0.0, min(accuracies) - 0.05)
    x = Scale(0, 1.05 * max(tokens), 40, WIDTH - 12)
    y = Scale(low, min(1.0, max(accuracies) + 0.05), height - 36, 12)
    marks = [*_axes(x, y, "tokens per answer", height)]
    for part in slices:
        marks += _move(part, x, y, crosses=len(slices) <= MOST_CROSSES)
    names = [(part.short, x(part.tuned.tokens.value), y(part.tuned.accuracy.value)) for part in slices]
    taken = [(x(m.tokens.value) - 4, y(m.accuracy.value) - 4, 8.0, 8.0) for m in models]
    marks += _apart(names, taken)
    title = "Accuracy against tokens per answer, from base to tuned model: " + "; ".join(map(_told, slices))
    return drawing(WIDTH, height, title, marks, "scatter")


def _told(part: Slice) -> str:
    base, tuned = part.base, part.tuned
    return (
        f"{part.short} {percent(base.accuracy.value)} at {count(base.tokens.value)} to "
        f"{percent(tuned.accuracy.value)} at {count(tuned.tokens.value)} tokens"
    )


def _move(part: Slice, x: Scale, y: Scale, *, crosses: bool) -> Iterable[Markup]:
    base, tuned = part.base, part.tuned
    for model, style in ((base, "base"), (tuned, "tuned")):
        across, up = x(model.tokens.value), y(model.accuracy.value)
        left, right = (x(bound) for bound in _ends(model.tokens))
        bottom, top = (y(bound) for bound in _ends(model.accuracy))
        if crosses:
            yield line(left, up, right, up, f"whisker {style}")
            yield line(across, bottom, across, top, f"whisker {style}")
    start = x(base.tokens.value), y(base.accuracy.value)
    end = x(tuned.tokens.value), y(tuned.accuracy.value)
    yield path([start, end], "move")
    yield dot(*start, 3.5, "mark base", f"{part.short}, base")
    yield dot(*end, 3.5, "mark tuned", f"{part.short}, tuned")


def _ends(interval: Interval) -> tuple[float, float]:
    if interval.low is None or interval.high is None:
        return interval.value, interval.value
    return interval.low, interval.high


def _apart(names: Sequence[tuple[str, float, float]], taken: list[Area]) -> Iterable[Markup]:
    """Yield labels beside their points, each where it covers neither a point nor an earlier label."""
    for text, x, y in names:
        width = LETTER * len(text)
        places = [(dx, dy) for dy in (3, -7, 14, -18, 25, -29, 36) for dx in (8.0, -8.0 - width)]
        areas = [(x + dx, y + dy - LINE + 2, width, LINE) for dx, dy in places]
        area = next(
            (area for area in areas if _inside(area) and not any(_meet(area, other) for other in taken)), areas[0]
        )
        taken.append(area)
        yield label(area[0], area[1] + LINE - 2, text, "name")


def _inside(area: Area) -> bool:
    return area[0] > 40 and area[0] + area[2] < WIDTH and area[1] > 0


def _meet(one: Area, other: Area) -> bool:
    across = one[0] < other[0] + other[2] and other[0] < one[0] + one[2]
    return across and one[1] < other[1] + other[3] and other[1] < one[1] + one[3]


def _axes(x: Scale, y: Scale, caption: str, height: float, *, shares: bool = True) -> Iterable[Markup]:
    for tick in ticks(y.least, y.most):
        text = percent(tick, 0) if shares else f"{tick:g}"
        yield line(x.start, y(tick), x.end, y(tick), "grid")
        yield label(x.start - 5, y(tick) + 3.5, text, "tick end")
    for tick in ticks(x.least, x.most):
        yield label(x(tick), y.start + 14, count(tick), "tick middle")
    yield line(x.start, y.start, x.end, y.start, "axis")
    yield label((x.start + x.end) / 2, height - 4, caption, "caption middle")


# Lengths


def lengths(base: Sequence[int], tuned: Sequence[int], name: str) -> Markup:
    """Draw how long answers are: the base's distribution behind the tuned one's, medians as lines."""
    height, most = 150.0, max((*base, *tuned, 1))
    x = Scale(0, most, 8, WIDTH - 8)
    shares = {"base": _shares(base, most), "tuned": _shares(tuned, most)}
    y = Scale(0, max((*shares["base"], *shares["tuned"], 0.01)), height - 36, 16)
    marks: list[Markup] = []
    width = (x.end - x.start) / BINS
    for style, heights in shares.items():
        for index, share in enumerate(heights):
            if share:
                note = f"{style}: {percent(share)} take {index * most // BINS} to {(index + 1) * most // BINS} tokens"
                top = y(share)
                marks.append(box((x.start + index * width, top, width - 1, y.start - top), f"bar {style}", note))
    for style, values in (("base", base), ("tuned", tuned)):
        if values:
            middle = x(sorted(values)[len(values) // 2])
            marks.append(line(middle, 10, middle, y.start, f"median {style}"))
    marks += [label(x(tick), y.start + 14, count(tick), "tick middle") for tick in ticks(0, most)]
    marks += [
        line(x.start, y.start, x.end, y.start, "axis"),
        label(WIDTH / 2, height - 4, "tokens per answer", "caption middle"),
    ]
    return drawing(WIDTH, height, f"Lengths of answers, base and tuned model: {name}", marks, "lengths")


def _shares(values: Sequence[int], most: int) -> list[float]:
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, value * BINS // most)] += 1
    return [amount / max(1, len(values)) for amount in counts]


# Exits


def curve(trace: SearchedTrace, threshold: float) -> Markup:
    """Draw p_i, the share of right answers if thinking stops after pattern i, with the exit marked."""
    height, patterns = 140.0, max(1, len(trace.patterns))
    x, y = Scale(0, patterns, 34, WIDTH - 12), Scale(0, 1, height - 36, 12)
    points = [(x(i), y(boundary.rate)) for i, boundary in enumerate(trace.boundaries, start=1)]
    marks = [*_axes(x, y, "patterns kept", height)]
    if trace.exit is not None:
        end = x(trace.exit)
        marks.append(box((end, y.end, x.end - end, y.start - y.end), "beyond"))
        marks.append(line(end, y.end, end, y.start, "exit"))
        # Where the exit lies far to the right its name goes to the left of the line.
        side = " end" if end > 0.75 * WIDTH else ""
        marks.append(label(end + (-5 if side else 5), y.end + 9, f"exit {trace.exit}", "name" + side))
    marks.append(line(x.start, y(threshold), x.end, y(threshold), "threshold"))
    marks.append(path(points, "curve"))
    for place, boundary in zip(points, trace.boundaries, strict=True):
        marks.append(dot(*place, 2.6, "mark tuned", f"{boundary.hits} of {boundary.hits + boundary.misses} right"))
    found = "no exit" if trace.exit is None else f"exit after {trace.exit}"
    title = f"{trace.response.id}: right answers after each of {len(trace.patterns)} patterns, {found}"
    return drawing(WIDTH, height, title, marks, "curve")


def positions(exits: ExitResults) -> Markup:
    """Draw how many traces have their exit in which tenth, and how many have none."""
    height, amounts = 170.0, [*exits.positions, exits.traces - exits.with_exit]
    y = Scale(0, max(1, *amounts), height - 36, 18)
    width = (WIDTH - 20) / (len(amounts) + 0.5)
    marks: list[Markup] = []
    for index, amount in enumerate(amounts):
        none = index == len(exits.positions)
        left, top = 8 + (index + 0.5 * none) * width, y(amount)
        name = "none" if none else f"{10 * (index + 1)}"
        marks.append(box((left, top, width - 3, y.start - top), "bar none" if none else "bar tuned"))
        marks.append(label(left + (width - 3) / 2, top - 4, count(amount), "tick middle"))
        marks.append(label(left + (width - 3) / 2, y.start + 14, name, "tick middle"))
    marks.append(label(WIDTH / 2, height - 4, "exit, in % of the trace's patterns (up to)", "caption middle"))
    return drawing(
        WIDTH, height, f"Where {exits.with_exit} of {exits.traces} traces have their exit", marks, "positions"
    )


# Re-checks and training


@dataclass(frozen=True, slots=True)
class Row:
    """A value before and after, by name."""

    name: str
    before: float
    after: float


def dumbbells(rows: Sequence[Row], caption: str) -> Markup:
    """Draw a value before and after, a row each."""
    height = 44.0 + 24 * len(rows)
    x = Scale(0, 1.1 * max((*(row.before for row in rows), *(row.after for row in rows), 0.01)), 116, WIDTH - 16)
    foot = height - 34
    marks = [label(x(tick), foot + 14, f"{tick:g}", "tick middle") for tick in ticks(0, x.most)]
    marks += [
        line(x.start, foot, x.end, foot, "axis"),
        label((x.start + x.end) / 2, height - 4, caption, "caption middle"),
    ]
    for index, row in enumerate(rows):
        place = 14.0 + 24 * index
        marks += [
            label(108, place + 3.5, row.name, "name end"),
            line(x.start, place, x.end, place, "grid"),
            path([(x(row.before), place), (x(row.after), place)], "move"),
            dot(x(row.before), place, 4, "mark base", f"base {row.before:.2f}"),
            dot(x(row.after), place, 4, "mark tuned", f"tuned {row.after:.2f}"),
        ]
    told = "; ".join(f"{row.name} {row.before:.2f} to {row.after:.2f}" for row in rows)
    return drawing(WIDTH, height, f"{caption}, base to tuned model: {told}", marks, "dumbbells")


def steps(noted: Sequence[Mapping[str, float]], figures: Mapping[str, str], scale: float = 1.0) -> Markup:
    """Draw figures of the training over its steps, each in its style (`tuned`, `base`), multiplied by `scale`."""
    height = 150.0
    seen = {
        name: [(row.get("step", index), scale * row[name]) for index, row in enumerate(noted, start=1) if name in row]
        for name in figures
    }
    values = [value for points in seen.values() for _, value in points]
    x = Scale(0, max(step for points in seen.values() for step, _ in points), 44, WIDTH - 12)
    least, most = min(0.0, *values), max(0.0, *values)
    y = Scale(least, most if most > least else 1.0, height - 36, 12)
    marks = [*_axes(x, y, "step", height, shares=False)]
    for name, points in seen.items():
        marks.append(path([(x(step), y(value)) for step, value in points], f"curve {figures[name]}"))
    title = f"Training: {' and '.join(figures)} over steps, last " + ", ".join(
        f"{points[-1][1]:.3g}" for points in seen.values() if points
    )
    return drawing(WIDTH, height, title, marks, "steps")
