"""The dashboard for ML engineers: how runs go, stage by stage, and what is at work now."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.builders.table import Panel as Table

from dto_jobs.metrics import ENGINE_SECONDS, INPUTS, INPUTS_DONE, PARTS, TOKENS, TRAINING
from dto_operator.dashboards.frame import framed, with_row, with_runs
from dto_operator.dashboards.panels import Column, Panels, Query, bars, lines, number, rows
from dto_operator.dashboards.queries import (
    RATE,
    each_run,
    events,
    of_operator,
    of_pods,
    of_runs,
    pace,
    quantile,
    risen,
    sum_of,
    total,
)
from dto_operator.metrics import (
    ARTIFACT,
    ATTEMPTS,
    CACHE,
    COMPLETED,
    DURATION,
    FAILED_ATTEMPTS,
    FAILURES,
    OF_RUN,
    PODS_LOST,
    QUEUED,
    RUN_CHANGED,
    RUN_INFO,
    RUN_TOKENS,
    RUNS,
    VERDICTS,
)

POD = "{{pod}}"
AT_WORK, WAITING, NOT_FIRST = 'phase="Running"', 'phase=~"Pending|Queued"', 'cause!="first"'


def runs() -> Dashboard:
    """Return the dashboard."""
    purpose = "How runs go: phases, stages, queues, retries, cache, tokens, and what live pods are doing."
    made = with_runs(framed("runs", "Runs", purpose, 24))
    with_row(made, "Runs", _phases())
    with_row(made, "Run by run", [_standing()])
    with_row(made, "Stages of all runs, in the time shown", _stages())
    with_row(made, "Failures of all runs, in the time shown", _failures())
    with_row(made, "What the chosen runs have made", _tokens())
    with_row(made, "At work now", _pods())
    return with_row(made, "Training now", _training())


def _phases() -> Panels:
    now = f"sum by (phase) (max by (namespace, phase) ({of_operator(RUNS)}))"
    hits = risen(CACHE, matchers=('outcome="hit"',))
    return [
        number("Runs at work", "Runs in phase Running.",
               Query(f"sum(max by (namespace, phase) ({of_operator(RUNS, AT_WORK)}))", ""), "short"),
        number("Waiting", "Runs in phase Pending or Queued.",
               Query(f"sum(max by (namespace, phase) ({of_operator(RUNS, WAITING)}))", ""), "short"),
        number("Succeeded", "Runs that came to a good end in the time shown.",
               Query(events(COMPLETED, matchers=('result="succeeded"',)), ""), "short", 0),
        number("Failed", "Runs that failed for good in the time shown.",
               Query(events(COMPLETED, matchers=('result="failed"',)), ""), "short", 0),
        number("Found in the cache", "Share of stages whose artifact an earlier run had made, in the time shown.",
               Query(f"{hits} / {risen(CACHE)}", ""), "percentunit", 0),
        number("Failed attempts", "Attempts that failed in the time shown, whoever was charged.",
               Query(events(ATTEMPTS, matchers=(NOT_FIRST,)), ""), "short", 0),
        lines("Runs by phase", "Runs that exist, by phase.", [Query(now, "{{phase}}")], "short", stacked=True),
        lines("Runs ended", "Runs that came to an end since the operator's start, by result.",
              [Query(total(of_operator(COMPLETED), "result"), "{{result}}")], "short"),
        lines("Attempts", "Stages begun since the operator's start (`first`), and attempts that failed, by who was charged.",
              [Query(total(of_operator(ATTEMPTS), "cause"), "{{cause}}")], "short"),
    ]  # fmt: skip


def _standing() -> Table:
    stands = of_runs(RUN_INFO)
    columns = [
        Column(_beside(f"(time() - {of_runs(RUN_CHANGED)})", stands), "Last change", "s"),
        Column(_beside(each_run(of_runs(RUN_TOKENS)), stands), "Tokens", "short"),
        Column(_beside(each_run(of_runs(FAILED_ATTEMPTS)), stands), "Failed attempts", "short"),
    ]
    labels = {"namespace": "Namespace", "run": "Run", "phase": "Phase", "stage": "Stage", "reason": "Reason"}
    return rows("How runs stand", "The chosen runs: the stage at work or the last one, and why it stands so. Failed attempts "
                "are those of stages that have not begun anew since.", columns, labels)  # fmt: skip


def _beside(series: str, other: str) -> str:
    """Return a run's values with the labels of another of its series."""
    return f"{series} * on ({', '.join(OF_RUN)}) group_right () {other}"


def _stages() -> Panels:
    seconds = risen(sum_of(DURATION), "stage")
    columns = [
        Column(events(ATTEMPTS, "stage", matchers=('cause="first"',)), "Begun", "short"),
        Column(events(ATTEMPTS, "stage", matchers=(NOT_FIRST,)), "Failed attempts", "short"),
        Column(events(CACHE, "stage", matchers=('outcome="hit"',)), "From the cache", "short"),
        Column(quantile(0.5, QUEUED, "stage"), "Queue: median", "s"),
        Column(quantile(0.95, QUEUED, "stage"), "Queue: 95 %", "s"),
        Column(quantile(0.5, DURATION, "stage"), "Duration: median", "s"),
        Column(quantile(0.95, DURATION, "stage"), "Duration: 95 %", "s"),
    ]
    return [
        bars("Time at work", "From a stage's first start to its end, added up over the runs.",
             [Query(f"sort_desc({seconds} > 0)", "{{stage}}")], "s").span(12),
        bars("Cache", "Stages looked up when a run's plan was settled: a hit needs no Job.",
             [Query(f"sort_desc({events(CACHE, 'stage', 'outcome')} > 0)", "{{stage}} · {{outcome}}")],
             "short").span(12),
        rows("Stages", "Stages of all runs. Durations are read from buckets, so they are rough.", columns,
             {"stage": "Stage"}),
    ]  # fmt: skip


def _failures() -> Panels:
    return [
        bars("Failed attempts by cause", "`application`: the stage's own failure. `infrastructure`: lost pods and nodes, "
             "which are not the stage's fault.",
             [Query(f"sort_desc({events(ATTEMPTS, 'stage', 'cause', matchers=(NOT_FIRST,))} > 0)",
                    "{{stage}} · {{cause}}")], "short"),
        bars("Failed attempts by reason", "What was found to be the reason, as the run's status names it; since the "
             "operator's start, for a reason has no number before it is first met.",
             [Query(f"sort_desc({total(of_operator(FAILURES), 'reason')} > 0)", "{{reason}}")], "short"),
        bars("Pods lost", "Pods that the machines took away, by Kubernetes' reason; they go on from what was committed.",
             [Query(f"sort_desc({events(PODS_LOST, 'reason')})", "{{reason}}")], "short"),
    ]  # fmt: skip


def _tokens() -> Panels:
    return [
        bars("Tokens by stage", "All tokens of the chosen runs, by stage.",
             [Query(f"sort_desc({total(of_runs(RUN_TOKENS), 'stage')} > 0)", "{{stage}}")], "short"),
        bars("Tokens by kind", "`prompt_cached` are those that were not computed again; `judge` are the judge's.",
             [Query(f"sort_desc({total(of_runs(RUN_TOKENS), 'kind')} > 0)", "{{kind}}")], "short"),
        lines("Tokens so far", "All tokens of the chosen runs, by stage, as they grew.",
              [Query(total(of_runs(RUN_TOKENS), "stage"), "{{stage}}")], "short", stacked=True),
        bars("Judge's verdicts", "Patterns that the pruning's judge was asked about: to `keep` or `drop`, or why it gave "
             "no verdict. Empty where no run has a judge.",
             [Query(f"sort_desc({total(of_runs(VERDICTS), 'outcome')} > 0)", "{{outcome}}")], "short").span(12),
        bars("Artifacts", "What the chosen runs' stages have left in the store.",
             [Query(f"sort_desc({total(of_runs(ARTIFACT), 'stage')})", "{{stage}}")], "decbytes").span(12),
    ]  # fmt: skip


def _pods() -> Panels:
    done, inputs = (f"sum by (pod) ({of_pods(metric)})" for metric in (INPUTS_DONE, INPUTS))
    moving = f"clamp_min(sum by (stage) (deriv({of_pods(INPUTS_DONE)}[{RATE}])), 0)"
    return [
        bars("Progress", "Share of a pod's inputs that are done, those of earlier attempts included.",
             [Query(f"sort_desc({done} / {inputs})", POD)], "percentunit", most=1),
        lines("Inputs a second", "Inputs that live pods finish, by stage.", [Query(moving, "{{stage}}")], "short"),
        lines("Tokens a second", "Tokens of live pods, by stage and kind.",
              [Query(f"{pace(of_pods(TOKENS), 'stage', 'kind')} > 0", "{{stage}} · {{kind}}")], "short"),
        lines("Engine busy", "Share of its time that a pod spends in its engine or trainer; the rest it reads and writes.",
              [Query(pace(of_pods(ENGINE_SECONDS), "pod"), POD)], "percentunit").span(12),
        lines("Parts committed", "Parts that live pods have committed: where they would go on after a loss.",
              [Query(total(of_pods(PARTS), "pod"), POD)], "short").span(12),
    ]  # fmt: skip


def _training() -> Panels:
    share = f"{of_pods(TRAINING['step'])} / {of_pods(TRAINING['steps'])}"
    return [
        lines("Loss", TRAINING["loss"].meaning, [Query(of_pods(TRAINING["loss"]), POD)], "short"),
        lines("Margin", TRAINING["margin"].meaning, [Query(of_pods(TRAINING["margin"]), POD)], "short"),
        lines("Pairs told apart", TRAINING["rewardAccuracy"].meaning,
              [Query(of_pods(TRAINING["rewardAccuracy"]), POD)], "percentunit"),
        lines("Steps done", "Share of the training's optimizer steps that are done.", [Query(share, POD)], "percentunit"),
        lines("Gradient", TRAINING["gradientNorm"].meaning, [Query(of_pods(TRAINING["gradientNorm"]), POD)], "short"),
        lines("Learning rate", TRAINING["learningRate"].meaning,
              [Query(of_pods(TRAINING["learningRate"]), POD)], "sci"),
    ]  # fmt: skip
