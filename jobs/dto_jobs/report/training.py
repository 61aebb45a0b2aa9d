"""What the report shows of a training: its curves, its figures by name, and every candidate of a sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from dto_jobs.core.interval import Interval
from dto_jobs.report import charts
from dto_jobs.report.words import bounds, change, count, percent, points

UNSHOWN = {"step", "steps", "epoch", "candidate"}


@dataclass(frozen=True)
class Curve:
    """Figures that belong into one picture: the first in the tuned model's colour, the second in the base's."""

    caption: str
    figures: Sequence[str]
    scale: float = 1.0
    names: Sequence[str] = ()
    """What the lines are, where there are several."""


CURVES = (
    Curve("loss", ["loss"]),
    Curve("margin of chosen over rejected, times β", ["margin"]),
    Curve("pairs whose chosen is preferred, %", ["rewardAccuracy"], 100),
    Curve("mean log-probability per token", ["chosen", "rejected"], names=["chosen", "rejected"]),
    Curve("norm of the gradient", ["gradientNorm"]),
    Curve("learning rate", ["learningRate"]),
    Curve("tokens per second", ["tokensPerSecond"]),
    Curve("peak memory, GiB", ["memoryBytes"], 2**-30),
)
FIGURES = {
    "pairs": "pairs learned from",
    "droppedTooLong": "pairs dropped, longer than the model's context",
    "rows": "pairs as the trainer saw them, copies counted",
    "processes": "processes",
    "steps": "steps",
    "loss": "last loss",
    "margin": "last margin",
    "rewardAccuracy": "last share of pairs whose chosen is preferred",
    "tokensPerSecond": "last tokens per second",
    "memoryBytes": "peak memory, bytes",
}


@dataclass(frozen=True)
class Picture:
    """A chart with its caption and, where it has several lines, the style and name of each."""

    caption: str
    chart: Markup
    legend: Mapping[str, str] = field(default_factory=dict)


def pictures(noted: Sequence[Mapping[str, float]]) -> list[Picture]:
    """Return a chart of everything that the trainer noted at least twice; what has no words of ours goes by its own name."""
    names = dict.fromkeys(name for row in noted for name in row if name not in UNSHOWN)
    drawn = {name for name in names if sum(name in row for row in noted) > 1}
    known = [curve for curve in CURVES if drawn.issuperset(curve.figures)]
    told = {name for curve in known for name in curve.figures}
    return [
        _picture(curve, noted) for curve in [*known, *(Curve(name, [name]) for name in names if name in drawn - told)]
    ]


def _picture(curve: Curve, noted: Sequence[Mapping[str, float]]) -> Picture:
    styles = dict(zip(curve.figures, ("tuned", "base"), strict=False))
    legend = dict(zip(("tuned", "base"), curve.names, strict=False))
    return Picture(curve.caption, charts.steps(noted, styles, curve.scale), legend)


def figures(training: Mapping[str, Any]) -> dict[str, str]:
    """Return the training's plain figures, by what they are called."""
    return {
        FIGURES.get(name, name): value
        if isinstance(value, str)
        else count(value)
        if abs(value) >= 1e4
        else f"{value:.4g}"
        for name, value in training.items()
        if isinstance(value, int | float | str)
    }


@dataclass(frozen=True)
class Candidate:
    """A row of the sweep's table."""

    name: str
    chosen: bool
    cells: Sequence[str]
    """Accuracy, its difference to the base, tokens, their change, the gate; one that says why, if the candidate failed."""


def candidates(training: Mapping[str, Any]) -> list[Candidate]:
    """Return every candidate of a sweep, none for a training without one."""
    sweep = training.get("sweep") or {"candidates": []}
    return [
        Candidate(
            ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in one["settings"].items()),
            place == sweep["chosen"],
            _cells(one),
        )
        for place, one in enumerate(sweep["candidates"])
    ]


def _cells(one: Mapping[str, Any]) -> list[str]:
    if "failed" in one:
        return [f"failed: {one['failed']}"]
    accuracy, tokens, difference, saving = (
        Interval.model_validate(one[name]) for name in ("accuracy", "tokens", "accuracyDifference", "tokenChange")
    )
    return [
        percent(accuracy.value),
        f"{points(difference.value)} ({bounds(difference, 100, 1, sign=True)})",
        count(tokens.value),
        f"{change(saving.value)} ({bounds(saving, 100, 0, sign=True)})",
        "passed" if one["accepted"] else f"missed by {percent(one['missed'])}",
    ]
