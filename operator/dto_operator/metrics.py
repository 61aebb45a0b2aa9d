"""The metrics of the operator: the one place that names them. `docs/operator-metrics.md` is generated from here (platform.md).

Two kinds of counters, so that neither jumps and `rate()` stays true:

- What a run has spent and found is read from the statuses of the runs that exist, a series per run. It outlives pods and
  restarts of the operator with the value it had, grows while the run is at work, and ends with the run.
- What happened (runs completed, attempts, cache hits, and the histograms) is counted by the operator when it has written the
  change to a status, once for each. After a restart those begin at 0, as Prometheus expects of a process.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from dto_jobs.metrics import FLOPS, GPU_SECONDS, TOKENS, Metric, Sample
from dto_jobs.pipeline import StageName
from dto_operator import names
from dto_operator.pod_failures import DISRUPTED
from dto_operator.status import Attempts, CacheUse, StageStatus, Status

OF_RUN = ("namespace", "run")
RUNS = Metric("dto_runs", "gauge", ("phase",), "Runs that exist, by phase.")
RUN_INFO = Metric(
    "dto_run_info",
    "gauge",
    (*OF_RUN, "phase", "stage", "reason"),
    "1: how a run stands; `stage` is the one at work or the last one, `reason` why it stands so, if anything is to be said.",
)
RUN_CHANGED = Metric(
    "dto_run_changed_timestamp_seconds",
    "gauge",
    OF_RUN,
    "When the run's status last changed: a stage, an attempt, its progress or its message.",
)
FAILED_ATTEMPTS = Metric(
    "dto_run_failed_attempts",
    "gauge",
    (*OF_RUN, "stage", "budget"),
    "Failed attempts of a stage that is not done, by the budget charged (`application`, `infrastructure`); absent for none.",
)
BUDGET = Metric(
    "dto_run_budget_gpu_seconds", "gauge", OF_RUN, "GPU time that the run may take: `spec.budget.gpuHours`, in seconds."
)
ARTIFACT = Metric("dto_artifact_bytes", "gauge", (*OF_RUN, "stage"), "Size of a stage's artifact.")
RUN_TOKENS = Metric(
    TOKENS.name, "counter", (*OF_RUN, *TOKENS.labels), "Tokens that the run's stages have spent, by kind."
)
RUN_FLOPS = Metric(FLOPS.name, "counter", (*OF_RUN, "stage"), "Floating-point operations of the run's stages.")
RUN_GPU_SECONDS = Metric(GPU_SECONDS.name, "counter", (*OF_RUN, "stage"), "GPU time of the run's stages.")
EVALUATED = (*OF_RUN, "benchmark", "variant")
ACCURACY = Metric(
    "dto_eval_accuracy_ratio", "gauge", EVALUATED, "Share of answers that are right; variant: `base`, `tuned`."
)
RESPONSE_TOKENS = Metric("dto_eval_response_tokens", "gauge", EVALUATED, "Mean tokens of an answer.")
RESPONSE_FLOPS = Metric("dto_eval_flops", "gauge", EVALUATED, "Mean floating-point operations of an answer.")
SAVED_FLOPS = Metric(
    "dto_saved_flops_per_answer",
    "gauge",
    OF_RUN,
    "Floating-point operations that an answer of the tuned model saves; below 0 where it takes more.",
)
BREAK_EVEN = Metric("dto_breakeven_answers", "gauge", OF_RUN, "Answers after which the run has paid for itself.")
GATE = Metric("dto_gate_passed", "gauge", OF_RUN, "1: the gate accepts the tuned model; 0: it does not.")
VERDICTS = Metric(
    "dto_judge_verdicts_total",
    "counter",
    (*OF_RUN, "outcome"),
    "Patterns judged, by verdict: `keep`, `drop`, or why there is none: `missing`, `unreadable`, `unknown_id`, "
    "`contradictory`, `too_long`.",
)

COMPLETED = Metric("dto_runs_completed_total", "counter", ("result",), "Runs that ended: `succeeded`, `failed`.")
DURATION = Metric(
    "dto_stage_duration_seconds", "histogram", ("stage", "result"), "From a stage's first start to its end."
)
QUEUED = Metric(
    "dto_stage_queue_seconds", "histogram", ("stage",), "From the run being ready for a stage to its first start."
)
HANDOFF = Metric(
    "dto_stage_handoff_seconds", "histogram", (), "From the last success of a pod being seen to the next Job."
)
ATTEMPTS = Metric(
    "dto_stage_attempts_total",
    "counter",
    ("stage", "cause"),
    "Stages begun (cause `first`) and attempts that failed, by the budget charged (`application`, `infrastructure`).",
)
FAILURES = Metric(
    "dto_stage_failures_total",
    "counter",
    ("stage", "reason"),
    "Attempts that failed, by what was found to be the reason; `Other` for reasons beyond the first 64.",
)
PODS_LOST = Metric(
    "dto_pods_lost_total",
    "counter",
    ("reason",),
    "Pods of runs that the machines took away, by Kubernetes' reason (`PreemptionByScheduler`, `EvictionByEvictionAPI` …), "
    "and `Other` for reasons of other controllers.",
)
CACHE = Metric(
    "dto_stage_cache_total",
    "counter",
    ("stage", "outcome"),
    "Stages looked up; outcome: `hit`, `miss`, `damaged`: a miss, since what is there is not what its receipt says.",
)

RECONCILED = Metric(
    "dto_operator_reconciles_total", "counter", ("outcome",), "Runs looked at: `done`, `failed`, `not_leading`."
)
RECONCILE_SECONDS = Metric(
    "dto_operator_reconcile_seconds", "histogram", (), "How long a look took, its requests included."
)
DEPTH = Metric("dto_operator_queue_depth", "gauge", (), "Runs that wait to be looked at.")
AGE = Metric("dto_operator_queue_age_seconds", "gauge", (), "How long the one has waited that waits longest.")
WATCH_AGE = Metric("dto_operator_watch_age_seconds", "gauge", ("watch",), "Since a watch was begun or renewed.")
WATCH_ALLOWED = Metric(
    "dto_operator_watch_allowed_seconds", "gauge", (), "A watch that was not renewed for longer is silent."
)
LAG = Metric("dto_operator_loop_lag_seconds", "gauge", (), "Since the loop that hears the watches last turned.")
REQUESTS = Metric(
    "dto_operator_api_requests_total", "counter", ("verb", "code"), "Requests to the API server; code 0: no answer."
)
LEADER = Metric("dto_operator_leader", "gauge", (), "1: this replica works; 0: it waits for the Lease.")
BUILD = Metric("dto_operator_build_info", "gauge", ("version",), "1: the version at work.")

OPERATOR_METRICS = (
    RUNS, RUN_INFO, RUN_CHANGED, COMPLETED, DURATION, QUEUED, HANDOFF, ATTEMPTS, FAILURES, FAILED_ATTEMPTS, PODS_LOST, CACHE,
    RUN_TOKENS, RUN_FLOPS, RUN_GPU_SECONDS, BUDGET, ARTIFACT, ACCURACY, RESPONSE_TOKENS, RESPONSE_FLOPS, SAVED_FLOPS,
    BREAK_EVEN, GATE, VERDICTS, RECONCILED, RECONCILE_SECONDS, DEPTH, AGE, WATCH_AGE, WATCH_ALLOWED, LAG, REQUESTS,
    LEADER, BUILD,
)  # fmt: skip
"""All that the operator shows."""

TOKEN_KINDS = {
    "promptComputed": "prompt_computed",
    "promptCached": "prompt_cached",
    "generated": "generated",
    "judgeTokens": "judge",
    "trained": "trained",
}
"""Kinds of tokens, by their name among a stage's figures."""
FLOPS_PARTS = ("denseFlops", "attentionFlops")
"""What FLOPs are made of, by their names among a stage's figures."""
OUTCOMES = frozenset({"keep", "drop", "missing", "unreadable", "unknown_id", "contradictory", "too_long"})
"""What may become of a pattern that a judge is asked about."""
PHASES = ("Pending", "Queued", "Running", "Suspended", "Succeeded", "Failed")
ENDED = frozenset({"Succeeded", "Failed"})
RESULTS = ("succeeded", "failed")
STEP_NAMES = (names.PREFLIGHT, *get_args(StageName), names.RESULTS, names.DISCARD)
STORE_REASONS = ("ArtifactDamaged", "BucketDenied", "StoreFailed")
"""Reasons that lie with the artifact store."""
MOST_REASONS = 64
LONG = (10, 30, 60, 300, 900, 1800, 3600, 7200, 14_400, 28_800, 57_600, 86_400, 259_200)
SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class OperatorMetrics:
    """Counts what happens. Any number of threads may tell."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._completed = self._counter(COMPLETED)
        self._attempts = self._counter(ATTEMPTS)
        self._failures = self._counter(FAILURES)
        self._lost = self._counter(PODS_LOST)
        self._cache = self._counter(CACHE)
        self._reconciled = self._counter(RECONCILED)
        self._duration = self._histogram(DURATION, LONG)
        self._queued = self._histogram(QUEUED, LONG)
        self._handoff = self._histogram(HANDOFF, SHORT)
        self._reconcile_seconds = self._histogram(RECONCILE_SECONDS, SHORT)
        self._reasons = set(STORE_REASONS)
        self._begin()

    def _begin(self) -> None:
        """Show every counter from 0 on: `increase()` does not see what a series had when it came to be."""
        for outcome in ("done", "failed", "not_leading"):
            self._reconciled.labels(outcome)
        for result in RESULTS:
            self._completed.labels(result)
        for reason in (*DISRUPTED, "Other"):
            self._lost.labels(reason)
        for stage in STEP_NAMES:
            self._queued.labels(stage)
            for result in RESULTS:
                self._duration.labels(stage, result)
            for cause in ("first", "application", "infrastructure"):
                self._attempts.labels(stage, cause)
            for found in ("hit", "miss", "damaged"):
                self._cache.labels(stage, found)
            for reason in STORE_REASONS:
                self._failures.labels(stage, reason)

    def reconciled(self, outcome: str, seconds: float) -> None:
        """Count a look at a run."""
        self._reconciled.labels(outcome).inc()
        self._reconcile_seconds.observe(seconds)

    def handed_off(self, seconds: float) -> None:
        """Count the step from one Job to the next."""
        self._handoff.observe(seconds)

    def pod_lost(self, reason: str) -> None:
        """Count a pod that the machines took away."""
        self._lost.labels(reason if reason in DISRUPTED else "Other").inc()

    def moved(self, before: Status, after: Status) -> None:
        """Count what changed from one written status of a run to the next."""
        if after.phase in ENDED and before.phase != after.phase:
            self._completed.labels(str(after.phase).lower()).inc()
        old = {stage.name: stage for stage in before.stages}
        ready: datetime | None = None
        for stage in after.stages:
            self._stage_moved(old.get(stage.name), stage, ready)
            ready = stage.completion_time or ready

    def _stage_moved(self, before: StageStatus | None, after: StageStatus, ready: datetime | None) -> None:
        self._count_attempts(before, after)
        if after.cache is not None and (before is None or before.cache is None):
            self._cache.labels(after.name, _cache_outcome(after.cache)).inc()
        began = after.start_time
        if began is not None and (before is None or before.start_time is None) and ready is not None:
            self._queued.labels(after.name).observe(max(0.0, (began - ready).total_seconds()))
        over = after.state in ENDED and (before is None or before.state != after.state)
        if over and began is not None and after.completion_time is not None:
            seconds = max(0.0, (after.completion_time - began).total_seconds())
            self._duration.labels(after.name, after.state.lower()).observe(seconds)

    def _count_attempts(self, before: StageStatus | None, after: StageStatus) -> None:
        old, new = before.attempts if before else Attempts(), after.attempts
        charged = {
            "first": int(old.total == 0 and new.total > 0),
            "application": new.counted - old.counted,
            "infrastructure": new.infrastructure - old.infrastructure,
        }
        for cause, amount in charged.items():
            # Budgets begin anew where a stage does.
            if amount > 0:
                self._attempts.labels(after.name, cause).inc(amount)
        if charged["application"] > 0 or charged["infrastructure"] > 0:
            self._failures.labels(after.name, self._bounded(after.reason or "Unknown")).inc()

    def _bounded(self, reason: str) -> str:
        """Return the reason, or `Other` where there are so many already that somebody must be making them up."""
        if len(self._reasons) < MOST_REASONS:
            self._reasons.add(reason)
        return reason if reason in self._reasons else "Other"

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def _histogram(self, metric: Metric, buckets: Iterable[float]) -> Histogram:
        return Histogram(metric.name, metric.meaning, metric.labels, buckets=tuple(buckets), registry=self.registry)


def _cache_outcome(use: CacheUse) -> str:
    if use.hit:
        return "hit"
    return "damaged" if use.damaged else "miss"


class Samples(Collector):
    """What is read when somebody asks: the runs that exist, and how the operator is."""

    def __init__(self, read: Callable[[], Iterator[Sample]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Family]:
        """Return the samples as the client library's families."""
        families: dict[str, Family] = {}
        for metric, labels, value in self._read():
            if metric.name not in families:
                shape = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
                families[metric.name] = shape(metric.name.removesuffix("_total"), metric.meaning, labels=metric.labels)
            families[metric.name].add_metric(labels, value)  # type: ignore[attr-defined]
        return families.values()

    def describe(self) -> Iterable[Family]:
        """Return nothing: names are not asked for before there are runs."""
        return ()
