"""The report: one HTML file that holds all it shows and fetches nothing."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dto_jobs.core.cost import FORMULA
from dto_jobs.core.records import PrunedTrace
from dto_jobs.core.results import EvaluationResults, Results, Slice
from dto_jobs.report import charts, words
from dto_jobs.report.examples import example, kinds
from dto_jobs.report.headline import headline

KIND_COLOURS = 8
MOST_SLICES = 14
"""Slices in one scatter; more could not be told apart."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of every answer on one slice, base and tuned."""

    name: str
    base: Sequence[int]
    tuned: Sequence[int]


@dataclass(frozen=True)
class ReportInput:
    """All that a report shows."""

    name: str
    settings: str
    """The run file, as YAML."""
    results: Results
    versions: Mapping[str, str]
    """What made it: package and library versions, the model's digest."""
    traces: Sequence[PrunedTrace] = ()
    """A sample, for the curves and the examples."""
    lengths: Sequence[Lengths] = ()
    training: Sequence[Mapping[str, float]] = ()
    """What the trainer noted, step by step: `step` and figures such as `loss`."""
    notes: Sequence[str] = ()
    """What a reader must know besides, such as what is planted in a made-up model."""
    threshold: float = 0.5
    """The share of right answers that made an exit."""
    curves: int = 12
    """At most so many curves are drawn."""


def render(report: ReportInput) -> str:
    """Return the page. All text of models and people is escaped."""
    examples = [example(trace) for trace in report.traces]
    colours = {kind: index % KIND_COLOURS for index, kind in enumerate(kinds(examples))}
    script = _source("filter.js")
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report,
            results=report.results,
            headline=headline(report.results),
            examples=examples,
            colours=colours,
            levels=sorted({one.level for one in examples if one.level}),
            curves=_curves(report),
            scatters=_scatters(report.results.evaluation),
            rechecks=_rechecks(report.results.evaluation),
            losses=_losses(report.training),
            formula=FORMULA,
            style=Markup(_source("style.css")),  # noqa: S704 - a file of this package
            script=Markup(script),  # noqa: S704 - a file of this package
            # The page allows this one script by its digest, so that nothing a model wrote could ever run.
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _curves(report: ReportInput) -> list[Markup]:
    """Return curves of the traces that show most: with an exit first, the longest first."""
    searched = [trace.ended.trace for trace in report.traces if trace.ended.trace.boundaries]
    searched.sort(key=lambda trace: (trace.exit is None, -len(trace.boundaries)))
    return [charts.curve(trace, report.threshold) for trace in searched[: report.curves]]


def _scatters(evaluation: EvaluationResults | None) -> list[tuple[str, Markup]]:
    """Return one scatter of everything and the benchmarks, and one of each benchmark's levels."""
    if evaluation is None:
        return []
    groups: dict[str, list[Slice]] = {}
    for part in evaluation.slices:
        groups.setdefault(part.benchmark if part.level else "", []).append(part)
    if len(groups) == 2 and len(groups.get("", [])) == 1:
        # One benchmark: its levels belong beside the whole.
        return [("", charts.scatter(evaluation.slices[:MOST_SLICES]))]
    return [(name, charts.scatter(parts[:MOST_SLICES])) for name, parts in groups.items()]


def _rechecks(evaluation: EvaluationResults | None) -> Markup | None:
    if evaluation is None:
        return None
    rows = [charts.Row(charts.slice_name(part), part.base.rechecks, part.tuned.rechecks) for part in evaluation.slices]
    return charts.dumbbells(rows[:MOST_SLICES], "re-checks per answer")


def _losses(noted: Sequence[Mapping[str, float]]) -> list[tuple[str, Markup]]:
    """Return a chart of each figure that the trainer noted at least twice."""
    names = dict.fromkeys(name for row in noted for name in row if name not in {"step", "steps", "epoch"})
    return [(name, charts.steps(noted, name)) for name in names if sum(name in row for row in noted) > 1]


def _source(name: str) -> str:
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), name)[0]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dto_jobs.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        name: getattr(words, name)
        for name in ("bounds", "change", "count", "flops", "percent", "points", "seconds", "typeset")
    }
    # `count` is jinja's own word for a length.
    environment.filters |= {name if name != "count" else "number": made for name, made in filters.items()}
    environment.globals |= {"slice_name": charts.slice_name, "lengths": charts.lengths, "positions": charts.positions}
    return environment
