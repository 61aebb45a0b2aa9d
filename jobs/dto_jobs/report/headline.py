"""A run's result in plain words, also when the method loses."""

from collections.abc import Iterator
from typing import NamedTuple

from dto_jobs.core.analysis import all_trajectories
from dto_jobs.core.interval import Interval
from dto_jobs.core.results import CostResults, EvaluationResults, GateResults, Regime, RegimeResults, Results, Slice
from dto_jobs.report.words import bounds, change, count, flops, percent, points, rough, typeset

UNSURE = 0.03
"""A loss that an interval must exclude for the title to call a change in accuracy unclear and say no more."""


class Headline(NamedTuple):
    """A title and the sentences that bear it out."""

    title: str
    sentences: tuple[str, ...]


def headline(results: Results) -> Headline:
    """Say what came of a run: of the tuned model where there is one, else of the traces."""
    if results.evaluation is not None:
        return _compared(results, results.evaluation)
    if results.regimes is not None:
        return _analysed(results, results.regimes)
    return Headline("Not far enough for a result yet", tuple(_sampled(results)))


# Base against tuned model


def _compared(results: Results, evaluation: EvaluationResults) -> Headline:
    overall = evaluation.overall
    sentences = [_accuracy_sentence(overall), *_losers(evaluation), _token_sentence(overall), _flops_sentence(overall)]
    if results.gate is not None:
        sentences.append(_gate_sentence(results.gate))
    if results.cost is not None:
        sentences.append(_pays_back(results.cost, results.gate))
    return Headline(f"{_tokens_in_short(overall)}, {_accuracy_in_short(overall)}", tuple(sentences))


def _tokens_in_short(overall: Slice) -> str:
    tokens = overall.token_change
    direction = _direction(tokens)
    if direction == 0:
        return "No clear change in tokens"
    return f"{percent(abs(tokens.value), 0)} {'more' if direction > 0 else 'fewer'} tokens"


def _accuracy_in_short(overall: Slice) -> str:
    difference = overall.accuracy_difference
    direction = _direction(difference)
    size = f"{100 * abs(difference.value):.1f} points"
    if direction == 0 and difference.low is not None and difference.low < -UNSURE:
        # Not clear is not the same as none: a large loss may hide in a wide interval.
        return f"accuracy not certain ({points(difference.value)} points, {bounds(difference, 100, 1, sign=True)})"
    if direction == 0:
        return f"no clear change in accuracy ({points(difference.value)} points)"
    # "And" where both go the wanted way, "but" where one is bought with the other.
    link = "and" if (direction > 0) == (overall.token_change.value < 0) else "but"
    return f"{link} accuracy {'up' if direction > 0 else 'down'} {size}"


def _direction(interval: Interval) -> int:
    """Return 1 or -1 where the whole interval lies on one side of zero, else 0."""
    if interval.low is None or interval.high is None:
        return 0
    return int(interval.low > 0) - int(interval.high < 0)


def _accuracy_sentence(overall: Slice) -> str:
    difference = overall.accuracy_difference
    return (
        f"On {count(overall.problems)} problems the tuned model answers {percent(overall.tuned.accuracy.value)} right, "
        f"the base model {percent(overall.base.accuracy.value)}: {points(difference.value)} points "
        f"(95\N{NO-BREAK SPACE}% interval {bounds(difference, 100, 1, sign=True)})."
    )


def _token_sentence(overall: Slice) -> str:
    tokens = overall.token_change
    return (
        f"An answer takes {count(overall.tuned.tokens.value)} tokens instead of {count(overall.base.tokens.value)}: "
        f"{change(tokens.value, 1)} ({bounds(tokens, 100, 1, sign=True)})."
    )


def _losers(evaluation: EvaluationResults) -> Iterator[str]:
    """Name the slices where accuracy fell beyond doubt, which a good mean could hide."""
    losers = [part for part in evaluation.slices[1:] if _direction(part.accuracy_difference) < 0]
    if losers:
        several = any(part.benchmark and not part.level for part in evaluation.slices)
        told = ", ".join(
            f"{part.name if several else part.short} ({points(part.accuracy_difference.value)})" for part in losers
        )
        yield f"Accuracy fell clearly on: {told}."


def _flops_sentence(overall: Slice) -> str:
    return (
        f"That is {change(overall.flops_change)} of all FLOPs per answer; of those in attention alone, "
        f"which grow with the square of the length, {change(overall.attention_change)}."
    )


def _gate_sentence(gate: GateResults) -> str:
    if gate.accepted:
        unknown = "".join(f"; {typeset(check.message)}" for check in gate.not_judged)
        return f"The gate accepts the tuned model{unknown}."
    reasons = "; ".join(check.message for check in gate.checks if not check.passed)
    return f"The gate refuses the tuned model: {typeset(reasons)}."


def _pays_back(cost: CostResults, gate: GateResults | None) -> str:
    if cost.break_even_answers is None:
        return f"The run took {flops(cost.total.flops)} and does not pay back: an answer costs no less than before."
    answers = rough(cost.break_even_answers)
    has = "has" if gate is None or gate.accepted else "would, were the model good enough, have"
    return (
        f"The run took {flops(cost.total.flops)} and {has} paid for itself after about {answers} answers of this kind."
    )


# The traces alone


def _analysed(results: Results, regimes: RegimeResults) -> Headline:
    before, after = all_trajectories(regimes)
    saved = 1 - after / before if before else 0.0
    sentences = [*_sampled(results), *_could_stop(results), *_compressed(regimes.right), *_rescued(regimes.wrong)]
    if results.cost is not None:
        sentences.append(f"Finding that out took {flops(results.cost.total.flops)}; nothing was trained.")
    if saved <= 0:
        return Headline("Optimizing these traces would save no tokens", tuple(sentences))
    return Headline(f"These traces could do with {percent(saved, 0)} fewer tokens", tuple(sentences))


def _sampled(results: Results) -> Iterator[str]:
    rollout = results.rollout
    if rollout is not None and rollout.accuracy is not None and rollout.tokens is not None:
        yield (
            f"{count(rollout.responses)} responses to {count(rollout.problems)} problems are "
            f"{percent(rollout.accuracy.value)} right and take {count(rollout.tokens.value)} tokens each; "
            f"{percent(rollout.unfinished, 0)} were cut before an answer."
        )


def _could_stop(results: Results) -> Iterator[str]:
    exits = results.exits
    if exits is not None and exits.traces:
        yield (
            f"{count(exits.with_exit)} of {count(exits.traces)} traces reach a point where the model answers right "
            f"often enough if it stops there; {count(exits.first_half)} of them in the first half of their thinking."
        )


def _compressed(right: Regime) -> Iterator[str]:
    if right.overall is not None:
        tokens, attention = right.overall.tokens, right.overall.attention_flops
        yield (
            f"Of {count(right.traces)} right traces {count(right.optimized)} were shortened and stay right: over all "
            f"of them {change(tokens.after / tokens.before - 1)} tokens ({bounds(tokens.change, 100, 0, sign=True)}) "
            f"and {change(attention.after / attention.before - 1)} attention FLOPs."
        )


def _rescued(wrong: Regime) -> Iterator[str]:
    if wrong.traces:
        yield (
            f"Of {count(wrong.traces)} wrong traces {count(wrong.optimized)} ({percent(wrong.accuracy_after, 0)}) "
            f"pass a point from where the model answers right, and were rescued by stopping there."
        )
