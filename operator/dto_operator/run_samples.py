"""What the statuses of all runs say, as samples: a run's series are there as long as the run is."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from dto_jobs.core.results import ModelFigures, Results
from dto_jobs.metrics import Sample
from dto_operator import names
from dto_operator.metrics import (
    ACCURACY,
    ARTIFACT,
    BREAK_EVEN,
    BUDGET,
    FAILED_ATTEMPTS,
    FLOPS_PARTS,
    GATE,
    OUTCOMES,
    PHASES,
    RESPONSE_FLOPS,
    RESPONSE_TOKENS,
    RUN_CHANGED,
    RUN_FLOPS,
    RUN_GPU_SECONDS,
    RUN_INFO,
    RUN_TOKENS,
    RUNS,
    SAVED_FLOPS,
    TOKEN_KINDS,
    VERDICTS,
)
from dto_operator.sightings import Sightings
from dto_operator.status import StageStatus, Status
from dto_operator.stored_run import group, identity, items, moment, status_of


class RunSamples:
    """What the statuses of all runs say; each is read once for each of its versions."""

    def __init__(self, sightings: Sightings, leading: Callable[[], bool] = lambda: True) -> None:
        self._sightings, self._leading = sightings, leading
        self._read: dict[tuple[str, str], tuple[str, tuple[Sample, ...]]] = {}

    def __call__(self) -> Iterator[Sample]:
        """Yield the samples; none where another replica leads, which would make every sum over runs double."""
        if not self._leading():
            return
        phases = dict.fromkeys(PHASES, 0)
        # What is not there any more is dropped with the old table.
        known, self._read = self._read, {}
        for held in self._sightings.runs():
            metadata = held["metadata"]
            version = (metadata["uid"], metadata["resourceVersion"])
            self._read[version] = phase, samples = known.get(version) or _read(held)
            phases[phase] += 1
            yield from samples
        for phase, amount in phases.items():
            yield RUNS, (phase,), amount


def _read(held: dict[str, Any]) -> tuple[str, tuple[Sample, ...]]:
    status = status_of(held)
    return status.phase or "Pending", tuple(_samples_of(held, status))


def _samples_of(held: dict[str, Any], status: Status) -> Iterator[Sample]:
    run = (str(held["metadata"]["namespace"]), str(held["metadata"]["name"]))
    if identity(held).managed_by:
        # Another controller's: what its status says is not ours to judge.
        return
    yield RUN_INFO, (*run, status.phase or "Pending", status.stage or "", _reason(status)), 1
    yield RUN_CHANGED, run, _changed(held).timestamp()
    hours = group(held, "spec", "budget").get("gpuHours")
    if isinstance(hours, int | float):
        yield BUDGET, run, hours * 3600
    for stage in status.stages:
        yield from _spent(run, stage)
        yield from _judged(run, stage)
        yield from _failed(run, stage)
        if stage.artifact is not None:
            yield ARTIFACT, (*run, stage.name), stage.artifact.bytes
    if status.results is not None:
        yield from _found(run, status.results)


def _reason(status: Status) -> str:
    """Return why the stage that stands for the run stands as it does; what was refused has no stage."""
    stage = next((stage for stage in status.stages if stage.name == status.stage), None)
    if stage is not None:
        return stage.reason or ""
    refused = next((one for one in status.conditions if one.type == "Accepted" and one.status == "False"), None)
    return refused.reason if refused else ""


def _changed(held: Mapping[str, Any]) -> datetime:
    """Return when the operator last changed something in the status, as the API server noted; else when the run was made."""
    for entry in items(group(held, "metadata"), "managedFields"):
        at = moment(entry.get("time"))
        if entry.get("manager") == names.OPERATOR and entry.get("subresource") == "status" and at is not None:
            return at
    return identity(held).created


def _failed(run: tuple[str, str], stage: StageStatus) -> Iterator[Sample]:
    spent = {"application": stage.attempts.counted, "infrastructure": stage.attempts.infrastructure}
    for budget, amount in spent.items():
        if amount and stage.state != "Succeeded":
            yield FAILED_ATTEMPTS, (*run, stage.name, budget), amount


def _spent(run: tuple[str, str], stage: StageStatus) -> Iterator[Sample]:
    for figure, kind in TOKEN_KINDS.items():
        if figure in stage.figures:
            yield RUN_TOKENS, (*run, stage.name, kind), stage.figures[figure]
    for metric, parts in ((RUN_FLOPS, FLOPS_PARTS), (RUN_GPU_SECONDS, ("gpuSeconds",))):
        # A pod's last words leave out what is nothing.
        told = [stage.figures[part] for part in parts if part in stage.figures]
        if told:
            yield metric, (*run, stage.name), sum(told)


def _judged(run: tuple[str, str], stage: StageStatus) -> Iterator[Sample]:
    """Yield the verdicts that a judge gave, and by cause those that it did not; see `stages/pruning.py`."""
    said = {name.removeprefix("verdicts_"): amount for name, amount in stage.counts.items() if "verdicts" in name}
    if "verdicts" in said:
        said["keep"] = said.pop("verdicts") - said.get("drop", 0)
    for outcome in OUTCOMES & said.keys():
        yield VERDICTS, (*run, outcome), said[outcome]


def _found(run: tuple[str, str], results: Results) -> Iterator[Sample]:
    for part in results.evaluation.slices if results.evaluation else ():
        # Levels would be many series, and are in the report.
        if not part.level:
            name = part.short.replace(" ", "_")
            yield from _evaluated(run, name, "base", part.base)
            yield from _evaluated(run, name, "tuned", part.tuned)
    if results.cost is not None and results.cost.saved_flops_per_answer is not None:
        yield SAVED_FLOPS, run, results.cost.saved_flops_per_answer
    if results.cost is not None and results.cost.break_even_answers is not None:
        yield BREAK_EVEN, run, results.cost.break_even_answers
    if results.gate is not None:
        yield GATE, run, float(results.gate.accepted)


def _evaluated(run: tuple[str, str], benchmark: str, variant: str, found: ModelFigures) -> Iterator[Sample]:
    labels = (*run, benchmark, variant)
    yield ACCURACY, labels, found.accuracy.value
    yield RESPONSE_TOKENS, labels, found.tokens.value
    yield RESPONSE_FLOPS, labels, found.flops
