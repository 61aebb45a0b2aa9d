"""How far exits and savings depend on where traces are cut: the same traces, cut in several ways."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from dto_jobs.core.analysis import share
from dto_jobs.core.audits import CutAudit, CutFigures, CutPair, Terms
from dto_jobs.core.interval import Interval
from dto_jobs.core.records import SearchedTrace
from dto_jobs.core.statistics import mean_interval, rate_interval

Values = Iterable[tuple[str, float]]


def exit_position(trace: SearchedTrace) -> float | None:
    """Return where the exit lies, as a share of the thinking's characters in (0, 1]; None without one."""
    if trace.exit is None:
        return None
    lengths = [len(pattern.text) for pattern in trace.patterns]
    return sum(lengths[: trace.exit]) / sum(lengths)


def cut_audit(cuts: Mapping[str, Sequence[SearchedTrace]], terms: Terms) -> CutAudit | None:
    """Compare cuts, the first of which is the run's own, on the same traces in the same order; None without traces."""
    own, *others = cuts
    if not cuts[own]:
        return None
    return CutAudit(
        run=terms.run,
        traces=len(cuts[own]),
        problems=len({trace.response.problem.id for trace in cuts[own]}),
        completions=terms.completions,
        threshold=terms.threshold,
        seed=terms.seed,
        cuts=tuple(_figures(name, traces) for name, traces in cuts.items()),
        pairs=tuple(_pair(own, other, cuts) for other in others),
    )


def _figures(name: str, traces: Sequence[SearchedTrace]) -> CutFigures:
    placed = [(_problem(trace), exit_position(trace)) for trace in traces]
    positions = [(problem, place) for problem, place in placed if place is not None]
    drawn = sum(boundary.hits + boundary.misses for trace in traces for boundary in trace.boundaries)
    return CutFigures(
        name=name,
        patterns=share(sum(len(trace.patterns) for trace in traces), len(traces)),
        with_exit=rate_interval(_clustered((problem, place is not None) for problem, place in placed)),
        position=_mean(positions),
        saving=mean_interval(_clustered((problem, _saving(place)) for problem, place in placed)),
        samples=share(drawn, len(traces)),
    )


def _pair(own: str, other: str, cuts: Mapping[str, Sequence[SearchedTrace]]) -> CutPair:
    placed = [
        (_problem(first), exit_position(first), exit_position(second))
        for first, second in zip(cuts[own], cuts[other], strict=True)
    ]
    both = [(problem, one, two) for problem, one, two in placed if one is not None and two is not None]
    return CutPair(
        first=own,
        second=other,
        both=len(both),
        same=rate_interval(_clustered((problem, (one is None) == (two is None)) for problem, one, two in placed)),
        distance=_mean([(problem, abs(two - one)) for problem, one, two in both]),
        shift=_mean([(problem, two - one) for problem, one, two in both]),
        saving=mean_interval(_clustered((problem, _saving(two) - _saving(one)) for problem, one, two in placed)),
    )


def _problem(trace: SearchedTrace) -> str:
    return trace.response.problem.id


def _saving(place: float | None) -> float:
    return 0.0 if place is None else 1 - place


def _mean(values: Sequence[tuple[str, float]]) -> Interval | None:
    return mean_interval(_clustered(values)) if values else None


def _clustered(values: Values) -> dict[str, list[float]]:
    clustered: dict[str, list[float]] = defaultdict(list)
    for problem, value in values:
        clustered[problem].append(value)
    return clustered
