"""What an earlier run shows of a model's habits: means read off its receipts and responses."""

import json
import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from dto_jobs.artifacts.artifact import Receipt
from dto_jobs.artifacts.attempts import latest
from dto_jobs.artifacts.store import Store
from dto_jobs.core.estimate import Habits, Workload
from dto_jobs.core.records import Pair, PrunedTrace, Response

Measured = dict[str, float | None]
SEARCH, CHECK = ("completions", "threshold", "strategy"), ("completions", "threshold", "judge")
"""Settings by which the draws of exit search and pruning follow; measured on others they tell nothing."""


class Pilot(NamedTuple):
    """A run that is taken as an example."""

    name: str
    problems: int
    measured: Measured


def pilot(store: Store, settings: Mapping[str, Any], model: Mapping[str, Any], name: str | None = None) -> Pilot | None:
    """Return the named run as a pilot, or the one with the most responses of the same model; None where there is none.

    `settings` are the stages' of the run to be estimated, `model` is what it runs, both as YAML says them.
    """
    names = {run.split("/")[1] for run in store.names("runs/") if run.endswith("/run.json")}
    alike = [run for run in sorted(names) if run == name or (name is None and _model(store, run) == model)]
    found = [(receipt.records, run) for run in alike if (receipt := _receipt(store, run, "rollout"))]
    if not found:
        return None
    run = max(found)[1]
    return Pilot(run, *_measured(store, run, settings))


def _model(store: Store, run: str) -> Any:  # noqa: ANN401 - any JSON
    return json.loads(b"".join(store.read(f"runs/{run}/run.json")))["spec"]["model"]


def _receipt(store: Store, run: str, stage: str) -> Receipt | None:
    artifact = latest(store, run, stage)
    return artifact.receipt() if artifact else None


def _measured(store: Store, run: str, settings: Mapping[str, Any]) -> tuple[int, Measured]:
    rollout = latest(store, run, "rollout")
    assert rollout is not None, "a pilot has responses"
    responses = [(one.problem.id, one.prompt_tokens, one.tokens) for one in rollout.records(Response)]
    lengths = [float(tokens) for _, _, tokens in responses]
    mean = max(1.0, statistics.fmean(lengths))
    problems = len({problem for problem, _, _ in responses})
    found: Measured = {
        "prompt": statistics.fmean(prompt for _, prompt, _ in responses),
        "response": mean,
        "spread": statistics.pstdev(lengths) / mean,
    }
    traces = len(responses)
    found |= _exits(_receipt(store, run, "exits"), traces, settings["exits"])
    found |= _endings(_receipt(store, run, "endings"), found)
    found |= _pruned(store, run, settings["pruning"])
    found |= _pairs(store, run, problems, mean)
    found |= _answers(_receipt(store, run, "baseline"), _receipt(store, run, "evaluation"))
    return problems, found


def _exits(receipt: Receipt | None, traces: int, settings: Mapping[str, Any]) -> Measured:
    if receipt is None or not receipt.counts.get("samples"):
        return {}
    samples, boundaries = receipt.counts["samples"], receipt.counts["boundaries"]
    found: Measured = {"answer": max(1.0, receipt.spend.generated / samples)}
    if _same(receipt, settings, SEARCH):
        found |= {"visited": boundaries / traces, "draws": samples / boundaries}
    return found


def _same(receipt: Receipt, settings: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return all(receipt.settings.get(name) == settings.get(name) for name in names)


def _endings(receipt: Receipt | None, shown: Measured) -> Measured:
    """Return what an ending takes, and how much of a response stays before it."""
    if receipt is None or not receipt.spend.requests:
        return {}
    spend = receipt.spend
    prompt = (spend.prompt_computed + spend.prompt_cached) / spend.requests
    place = (prompt - (shown["prompt"] or 0.0) - Habits().closing) / (shown["response"] or 1.0)
    return {"ending": max(1.0, spend.generated / spend.requests), "exit_place": min(1.0, max(0.01, place))}


def _pruned(store: Store, run: str, settings: Mapping[str, Any]) -> Measured:
    """Return what whole traces show: patterns, exits, endings; and the checks that pruning took."""
    artifact, receipt = latest(store, run, "pruning"), _receipt(store, run, "pruning")
    if artifact is None or receipt is None or not receipt.records:
        return {}
    traces = [(one.ended.trace, one.text is not None) for one in artifact.records(PrunedTrace)]
    exits = sum(trace.exit is not None for trace, _ in traces)
    ended = sum(was for _, was in traces)
    found: Measured = {
        "patterns": max(1.0, statistics.fmean(len(trace.patterns) for trace, _ in traces)),
        "exit_share": exits / len(traces),
        "ended_share": ended / len(traces),
    }
    checks = receipt.counts.get("checks", 0)
    if ended and checks and _same(receipt, settings, CHECK):
        found["checks"] = checks / ended
        # The guard scores two texts per check, which are requests, too.
        scores = 2 * checks if receipt.settings.get("guard") else 0
        found["check_draws"] = max(0, receipt.spend.requests - scores) / checks
    return found


def _pairs(store: Store, run: str, problems: int, mean: float) -> Measured:
    artifact = latest(store, run, "pairs")
    pairs = [(one.copies, one.chosen_tokens, one.rejected_tokens) for one in artifact.records(Pair)] if artifact else []
    copies = sum(count for count, _, _ in pairs)
    if not copies:
        return {}
    return {
        "pairs": copies / problems,
        "chosen": sum(count * chosen for count, chosen, _ in pairs) / copies / mean,
        "rejected": sum(count * rejected for count, _, rejected in pairs) / copies / mean,
    }


def _answers(base: Receipt | None, tuned: Receipt | None) -> Measured:
    if base is None or not base.spend.requests:
        return {}
    found: Measured = {"benchmark_response": base.spend.generated / base.spend.requests}
    if tuned and tuned.spend.requests:
        found["tuned"] = tuned.spend.generated / tuned.spend.requests / (found["benchmark_response"] or 1.0)
    return found


def workload(stages: Mapping[str, Any], problems: int, benchmark_problems: int) -> Workload:
    """Return what the stages' settings ask for, as YAML says them."""
    rollout, exits, pruning, pairs = stages["rollout"], stages["exits"], stages["pruning"], stages["pairs"]
    return Workload(
        problems=problems,
        samples=1 if rollout.get("import") else rollout["samples"],
        completions=exits["completions"],
        threshold=exits["threshold"],
        strategy=exits["strategy"],
        endings=stages["endings"]["completions"],
        check_completions=pruning["completions"],
        check_threshold=pruning["threshold"],
        judge=pruning.get("judge") is not None,
        guard=pruning["guard"],
        pairs_per_problem=pairs["maxPerProblem"],
        necessary_per_problem=pairs["necessaryPerProblem"],
        necessary_copies=pairs["necessary"],
        epochs=stages["training"]["epochs"],
        benchmark_problems=benchmark_problems,
        benchmark_samples=stages["evaluation"]["samples"],
    )
