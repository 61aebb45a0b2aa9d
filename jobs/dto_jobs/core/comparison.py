"""Base against tuned model: what changed, how sure that is, what it cost, and whether it passes the gate."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from dto_jobs.core.analysis import hardness, share
from dto_jobs.core.cost import ModelShape, Spend, break_even, response_flops, total
from dto_jobs.core.records import Answer
from dto_jobs.core.results import (
    Check,
    CostResults,
    EvaluationResults,
    Gate,
    GateResults,
    ModelFigures,
    Slice,
    StageCost,
)
from dto_jobs.core.statistics import mean_interval, one_sided, rate_difference, rate_interval, ratio_interval

CONFIDENCE = 0.95

ByProblem = defaultdict[str, list[float]]
SliceName = tuple[str, str]


@dataclass
class _Tally:
    """One model's answers on one slice: by problem what needs an interval, sums for the rest."""

    correct: ByProblem = field(default_factory=lambda: ByProblem(list))
    tokens: ByProblem = field(default_factory=lambda: ByProblem(list))
    samples: int = 0
    right: int = 0
    right_tokens: int = 0
    truncated: int = 0
    rechecks: int = 0
    flops: float = 0.0
    attention: float = 0.0

    def add(self, answer: Answer, shape: ModelShape) -> None:
        """Add one answer."""
        # Two benchmarks may name a problem alike.
        problem = f"{answer.benchmark}/{answer.problem_id}"
        dense, attention = response_flops(shape, answer.prompt_tokens, answer.tokens)
        self.correct[problem].append(answer.correct)
        self.tokens[problem].append(answer.tokens)
        self.samples += 1
        self.right += answer.correct
        self.right_tokens += answer.tokens * answer.correct
        self.truncated += not answer.finished
        self.rechecks += answer.rechecks
        self.flops += dense + attention
        self.attention += attention

    def figures(self, seed: int) -> ModelFigures:
        """Return the figures with their intervals."""
        return ModelFigures(
            samples=self.samples,
            accuracy=rate_interval(self.correct, seed=seed),
            tokens=mean_interval(self.tokens, seed=seed),
            tokens_correct=self.right_tokens / self.right if self.right else None,
            flops=self.flops / self.samples,
            attention_flops=self.attention / self.samples,
            truncated=self.truncated / self.samples,
            rechecks=self.rechecks / self.samples,
        )


def evaluation_results(
    base: Iterable[Answer], tuned: Iterable[Answer], shape: ModelShape, *, seed: int = 0
) -> EvaluationResults | None:
    """Compare two models on the same problems; None without answers, ValueError where the problems differ."""
    before, after = _tallies(base, shape), _tallies(tuned, shape)
    if not before and not after:
        return None
    if before.keys() != after.keys():
        raise ValueError(f"base and tuned model answered different slices: {sorted(before.keys() ^ after.keys())}")
    slices = (_slice(name, before[name], after[name], seed) for name in _telling(before))
    return EvaluationResults(slices=tuple(slices))


def _tallies(answers: Iterable[Answer], shape: ModelShape) -> dict[SliceName, _Tally]:
    tallies: dict[SliceName, _Tally] = defaultdict(_Tally)
    for answer in answers:
        for name in {("", ""), (answer.benchmark, ""), (answer.benchmark, answer.level)}:
            tallies[name].add(answer, shape)
    return dict(tallies)


def _telling(base: Mapping[SliceName, _Tally]) -> list[SliceName]:
    """Return the slices worth showing, from large to small: not a benchmark or level that is all there is."""
    benchmarks = sorted({benchmark for benchmark, _ in base if benchmark})
    levels = [name for name in base if name[1]]
    several = [(benchmark, "") for benchmark in benchmarks] if len(benchmarks) > 1 else []
    telling = [name for name in levels if sum(other[0] == name[0] for other in levels) > 1]
    return [
        ("", ""),
        *several,
        *sorted(telling, key=lambda name: (name[0], hardness(name[1], share(base[name].right, base[name].samples)))),
    ]


def _slice(name: SliceName, base: _Tally, tuned: _Tally, seed: int) -> Slice:
    before, after = base.figures(seed), tuned.figures(seed)
    floor = rate_difference(tuned.correct, base.correct, level=one_sided(CONFIDENCE), seed=seed).low
    ceiling = ratio_interval(tuned.tokens, base.tokens, level=one_sided(CONFIDENCE), seed=seed).high
    accuracy, tokens = before.accuracy.value, before.tokens.value
    return Slice(
        benchmark=name[0],
        level=name[1],
        problems=len(base.correct),
        base=before,
        tuned=after,
        accuracy_difference=rate_difference(tuned.correct, base.correct, seed=seed),
        accuracy_floor=floor,
        token_change=ratio_interval(tuned.tokens, base.tokens, seed=seed),
        token_ceiling=ceiling,
        flops_change=after.flops / before.flops - 1,
        attention_change=after.attention_flops / before.attention_flops - 1,
        efficiency=(after.accuracy.value / accuracy) / (after.tokens.value / tokens) if accuracy else None,
    )


def cost_results(
    spends: Mapping[str, Spend], evaluation: EvaluationResults | None = None, *, reused: Collection[str] = ()
) -> CostResults:
    """Return what each stage took and when it pays back; stages in `reused` were paid for by an earlier run.

    Break-even counts them all the same: somebody spent it.
    """
    spent = total(spends.values())
    saved = None
    if evaluation is not None:
        saved = evaluation.overall.base.flops - evaluation.overall.tuned.flops
    return CostResults(
        stages={name: _stage_cost(spend, reused=name in reused) for name, spend in spends.items()},
        total=_stage_cost(spent),
        saved_flops_per_answer=saved,
        break_even_answers=None if saved is None else break_even(spent.flops, saved),
    )


def _stage_cost(spend: Spend, *, reused: bool = False) -> StageCost:
    return StageCost(
        flops=spend.flops,
        attention_flops=spend.attention_flops,
        prompt_computed=spend.prompt_computed,
        prompt_cached=spend.prompt_cached,
        generated=spend.generated,
        trained=spend.trained,
        judge_tokens=spend.judge_tokens,
        seconds=spend.seconds,
        reused=reused,
    )


def gate_results(gate: Gate, evaluation: EvaluationResults) -> GateResults:
    """Say whether the tuned model is accepted: not the measured values decide, but their one-sided bounds."""
    checks = (_accuracy_check(gate, evaluation.overall), _token_check(gate, evaluation.overall))
    return GateResults(accepted=all(check.passed for check in checks), checks=checks)


def _accuracy_check(gate: Gate, overall: Slice) -> Check:
    value, bound, limit = overall.accuracy_difference.value, overall.accuracy_floor, -gate.max_accuracy_drop
    message = f"accuracy changed by {_points(value)}, {_at_worst(bound)}; {_points(limit)} is allowed"
    return Check(
        name="accuracy",
        passed=bound is not None and bound >= limit,
        value=value,
        bound=bound,
        limit=limit,
        message=message,
    )


def _token_check(gate: Gate, overall: Slice) -> Check:
    value, bound, limit = overall.token_change.value, overall.token_ceiling, -gate.min_token_saving
    message = f"tokens changed by {_points(value)}, {_at_worst(bound)}; {_points(limit)} is wanted"
    return Check(
        name="tokens",
        passed=bound is not None and bound <= limit,
        value=value,
        bound=bound,
        limit=limit,
        message=message.replace("points", "%"),
    )


def _points(share: float) -> str:
    return f"{100 * share:+.1f} points"


def _at_worst(bound: float | None) -> str:
    if bound is None:
        return "but one problem cannot show how sure that is"
    return f"at worst {_points(bound)} with {100 * CONFIDENCE:.0f} % confidence"
