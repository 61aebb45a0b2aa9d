"""A run's series come from its status: as many as it has stages and benchmarks, as long as it is there."""

from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, generate_latest

from dto_jobs import stage_process
from dto_jobs.core.cost import Spend
from dto_jobs.core.interval import Interval
from dto_jobs.core.results import (
    CostResults,
    EvaluationResults,
    GateResults,
    ModelFigures,
    Results,
    Slice,
    StageCost,
)
from dto_operator.metrics import OperatorMetrics, Samples
from dto_operator.run_samples import RunSamples
from dto_operator.sightings import Sightings
from dto_operator.status import ArtifactReference, Attempts, Condition, StageStatus, Status

START = datetime(2026, 1, 2, tzinfo=UTC)
MADE = "2026-01-02T00:00:00Z"
COST = StageCost(
    flops=1e9, attention_flops=0, prompt_computed=3, prompt_cached=0, generated=7, trained=0, judge_tokens=0, seconds=1
)


def watched(leading=lambda: True):
    sightings, registry = Sightings(), CollectorRegistry()
    registry.register(Samples(RunSamples(sightings, leading)))
    return sightings, registry


def shown(registry):
    lines = generate_latest(registry).decode().splitlines()
    return {key: float(value) for key, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def series(registry, name):
    """Return the values of one metric, by their labels."""
    found = (key.removesuffix("}").partition("{") for key in shown(registry))
    values = shown(registry).values()
    return {labels: value for (held, _, labels), value in zip(found, values, strict=True) if held == name}


def row(name, state, attempts=Attempts(), **more):  # noqa: B008 - it is frozen
    return StageStatus(name=name, state=state, attempts=attempts, **more)


def figures(accuracy, tokens):
    return ModelFigures(
        samples=8,
        accuracy=Interval(value=accuracy, n=4),
        tokens=Interval(value=tokens, n=4),
        flops=tokens * 10,
        attention_flops=1,
        truncated=0,
        rechecks=0,
    )


def held(uid, status, version=1):
    metadata = {
        "uid": uid,
        "name": f"run-{uid}",
        "namespace": "ns",
        "resourceVersion": str(version),
        "creationTimestamp": MADE,
    }
    return {
        "metadata": metadata,
        "spec": {},
        "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def finished():
    whole = Slice(
        benchmark="",
        level="",
        problems=4,
        base=figures(0.5, 100),
        tuned=figures(0.625, 60),
        accuracy_difference=Interval(value=0.125, n=4),
        token_change=Interval(value=-0.4, n=4),
        flops_change=-0.4,
        attention_change=-0.5,
    )
    results = Results(
        evaluation=EvaluationResults(slices=(whole,)),
        gate=GateResults(accepted=True, checks=()),
        cost=CostResults(stages={}, total=COST, saved_flops_per_answer=400, break_even_answers=2.5e6),
    )
    # As a pod's last words tell it.
    spent = stage_process.figures(
        Spend(generated=7, prompt_computed=3, dense_flops=1e9, attention_flops=1e8, gpu_seconds=2)
    )
    artifact = ArtifactReference(uri="s3://dto/runs/a/exits", sha256="0" * 64, bytes=4096)
    stage = row("exits", "Succeeded", Attempts(total=3, counted=1, infrastructure=1), figures=spent, artifact=artifact)
    return Status(phase="Succeeded", stage="exits", stages=(stage,), results=results)


def test_series_of_a_run_come_from_its_status_and_end_with_it():
    sightings, registry = watched()
    empty = set(shown(registry))
    sightings.notice("DTORun", {**held("a", finished()), "spec": {"budget": {"gpuHours": 0.5}}})
    found = shown(registry)
    assert found['dto_runs{phase="Succeeded"}'] == 1
    assert found['dto_tokens_total{kind="generated",namespace="ns",run="run-a",stage="exits"}'] == 7
    assert found['dto_flops_total{namespace="ns",run="run-a",stage="exits"}'] == 1.1e9
    assert found['dto_eval_accuracy_ratio{benchmark="all",namespace="ns",run="run-a",variant="tuned"}'] == 0.625
    assert found['dto_eval_response_tokens{benchmark="all",namespace="ns",run="run-a",variant="base"}'] == 100
    assert found['dto_gate_passed{namespace="ns",run="run-a"}'] == 1
    assert found['dto_breakeven_answers{namespace="ns",run="run-a"}'] == 2.5e6
    assert found['dto_saved_flops_per_answer{namespace="ns",run="run-a"}'] == 400
    assert found['dto_artifact_bytes{namespace="ns",run="run-a",stage="exits"}'] == 4096
    assert found['dto_run_budget_gpu_seconds{namespace="ns",run="run-a"}'] == 1800
    sightings.forget("DTORun", "a")
    assert set(shown(registry)) == empty


def test_how_a_run_stands_is_one_series_that_moves_with_it():
    sightings, registry = watched()
    waiting = Status(phase="Running", stage="exits", stages=(row("exits", "Running", reason="UnschedulableGPU"),))
    sightings.notice("DTORun", held("a", waiting))
    named = 'namespace="ns",phase="{}",reason="{}",run="run-a",stage="{}"'.format
    assert series(registry, "dto_run_info") == {named("Running", "UnschedulableGPU", "exits"): 1}
    sightings.notice("DTORun", held("a", finished(), version=2))
    assert series(registry, "dto_run_info") == {named("Succeeded", "", "exits"): 1}


def test_failed_attempts_are_shown_until_the_stage_is_done():
    sightings, registry = watched()
    tries = Attempts(total=4, counted=2, infrastructure=1)
    for version, state in enumerate(("Pending", "Running", "Failed", "Succeeded"), 1):
        stages = (row("exits", state, tries), row("endings", "Pending"))
        sightings.notice("DTORun", held("a", Status(phase="Running", stages=stages), version))
        named = 'budget="{}",namespace="ns",run="run-a",stage="exits"'.format
        amounts = {named("application"): 2, named("infrastructure"): 1}
        assert series(registry, "dto_run_failed_attempts") == ({} if state == "Succeeded" else amounts)


def test_a_run_of_another_controller_is_left_to_it():
    sightings, registry = watched()
    sightings.notice("DTORun", {**held("a", Status()), "spec": {"managedBy": "kueue.x-k8s.io/multikueue"}})
    assert series(registry, "dto_run_info") == {}
    assert series(registry, "dto_runs")['phase="Pending"'] == 1


def test_a_run_that_was_refused_says_why():
    sightings, registry = watched()
    why = Condition(type="Accepted", status="False", last_transition_time=START, reason="Invalid", message="spec.model")
    sightings.notice("DTORun", held("a", Status(phase="Failed", conditions=(why,))))
    assert 'reason="Invalid"' in next(iter(series(registry, "dto_run_info")))


def test_when_a_status_changed_is_what_the_api_server_noted():
    sightings, registry = watched()
    run = held("a", Status(phase="Running"))
    sightings.notice("DTORun", run)
    assert list(series(registry, "dto_run_changed_timestamp_seconds").values()) == [START.timestamp()]
    noted = [
        {"manager": "kubectl", "time": "2026-01-09T00:00:00Z", "fieldsV1": {"f:spec": {}}},
        {"manager": "kubectl-edit", "subresource": "status", "time": "2026-01-09T00:00:00Z"},
        {"manager": "dto-operator", "subresource": "status", "time": "2026-01-02T01:00:00Z"},
    ]
    sightings.notice("DTORun", {**run, "metadata": {**run["metadata"], "resourceVersion": "2", "managedFields": noted}})
    assert list(series(registry, "dto_run_changed_timestamp_seconds").values()) == [START.timestamp() + 3600]


def test_a_judge_s_verdicts_are_told_by_what_they_say_and_by_why_there_are_none():
    counts = {"verdicts": 10, "verdicts_drop": 4, "verdicts_missing": 2, "verdicts_remembered": 9, "checks": 7}
    sightings, registry = watched()
    stages = (
        row("pruning", "Succeeded", counts=counts),
        row("pairs", "Succeeded", counts={"pairs_compressed": 3}),
    )
    sightings.notice("DTORun", held("a", Status(phase="Running", stages=stages)))
    found = {key: value for key, value in shown(registry).items() if key.startswith("dto_judge")}
    assert found == {
        f'dto_judge_verdicts_total{{namespace="ns",outcome="{outcome}",run="run-a"}}': amount
        for outcome, amount in (("keep", 6), ("drop", 4), ("missing", 2))
    }


def test_a_replica_that_does_not_lead_shows_no_runs():
    leads = True
    sightings, registry = watched(lambda: leads)
    sightings.notice("DTORun", held("a", finished()))
    assert len(series(registry, "dto_runs")) == 6
    leads = False
    assert shown(registry) == {}


def told(metrics, sightings, number):
    """Have the operator see a run at work and at its end."""
    whole = finished()
    working = whole.model_copy(update={"phase": "Running", "results": None})
    before = Status()
    for version, status in enumerate((working, whole), 1):
        run = held(str(number), status, version)
        sightings.notice("DTORun", {**run, "metadata": {**run["metadata"], "namespace": f"team-{number % 50}"}})
        metrics.moved(before, status)
        before = status
    metrics.pod_lost("PreemptionByScheduler")


def test_five_thousand_runs_come_and_go_and_leave_no_series_behind():
    sightings, metrics = Sightings(), OperatorMetrics()
    metrics.registry.register(Samples(RunSamples(sightings)))
    told(metrics, sightings, 0)
    one = len(shown(metrics.registry))
    sightings.forget("DTORun", "0")
    before = set(shown(metrics.registry))
    for number in range(1, 5001):
        told(metrics, sightings, number)
    # As many for each run, and what was while it was at work is gone.
    assert len(shown(metrics.registry)) == len(before) + 5000 * (one - len(before))
    for number in range(1, 5001):
        sightings.forget("DTORun", str(number))
    assert set(shown(metrics.registry)) == before
