"""Run a stage, or a whole plan on this machine: read, work, commit part by part, and go on where a killed run stopped."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from dto_jobs.artifacts.artifact import Artifact, Blob, Receipt
from dto_jobs.artifacts.attempts import Attempts, Whole
from dto_jobs.artifacts.checkpoints import Checkpoints
from dto_jobs.core.cost import ModelShape, Spend, total
from dto_jobs.core.records import Pair, Response
from dto_jobs.errors import InterruptedRunError, StageFailedError
from dto_jobs.metering import MeteredEngine, MeteredPorts, held
from dto_jobs.parts import Batch, Made, begun, due, groups, share, worked
from dto_jobs.plan import WHOLE, PlannedStage, Shard, code_version, ready
from dto_jobs.stage import Engine, Judge, Memory, ModelStage, Stage, Trained, Trainer
from dto_jobs.stages.training import Training


class Progress(Protocol):
    """Hears how a run goes."""

    def started(self, stage: str, total: int | None, done: int) -> None:
        """A stage works; `total` inputs, `done` of them before."""

    def advanced(self, stage: str, done: int, spend: Spend) -> None:
        """So many inputs are done in all, and so much was spent on the stage in this process."""

    def committed(self, stage: str) -> None:
        """A part is committed."""

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

    def trial(self, folder: Path | None) -> Engine:
        """Return an engine with a model that is not kept yet, None for the run's own."""

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
    keep_checkpoints: bool = False
    """Keep a training's checkpoints in the store, too: it may go on on another machine."""

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
        receipt = self.make(step, artifact)
        if receipt is None:
            raise StageFailedError(f"{step.name}: parts of {artifact.base} are missing after all were made; run again")
        return artifact, receipt

    def make(self, step: PlannedStage, artifact: Artifact, shard: Shard = WHOLE) -> Receipt | None:
        """Make what a shard has to of a stage whose needs are in `whole`; None while other shards' parts are missing.

        Whoever finds all parts there writes the receipt: the same one, so it does not matter who is first.
        """
        if (standing := artifact.receipt()) is not None:
            return standing
        if isinstance(step.stage, ModelStage):
            made = self._make_model(step, artifact)
            return None if made is None else self._finish(step, artifact, made)
        self._make_parts(step, artifact, shard)
        return self.collect(step, artifact)

    def collect(self, step: PlannedStage, artifact: Artifact) -> Receipt | None:
        """Return the receipt of an artifact whose parts are all there, written if need be; None while any are missing."""
        if (standing := artifact.receipt()) is not None:
            return standing
        parts = artifact.committed()
        if isinstance(step.stage, ModelStage) or sum(part.inputs for part in parts.values()) < self._inputs(step):
            return None
        shapes = (part.shape.model_dump() for part in parts.values() if part.shape)
        receipt = self._receipt(
            step,
            (part.blob for part in parts.values()),
            total(part.spend for part in parts.values()),
            records=sum(part.records for part in parts.values()),
            counts=dict(sum((Counter(part.counts) for part in parts.values()), Counter())),
            figures={"shape": shape} if (shape := next(shapes, None)) else {},
        )
        return self._finish(step, artifact, receipt)

    def _finish(self, step: PlannedStage, artifact: Artifact, receipt: Receipt) -> Receipt:
        standing = self.attempts.finish(artifact, receipt)
        self.progress.finished(step.name, standing, reused=False)
        return standing

    def _inputs(self, step: PlannedStage) -> int:
        return self.whole[step.reads][1].records

    def _receipt(self, step: PlannedStage, blobs: Iterable[Blob], spend: Spend, **more: Any) -> Receipt:  # noqa: ANN401 - fields of Receipt
        return Receipt(
            stage=step.name,
            key=step.key,
            code=code_version(trains=isinstance(step.stage, ModelStage), chooses=step.asks is not None),
            reads={need: self.whole[need][1].digest for need in step.needs},
            settings=step.stage.model_dump(mode="json", by_alias=True),
            blobs=tuple(blobs),
            spend=spend,
            **more,
        )

    # Records

    def _make_parts(self, step: PlannedStage, artifact: Artifact, shard: Shard) -> None:
        stage = step.stage
        assert isinstance(stage, Stage)
        there = {number: part for number, part in artifact.committed().items() if shard.takes(number)}
        done = sum(part.inputs for part in there.values())
        self.progress.started(step.name, share(self._inputs(step), stage, shard), done)
        coming = due(
            self.whole[step.reads][0],
            self._inputs(step),
            stage,
            lambda number: shard.takes(number) and number not in there,
        )
        # Opened only where there is work: loading a model takes longer than to see that there is none.
        for first in coming:
            self._work(step, artifact, chain([first], coming), done)

    def _work(self, step: PlannedStage, artifact: Artifact, coming: Iterator[Batch], done: int) -> None:
        stage = step.stage
        assert isinstance(stage, Stage)
        model = self.whole[step.model][0] if step.model else None
        engine = MeteredEngine(lambda: self.workshop.engine(model))
        judge = self.workshop.judge(stage, self.attempts.memory("verdicts"))
        ports = MeteredPorts(engine=engine, judge=judge, seed=self.seed)
        left: list[Batch] = []
        made: Made | None = None

        def begin(batch: Batch) -> Made:
            nonlocal done
            before = self._draft(stage, artifact, batch) if engine.continuous else None
            done += before.inputs if before else 0
            return before or begun(batch)

        try:
            for made in worked(stage, self._until_stopped(coming, left), ports, begin):
                done += 1
                self.progress.advanced(step.name, done, engine.total)
                if made.whole:
                    self._commit(step, artifact, made, engine.shape)
        except InterruptedRunError:
            # Only where a part by itself promises nothing that one in two pieces does not.
            if made is not None and not made.whole and engine.continuous and not groups(stage):
                artifact.write_draft(made.number, made.records, made.inputs, made.spend, dict(made.counts))
            raise
        if left:
            raise InterruptedRunError("stopped after the last committed part; the same command goes on from there")

    def _commit(self, step: PlannedStage, artifact: Artifact, made: Made, shape: ModelShape) -> None:
        artifact.write_part(made.number, made.records, made.inputs, made.spend, dict(made.counts), shape)
        self.progress.committed(step.name)

    def _draft(self, stage: Stage, artifact: Artifact, batch: Batch) -> Made | None:
        found = artifact.draft(batch.number, stage.writes)
        if found is None:
            return None
        part, records = found
        return Made(batch.number, len(batch.inputs), part.inputs, list(records), part.spend, Counter(part.counts))

    def _until_stopped(self, coming: Iterator[Batch], left: list[Batch]) -> Iterator[Batch]:
        """Hand out parts; once asked to stop no more, so that those at work are finished and committed."""
        for batch in coming:
            if self.stopping():
                left.append(batch)
                return
            yield batch

    # Models

    def _make_model(self, step: PlannedStage, artifact: Artifact) -> Receipt | None:
        pairs = list(self.whole[step.reads][0].records(Pair))
        self.progress.started(step.name, None, 0)
        workspace = self.workshop.workspace(step.key)
        checkpoints = Checkpoints(artifact, workspace) if self.keep_checkpoints else None
        if checkpoints:
            checkpoints.restore()

        def note(figures: dict[str, float]) -> None:
            self.progress.noted(step.name, figures)
            if checkpoints:
                checkpoints.keep()

        start = perf_counter()
        trained = self._trained(step, pairs, workspace, note)
        # As with engines: importing the trainer's libraries and loading the model is the trainer's time, too.
        took = held(perf_counter() - start)
        if trained is None:
            self.workshop.clear(step.key)
            return None
        blobs = artifact.write_files(trained.folder)
        self.workshop.clear(step.key)
        spend = trained.spend.model_copy(update={"seconds": took.seconds, "gpu_seconds": took.gpu_seconds})
        return self._receipt(step, blobs, spend, records=len(pairs), figures=trained.figures)

    def _trained(
        self, step: PlannedStage, pairs: Sequence[Pair], workspace: Path, note: Callable[[dict[str, float]], None]
    ) -> Trained | None:
        if step.asks is None:
            return self.workshop.trainer().train(pairs, step.stage, workspace, note, self.seed)
        assert isinstance(step.stage, Training)
        from dto_jobs.sweep import SweepRun  # noqa: PLC0415 - its statistics need numpy, which no other stage does

        sweep = SweepRun(step.stage, self.workshop, workspace, note, self.seed)
        return sweep.run(pairs, (one.problem for one in self.whole[step.asks][0].records(Response)))
