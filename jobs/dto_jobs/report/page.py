"""The report: one HTML file that holds all it shows and fetches nothing."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dto_jobs.core.audits import CutAudit, JudgeAudit
from dto_jobs.core.cost import FORMULA
from dto_jobs.core.records import PrunedTrace, SearchedTrace
from dto_jobs.core.results import EvaluationResults, Results, Slice
from dto_jobs.report import charts, training, words
from dto_jobs.report.examples import Compared, answer_example, kinds, trace_example
from dto_jobs.report.headline import headline

KIND_COLOURS = 8


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
    answers: Sequence[Compared] = ()
    """A sample of answers to the evaluation's problems, by both models."""
    lengths: Sequence[Lengths] = ()
    training: Sequence[Mapping[str, float]] = ()
    """What the trainer noted, step by step: `step` and figures such as `loss`."""
    notes: Sequence[str] = ()
    """What a reader must know besides, such as what is planted in a made-up model."""
    judge_audit: JudgeAudit | None = None
    cut_audit: CutAudit | None = None
    threshold: float = 0.5
    """The share of right answers that made an exit."""
    curves: int = 9
    """At most so many curves are drawn."""


def render(report: ReportInput) -> str:
    """Return the page. All text of models and people is escaped."""
    examples = [trace_example(trace) for trace in report.traces]
    answers = [answer_example(compared) for compared in report.answers]
    colours = {kind: index % KIND_COLOURS for index, kind in enumerate(kinds([*examples, *answers]))}
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
            answers=answers,
            curves=_curves(report),
            names=_names(report.results.evaluation),
            groups=_groups(report.results.evaluation),
            pictures=training.pictures(report.training),
            figures=training.figures(report.results.training or {}),
            candidates=training.candidates(report.results.training or {}),
            formula=FORMULA,
            style=Markup(_source("style.css")),  # noqa: S704 - a file of this package
            script=Markup(script),  # noqa: S704 - a file of this package
            # The page allows this one script by its digest, so that nothing a model wrote could ever run.
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _curves(report: ReportInput) -> list[tuple[str, Markup]]:
    """Return curves, with their names, of the traces that show most: with an exit first, the longest first."""
    searched = [trace.ended.trace for trace in report.traces if trace.ended.trace.boundaries]
    searched.sort(key=lambda trace: (trace.exit is None, -len(trace.boundaries)))
    return [(_curve_name(trace), charts.curve(trace, report.threshold)) for trace in searched[: report.curves]]


def _curve_name(trace: SearchedTrace) -> str:
    right = "was right" if trace.response.correct else "was wrong"
    return " · ".join(filter(None, (trace.response.id, trace.response.problem.level, right)))


@dataclass(frozen=True)
class _Group:
    """Slices that belong into one picture."""

    name: str
    scatter: Markup
    rechecks: Markup


def _groups(evaluation: EvaluationResults | None) -> list[_Group]:
    """Return everything with the benchmarks, and each benchmark's levels; all in one where there is one benchmark."""
    if evaluation is None:
        return []
    groups: dict[str, list[Slice]] = {}
    several = len(_benchmarks(evaluation)) > 1
    for part in evaluation.slices:
        name = (part.benchmark if part.level else "all, and by benchmark") if several else ""
        groups.setdefault(name, []).append(part)
    return [_Group(name, charts.scatter(parts), _rechecks(parts)) for name, parts in groups.items()]


def _rechecks(slices: Sequence[Slice]) -> Markup:
    rows = [charts.Row(part.short, part.base.rechecks, part.tuned.rechecks) for part in slices]
    return charts.dumbbells(rows, "re-checks per answer")


def _benchmarks(evaluation: EvaluationResults) -> set[str]:
    return {part.benchmark for part in evaluation.slices if part.benchmark}


def _names(evaluation: EvaluationResults | None) -> list[str]:
    """Return each slice's name, with the benchmark before the level where there are several."""
    if evaluation is None:
        return []
    several = len(_benchmarks(evaluation)) > 1
    return [f"{part.benchmark} · {part.level}" if several and part.level else part.short for part in evaluation.slices]


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
        for name in ("bounds", "change", "count", "flops", "percent", "points", "rough", "seconds", "typeset")
    }
    # `count` is jinja's own word for a length.
    environment.filters |= {name if name != "count" else "number": made for name, made in filters.items()}
    environment.globals |= {"lengths": charts.lengths, "positions": charts.positions}
    return environment
