"""What audits find: shapes only. Are a judge's verdicts worth anything? Does it matter how traces are cut?"""

from dataclasses import dataclass

from dto_jobs.core.interval import Figure, Interval
from dto_jobs.settings import Settings


@dataclass(frozen=True)
class Terms:
    """How an audit was made."""

    run: str
    completions: int
    threshold: float
    seed: int


class JudgeFigures(Settings):
    """One judge's verdicts against leave-one-out Monte Carlo."""

    judge: str
    patterns: int
    """Patterns that could be dropped."""
    unheard: int
    """Those without a clear verdict: they count as kept."""
    dropped: Interval
    """Share of patterns that the judge drops."""
    agreement: Interval
    """Share of patterns that are dropped and needless, or kept and needed."""
    kappa: Interval
    """Cohen's κ of the same: 0 is what chance gives, 1 is full agreement."""
    harm: Interval | None = None
    """Share of the dropped patterns without which the answer is lost; None where nothing is dropped."""
    missed: Interval | None = None
    """Share of the needless patterns that the judge keeps; None where none is needless."""
    counts: dict[str, int]
    """Verdicts that could not be used, by cause."""


class JudgePair(Settings):
    """Two judges of the same patterns."""

    first: str
    second: str
    agreement: Interval
    kappa: Interval
    """Cohen's κ of their verdicts."""


class JudgeAudit(Settings):
    """How good judges are, measured on a sample of a run's traces."""

    run: str
    traces: int
    problems: int
    unsteady: int
    """Traces left out: even with all patterns their answers are right too seldom, so a loss shows nothing."""
    completions: int
    threshold: float
    seed: int
    needed: Interval
    """Share of patterns without which, alone, the answer is lost: what dropping at random would harm."""
    judges: tuple[JudgeFigures, ...]
    pairs: tuple[JudgePair, ...] = ()


class CutFigures(Settings):
    """Exits under one way to cut traces."""

    name: str
    patterns: Figure
    """Mean patterns per trace."""
    with_exit: Interval
    """Share of traces that have an exit."""
    position: Interval | None = None
    """Mean place of the exit, as a share of the thinking's characters; None without exits."""
    saving: Interval
    """Mean share of the thinking that lies behind the exit; 0 for a trace without one."""
    samples: Figure
    """Mean answers drawn per trace."""


class CutPair(Settings):
    """Exits under the run's own cut, and under another one, of the same traces."""

    first: str
    second: str
    both: int
    """Traces with an exit under both."""
    same: Interval
    """Share of traces that have an exit under both or under neither."""
    distance: Interval | None = None
    """Mean distance of the two exits, as a share of the thinking; None where no trace has both."""
    shift: Interval | None = None
    """Mean of second less first: above 0 the second's exits are later."""
    saving: Interval
    """Mean saving under the second less that under the first."""


class CutAudit(Settings):
    """How far exits and savings depend on where traces are cut."""

    run: str
    traces: int
    problems: int
    completions: int
    threshold: float
    seed: int
    cuts: tuple[CutFigures, ...]
    pairs: tuple[CutPair, ...]
