"""What a run will take, before it runs: tokens, FLOPs and bytes by stage, from its settings and a model's habits.

All quantities are expectations, hence floats. A group of completions that share a beginning computes it once; the FLOPs of
a position are those of `cost`: 2·N for the weights and 4·L·d·context for attention.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal, Self

from pydantic import Field

from dto_jobs.core.cost import ModelShape
from dto_jobs.core.exit_point import Strategy, hits_needed
from dto_jobs.core.records import Record

BYTES_PER_TOKEN = 1.0
"""Of text on disk: 3.4 characters a token, compressed by zstd to 0.27 of their size (measured on 200 real R1 traces)."""
OPTIMIZER_BYTES = 12
"""Per weight in a training checkpoint: the weight and AdamW's two moments, in float32."""

FORMULAS = {
    "rollout": "problems · samples · response tokens; the question is computed once per problem",
    "exits": "traces · boundaries looked at · draws per boundary · answer tokens; a trace is computed once, pattern by pattern",
    "endings": "traces with an exit · completions · ending tokens; each is computed once up to its exit",
    "pruning": "ended traces · checks · draws per check · ending tokens; the guard reads each trace twice per check",
    "pairs": "no model is run",
    "training": "pairs with copies · (two prompts + chosen + rejected tokens) · epochs; three times the FLOPs of inference",
    "baseline": "benchmark problems · samples · response tokens",
    "evaluation": "benchmark problems · samples · response tokens of the tuned model",
}
"""How each stage's tokens come about, in words."""


class Load(Record):
    """What a piece of work is expected to take; two add up."""

    requests: float = 0.0
    prompt_computed: float = 0.0
    prompt_cached: float = 0.0
    generated: float = 0.0
    trained: float = 0.0
    judge_tokens: float = 0.0
    dense_flops: float = 0.0
    attention_flops: float = 0.0
    disk_bytes: float = 0.0

    @property
    def flops(self) -> float:
        """Dense and attention FLOPs together."""
        return self.dense_flops + self.attention_flops

    def __add__(self, other: "Load") -> "Load":
        return Load(**{name: getattr(self, name) + getattr(other, name) for name in Load.model_fields})


def total(loads: Iterable[Load]) -> Load:
    """Return the sum of the loads."""
    return sum(loads, Load())


class Workload(Record):
    """What a run file asks for, as far as cost follows from it."""

    problems: int = Field(ge=0)
    samples: int = 4
    completions: int = 8
    """K of the exit search."""
    threshold: float = 0.5
    strategy: Strategy = "curtailed"
    endings: int = 4
    """M endings per trace with an exit."""
    check_completions: int = 8
    check_threshold: float = 0.5
    judge: bool = False
    guard: bool = True
    pairs_per_problem: int = 2
    necessary_per_problem: int = 2
    necessary_copies: int = 3
    epochs: float = 1.0
    benchmark_problems: int = Field(default=0, ge=0)
    benchmark_samples: int = 4


class Habits(Record):
    """How a model answers, on average: measured on an earlier run, or assumed."""

    prompt: float = Field(default=150.0, gt=0)
    """Tokens of a question in its chat template."""
    response: float = Field(default=4900.0, gt=0)
    """Tokens of a response."""
    spread: float = Field(default=0.7, ge=0)
    """Standard deviation of the responses' tokens over their mean."""
    patterns: float = Field(default=34.0, ge=1)
    """Thinking patterns per trace."""
    exit_share: float = Field(default=0.8, ge=0, le=1)
    """Share of the traces that have an exit."""
    exit_place: float = Field(default=0.5, gt=0, le=1)
    """Where it lies: share of the patterns that are kept."""
    visited: float | None = Field(default=None, ge=0)
    """Boundaries looked at per trace; by default all up to the exit, or all."""
    draws: float | None = Field(default=None, ge=0)
    """Answers drawn per boundary looked at; by default as expected with `right_before` and `right_at`."""
    right_before: float = Field(default=0.1, ge=0, le=1)
    """Chance that an answer drawn before the exit is right."""
    right_at: float = Field(default=0.8, ge=0, le=1)
    """Chance that one drawn at the exit is right."""
    answer: float = Field(default=8.0, gt=0)
    """Tokens of an answer drawn at a boundary."""
    closing: float = Field(default=16.0, ge=0)
    """Tokens of the words that close the thinking."""
    ending: float = Field(default=300.0, gt=0)
    """Tokens of an ending."""
    ended_share: float = Field(default=0.75, ge=0, le=1)
    """Share of the traces that have a right ending."""
    checks: float | None = Field(default=None, ge=0)
    """Checks per ended trace; by default one per pattern but the last, or two with a judge."""
    check_draws: float | None = Field(default=None, ge=0)
    """Endings drawn per check; by default as expected with `right_at`."""
    pairs: float | None = Field(default=None, ge=0)
    """Pairs per problem, copies counted; by default as many as the settings allow and ended traces give."""
    chosen: float = Field(default=0.5, gt=0)
    """Tokens of a chosen response over those of a mean response."""
    rejected: float = Field(default=1.0, gt=0)
    """Tokens of a rejected response over those of a mean response."""
    benchmark_response: float | None = Field(default=None, gt=0)
    """Tokens of a response to a benchmark's problem; by default as to the others."""
    tuned: float = Field(default=0.6, gt=0)
    """Tokens of the tuned model's response over those of the base model's."""


class Machine(Record):
    """What turns FLOPs and tokens into hours; the defaults are assumptions about one H100, measured on none."""

    peak_tflops: float = Field(default=989.0, gt=0)
    """Peak of the number format in TFLOP/s."""
    mfu: float = Field(default=0.35, gt=0, le=1)
    """Share of the peak reached in training and in reading prompts."""
    decode_mfu: float = Field(default=0.05, gt=0, le=1)
    """Share of the peak reached while generating, which moves weights more than it multiplies."""
    tokens_per_second: float | None = Field(default=None, gt=0)
    """Tokens generated per second of one GPU, in place of `decode_mfu`."""

    def seconds(self, load: Load, shape: ModelShape) -> float:
        """Return GPU-seconds: generation at its own speed, all other FLOPs at `mfu` of the peak."""
        weights = 2.0 * shape.parameters * load.generated
        # Attention belongs to both; it goes with the share of the dense FLOPs that generation has.
        generating = load.flops * min(1.0, weights / load.dense_flops) if load.dense_flops else 0.0
        slow = (
            load.generated / self.tokens_per_second
            if self.tokens_per_second
            else generating / (1e12 * self.peak_tflops * self.decode_mfu)
        )
        return slow + (load.flops - generating) / (1e12 * self.peak_tflops * self.mfu)


def expected_draws(completions: int, threshold: float, rate: float) -> float:
    """Return the mean draws until a boundary with this chance of a right answer is decided (`exit_point.decide`)."""
    needed = hits_needed(completions, threshold)
    too_many = completions - needed + 1
    # Chance of each undecided (hits, misses); every one of them takes one draw more.
    undecided: dict[tuple[int, int], float] = {(0, 0): 1.0}
    draws = 0.0
    while undecided:
        draws += sum(undecided.values())
        after: dict[tuple[int, int], float] = defaultdict(float)
        for (hits, misses), chance in undecided.items():
            after[hits + 1, misses] += chance * rate
            after[hits, misses + 1] += chance * (1 - rate)
        undecided = {seen: chance for seen, chance in after.items() if seen[0] < needed and seen[1] < too_many}
    return draws


class _Model:
    """A model's shape as a price list."""

    def __init__(self, shape: ModelShape) -> None:
        self._dense = 2.0 * shape.parameters
        self._attention = 4.0 * shape.layers * shape.width

    def load(self, positions: float, contexts: float, **counts: float) -> Load:
        """Return the load of so many positions whose contexts add up to `contexts`."""
        return Load(dense_flops=self._dense * positions, attention_flops=self._attention * contexts, **counts)

    def completions(
        self, groups: float, each: float, prompt: float, tokens: float, *, known: float = 0.0, spread: float = 0.0
    ) -> Load:
        """Return the load of groups of `each` completions of one prompt, `known` tokens of which need not be computed."""
        computed = groups * (prompt - known)
        read = computed * (prompt + known) / 2
        drawn = groups * each
        # The mean square of a length is its square times one plus the squared spread.
        written = drawn * tokens * (prompt + tokens * (1 + spread**2) / 2)
        return self.load(
            computed + drawn * max(0.0, tokens - 1),
            read + written,
            requests=drawn,
            prompt_computed=computed,
            prompt_cached=drawn * prompt - computed,
            generated=drawn * tokens,
        )


def estimate(shape: ModelShape, work: Workload, habits: Habits, *, model_bytes: float = 0.0) -> dict[str, Load]:
    """Return the expected load of every stage; `model_bytes` is what the trained model takes on disk."""
    model = _Model(shape)
    traces = float(work.problems * work.samples)
    text = traces * habits.response * BYTES_PER_TOKEN
    rollout = model.completions(work.problems, work.samples, habits.prompt, habits.response, spread=habits.spread)
    # Each stage keeps its traces' texts, the later ones with the patterns and the optimized text beside them.
    loads = {
        "rollout": _kept(rollout, text),
        "exits": _kept(_exits(model, traces, work, habits), 1.2 * text),
        "endings": _kept(_endings(model, traces, work, habits), 1.2 * text),
        "pruning": _kept(_pruning(model, traces, work, habits), 1.3 * text),
    }
    rows = work.problems * _pairs(work, habits)
    tokens = rows * (habits.chosen + habits.rejected) * habits.response
    loads["pairs"] = Load(disk_bytes=tokens * BYTES_PER_TOKEN)
    loads["training"] = _kept(_training(model, rows, work, habits), model_bytes)
    base = habits.benchmark_response or habits.response
    for name, length in (("baseline", base), ("evaluation", base * habits.tuned)):
        answers = model.completions(
            work.benchmark_problems, work.benchmark_samples, habits.prompt, length, spread=habits.spread
        )
        loads[name] = _kept(answers, answers.generated * BYTES_PER_TOKEN)
    return loads


def _kept(load: Load, size: float) -> Load:
    return load.model_copy(update={"disk_bytes": size})


def _exits(model: _Model, traces: float, work: Workload, habits: Habits) -> Load:
    pattern = habits.response / habits.patterns
    visited, draws = searched(work, habits)
    # What is read of a trace: the question, its patterns up to the last boundary, and the closing words at each.
    read = habits.prompt + visited * pattern
    middle = habits.prompt + (visited + 1) / 2 * pattern * (1 + habits.spread**2 / 2)
    reading = model.load(
        traces * (read + visited * habits.closing),
        traces * (read**2 / 2 + visited * habits.closing * middle),
        prompt_computed=traces * (read + visited * habits.closing),
    )
    boundaries = traces * visited
    length = middle + habits.closing
    drawing = model.completions(boundaries, draws, length, habits.answer, known=length)
    return reading + drawing.model_copy(
        update={"prompt_cached": max(0.0, drawing.prompt_cached - reading.prompt_computed)}
    )


def searched(work: Workload, habits: Habits) -> tuple[float, float]:
    """Return boundaries looked at per trace, and answers drawn per boundary."""
    if work.strategy == "exhaustive":
        return habits.patterns, float(work.completions)
    place = max(1.0, habits.exit_place * habits.patterns)
    found = habits.exit_share
    visited = habits.visited or found * place + (1 - found) * habits.patterns
    fail = expected_draws(work.completions, work.threshold, habits.right_before)
    passed = expected_draws(work.completions, work.threshold, habits.right_at)
    at_exit = min(1.0, found / visited)
    return visited, habits.draws or at_exit * passed + (1 - at_exit) * fail


def _stopped(habits: Habits) -> float:
    """Return the tokens of a trace up to its exit, question and closing words with it."""
    return habits.prompt + habits.exit_place * habits.response + habits.closing


def _endings(model: _Model, traces: float, work: Workload, habits: Habits) -> Load:
    return model.completions(traces * habits.exit_share, work.endings, _stopped(habits), habits.ending)


def _pruning(model: _Model, traces: float, work: Workload, habits: Habits) -> Load:
    ended, prompt = traces * habits.ended_share, _stopped(habits)
    kept = habits.exit_place * habits.patterns
    default = 2.0 if work.judge else max(0.0, kept - 1)
    checks = ended * (default if habits.checks is None else habits.checks)
    draws = habits.check_draws
    if draws is None:
        draws = expected_draws(work.check_completions, work.check_threshold, habits.right_at)
    # A check leaves out a pattern somewhere: on average half of what stays was read before.
    known = (prompt + habits.prompt) / 2
    drawn = model.completions(checks, draws, prompt, habits.ending, known=known)
    scored = 2 * checks * prompt if work.guard else 0.0
    guard = model.load(scored, scored * prompt / 2, requests=2 * checks if work.guard else 0.0, prompt_computed=scored)
    judged = ended * (prompt + 40 * kept) if work.judge else 0.0
    return drawn + guard + Load(judge_tokens=judged)


def _pairs(work: Workload, habits: Habits) -> float:
    """Return pairs per problem, copies counted."""
    if habits.pairs is not None:
        return habits.pairs
    ended = work.samples * habits.ended_share
    necessary = min(float(work.necessary_per_problem), ended / 2) * work.necessary_copies
    return min(float(work.pairs_per_problem), ended) + necessary


def _training(model: _Model, rows: float, work: Workload, habits: Habits) -> Load:
    sides = [habits.prompt + share * habits.response for share in (habits.chosen, habits.rejected)]
    passes = rows * work.epochs
    trained = passes * sum(sides)
    contexts = passes * sum(side**2 / 2 for side in sides)
    return model.load(3 * trained, 3 * contexts, requests=2 * passes, trained=trained)


Origin = Literal["measured", "assumed", "given"]


class Assumed(Record):
    """Habits and where each came from."""

    habits: Habits = Habits()
    origins: dict[str, Origin] = Field(default={})

    def with_(self, origin: Origin, **values: float | None) -> Self:
        """Return them with some values in place of others; what is None stays."""
        known = {name: value for name, value in values.items() if value is not None}
        habits = Habits.model_validate({**self.habits.model_dump(), **known})
        return self.model_copy(update={"habits": habits, "origins": {**self.origins, **dict.fromkeys(known, origin)}})
