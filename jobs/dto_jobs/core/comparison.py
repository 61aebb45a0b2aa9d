"""Base against tuned model: what changed, how sure that is, and what it cost."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from dto_jobs.core.analysis import hardness, share
from dto_jobs.core.cost import ModelShape, Spend, break_even, response_flops, total
from dto_jobs.core.records import Answer
from dto_jobs.core.results import (
    CostResults,
    Domain,
    EvaluationResults,
    ModelFigures,
    Slice,
    StageCost,
)
from dto_jobs.core.statistics import mean_interval, one_sided, rate_difference, rate_interval, ratio_interval

CONFIDENCE = 0.95

ByProblem = defaultdict[str, list[float]]


class SliceName(NamedTuple):
    """Which answers a slice takes together: those of a domain, of a benchmark, or of one of its levels."""

    domain: Domain = ""
    benchmark: str = ""
    level: str = ""


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
    base: Iterable[Answer],
    tuned: Iterable[Answer],
    shape: ModelShape,
    *,
    out_of_domain: Collection[str] = (),
    seed: int = 0,
) -> EvaluationResults | None:
    """Compare two models on the same problems; None without answers, ValueError where the problems differ.

    `out_of_domain` names the benchmarks that lie outside the domain of the training problems.
    """
    before, after = _tallies(base, shape, out_of_domain), _tallies(tuned, shape, out_of_domain)
    if not before and not after:
        return None
    if before.keys() != after.keys():
        raise ValueError(f"base and tuned model answered different slices: {sorted(before.keys() ^ after.keys())}")
    names = _telling(before)
    compared = sum(bool(name.benchmark) for name in names)
    slices = (_slice(name, before[name], after[name], compared, seed) for name in names)
    domains: set[Domain] = {name.domain for name in before if name.domain}
    return EvaluationResults(slices=tuple(slices), domain=domains.pop() if len(domains) == 1 else "")


def _tallies(answers: Iterable[Answer], shape: ModelShape, out_of_domain: Collection[str]) -> dict[SliceName, _Tally]:
    tallies: dict[SliceName, _Tally] = defaultdict(_Tally)
    for answer in answers:
        domain: Domain = "out" if answer.benchmark in out_of_domain else "in"
        for name in {
            SliceName(),
            SliceName(domain),
            SliceName(domain, answer.benchmark),
            SliceName(domain, answer.benchmark, answer.level),
        }:
            tallies[name].add(answer, shape)
    return dict(tallies)


def _telling(base: Mapping[SliceName, _Tally]) -> list[SliceName]:
    """Return the slices worth showing, from large to small: not a benchmark or level that is all there is."""
    domains = sorted(name for name in base if name.domain and not name.benchmark)
    benchmarks = sorted(
        (name for name in base if name.benchmark and not name.level), key=lambda name: (name.benchmark, name.domain)
    )
    levels = [name for name in base if name.level]
    several = [name for name in levels if sum(other[:2] == name[:2] for other in levels) > 1]
    return [
        SliceName(),
        *(domains if len(domains) > 1 else []),
        *(benchmarks if len(benchmarks) > 1 else []),
        *sorted(several, key=lambda name: (name.benchmark, _hardness(name, base[name]))),
    ]


def _hardness(name: SliceName, base: _Tally) -> tuple[int, float, str]:
    return hardness(name.level, share(base.right, base.samples))


def _slice(name: SliceName, base: _Tally, tuned: _Tally, compared: int, seed: int) -> Slice:
    """Return a slice; `compared` benchmarks and levels share the error of a ceiling."""
    before, after = base.figures(seed), tuned.figures(seed)
    floor = rate_difference(tuned.correct, base.correct, level=one_sided(CONFIDENCE), seed=seed).low
    shared = one_sided(1 - (1 - CONFIDENCE) / max(1, compared))
    ceiling = rate_difference(tuned.correct, base.correct, level=shared, seed=seed).high
    accuracy, tokens = before.accuracy.value, before.tokens.value
    return Slice(
        benchmark=name.benchmark,
        level=name.level,
        domain=name.domain,
        problems=len(base.correct),
        base=before,
        tuned=after,
        accuracy_difference=rate_difference(tuned.correct, base.correct, seed=seed),
        accuracy_floor=floor,
        accuracy_ceiling=ceiling,
        token_change=ratio_interval(tuned.tokens, base.tokens, seed=seed),
        token_ceiling=ratio_interval(tuned.tokens, base.tokens, level=one_sided(CONFIDENCE), seed=seed).high,
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
