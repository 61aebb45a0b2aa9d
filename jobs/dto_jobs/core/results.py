"""What a run found: the one object that `dto run --json`, the resource's status and the report share.

Shapes only, so that the operator can read them without a numerical library; `analysis` and `comparison` fill them in.
Every section is optional: an analysis-only run has no evaluation.
"""

from typing import Any, Literal, Self

from pydantic import Field

from dto_jobs.core.interval import Figure, Interval
from dto_jobs.settings import Distinct, Settings

STATUS_BYTES = 16 * 1024


class Gate(Settings):
    """When the tuned model counts as accepted: judged in its own domain, out of it, and slice by slice."""

    max_accuracy_drop: float = Field(default=0.01, ge=0, le=1)
    """In-domain accuracy may fall by at most so much, as a share of all answers, with 95 % confidence (one-sided)."""
    min_token_saving: float = Field(default=0.2, ge=0, lt=1)
    """In-domain mean tokens must fall by at least this share, with 95 % confidence (one-sided)."""
    out_of_domain: Distinct[str] = ("mmlu-pro",)
    """Benchmarks that show what happens outside the domain of the training problems, as the evaluation names them; they are
    judged apart, all others are in the domain."""
    max_out_of_domain_drop: float = Field(default=0.02, ge=0, le=1)
    """Out-of-domain accuracy may fall by at most so much, with 95 % confidence (one-sided)."""
    require_out_of_domain: bool = False
    """Refuse a run that evaluated no out-of-domain benchmark; otherwise the gate says that it did not judge it."""


class LevelFigures(Settings):
    """One benchmark's level of the rollouts."""

    benchmark: str
    """Benchmark."""
    level: str
    """Level in it."""
    responses: int
    """Responses."""
    accuracy: Figure
    """Share of them that are right."""
    tokens: Figure
    """Mean tokens."""


class RolloutResults(Settings):
    """What the model answers before anything is optimized."""

    problems: int
    """Problems."""
    responses: int
    """Responses to them."""
    accuracy: Interval | None = None
    """Share of responses that are right."""
    tokens: Interval | None = None
    """Mean tokens per response."""
    unfinished: Figure
    """Share of responses cut by the token limit."""
    levels: tuple[LevelFigures, ...] = ()
    """The same by benchmark and level."""


class ExitResults(Settings):
    """Where thinking could have stopped."""

    traces: int
    """Traces searched."""
    with_exit: int
    """Those with an exit."""
    patterns: Figure
    """Mean patterns per trace."""
    kept: Figure
    """Mean patterns up to the exit, of traces that have one."""
    first_half: int
    """Exits after at most half of the patterns."""
    second_half: int
    """Exits later than that, but before the last pattern."""
    at_end: int
    """Exits after the last pattern: nothing to cut."""
    positions: tuple[int, ...]
    """Exits by tenth of the trace, exit / patterns in (0, 0.1], (0.1, 0.2] …"""
    samples: int
    """Answers drawn in the search."""
    kinds: dict[str, int]
    """Patterns by kind, the most frequent first."""


class Change(Settings):
    """A cost per trajectory before and after, as means over the same trajectories."""

    before: Figure
    """Mean before."""
    after: Figure
    """Mean after."""
    change: Interval | None = None
    """After / before - 1."""


class Trajectories(Settings):
    """Trajectories before and after their optimization."""

    tokens: Change
    """Tokens."""
    flops: Change
    """FLOPs, attention included."""
    attention_flops: Change
    """The part of the FLOPs that attention takes: it falls faster than the tokens do, and is no token saving."""


class Regime(Settings):
    """Traces that were right (compressed) or wrong (rescued), and what became of the trajectories themselves."""

    traces: int
    """Traces."""
    optimized: int
    """Those with an optimized trajectory; the others stay as they were."""
    dropped: int
    """Patterns before the exit that were dropped as needless."""
    accuracy_before: Figure
    """Share of them that were right."""
    accuracy_after: Figure
    """Share of all the regime's traces that are right after optimization."""
    correct_rate: Figure
    """Mean share of correct endings when the optimized ones were checked last."""
    overall: Trajectories | None = None
    """Over all traces of the regime."""
    of_optimized: Trajectories | None = None
    """Over those that have an optimized trajectory."""


class RegimeResults(Settings):
    """Both regimes, before any training: what optimizing did to the model's own trajectories."""

    right: Regime
    """Traces that were right."""
    wrong: Regime
    """Traces that were wrong."""


class PairFigures(Settings):
    """Pairs of one kind."""

    pairs: int
    """Pairs."""
    copies: int
    """Pairs as the trainer sees them, each counted as often as it is repeated."""
    problems: int
    """Problems they are of."""
    chosen_tokens: Figure
    """Mean tokens of the chosen."""
    rejected_tokens: Figure
    """Mean tokens of the rejected."""


class PairResults(Settings):
    """What the model is to learn from."""

    pairs: int
    """Pairs."""
    copies: int
    """Pairs as the trainer sees them, each counted as often as it is repeated."""
    problems: int
    """Problems they are of."""
    kinds: dict[str, PairFigures]
    """The same by kind."""


class ModelFigures(Settings):
    """One model on one slice of the evaluation."""

    samples: int
    """Answers."""
    accuracy: Interval
    """Share of answers that are right."""
    tokens: Interval
    """Mean tokens per answer."""
    tokens_correct: Figure | None = None
    """Mean tokens of correct answers; None where there are none."""
    flops: Figure
    """Mean FLOPs per answer, its prompt included and nothing cached."""
    attention_flops: Figure
    """The part of them that attention takes."""
    truncated: Figure
    """Share of answers cut by the token limit."""
    rechecks: Figure
    """Mean patterns per answer that check again."""


Domain = Literal["", "in", "out"]


class Slice(Settings):
    """Base against tuned model on the same problems. An empty benchmark means all of its domain, an empty level all too."""

    benchmark: str
    """Benchmark; empty for all of the domain."""
    level: str
    """Level in it; empty for all."""
    domain: Domain = ""
    """In or out of the domain of the training problems, as the gate says; empty for everything together."""
    problems: int
    """Problems."""
    base: ModelFigures
    """The base model."""
    tuned: ModelFigures
    """The tuned model."""
    accuracy_difference: Interval
    """Accuracy of the tuned less that of the base, paired by problem."""
    accuracy_floor: Figure | None = None
    """The difference is at least this, with 95 % confidence (one-sided)."""
    accuracy_ceiling: Figure | None = None
    """The difference is at most this, with 95 % confidence for all benchmarks and levels together (one-sided, Bonferroni)."""
    token_change: Interval
    """Tokens tuned / base - 1, paired by problem."""
    token_ceiling: Figure | None = None
    """The change is at most this, with 95 % confidence (one-sided)."""
    flops_change: Figure
    """FLOPs tuned / base - 1."""
    attention_change: Figure
    """FLOPs of attention, tuned / base - 1."""
    efficiency: Figure | None = None
    """(accuracy / base accuracy) / (tokens / base tokens); None where the base is never right."""

    @property
    def short(self) -> str:
        """A short name: the level, else the benchmark, else the domain."""
        return self.level or self.benchmark or {"in": "in domain", "out": "out of domain", "": "all"}[self.domain]

    @property
    def name(self) -> str:
        """The whole name: a level with its benchmark."""
        return f"{self.benchmark} {self.level}" if self.level else self.short


class EvaluationResults(Settings):
    """Base against tuned model: all problems first, then by domain, by benchmark and by level."""

    slices: tuple[Slice, ...] = Field(min_length=1)
    """All problems first, then by domain, by benchmark and by level."""
    domain: Domain = "in"
    """Where all the benchmarks lie; empty where some lie in the domain of the training problems and some outside."""
    left_out: int = 0
    """Slices left out to keep a status small."""

    @property
    def overall(self) -> Slice:
        """All problems."""
        return self.slices[0]

    def all_of(self, domain: Domain) -> Slice | None:
        """Return all problems in or out of the domain; None where there are none."""
        if self.domain == domain:
            return self.overall
        return next((part for part in self.slices if part.domain == domain and not part.benchmark), None)

    @property
    def parts(self) -> tuple[Slice, ...]:
        """Benchmarks and levels: what a good mean could hide."""
        return tuple(part for part in self.slices if part.benchmark)


class StageCost(Settings):
    """What one stage took."""

    flops: Figure
    """FLOPs, attention included."""
    attention_flops: Figure
    """The part of them that attention takes."""
    prompt_computed: int
    """Prompt tokens computed."""
    prompt_cached: int
    """Prompt tokens taken from a cache."""
    generated: int
    """Tokens generated."""
    trained: int
    """Tokens trained on."""
    judge_tokens: int
    """Tokens of the judge, read and written."""
    seconds: Figure
    """Seconds of work."""
    reused: bool = False
    """Its artifact was there already: an earlier run paid for it."""


class CostResults(Settings):
    """What the run took, and after how many answers it has paid for itself."""

    stages: dict[str, StageCost]
    """By stage."""
    total: StageCost
    """All stages together."""
    saved_flops_per_answer: Figure | None = None
    """Base less tuned; None without an evaluation."""
    break_even_answers: Figure | None = None
    """None without an evaluation, or where nothing is saved."""


class Check(Settings):
    """One condition of the gate."""

    name: str
    """What was checked."""
    passed: bool
    """It holds, as far as it was judged."""
    judged: bool = True
    """False where nothing was evaluated that could tell: whether it passes then is a matter of the settings."""
    value: Figure | None = None
    """What was measured."""
    bound: Figure | None = None
    """The one-sided bound of the value, which decides."""
    limit: Figure
    """The gate's setting."""
    message: str
    """The check in words."""

    @property
    def verdict(self) -> str:
        """How it went, in a word or two."""
        return "not judged" if not self.judged else "passed" if self.passed else "failed"


class GateResults(Settings):
    """Whether the tuned model is accepted, and why. What was not judged is listed, and is no proof."""

    accepted: bool
    """Every check passed."""
    checks: tuple[Check, ...]
    """The checks."""

    @property
    def not_judged(self) -> tuple[Check, ...]:
        """What the gate could say nothing about."""
        return tuple(check for check in self.checks if not check.judged)


class Results(Settings):
    """What a run found, as far as it went."""

    rollout: RolloutResults | None = None
    """What the model answers before anything is optimized."""
    exits: ExitResults | None = None
    """Where thinking could have stopped."""
    regimes: RegimeResults | None = None
    """What optimizing did to the trajectories."""
    pairs: PairResults | None = None
    """What the model was to learn from."""
    training: dict[str, Any] | None = None
    """The trainer's figures."""
    evaluation: EvaluationResults | None = None
    """Base against tuned model."""
    cost: CostResults | None = None
    """What the run took, and when it has paid for itself."""
    gate: GateResults | None = None
    """Whether the tuned model is accepted."""

    def to_json(self) -> str:
        """Return the results as JSON, as people and programs read them: camelCase, nothing that is absent."""
        return self.model_dump_json(by_alias=True, exclude_none=True)

    def within(self, limit: int = STATUS_BYTES) -> Self:
        """Return the results in at most so many bytes: plain training figures, and slices and sections as there is room for."""
        plain = {name: value for name, value in (self.training or {}).items() if isinstance(value, int | float | str)}
        fitting = self.model_copy(update={"training": plain or None})
        while fitting.evaluation and len(fitting.evaluation.slices) > 1 and len(fitting.to_json().encode()) > limit:
            fitting = fitting.model_copy(update={"evaluation": _without_last(fitting.evaluation)})
        # A pod's last words are small: what the tuned model does is told before how it came to be.
        for section in ("regimes", "training", "exits", "pairs", "rollout"):
            if len(fitting.to_json().encode()) > limit:
                fitting = fitting.model_copy(update={section: None})
        return fitting


def _without_last(evaluation: EvaluationResults) -> EvaluationResults:
    return evaluation.model_copy(update={"slices": evaluation.slices[:-1], "left_out": evaluation.left_out + 1})
