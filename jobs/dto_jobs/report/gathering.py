"""What a report shows of a run, gathered from its artifacts without holding them whole."""

from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from dto_jobs.artifacts.artifact import Artifact
from dto_jobs.artifacts.attempts import latest
from dto_jobs.artifacts.store import Store
from dto_jobs.core.records import Answer, PrunedTrace
from dto_jobs.core.results import Results
from dto_jobs.report.page import Lengths, ReportInput
from dto_jobs.resource import DTORun

SAMPLES = 6
"""Traces shown of each sort: right or wrong, of one level, optimized or not."""
LIBRARIES = ("dto-operator", "torch", "transformers", "trl", "math-verify")


def gathered(store: Store, run: DTORun, settings: str, results: Results, python: str) -> ReportInput:
    """Return what the report of a run shows."""
    pruned, training = latest(store, run.name, "pruning"), latest(store, run.name, "training")
    receipt = training.receipt() if training else None
    return ReportInput(
        name=run.name,
        settings=settings,
        results=results,
        versions={"Python": python.removeprefix("Python "), **dict(_versions())},
        traces=_sample(pruned) if pruned else (),
        lengths=_lengths(latest(store, run.name, "baseline"), latest(store, run.name, "evaluation")),
        training=receipt.figures.get("log", ()) if receipt else (),
        notes=tuple(_notes(run)),
        threshold=run.spec.stages.exits.threshold,
    )


def _versions() -> Iterator[tuple[str, str]]:
    for library in LIBRARIES:
        try:
            yield library, version(library)
        except PackageNotFoundError:
            continue


def _sample(artifact: Artifact) -> list[PrunedTrace]:
    """Return the first few traces of every sort, so that each can be looked at."""
    kept: dict[tuple[bool, str, bool], list[PrunedTrace]] = defaultdict(list)
    for trace in artifact.records(PrunedTrace):
        response = trace.ended.trace.response
        sort = (response.correct, response.problem.level, trace.text is not None)
        if len(kept[sort]) < SAMPLES:
            kept[sort].append(trace)
    return [trace for sort in sorted(kept, reverse=True) for trace in kept[sort]]


def _lengths(base: Artifact | None, tuned: Artifact | None) -> tuple[Lengths, ...]:
    if base is None or tuned is None:
        return ()
    before, after = _tokens(base), _tokens(tuned)
    return tuple(Lengths(name=name, base=before[name], tuned=after[name]) for name in before)


def _tokens(artifact: Artifact) -> dict[str, list[int]]:
    tokens: dict[str, list[int]] = defaultdict(list)
    for answer in artifact.records(Answer):
        tokens["all"].append(answer.tokens)
        if name := answer.level or answer.benchmark:
            tokens[name].append(answer.tokens)
    return tokens


def _notes(run: DTORun) -> Iterator[str]:
    source = run.spec.model.source
    if source == "builtin:tiny-reasoner":
        yield (
            "This model is a toy built for demonstration. Its overthinking is planted in what it was trained on: needless re-checks, doubts "
            "and sign checks on every problem, and slips in its first pass that a careful re-check repairs. The figures show that the "
            "pipeline works and what it reports; they say nothing about a real model's savings."
        )
    if source == "builtin:smollm2-135m":
        yield (
            "The traces are another, larger model's. The 135M continuation model can copy an answer that a trace has reached, so exits show "
            "where the answer is on the page; it cannot finish the reasoning, so exits are later, and fewer, than the trace's own model would "
            "have them. Rescued traces and savings are those of this continuation, not of the model that wrote the traces."
        )
    if run.spec.engine.scripted is not None:
        yield "Nothing here was written by a model: the scripted engine answers by rule, to try the pipeline."
