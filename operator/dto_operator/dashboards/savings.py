"""The dashboard for whoever pays: what an answer takes before and after, what that cost, and when it has paid off."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.builders.table import Panel as Table

from dto_operator.dashboards.frame import framed, with_answers, with_row, with_runs
from dto_operator.dashboards.panels import Column, Panels, Query, bars, lines, number, rows
from dto_operator.dashboards.queries import ANSWERS_A_DAY, each_run, fall, of_model, of_runs, total
from dto_operator.metrics import (
    ACCURACY,
    BREAK_EVEN,
    BUDGET,
    GATE,
    OF_RUN,
    RESPONSE_FLOPS,
    RESPONSE_TOKENS,
    RUN_FLOPS,
    RUN_GPU_SECONDS,
    RUN_TOKENS,
    SAVED_FLOPS,
)

HOUR = 3600
SLICE = "{{run}} · {{benchmark}} · {{variant}}"
RUN = {"namespace": "Namespace", "run": "Run"}


def savings() -> Dashboard:
    """Return the dashboard."""
    purpose = "What the tuned models save, what finding out has cost, and when it has paid off."
    made = with_answers(with_runs(framed("savings", "Savings", purpose, 24 * 7)), 10_000)
    with_row(made, "What an answer saves, over the chosen runs", _headline())
    with_row(made, "Base against tuned, by benchmark", _benchmarks())
    with_row(made, "Run by run", [_runs()])
    return with_row(made, "What the runs have cost", _cost())


def _headline() -> Panels:
    better = " - ".join(f"avg({of_runs(ACCURACY, *of_model(variant))})" for variant in ("tuned", "base"))
    even = f"max({of_runs(BREAK_EVEN)})"
    return [
        number("Tokens saved", "Share of an answer's tokens that the tuned models save.", _one(fall(RESPONSE_TOKENS)),
               "percentunit", 1),
        number("FLOPs saved", "Share of an answer's floating-point operations that they save: more than of its tokens, "
               "since attention grows with the square of the length.", _one(fall(RESPONSE_FLOPS)), "percentunit", 1),
        number("Accuracy gained", "Right answers of a hundred: the tuned models' less the base models'.",
               _one(f"100 * ({better})"), "suffix: points", 1),
        number("Pays back after", "Answers after which the FLOPs saved exceed what the run has spent; the slowest run's.",
               _one(even), "suffix: answers"),
        number("At that pace", f"Days until then, at ${ANSWERS_A_DAY} answers a day.",
               _one(f"{even} / ${ANSWERS_A_DAY}"), "suffix: days", 1),
        number("Gate passed", "Share of the runs with an evaluation whose tuned model `spec.gate` accepts.",
               _one(f"avg({of_runs(GATE)})"), "percentunit", 0),
    ]  # fmt: skip


def _benchmarks() -> Panels:
    return [
        bars("Tokens per answer", "Mean tokens of an answer, base and tuned, on the same problems.",
             [Query(of_runs(RESPONSE_TOKENS), SLICE)], "short"),
        bars("FLOPs per answer", "Mean floating-point operations of an answer, its prompt included and nothing cached.",
             [Query(of_runs(RESPONSE_FLOPS), SLICE)], "si:FLOP"),
        bars("Accuracy", "Share of answers that are right, base and tuned, on the same problems.",
             [Query(of_runs(ACCURACY), SLICE)], "percentunit", most=1),
    ]  # fmt: skip


def _runs() -> Table:
    accuracy = [each_run(of_runs(ACCURACY, *of_model(variant))) for variant in ("base", "tuned")]
    gpu = each_run(of_runs(RUN_GPU_SECONDS))
    columns = [
        Column(fall(RESPONSE_TOKENS, *OF_RUN), "Tokens saved", "percentunit"),
        Column(fall(RESPONSE_FLOPS, *OF_RUN), "FLOPs saved", "percentunit"),
        Column(accuracy[0], "Accuracy: base", "percentunit"),
        Column(accuracy[1], "Accuracy: tuned", "percentunit"),
        Column(of_runs(SAVED_FLOPS), "Saved per answer", "si:FLOP"),
        Column(each_run(of_runs(RUN_FLOPS)), "Spent", "si:FLOP"),
        Column(f"{gpu} / {HOUR}", "GPU time", "h"),
        Column(f"{gpu} / {of_runs(BUDGET)}", "of its budget", "percentunit"),
        Column(of_runs(BREAK_EVEN), "Pays back after answers", "short"),
        Column(of_runs(GATE), "Gate passed", "bool_yes_no"),
    ]
    return rows(
        "Runs", "What each run found: savings per answer over all its problems, and what it has cost.", columns, RUN
    )


def _cost() -> Panels:
    stage = (*OF_RUN, "stage")
    columns = [
        Column(total(of_runs(RUN_TOKENS), *stage), "Tokens", "short"),
        Column(of_runs(RUN_FLOPS), "FLOPs", "si:FLOP"),
        Column(f"{of_runs(RUN_GPU_SECONDS)} / {HOUR}", "GPU time", "h"),
    ]
    return [
        bars("FLOPs by stage", "Floating-point operations of the chosen runs, by stage, failed attempts included.",
             [Query(f"sort_desc({total(of_runs(RUN_FLOPS), 'stage')} > 0)", "{{stage}}")], "si:FLOP"),
        bars("GPU time by stage", "Time in the engine or trainer, once for each GPU that was held.",
             [Query(f"sort_desc({total(of_runs(RUN_GPU_SECONDS), 'stage')} / {HOUR})", "{{stage}}")], "h"),
        lines("FLOPs spent so far", "What the chosen runs have spent, as it grew.",
              [Query(each_run(of_runs(RUN_FLOPS)), "{{run}}")], "si:FLOP", stacked=True),
        rows("Cost by stage", "Tokens of all kinds, floating-point operations and GPU time of each stage of each run.",
             columns, {**RUN, "stage": "Stage"}),
    ]  # fmt: skip


def _one(expression: str) -> Query:
    return Query(expression, "")
