"""What the operator counts and shows."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from prometheus_client import generate_latest

from dto_jobs import stage_process
from dto_jobs.core.cost import Spend
from dto_jobs.core.interval import Interval
from dto_jobs.core.results import EvaluationResults, GateResults, ModelFigures, Results, Slice
from dto_operator.metrics import OPERATOR_METRICS, OperatorMetrics, RunSamples, Samples
from dto_operator.metrics_reference import page
from dto_operator.sightings import Sightings
from dto_operator.status import Attempts, CacheUse, StageStatus, Status

PAGE = Path(__file__).parents[2] / "docs" / "operator-metrics.md"
START = datetime(2026, 1, 2, tzinfo=UTC)


def later(seconds):
    return START + timedelta(seconds=seconds)


def shown(metrics):
    lines = generate_latest(metrics.registry).decode().splitlines()
    return {key: float(value) for key, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def row(name, state, total=0, counted=0, infrastructure=0, **more):
    attempts = Attempts(total=total, counted=counted, infrastructure=infrastructure)
    return StageStatus(name=name, state=state, attempts=attempts, **more)


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text() == page(), "run `make docs`"


def test_names_are_prometheus_own_style():
    for metric in OPERATOR_METRICS:
        assert re.fullmatch(r"dto_[a-z0-9_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.kind != "histogram" or metric.name.endswith("_seconds")
    assert len({metric.name for metric in OPERATOR_METRICS}) == len(OPERATOR_METRICS)


def test_a_run_that_ends_is_counted_once():
    metrics = OperatorMetrics()
    running, ended = Status(phase="Running"), Status(phase="Succeeded")
    metrics.moved(Status(), running)
    metrics.moved(running, ended)
    metrics.moved(ended, ended.model_copy(update={"observed_generation": 2}))
    assert shown(metrics)['dto_runs_completed_total{result="succeeded"}'] == 1


def test_counters_begin_at_0_before_anything_happened_so_that_increases_are_seen():
    found = shown(OperatorMetrics())
    for series in (
        'dto_runs_completed_total{result="failed"}',
        'dto_stage_attempts_total{cause="infrastructure",stage="training"}',
        'dto_stage_cache_total{outcome="hit",stage="rollout"}',
        'dto_stage_duration_seconds_count{result="succeeded",stage="results"}',
        'dto_stage_queue_seconds_count{stage="evaluation"}',
        'dto_operator_reconciles_total{outcome="failed"}',
    ):
        assert found[series] == 0


def test_a_stage_is_timed_from_being_ready_to_its_start_and_from_there_to_its_end():
    metrics = OperatorMetrics()
    first = row("preflight", "Succeeded", 1, start_time=START, completion_time=later(5))
    begun = row("rollout", "Running", 1, start_time=later(65))
    ended = row("rollout", "Succeeded", 1, start_time=later(65), completion_time=later(165))
    metrics.moved(Status(stages=(first,)), Status(stages=(first, begun)))
    metrics.moved(Status(stages=(first, begun)), Status(stages=(first, ended)))
    found = shown(metrics)
    assert found['dto_stage_queue_seconds_sum{stage="rollout"}'] == 60
    assert found['dto_stage_duration_seconds_sum{result="succeeded",stage="rollout"}'] == 100
    assert found['dto_stage_duration_seconds_count{result="succeeded",stage="rollout"}'] == 1


def test_attempts_are_counted_by_the_budget_they_are_charged_to():
    metrics = OperatorMetrics()
    rows = [
        row("exits", "Pending"),
        row("exits", "Running", 1),
        row("exits", "Pending", 1, 1),
        row("exits", "Running", 2, 1),
        row("exits", "Pending", 2, 1, 2),
    ]
    for before, after in pairwise(rows):
        metrics.moved(Status(stages=(before,)), Status(stages=(after,)))
    found = shown(metrics)
    causes = {
        cause: found[f'dto_stage_attempts_total{{cause="{cause}",stage="exits"}}']
        for cause in ("first", "application", "infrastructure")
    }
    assert causes == {"first": 1, "application": 1, "infrastructure": 2}


def test_cache_hits_and_misses_are_counted_when_they_are_known():
    metrics = OperatorMetrics()
    hit = row("rollout", "Succeeded", cache=CacheUse(key="k", hit=True))
    miss = row("exits", "Pending", cache=CacheUse(key="k", hit=False))
    metrics.moved(Status(), Status(stages=(hit, miss)))
    metrics.moved(Status(stages=(hit, miss)), Status(stages=(hit, miss)))
    found = shown(metrics)
    assert found['dto_stage_cache_total{outcome="hit",stage="rollout"}'] == 1
    assert found['dto_stage_cache_total{outcome="miss",stage="exits"}'] == 1


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


def held(uid, status):
    metadata = {"uid": uid, "name": f"run-{uid}", "namespace": "ns", "resourceVersion": "1"}
    return {"metadata": metadata, "status": status.model_dump(mode="json", by_alias=True, exclude_none=True)}


def test_series_of_a_run_come_from_its_status_and_end_with_it():
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
    results = Results(evaluation=EvaluationResults(slices=(whole,)), gate=GateResults(accepted=True, checks=()))
    # As a pod's last words tell it.
    spent = stage_process.figures(
        Spend(generated=7, prompt_computed=3, dense_flops=1e9, attention_flops=1e8, gpu_seconds=2)
    )
    status = Status(phase="Succeeded", stages=(row("exits", "Succeeded", 1, figures=spent),), results=results)
    sightings, metrics = Sightings(), OperatorMetrics()
    metrics.registry.register(Samples(RunSamples(sightings)))
    empty = set(shown(metrics))
    sightings.notice("DTORun", held("a", status))
    found = shown(metrics)
    assert found['dto_runs{phase="Succeeded"}'] == 1
    assert found['dto_tokens_total{kind="generated",namespace="ns",run="run-a",stage="exits"}'] == 7
    assert found['dto_flops_total{namespace="ns",run="run-a",stage="exits"}'] == 1.1e9
    assert found['dto_eval_accuracy_ratio{benchmark="all",namespace="ns",run="run-a",variant="tuned"}'] == 0.625
    assert found['dto_eval_response_tokens{benchmark="all",namespace="ns",run="run-a",variant="base"}'] == 100
    assert found['dto_gate_passed{namespace="ns",run="run-a"}'] == 1
    sightings.forget("DTORun", "a")
    assert set(shown(metrics)) == empty


def test_a_judge_s_verdicts_are_told_by_what_they_say_and_by_why_there_are_none():
    counts = {"verdicts": 10, "verdicts_drop": 4, "verdicts_missing": 2, "verdicts_remembered": 9, "checks": 7}
    sightings, metrics = Sightings(), OperatorMetrics()
    metrics.registry.register(Samples(RunSamples(sightings)))
    stages = (
        row("pruning", "Succeeded", 1, counts=counts),
        row("pairs", "Succeeded", 1, counts={"pairs_compressed": 3}),
    )
    sightings.notice("DTORun", held("a", Status(phase="Running", stages=stages)))
    found = {key: value for key, value in shown(metrics).items() if key.startswith("dto_judge")}
    assert found == {
        f'dto_judge_verdicts_total{{namespace="ns",outcome="{outcome}",run="run-a"}}': amount
        for outcome, amount in (("keep", 6), ("drop", 4), ("missing", 2))
    }


def test_five_thousand_runs_leave_no_series_behind():
    sightings, metrics = Sightings(), OperatorMetrics()
    metrics.registry.register(Samples(RunSamples(sightings)))
    status = Status(phase="Running", stages=(row("exits", "Running", 1, figures={"generated": 1.0}),))
    one = held("0", status)
    before = len(shown(metrics))
    for number in range(5000):
        uid = str(number)
        sightings.notice("DTORun", {**one, "metadata": {**one["metadata"], "uid": uid, "name": uid}})
    assert len(shown(metrics)) == before + 5000
    for number in range(5000):
        sightings.forget("DTORun", str(number))
    assert len(shown(metrics)) == before
