"""Preference pairs: the optimized trajectory chosen, a suboptimal one of the same problem rejected (method.md 6)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from pydantic import Field

from dto_jobs.core.records import Pair, PairKind, PrunedTrace, Response
from dto_jobs.settings import Settings

Rejected = Literal["original", "longest-correct", "incorrect"]


class Preference(Settings):
    """Which pairs are made."""

    chosen: Literal["optimized", "shortest-correct"] = "optimized"
    """`shortest-correct` takes the problem's shortest correct response as it was sampled, against the longest finished one: the
    control that tells what optimizing the traces adds."""
    rejected: Rejected = "original"
    """What the optimized trajectory is preferred to: its own original response, the problem's longest correct one, or an
    incorrect one."""
    max_per_problem: int = Field(default=2, ge=1, le=64)
    """At most so many compressed and rescued pairs per problem, the shortest chosen first."""
    min_saving: float = Field(default=0.1, ge=0, lt=1)
    """A pair is kept if the chosen is shorter than the rejected by at least this share of the rejected's tokens."""
    max_tokens: int = Field(default=8192, ge=16)
    """The training window: a pair whose prompt and longer response exceed it is dropped, so that the trainer never cuts one."""
    necessary: int = Field(default=3, ge=0, le=64)
    """Copies of each necessary-thought pair: a trajectory that still needs two or more patterns, against the same text stopped
    one pattern earlier; 0 for none."""
    necessary_per_problem: int = Field(default=2, ge=0, le=64)
    """At most so many necessary-thought pairs per problem."""
    long_correct: int = Field(default=0, ge=0, le=64)
    """Copies of a pair that prefers a long correct response to a short wrong one, one per problem; 0 for none."""


Stop = Callable[[PrunedTrace], tuple[str, int] | None]
"""Tells how a trace would have read, and in how many tokens, had it stopped one pattern earlier; None where that is not known."""


def pairs(traces: Sequence[PrunedTrace], settings: Preference, stopped_earlier: Stop) -> list[Pair]:
    """Return the pairs of one problem's traces; every chosen text is correct."""
    if settings.chosen == "shortest-correct":
        sampled = _shortest_correct([_response(trace) for trace in traces], settings)
        return [pair for pair in sampled if _fits(pair, _response(traces[0]).prompt_tokens, settings)]
    optimized = sorted((trace for trace in traces if trace.text is not None), key=lambda trace: trace.tokens)
    main = [pair for trace in optimized for pair in _against_rejected(trace, traces, settings)]
    chosen_first = _alternate(
        [pair for pair in main if pair.kind == "rescued"], [pair for pair in main if pair.kind == "compressed"]
    )
    kept = chosen_first[: settings.max_per_problem]
    if settings.necessary:
        necessary = [pair for trace in optimized for pair in _necessary(trace, settings, stopped_earlier)]
        kept += necessary[: settings.necessary_per_problem]
    if settings.long_correct:
        kept += list(_long_correct([_response(trace) for trace in traces], settings))
    return [pair for pair in kept if _fits(pair, _response(traces[0]).prompt_tokens, settings)]


def _response(trace: PrunedTrace) -> Response:
    return trace.ended.trace.response


def _fits(pair: Pair, prompt_tokens: int, settings: Preference) -> bool:
    return prompt_tokens + max(pair.chosen_tokens, pair.rejected_tokens) <= settings.max_tokens


def _alternate(first: Sequence[Pair], second: Sequence[Pair]) -> list[Pair]:
    """Interleave two lists, so that a cap leaves some of each."""
    both = [pair for couple in zip(first, second, strict=False) for pair in couple]
    shorter = min(len(first), len(second))
    return [*both, *first[shorter:], *second[shorter:]]


def _against_rejected(trace: PrunedTrace, traces: Sequence[PrunedTrace], settings: Preference) -> Iterator[Pair]:
    rejected = _rejected(trace, traces, settings.rejected)
    if rejected is None or trace.tokens > (1 - settings.min_saving) * rejected.tokens:
        return
    kind: PairKind = "compressed" if _response(trace).correct else "rescued"
    yield _pair(kind, _response(trace), (trace.text or "", trace.tokens), (rejected.text, rejected.tokens))


def _rejected(trace: PrunedTrace, traces: Sequence[PrunedTrace], rule: Rejected) -> Response | None:
    if rule == "original":
        return _response(trace)
    correct = rule == "longest-correct"
    responses = [_response(other) for other in traces]
    return max((one for one in responses if one.correct == correct), key=lambda one: one.tokens, default=None)


def _necessary(trace: PrunedTrace, settings: Preference, stopped_earlier: Stop) -> Iterator[Pair]:
    stopped = stopped_earlier(trace) if len(trace.kept) > 1 else None
    if stopped is not None:
        yield _pair("necessary", _response(trace), (trace.text or "", trace.tokens), stopped, copies=settings.necessary)


def _shortest_correct(responses: Sequence[Response], settings: Preference) -> Iterator[Pair]:
    right = min((one for one in responses if one.correct), key=lambda one: one.tokens, default=None)
    longest = max((one for one in responses if one.finished), key=lambda one: one.tokens, default=None)
    if right is not None and longest is not None and right.tokens <= (1 - settings.min_saving) * longest.tokens:
        kind: PairKind = "compressed" if longest.correct else "rescued"
        yield _pair(kind, right, (right.text, right.tokens), (longest.text, longest.tokens))


def _long_correct(responses: Sequence[Response], settings: Preference) -> Iterator[Pair]:
    right = min((one for one in responses if one.correct), key=lambda one: one.tokens, default=None)
    wrong = min(
        (one for one in responses if not one.correct and one.finished), key=lambda one: one.tokens, default=None
    )
    if right is not None and wrong is not None and wrong.tokens < right.tokens:
        copies = settings.long_correct
        yield _pair("long-correct", right, (right.text, right.tokens), (wrong.text, wrong.tokens), copies=copies)


def _pair(
    kind: PairKind, response: Response, chosen: tuple[str, int], rejected: tuple[str, int], *, copies: int = 1
) -> Pair:
    return Pair(
        problem_id=response.problem.id,
        level=response.problem.level,
        kind=kind,
        prompt=response.prompt,
        chosen=chosen[0],
        rejected=rejected[0],
        chosen_tokens=chosen[1],
        rejected_tokens=rejected[1],
        copies=copies,
    )
