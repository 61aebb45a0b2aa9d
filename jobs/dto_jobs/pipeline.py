"""THE INDEX: the stages of a run, in the order data flows through them. Adding a stage means its module and a field here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from dto_jobs.settings import Settings
from dto_jobs.stage import ModelStage, Stage
from dto_jobs.stages.endings import Endings
from dto_jobs.stages.evaluation import Evaluation
from dto_jobs.stages.exits import Exits
from dto_jobs.stages.importing import Importing
from dto_jobs.stages.pairs import Pairs
from dto_jobs.stages.pruning import Pruning
from dto_jobs.stages.rollout import Rollout
from dto_jobs.stages.training import Training

PROBLEMS = "problems"
BENCHMARKS = "benchmarks"

StageName = Literal["rollout", "exits", "endings", "pruning", "pairs", "training", "baseline", "evaluation"]


@dataclass(frozen=True)
class Link:
    """A stage in its place: what it reads, by the name of the stage or source that writes it, and whose model it runs."""

    name: str
    stage: Stage | ModelStage
    reads: str
    model: str | None = None
    """The stage whose model is run, None for the run's own."""
    asks: str | None = None
    """The stage whose problems are asked besides."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The stages and sources that must be done before."""
        return tuple(need for need in (self.reads, self.model, self.asks) if need)


class Pipeline(Settings):
    """A run's stages with their settings."""

    rollout: Rollout = Rollout()
    """Sample responses, or import them."""
    exits: Exits = Exits()
    """Find where thinking could have stopped."""
    endings: Endings = Endings()
    """Finish from there."""
    pruning: Pruning = Pruning()
    """Drop needless patterns."""
    pairs: Pairs = Pairs()
    """Make preference pairs."""
    training: Training = Training()
    """Teach the model by SimPO."""
    evaluation: Evaluation = Evaluation()
    """Compare base and tuned model; the base's half is the stage `baseline`, so that another training does not pay for it again."""

    def links(self) -> Iterator[Link]:
        """Yield the stages as they are linked, first to last."""
        first: Stage = (
            Importing(source=self.rollout.imported, job=self.rollout.job) if self.rollout.imported else self.rollout
        )
        yield Link("rollout", first, PROBLEMS)
        yield Link("exits", self.exits, "rollout")
        yield Link("endings", self.endings, "exits")
        yield Link("pruning", self.pruning, "endings")
        yield Link("pairs", self.pairs, "pruning")
        yield Link("training", self.training, "pairs", asks="rollout" if self.training.sweep else None)
        yield Link("baseline", self.evaluation, BENCHMARKS)
        yield Link("evaluation", self.evaluation, BENCHMARKS, model="training")


def needed(links: list[Link], until: str | None) -> list[Link]:
    """Return `until` and what it needs, in order; every link where there is no `until`."""
    by_name = {link.name: link for link in links}
    wanted: set[str] = set()
    waiting = [until] if until else list(by_name)
    while waiting:
        link = by_name.get(waiting.pop())
        if link is not None and link.name not in wanted:
            wanted.add(link.name)
            waiting += [need for need in (link.reads, link.model, link.asks) if need]
    return [link for link in links if link.name in wanted]


STAGES_UNTIL: dict[str, list[str]] = {
    name: [link.name for link in needed(list(Pipeline().links()), name)] for name in get_args(StageName)
}
"""What a run consists of that ends with a stage."""
