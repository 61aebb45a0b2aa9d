"""What came of a run: results computed from its artifacts, streaming, the same ones for command line, status and report."""

from collections.abc import Mapping

from dto_jobs.artifacts.attempts import Whole
from dto_jobs.core.analysis import exit_results, pair_results, regime_results, rollout_results
from dto_jobs.core.comparison import cost_results, evaluation_results
from dto_jobs.core.cost import ModelShape
from dto_jobs.core.gate import gate_results
from dto_jobs.core.records import Answer, Pair, PrunedTrace, Response, SearchedTrace
from dto_jobs.core.results import Gate, Results
from dto_jobs.resource import STAGE_NAMES


def results_of(whole: Mapping[str, Whole], gate: Gate, owned: frozenset[str]) -> Results:
    """Return what the artifacts say, as far as the run went; stages not in `owned` were paid for by another run."""
    seed = 0  # of the bootstrap: the same artifacts give the same intervals
    shape = _shape(whole)
    evaluation = None
    if "baseline" in whole and "evaluation" in whole:
        evaluation = evaluation_results(
            whole["baseline"][0].records(Answer),
            whole["evaluation"][0].records(Answer),
            shape,
            out_of_domain=gate.out_of_domain,
            seed=seed,
        )
    spends = {name: whole[name][1].spend for name in STAGE_NAMES if name in whole}
    return Results(
        rollout=rollout_results(whole["rollout"][0].records(Response), seed=seed) if "rollout" in whole else None,
        exits=exit_results(whole["exits"][0].records(SearchedTrace)) if "exits" in whole else None,
        regimes=regime_results(whole["pruning"][0].records(PrunedTrace), shape, seed=seed)
        if "pruning" in whole
        else None,
        pairs=pair_results(whole["pairs"][0].records(Pair)) if "pairs" in whole else None,
        training=whole["training"][1].figures if "training" in whole else None,
        evaluation=evaluation,
        cost=cost_results(spends, evaluation, reused={name for name in spends if name not in owned}),
        gate=gate_results(gate, evaluation) if evaluation else None,
    )


def _shape(whole: Mapping[str, Whole]) -> ModelShape:
    """Return the model's shape, which every stage that ran it has noted."""
    shapes = (receipt.figures.get("shape") for _, receipt in whole.values())
    return ModelShape.model_validate(next(filter(None, shapes)))
