"""The earliest sufficient exit: the first boundary after which the answer is right often enough (method.md 3).

A search is a generator: it yields which samples it wants to see, is sent what came of them (right or wrong), and returns
what it found. It draws nothing itself, so the same samples give the same exit whoever draws them.
"""

import math
from collections.abc import Generator, Sequence
from typing import Literal, NamedTuple

from dto_jobs.core.records import Boundary

Strategy = Literal["curtailed", "exhaustive"]


class Ask(NamedTuple):
    """Samples wanted at boundary `boundary` (1 … n: patterns kept), numbered `first` … `first + samples - 1`."""

    boundary: int
    first: int
    samples: int


class Found(NamedTuple):
    """Counts per boundary looked at, from the first on, and the exit: patterns kept, or None."""

    boundaries: tuple[Boundary, ...]
    exit: int | None


Outcomes = Sequence[Sequence[bool]]
Search = Generator[list[Ask], Outcomes, Found]


def hits_needed(completions: int, threshold: float) -> int:
    """Return the fewest hits h of K completions with h / K ≥ T."""
    # The small term keeps 0.6 * 5 = 3.0000000000000004 from asking for a fourth hit.
    return max(1, math.ceil(threshold * completions - 1e-9))


def search(patterns: int, completions: int, threshold: float, strategy: Strategy) -> Search:
    """Search the exit of a trace of so many patterns, by the named strategy."""
    by_strategy = {"curtailed": curtailed, "exhaustive": exhaustive}
    return by_strategy[strategy](patterns, completions, threshold)


def exhaustive(patterns: int, completions: int, threshold: float) -> Search:
    """Draw all K samples at every boundary: the whole curve p_1 … p_n, whatever the exit."""
    asks = [Ask(boundary, 0, completions) for boundary in range(1, patterns + 1)]
    outcomes = yield asks
    needed = hits_needed(completions, threshold)
    boundaries = tuple(Boundary(hits=sum(seen), misses=len(seen) - sum(seen)) for seen in outcomes)
    exit_ = next((i for i, boundary in enumerate(boundaries, start=1) if boundary.hits >= needed), None)
    return Found(boundaries, exit_)


def curtailed(patterns: int, completions: int, threshold: float) -> Search:
    """Walk the boundaries in order and stop at the first pass; leave a boundary once its verdict is certain.

    With K = 8 and T = 0.5 that is after 4 hits or 5 misses. Samples are asked for in the order the exhaustive scheme
    numbers them, so both see the same ones and find the same exit.
    """
    needed = hits_needed(completions, threshold)
    boundaries: list[Boundary] = []
    for boundary in range(1, patterns + 1):
        seen = yield from decide(boundary, completions, needed)
        boundaries.append(seen)
        if seen.hits >= needed:
            return Found(tuple(boundaries), boundary)
    return Found(tuple(boundaries), None)


def decide(boundary: int, completions: int, needed: int) -> Generator[list[Ask], Outcomes, Boundary]:
    """Sample one boundary until `needed` hits, or too many misses for them, are certain."""
    too_many = completions - needed + 1
    hits = misses = 0
    while hits < needed and misses < too_many:
        # No verdict can fall before so many more samples, so they may be drawn together.
        count = min(needed - hits, too_many - misses)
        [seen] = yield [Ask(boundary, hits + misses, count)]
        hits += sum(seen)
        misses += len(seen) - sum(seen)
    return Boundary(hits=hits, misses=misses)
