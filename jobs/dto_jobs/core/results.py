"""What a run found: the one object that `dto run --json`, the resource's status and the report share.

Shapes only, so that the operator can read them without a numerical library; `analysis` and `comparison` fill them in.
Every section is optional: an analysis-only run has no evaluation.
"""

from typing import Any, Literal, Self

from pydantic import Field

from dto_jobs.core.interval import Figure, Interval
from dto_jobs.settings import Settings

STATUS_BYTES = 16 * 1024


class Gate(Settings):
    """When the tuned model counts as accepted: judged in its own domain, out of it, and slice by slice."""

    max_accuracy_drop: float = Field(default=0.01, ge=0, le=1)
    """In-domain accuracy may fall by at most so much, as a share of all answers, with 95 % confidence (one-sided)."""
    min_token_saving: float = Field(default=0.2, ge=0, lt=1)
    """In-domain mean tokens must fall by at least this share, with 95 % confidence (one-sided)."""
    out_of_domain: tuple[str, ...] = ("mmlu-pro",)
    """Benchmarks that show what happens outside the domain of the training problems, as the evaluation names them; they are
    judged apart, all others are in the domain."""
    max_out_of_domain_drop: float = Field(default=0.02, ge=0, le=1)
    """Out-of-domain accuracy may fall by at most so much, with 95 % confidence (one-sided)."""
    require_out_of_domain: bool = False
    """Refuse a run that evaluated no out-of-domain benchmark; otherwise the gate says that it did not judge it."""


class LevelFigures(Settings):
    """One benchmark's level of the rollouts."""

    benchmark: str
    level: str
    responses: int
    accuracy: Figure
    tokens: Figure


class RolloutResults(Settings):
    """What the model answers before anything is optimized."""

    problems: int
    responses: int
    accuracy: Interval | None = None
    tokens: Interval | None = None
    unfinished: Figure
    """Share of responses cut by the token limit."""
    levels: tuple[LevelFigures, ...] = ()


class ExitResults(Settings):
    """Where thinking could have stopped."""

    traces: int
    with_exit: int
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
    after: Figure
    change: Interval | None = None
    """After / before - 1."""


class Trajectories(Settings):
    """Trajectories before and after their optimization."""

    tokens: Change
    flops: Change
    attention_flops: Change
    """The part of the FLOPs that attention takes: it falls faster than the tokens do, and is no token saving."""


class Regime(Settings):
    """Traces that were right (compressed) or wrong (rescued), and what became of the trajectories themselves."""

    traces: int
    optimized: int
    """Those with an optimized trajectory; the others stay as they were."""
    dropped: int
    """Patterns before the exit that were dropped as needless."""
    accuracy_before: Figure
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
    wrong: Regime


class PairFigures(Settings):
    """Pairs of one kind."""

    pairs: int
    copies: int
    """Pairs as the trainer sees them, each counted as often as it is repeated."""
    problems: int
    chosen_tokens: Figure
    rejected_tokens: Figure


class PairResults(Settings):
    """What the model is to learn from."""

    pairs: int
    copies: int
    problems: int
    kinds: dict[str, PairFigures]


class ModelFigures(Settings):
    """One model on one slice of the evaluation."""

    samples: int
    accuracy: Interval
    tokens: Interval
    tokens_correct: Figure | None = None
    """Mean tokens of correct answers; None where there are none."""
    flops: Figure
    """Mean FLOPs per answer, its prompt included and nothing cached."""
    attention_flops: Figure
    truncated: Figure
    """Share of answers cut by the token limit."""
    rechecks: Figure
    """Mean patterns per answer that check again."""


Domain = Literal["", "in", "out"]


class Slice(Settings):
    """Base against tuned model on the same problems. An empty benchmark means all of its domain, an empty level all too."""

    benchmark: str
    level: str
    domain: Domain = ""
    """In or out of the domain of the training problems, as the gate says; empty for everything together."""
    problems: int
    base: ModelFigures
    tuned: ModelFigures
    accuracy_difference: Interval
    accuracy_floor: Figure | None = None
    """The difference is at least this, with 95 % confidence (one-sided)."""
    accuracy_ceiling: Figure | None = None
    """The difference is at most this, with 95 % confidence for all benchmarks and levels together (one-sided, Bonferroni)."""
    token_change: Interval
    token_ceiling: Figure | None = None
    """The change is at most this, with 95 % confidence (one-sided)."""
    flops_change: Figure
    attention_change: Figure
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
    attention_flops: Figure
    prompt_computed: int
    prompt_cached: int
    generated: int
    trained: int
    judge_tokens: int
    seconds: Figure
    reused: bool = False
    """Its artifact was there already: an earlier run paid for it."""


class CostResults(Settings):
    """What the run took, and after how many answers it has paid for itself."""

    stages: dict[str, StageCost]
    total: StageCost
    saved_flops_per_answer: Figure | None = None
    """Base less tuned; None without an evaluation."""
    break_even_answers: Figure | None = None
    """None without an evaluation, or where nothing is saved."""


class Check(Settings):
    """One condition of the gate."""

    name: str
    passed: bool
    judged: bool = True
    """False where nothing was evaluated that could tell: whether it passes then is a matter of the settings."""
    value: Figure | None = None
    bound: Figure | None = None
    """The one-sided bound of the value, which decides."""
    limit: Figure
    message: str

    @property
    def verdict(self) -> str:
        """How it went, in a word or two."""
        return "not judged" if not self.judged else "passed" if self.passed else "failed"


class GateResults(Settings):
    """Whether the tuned model is accepted, and why. What was not judged is listed, and is no proof."""

    accepted: bool
    checks: tuple[Check, ...]

    @property
    def not_judged(self) -> tuple[Check, ...]:
        """What the gate could say nothing about."""
        return tuple(check for check in self.checks if not check.judged)


class Results(Settings):
    """What a run found, as far as it went."""

    rollout: RolloutResults | None = None
    exits: ExitResults | None = None
    regimes: RegimeResults | None = None
    pairs: PairResults | None = None
    training: dict[str, Any] | None = None
    evaluation: EvaluationResults | None = None
    cost: CostResults | None = None
    gate: GateResults | None = None

    def to_json(self) -> str:
        """Return the results as JSON, as people and programs read them: camelCase, nothing that is absent."""
        return self.model_dump_json(by_alias=True, exclude_none=True)

    def within(self, limit: int = STATUS_BYTES) -> Self:
        """Return the results in at most so many bytes: plain training figures, and as many slices as there is room for."""
        plain = {name: value for name, value in (self.training or {}).items() if isinstance(value, int | float | str)}
        fitting = self.model_copy(update={"training": plain or None})
        while fitting.evaluation and len(fitting.evaluation.slices) > 1 and len(fitting.to_json().encode()) > limit:
            fitting = fitting.model_copy(update={"evaluation": _without_last(fitting.evaluation)})
        return fitting


def _without_last(evaluation: EvaluationResults) -> EvaluationResults:
    return evaluation.model_copy(update={"slices": evaluation.slices[:-1], "left_out": evaluation.left_out + 1})
