"""Run a stage, or a whole plan on this machine: read, work, commit part by part, and go on where a killed run stopped."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from dto_jobs.artifacts.artifact import Artifact, Blob, Part, Receipt
from dto_jobs.artifacts.attempts import Attempts, Whole
from dto_jobs.core.cost import Spend, total
from dto_jobs.core.records import Pair
from dto_jobs.errors import InterruptedRunError
from dto_jobs.metering import MeteredEngine, MeteredPorts
from dto_jobs.parts import Batch, batches, worked
from dto_jobs.plan import PlannedStage, code_version, ready
from dto_jobs.stage import Engine, Judge, Memory, ModelStage, Stage, Trainer


class Progress(Protocol):
    """Hears how a run goes."""

    def started(self, stage: str, total: int | None, done: int) -> None:
        """A stage works; `total` inputs, `done` of them before."""

    def advanced(self, stage: str, done: int, tokens: int) -> None:
        """So many inputs are done in all, and so many tokens were generated in this process."""

    def noted(self, stage: str, figures: dict[str, float]) -> None:
        """The trainer logged a step."""

    def finished(self, stage: str, receipt: Receipt, *, reused: bool) -> None:
        """A stage's artifact is whole."""


class Workshop(Protocol):
    """Gives a stage what it works with."""

    def engine(self, model: Artifact | None) -> Engine:
        """Return an engine with the run's model, or with the tuned one of an artifact."""

    def judge(self, stage: Stage, memory: Memory) -> Judge | None:
        """Return the judge a stage asks for; what it says is kept in `memory`."""

    def trainer(self) -> Trainer:
        """Return a trainer of the run's model."""

    def workspace(self, key: str) -> Path:
        """Return a folder that outlives a killed process, for checkpoints."""

    def clear(self, key: str) -> None:
        """Remove that folder."""


@dataclass
class Runner:
    """Runs the stages of one plan. `stopping` is asked between parts; when it says yes the run ends in good order."""

    attempts: Attempts
    workshop: Workshop
    progress: Progress
    seed: int
    stopping: Callable[[], bool] = lambda: False
    whole: dict[str, Whole] = field(default_factory=dict)

    def run(
        self, steps: Sequence[PlannedStage], sources: dict[str, Whole], fresh: frozenset[str] = frozenset()
    ) -> dict[str, Whole]:
        """Run every stage whose artifact is not there yet, each as soon as what it needs is; `fresh` ones in any case."""
        self.whole.update(sources)
        while waiting := ready(steps, self.whole):
            step = waiting[0]
            found = None if step.name in fresh else self.attempts.whole(step)
            if found is not None:
                self.progress.finished(step.name, found[1], reused=not self.attempts.owns(found[0]))
            self.whole[step.name] = found or self._make(step, fresh=step.name in fresh)
            self.attempts.note(step.name, self.whole[step.name][0])
        return self.whole

    def _make(self, step: PlannedStage, *, fresh: bool) -> Whole:
        artifact = self.attempts.begun(step, fresh=fresh)
        make = self._make_model if isinstance(step.stage, ModelStage) else self._make_records
        receipt = self.attempts.finish(artifact, make(step, artifact))
        self.progress.finished(step.name, receipt, reused=False)
        return artifact, receipt

    def _receipt(self, step: PlannedStage, blobs: Iterable[Blob], spend: Spend, **more: Any) -> Receipt:  # noqa: ANN401 - fields of Receipt
        return Receipt(
            stage=step.name,
            key=step.key,
            code=code_version(trains=isinstance(step.stage, ModelStage)),
            reads={need: self.whole[need][1].digest for need in step.needs},
            settings=step.stage.model_dump(mode="json", by_alias=True),
            blobs=tuple(blobs),
            spend=spend,
            **more,
        )

    # Records

    def _make_records(self, step: PlannedStage, artifact: Artifact) -> Receipt:
        assert isinstance(step.stage, Stage)
        source, receipt = self.whole[step.reads]
        parts = artifact.parts()
        done = sum(part.inputs for part in parts)
        self.progress.started(step.name, receipt.records, done)
        model = self.whole[step.model][0] if step.model else None
        engine = MeteredEngine(lambda: self.workshop.engine(model))
        if done < receipt.records:
            coming = islice(batches(source.records(step.stage.reads), step.stage), len(parts), None)
            parts += self._work(step, artifact, engine, coming, done)
        return self._receipt(
            step,
            (part.blob for part in parts),
            total(part.spend for part in parts),
            records=sum(part.records for part in parts),
            counts=dict(sum((Counter(part.counts) for part in parts), Counter())),
            figures={"shape": engine.shape.model_dump()},
        )

    def _work(
        self, step: PlannedStage, artifact: Artifact, engine: MeteredEngine, coming: Iterator[Batch], done: int
    ) -> Iterator[Part]:
        assert isinstance(step.stage, Stage)
        judge = self.workshop.judge(step.stage, self.attempts.memory("verdicts"))
        ports = MeteredPorts(engine=engine, judge=judge, seed=self.seed)
        left: list[Batch] = []
        for made in worked(step.stage, self._until_stopped(coming, left), ports):
            done += 1
            self.progress.advanced(step.name, done, engine.total.generated)
            if made.whole:
                yield artifact.write_part(made.number, made.records, made.inputs, made.spend, dict(made.counts))
        if left:
            raise InterruptedRunError("stopped after the last committed part; the same command goes on from there")

    def _until_stopped(self, coming: Iterator[Batch], left: list[Batch]) -> Iterator[Batch]:
        """Hand out parts; once asked to stop no more, so that those at work are finished and committed."""
        for batch in coming:
            if self.stopping():
                left.append(batch)
                return
            yield batch

    # Models

    def _make_model(self, step: PlannedStage, artifact: Artifact) -> Receipt:
        pairs = list(self.whole[step.reads][0].records(Pair))
        self.progress.started(step.name, None, 0)
        workspace = self.workshop.workspace(step.key)
        trained = self.workshop.trainer().train(
            pairs, step.stage, workspace, lambda figures: self.progress.noted(step.name, figures), self.seed
        )
        blobs = artifact.write_files(trained.folder)
        self.workshop.clear(step.key)
        return self._receipt(step, blobs, trained.spend, records=len(pairs), figures=trained.figures)
