"""What a report shows of a run, gathered from its artifacts without holding them whole."""

import json
from collections import defaultdict
from collections.abc import Container, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

from dto_jobs.artifacts.artifact import Artifact
from dto_jobs.artifacts.attempts import latest
from dto_jobs.artifacts.store import Store
from dto_jobs.core.audits import CutAudit, JudgeAudit
from dto_jobs.core.records import Answer, Problem, PrunedTrace
from dto_jobs.core.results import Results
from dto_jobs.pipeline import BENCHMARKS
from dto_jobs.report.examples import Compared
from dto_jobs.report.page import Lengths, ReportInput
from dto_jobs.resource import DTORun

Some = TypeVar("Some", JudgeAudit, CutAudit)

SAMPLES = 6
"""Traces shown of each sort: right or wrong, of one level, optimized or not."""
ANSWERS = 6
"""Problems of each benchmark and level whose answers are shown."""
LIBRARIES = ("dto-operator", "torch", "transformers", "trl", "math-verify")


def gathered(store: Store, run: DTORun, settings: str, results: Results, python: str) -> ReportInput:
    """Return what the report of a run shows."""
    pruned, training = latest(store, run.name, "pruning"), latest(store, run.name, "training")
    base, tuned = latest(store, run.name, "baseline"), latest(store, run.name, "evaluation")
    receipt = training.receipt() if training else None
    return ReportInput(
        name=run.name,
        settings=settings,
        results=results,
        versions={"Python": python.removeprefix("Python "), **dict(_versions())},
        traces=_sample(pruned) if pruned else (),
        answers=_answers(store, run.name, base, tuned) if base and tuned else (),
        lengths=_lengths(base, tuned) if base and tuned else (),
        training=receipt.figures.get("log", ()) if receipt else (),
        notes=tuple(_notes(run)),
        judge_audit=_audit(store, run.name, "judges", JudgeAudit),
        cut_audit=_audit(store, run.name, "cuts", CutAudit),
        threshold=run.spec.stages.exits.threshold,
    )


def _audit(store: Store, run: str, kind: str, shape: type[Some]) -> Some | None:
    """Return what an audit found, where the run was audited."""
    name = f"runs/{run}/audits/{kind}.json"
    return shape.model_validate_json(b"".join(store.read(name))) if store.exists(name) else None


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


def _answers(store: Store, run: str, base: Artifact, tuned: Artifact) -> tuple[Compared, ...]:
    """Return the first answers of both models to a few problems of every benchmark and level."""
    asked = _asked(store, run)
    before, after = _first_answers(base, asked), _first_answers(tuned, asked)
    return tuple(
        Compared(problem, before[name], after[name])
        for name, problem in asked.items()
        if name in before and name in after
    )


def _asked(store: Store, run: str) -> dict[tuple[str, str], Problem]:
    note = f"runs/{run}/run.json"
    key = json.loads(b"".join(store.read(note)))["sources"].get(BENCHMARKS) if store.exists(note) else None
    if key is None:
        return {}
    kept: dict[tuple[str, str], list[Problem]] = defaultdict(list)
    for problem in Artifact(store, f"sources/{key}").records(Problem):
        slice_ = kept[problem.benchmark, problem.level]
        if len(slice_) < ANSWERS:
            slice_.append(problem)
    return {(problem.benchmark, problem.id): problem for slice_ in kept.values() for problem in slice_}


def _first_answers(artifact: Artifact, asked: Container[tuple[str, str]]) -> dict[tuple[str, str], Answer]:
    answers = (
        (answer.benchmark, answer.problem_id, answer) for answer in artifact.records(Answer) if answer.sample == 0
    )
    return {(benchmark, problem): answer for benchmark, problem, answer in answers if (benchmark, problem) in asked}


def _lengths(base: Artifact, tuned: Artifact) -> tuple[Lengths, ...]:
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
            "This model is a toy built for demonstration. Its overthinking is planted in what it was trained on: needless "
            "re-checks, doubts and sign checks on every problem, and slips in its first pass that a careful re-check "
            "repairs. The figures show that the pipeline works and what it reports; they say nothing about a real "
            "model's savings."
        )
    if source == "builtin:smollm2-135m":
        yield (
            "The traces are another, larger model's. The 135M continuation model can copy an answer that a trace has "
            "reached, so exits show where the answer is on the page; it cannot finish the reasoning, so exits are later, "
            "and fewer, than the trace's own model would have them. Rescued traces and savings are those of this "
            "continuation, not of the model that wrote the traces."
        )
    if run.spec.engine.scripted is not None:
        yield "Nothing here was written by a model: the scripted engine answers by rule, to try the pipeline."
