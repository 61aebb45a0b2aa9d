"""What the traces themselves tell, before any training: how much they overthink, and what optimizing them saved."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dto_jobs.core.cost import ModelShape, response_flops
from dto_jobs.core.records import Pair, PrunedTrace, Response, SearchedTrace
from dto_jobs.core.results import (
    Change,
    ExitResults,
    LevelFigures,
    PairFigures,
    PairResults,
    Regime,
    RegimeResults,
    RolloutResults,
    Trajectories,
)
from dto_jobs.core.statistics import mean_interval, rate_interval, ratio_interval

POSITIONS = 10

ByProblem = defaultdict[str, list[float]]


def share(part: float, whole: float) -> float:
    """Return part / whole, 0 of nothing."""
    return part / whole if whole else 0.0


def hardness(level: str, accuracy: float) -> tuple[int, float, str]:
    """Return what sorts levels from easy to hard: the number in their name, else how seldom the model is right."""
    digits = "".join(filter(str.isdecimal, level))
    return int(digits or 0), -accuracy, level


def rollout_results(responses: Iterable[Response], *, seed: int = 0) -> RolloutResults:
    """Summarize responses: how often they are right, how long they are, how many were cut."""
    correct, tokens = ByProblem(list), ByProblem(list)
    levels: dict[tuple[str, str], list[tuple[bool, int]]] = defaultdict(list)
    unfinished = 0
    for response in responses:
        problem = response.problem
        correct[problem.id].append(response.correct)
        tokens[problem.id].append(response.tokens)
        levels[problem.benchmark, problem.level].append((response.correct, response.tokens))
        unfinished += not response.finished
    count = sum(map(len, correct.values()))
    return RolloutResults(
        problems=len(correct),
        responses=count,
        accuracy=rate_interval(correct, seed=seed) if count else None,
        tokens=mean_interval(tokens, seed=seed) if count else None,
        unfinished=share(unfinished, count),
        levels=_levels(levels) if len(levels) > 1 else (),
    )


def _levels(rows: Mapping[tuple[str, str], Sequence[tuple[bool, int]]]) -> tuple[LevelFigures, ...]:
    levels = [_level(*name, found) for name, found in rows.items()]
    return tuple(sorted(levels, key=lambda one: (one.benchmark, hardness(one.level, one.accuracy))))


def _level(benchmark: str, level: str, rows: Sequence[tuple[bool, int]]) -> LevelFigures:
    correct, tokens = zip(*rows, strict=True)
    return LevelFigures(
        benchmark=benchmark,
        level=level,
        responses=len(rows),
        accuracy=share(sum(correct), len(rows)),
        tokens=share(sum(tokens), len(rows)),
    )


def exit_results(traces: Iterable[SearchedTrace]) -> ExitResults:
    """Summarize where thinking could have stopped."""
    count = patterns = kept = samples = 0
    places: Counter[str] = Counter()
    positions = [0] * POSITIONS
    kinds: Counter[str] = Counter()
    for trace in traces:
        count += 1
        patterns += len(trace.patterns)
        kinds.update(pattern.kind for pattern in trace.patterns)
        samples += sum(boundary.hits + boundary.misses for boundary in trace.boundaries)
        if trace.exit is not None:
            kept += trace.exit
            places[_place(trace.exit, len(trace.patterns))] += 1
            # Whole numbers: 7 / 10 * 10 would come out above 7.
            positions[-(-trace.exit * POSITIONS // len(trace.patterns)) - 1] += 1
    return ExitResults(
        traces=count,
        with_exit=places.total(),
        patterns=share(patterns, count),
        kept=share(kept, places.total()),
        first_half=places["first"],
        second_half=places["second"],
        at_end=places["end"],
        positions=tuple(positions),
        samples=samples,
        kinds=dict(kinds.most_common()),
    )


def _place(exit_: int, patterns: int) -> str:
    if exit_ == patterns:
        return "end"
    return "first" if 2 * exit_ <= patterns else "second"


@dataclass
class _Costs:
    """One cost per trajectory, before and after, by problem."""

    before: ByProblem = field(default_factory=lambda: ByProblem(list))
    after: ByProblem = field(default_factory=lambda: ByProblem(list))

    def add(self, problem: str, before: float, after: float) -> None:
        """Add one trajectory."""
        self.before[problem].append(before)
        self.after[problem].append(after)

    def change(self, seed: int) -> Change:
        """Return the means before and after, and the change with its interval."""
        count = sum(map(len, self.before.values()))
        return Change(
            before=sum(map(sum, self.before.values())) / count,
            after=sum(map(sum, self.after.values())) / count,
            change=ratio_interval(self.after, self.before, seed=seed),
        )


@dataclass
class _Trajectories:
    """Costs of trajectories: tokens, and FLOPs in all and of attention."""

    tokens: _Costs = field(default_factory=_Costs)
    flops: _Costs = field(default_factory=_Costs)
    attention: _Costs = field(default_factory=_Costs)

    def add(self, response: Response, tokens_after: int, shape: ModelShape) -> None:
        """Add one trajectory: as it was, and with so many tokens after."""
        problem = response.problem.id
        dense, attention = response_flops(shape, response.prompt_tokens, response.tokens)
        dense_after, attention_after = response_flops(shape, response.prompt_tokens, tokens_after)
        self.tokens.add(problem, response.tokens, tokens_after)
        self.flops.add(problem, dense + attention, dense_after + attention_after)
        self.attention.add(problem, attention, attention_after)

    def summary(self, seed: int) -> Trajectories | None:
        """Return the changes; None of no trajectories."""
        if not self.tokens.before:
            return None
        return Trajectories(
            tokens=self.tokens.change(seed),
            flops=self.flops.change(seed),
            attention_flops=self.attention.change(seed),
        )


@dataclass
class _Regime:
    """Counts of one regime's traces."""

    right: bool
    traces: int = 0
    optimized: int = 0
    dropped: int = 0
    rates: float = 0.0
    overall: _Trajectories = field(default_factory=_Trajectories)
    of_optimized: _Trajectories = field(default_factory=_Trajectories)

    def add(self, trace: PrunedTrace, shape: ModelShape) -> None:
        """Add one trace."""
        response = trace.ended.trace.response
        self.traces += 1
        self.overall.add(response, response.tokens if trace.text is None else trace.tokens, shape)
        if trace.text is not None:
            self.optimized += 1
            self.dropped += len(trace.dropped)
            self.rates += trace.optimized_correct_rate
            self.of_optimized.add(response, trace.tokens, shape)

    def summary(self, seed: int) -> Regime:
        """Return what became of the traces."""
        return Regime(
            traces=self.traces,
            optimized=self.optimized,
            dropped=self.dropped,
            accuracy_before=float(self.right and self.traces > 0),
            # An optimized trajectory ends in an answer that was graded right; what was not optimized stays as it was.
            accuracy_after=share(self.traces if self.right else self.optimized, self.traces),
            correct_rate=share(self.rates, self.optimized),
            overall=self.overall.summary(seed),
            of_optimized=self.of_optimized.summary(seed),
        )


def regime_results(traces: Iterable[PrunedTrace], shape: ModelShape, *, seed: int = 0) -> RegimeResults:
    """Compare trajectories before and after optimization, those that were right and the wrong ones apart."""
    right, wrong = _Regime(right=True), _Regime(right=False)
    for trace in traces:
        (right if trace.ended.trace.response.correct else wrong).add(trace, shape)
    return RegimeResults(right=right.summary(seed), wrong=wrong.summary(seed))


def all_trajectories(regimes: RegimeResults) -> tuple[float, float]:
    """Return mean tokens per trace before and after optimization, both regimes together."""
    parts = [(one.traces, one.overall.tokens) for one in (regimes.right, regimes.wrong) if one.overall]
    count = sum(traces for traces, _ in parts)
    before = sum(traces * tokens.before for traces, tokens in parts)
    return share(before, count), share(sum(traces * tokens.after for traces, tokens in parts), count)


@dataclass
class _Kind:
    """Pairs of one kind, counted."""

    pairs: int = 0
    copies: int = 0
    chosen: int = 0
    rejected: int = 0
    problems: set[str] = field(default_factory=set)

    def add(self, pair: Pair) -> None:
        """Add one pair."""
        self.pairs += 1
        self.copies += pair.copies
        self.chosen += pair.chosen_tokens
        self.rejected += pair.rejected_tokens
        self.problems.add(pair.problem_id)

    def summary(self) -> PairFigures:
        """Return the counts and mean lengths."""
        return PairFigures(
            pairs=self.pairs,
            copies=self.copies,
            problems=len(self.problems),
            chosen_tokens=share(self.chosen, self.pairs),
            rejected_tokens=share(self.rejected, self.pairs),
        )


def pair_results(pairs: Iterable[Pair]) -> PairResults:
    """Count pairs by kind."""
    kinds: dict[str, _Kind] = defaultdict(_Kind)
    for pair in pairs:
        kinds[pair.kind].add(pair)
    return PairResults(
        pairs=sum(kind.pairs for kind in kinds.values()),
        copies=sum(kind.copies for kind in kinds.values()),
        problems=len(set().union(*(kind.problems for kind in kinds.values()))),
        kinds={name: kind.summary() for name, kind in sorted(kinds.items())},
    )
