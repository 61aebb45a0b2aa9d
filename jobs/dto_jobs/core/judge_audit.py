"""A judge's verdicts against leave-one-out Monte Carlo: a pattern is needed if answers are lost without it alone."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from dto_jobs.core.audits import JudgeAudit, JudgeFigures, JudgePair, Terms
from dto_jobs.core.interval import Interval
from dto_jobs.core.records import Boundary
from dto_jobs.core.statistics import Table, kappa_interval, rate_interval
from dto_jobs.core.verdicts import Verdict


@dataclass(frozen=True)
class Audited:
    """One trace: what Monte Carlo saw with all patterns and without each, and what each judge said."""

    problem: str
    whole: Boundary
    without: Sequence[Boundary]
    """Of each pattern that may be dropped, in order."""
    verdicts: Mapping[str, Sequence[Verdict]]
    """By judge; ids from 1."""

    def needed(self, threshold: float) -> list[bool]:
        """Tell of each pattern whether the answer is lost without it."""
        return [_lost(seen, threshold) for seen in self.without]

    def kept(self, judge: str) -> list[bool]:
        """Tell of each pattern whether a judge keeps it; without a verdict it stays."""
        drops = {verdict.pattern for verdict in self.verdicts[judge] if not verdict.keep}
        return [pattern not in drops for pattern in range(1, len(self.without) + 1)]

    def unheard(self, judge: str) -> int:
        """Count the patterns without a verdict."""
        heard = {verdict.pattern for verdict in self.verdicts[judge]}
        return sum(pattern not in heard for pattern in range(1, len(self.without) + 1))


def _lost(seen: Boundary, threshold: float) -> bool:
    # A hair less, as where the hits that are needed are counted.
    return seen.rate < threshold - 1e-9


def judge_audit(traces: Sequence[Audited], counts: Mapping[str, Mapping[str, int]], terms: Terms) -> JudgeAudit | None:
    """Return what the verdicts are worth; None where no trace can tell: none is steady, or none has a pattern to drop."""
    steady = [trace for trace in traces if not _lost(trace.whole, terms.threshold)]
    telling = [trace for trace in steady if trace.without]
    if not telling:
        return None
    judges = list(counts)
    return JudgeAudit(
        run=terms.run,
        traces=len(telling),
        problems=len({trace.problem for trace in telling}),
        unsteady=len(traces) - len(steady),
        completions=terms.completions,
        threshold=terms.threshold,
        seed=terms.seed,
        needed=_rate((trace.problem, needed) for trace in telling for needed in trace.needed(terms.threshold)),
        judges=tuple(_figures(judge, telling, counts[judge], terms.threshold) for judge in judges),
        pairs=tuple(_pair(first, second, telling) for first, second in combinations(judges, 2)),
    )


def _figures(judge: str, traces: Sequence[Audited], counts: Mapping[str, int], threshold: float) -> JudgeFigures:
    said = [
        (trace.problem, kept, needed)
        for trace in traces
        for kept, needed in zip(trace.kept(judge), trace.needed(threshold), strict=True)
    ]
    dropped = [(problem, needed) for problem, kept, needed in said if not kept]
    needless = [(problem, kept) for problem, kept, needed in said if not needed]
    return JudgeFigures(
        judge=judge,
        patterns=len(said),
        unheard=sum(trace.unheard(judge) for trace in traces),
        dropped=_rate((problem, not kept) for problem, kept, _ in said),
        agreement=_rate((problem, kept == needed) for problem, kept, needed in said),
        kappa=_kappa(said),
        harm=_rate(dropped) if dropped else None,
        missed=_rate(needless) if needless else None,
        counts=dict(counts),
    )


def _pair(first: str, second: str, traces: Sequence[Audited]) -> JudgePair:
    said = [
        (trace.problem, one, other)
        for trace in traces
        for one, other in zip(trace.kept(first), trace.kept(second), strict=True)
    ]
    return JudgePair(
        first=first,
        second=second,
        agreement=_rate((problem, one == other) for problem, one, other in said),
        kappa=_kappa(said),
    )


def _rate(values: "Iterator[tuple[str, bool]] | Sequence[tuple[str, bool]]") -> Interval:
    clustered: dict[str, list[float]] = defaultdict(list)
    for problem, value in values:
        clustered[problem].append(value)
    return rate_interval(clustered)


def _kappa(said: Sequence[tuple[str, bool, bool]]) -> Interval:
    tables: dict[str, Counter[tuple[bool, bool]]] = defaultdict(Counter)
    for problem, one, other in said:
        tables[problem][one, other] += 1
    return kappa_interval({problem: _table(table) for problem, table in tables.items()})


def _table(table: Mapping[tuple[bool, bool], int]) -> Table:
    return table[True, True], table[True, False], table[False, True], table[False, False]
