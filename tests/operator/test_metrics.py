"""What the operator counts and shows."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from prometheus_client import generate_latest

from dto_operator.metrics import MOST_REASONS, OPERATOR_METRICS, OperatorMetrics
from dto_operator.metrics_reference import page
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
        'dto_stage_failures_total{reason="BucketDenied",stage="preflight"}',
        'dto_pods_lost_total{reason="PreemptionByScheduler"}',
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


def failed_attempts(metrics, stage, reasons):
    before = row(stage, "Running", 1)
    for number, reason in enumerate(reasons, 1):
        after = row(stage, "Pending", number, number, reason=reason)
        metrics.moved(Status(stages=(before,)), Status(stages=(after,)))
        before = row(stage, "Running", number + 1, number)
        metrics.moved(Status(stages=(after,)), Status(stages=(before,)))


def test_failures_are_counted_by_what_was_found_to_be_the_reason():
    metrics = OperatorMetrics()
    failed_attempts(metrics, "exits", ["OOMKilled", "StoreFailed", "OOMKilled"])
    found = shown(metrics)
    assert found['dto_stage_failures_total{reason="OOMKilled",stage="exits"}'] == 2
    assert found['dto_stage_failures_total{reason="StoreFailed",stage="exits"}'] == 1
    assert found['dto_stage_failures_total{reason="StoreFailed",stage="training"}'] == 0


def test_pods_lost_are_counted_by_kubernetes_own_reasons():
    metrics = OperatorMetrics()
    for reason in ("PreemptionByScheduler", "PreemptionByScheduler", "SomebodyElse", "Another"):
        metrics.pod_lost(reason)
    found = shown(metrics)
    assert found['dto_pods_lost_total{reason="PreemptionByScheduler"}'] == 2
    assert found['dto_pods_lost_total{reason="Other"}'] == 2


def test_made_up_reasons_make_no_series_without_end():
    metrics = OperatorMetrics()
    failed_attempts(metrics, "exits", [f"Made{number}" for number in range(500)])
    found = {key: value for key, value in shown(metrics).items() if key.startswith("dto_stage_failures_total")}
    assert sum(found.values()) == 500
    assert sum(value > 0 for value in found.values()) <= MOST_REASONS
    assert found['dto_stage_failures_total{reason="Other",stage="exits"}'] > 400


def test_cache_hits_and_misses_are_counted_when_they_are_known():
    metrics = OperatorMetrics()
    hit = row("rollout", "Succeeded", cache=CacheUse(key="k", hit=True))
    miss = row("exits", "Pending", cache=CacheUse(key="k", hit=False))
    broken = row("endings", "Pending", cache=CacheUse(key="k", hit=False, damaged=True))
    known = Status(stages=(hit, miss, broken))
    metrics.moved(Status(), known)
    metrics.moved(known, known)
    found = shown(metrics)
    assert found['dto_stage_cache_total{outcome="hit",stage="rollout"}'] == 1
    assert found['dto_stage_cache_total{outcome="miss",stage="exits"}'] == 1
    assert found['dto_stage_cache_total{outcome="damaged",stage="endings"}'] == 1
    assert found['dto_stage_cache_total{outcome="miss",stage="endings"}'] == 0
