"""One process of a stage, as a pod runs it: finds its place in the plan, works, and says what came of it.

It starts with nothing but a plan, an environment and a store, and leaves nothing but parts in the store. So it may be
killed at any moment and started again anywhere. docs/stage-contract.md is its contract.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from pydantic.alias_generators import to_camel

from dto_jobs.artifacts.artifact import Artifact, Receipt
from dto_jobs.artifacts.attempts import Attempts, Whole
from dto_jobs.artifacts.store import Store
from dto_jobs.core.cost import Spend
from dto_jobs.errors import InputError, StoppedStageError
from dto_jobs.plan import PlannedStage, Shard
from dto_jobs.plan_file import Plan
from dto_jobs.runner import Progress, Runner
from dto_jobs.stage import ModelStage
from dto_jobs.termination import ReceiptNote
from dto_jobs.workshop import LocalWorkshop

FROM_STORE = "store:"


@dataclass(frozen=True)
class StageProcess:
    """A stage of a plan, and which of its shards this process is."""

    plan: Plan
    stage: str
    shard: Shard
    store: Store
    scratch: Path

    def run(self, progress: Progress, stopping: Callable[[], bool]) -> Receipt | None:
        """Make this shard's parts; return the receipt if all parts are there then, of whichever shard."""
        runner, step, artifact = self._prepared(progress, stopping)
        if isinstance(step.stage, ModelStage) and self.shard.count > 1:
            raise InputError(
                f"{step.name} trains one model and cannot be cut into {self.shard.count} shards; run it as 0/1"
            )
        runner.attempts.begin(step, artifact)
        return self._noted(runner, artifact, runner.make(step, artifact, self.shard))

    def collect(self, progress: Progress) -> Receipt | None:
        """Write the receipt if all parts are there, and return it; no engine is opened."""
        runner, step, artifact = self._prepared(progress, lambda: False)
        return self._noted(runner, artifact, runner.collect(step, artifact))

    def _noted(self, runner: Runner, artifact: Artifact, receipt: Receipt | None) -> Receipt | None:
        if receipt is not None:
            runner.attempts.note(self.stage, artifact)
        return receipt

    def _prepared(self, progress: Progress, stopping: Callable[[], bool]) -> tuple[Runner, PlannedStage, Artifact]:
        artifact = Artifact(self.store, self.plan.step(self.stage).artifact)
        step = next(step for step in self.plan.planned() if step.name == self.stage)
        runner = self._runner(progress, stopping)
        runner.whole.update((need, self._whole(need)) for need in step.needs)
        return runner, step, artifact

    def _runner(self, progress: Progress, stopping: Callable[[], bool]) -> Runner:
        spec = self.plan.run.spec
        workshop = LocalWorkshop(spec.model, spec.engine, Path(self.plan.folder), self.scratch)
        attempts = Attempts(self.store, self.plan.identity)
        return Runner(attempts, workshop, progress, spec.seed, stopping, keep_checkpoints=True)

    def _whole(self, need: str) -> Whole:
        artifact = Artifact(self.store, self.plan.place(need))
        receipt = artifact.receipt()
        if receipt is None:
            raise InputError(f"{self.stage} needs {need}, which is not finished: {artifact.base} has no receipt yet")
        return artifact, receipt


def read_plan(named: str, opened: Callable[[], Store]) -> Plan:
    """Return the plan of a file, or of the store where the name begins with `store:`."""
    if named.startswith(FROM_STORE):
        store = opened()
        name = named.removeprefix(FROM_STORE)
        if not store.exists(name):
            raise InputError(f"there is no plan {name} in {store.address}; dto preflight makes it")
        return Plan.parse(b"".join(store.read(name)), f"{store.address}/{name}")
    try:
        return Plan.parse(Path(named).read_bytes(), named)
    except OSError as error:
        raise InputError(f"cannot read the plan {named}: {error.strerror}; dto preflight makes it") from error


def receipt_note(artifact: str, receipt: Receipt) -> ReceiptNote:
    """Return what a termination message says of a whole artifact."""
    return ReceiptNote(
        artifact=artifact,
        digest=receipt.digest,
        records=receipt.records,
        bytes=sum(blob.bytes for blob in receipt.blobs),
        parts=len(receipt.blobs),
    )


def figures(spend: Spend) -> dict[str, float]:
    """Return what was spent as a termination message tells it: what is not nothing."""
    return {to_camel(name): value for name, value in spend.model_dump().items() if value}


@contextmanager
def stopping_within(seconds: float, *, with_input: bool = False) -> Iterator[Callable[[], bool]]:
    """Hand out whether SIGTERM (or Ctrl-C) came; raise StoppedStageError in the main thread where that is so long ago."""
    asked = False

    def ask(_signal: int, _frame: object) -> None:
        nonlocal asked
        if not asked:
            asked = True
            # And again: the first time it may strike where a library swallows exceptions.
            signal.setitimer(signal.ITIMER_REAL, seconds, seconds)

    def end(_signal: int, _frame: object) -> None:
        raise StoppedStageError("asked to stop, and the time for that is over; what was committed is kept")

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, end)
    if with_input:
        Thread(target=_stop_with_input, daemon=True).start()
    try:
        yield lambda: asked
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_with_input() -> None:
    # Not through `sys.stdin`, whose lock a thread that waits would hold when the interpreter ends.
    while os.read(0, 1024):
        """What is said is not for us; only its end is."""
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True)
class Several:
    """Tells several listeners of a run's progress."""

    listeners: Sequence[Progress]

    def started(self, stage: str, total: int | None, done: int) -> None:
        """Tell them."""
        for one in self.listeners:
            one.started(stage, total, done)

    def advanced(self, stage: str, done: int, spend: Spend) -> None:
        """Tell them."""
        for one in self.listeners:
            one.advanced(stage, done, spend)

    def committed(self, stage: str) -> None:
        """Tell them."""
        for one in self.listeners:
            one.committed(stage)

    def noted(self, stage: str, figures: dict[str, float]) -> None:
        """Tell them."""
        for one in self.listeners:
            one.noted(stage, figures)

    def finished(self, stage: str, receipt: Receipt, *, reused: bool) -> None:
        """Tell them."""
        for one in self.listeners:
            one.finished(stage, receipt, reused=reused)
