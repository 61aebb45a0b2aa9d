"""A whole DTORun on this machine: snapshot what it reads, plan, run, and say what came of it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dto_jobs.artifacts.artifact import to_json
from dto_jobs.artifacts.attempts import Attempts, Whole
from dto_jobs.artifacts.imported_traces import read_traces, together
from dto_jobs.artifacts.problem_sets import read_problems
from dto_jobs.artifacts.sources import snapshot
from dto_jobs.artifacts.store import Store
from dto_jobs.core.records import Record
from dto_jobs.errors import RunConflictError
from dto_jobs.pipeline import BENCHMARKS, PROBLEMS
from dto_jobs.plan import PlannedStage
from dto_jobs.plan_file import planned
from dto_jobs.resource import DTORun
from dto_jobs.runner import Progress, Runner
from dto_jobs.workshop import LocalWorkshop

# What may change under a run without changing what it has computed.
MUTABLE = {"until", "gate", "artifacts"}


@dataclass
class LocalRun:
    """A run on this machine: its file, the folder that relative paths start from, and its store."""

    run: DTORun
    folder: Path
    store: Store
    workshop: LocalWorkshop
    uid: str = ""
    """What tells the run from others of its name that share the store; a cluster has one for each."""

    @property
    def identity(self) -> str:
        """The run's folder in the store: its uid, or where it has none its name."""
        return self.uid or self.run.name

    @property
    def place(self) -> str:
        """Where the run's own objects are in the store."""
        return f"runs/{self.identity}"

    def sources(self) -> dict[str, Whole]:
        """Snapshot what the run reads from outside."""
        found = {PROBLEMS: snapshot(self.store, PROBLEMS, self._problems)}
        if self.run.spec.until not in {"rollout", "exits", "endings", "pruning", "pairs", "training"}:
            found[BENCHMARKS] = snapshot(self.store, BENCHMARKS, self._benchmarks)
        return found

    def _problems(self) -> Iterator[Record]:
        imported, endpoint = self.run.spec.stages.rollout.imported, self.run.spec.artifacts.endpoint
        if imported is not None:
            return together(lambda: read_traces(imported, self.folder, endpoint))
        return read_problems(self.run.spec.problems, self.folder, endpoint=endpoint)

    def _benchmarks(self) -> Iterator[Record]:
        for one in self.run.spec.stages.evaluation.sets():
            yield from read_problems(one, self.folder, benchmark=one.name, endpoint=self.run.spec.artifacts.endpoint)

    def planned(self, sources: dict[str, Whole]) -> tuple[PlannedStage, ...]:
        """Return the run's stages up to its `until`, named by content."""
        digests = {name: receipt.key for name, (_, receipt) in sources.items()}
        return planned(self.run, self.workshop.model_digest(), digests)

    def work(
        self, progress: Progress, stopping: Callable[[], bool], fresh: frozenset[str] = frozenset()
    ) -> dict[str, Whole]:
        """Run what is not there yet; the same call goes on where a killed one stopped."""
        with self.store.claim(self.place):
            sources = self.settled()
            steps = self.planned(sources)
            runner = Runner(Attempts(self.store, self.identity), self.workshop, progress, self.run.spec.seed, stopping)
            return runner.run(steps, sources, fresh)

    def settled(self) -> dict[str, Whole]:
        """Snapshot what the run reads, and note its file; RunConflictError where it was started with another."""
        sources = self.sources()
        self._settle(sources)
        return sources

    def _settle(self, sources: dict[str, Whole]) -> None:
        """Note the run's file; refuse one that changed under its name."""
        spec = self.run.model_dump(mode="json", by_alias=True, exclude_none=True)["spec"]
        now = {"spec": spec, "sources": {name: receipt.key for name, (_, receipt) in sources.items()}}
        name = f"{self.place}/run.json"
        if self.store.exists(name):
            before = json.loads(b"".join(self.store.read(name)))
            change = _change(_kept(before["spec"]), _kept(spec), "spec") or _change(
                before["sources"], {**before["sources"], **now["sources"]}, "content"
            )
            if change:
                raise RunConflictError(
                    f"the run {self.run.name} in {self.store.address} was started with other settings: {change}. "
                    "Give the changed run another metadata.name (what did not change is reused, not paid for again), or undo the change"
                )
            now["sources"] = {**before["sources"], **now["sources"]}
        self.store.write(name, [to_json(now)])


def _kept(spec: dict[str, Any]) -> dict[str, Any]:
    # Which engine it is matters; its slots and memory may be changed to get a run through.
    return {name: sorted(value) if name == "engine" else value for name, value in spec.items() if name not in MUTABLE}


def _change(before: Any, now: Any, path: str) -> str | None:  # noqa: ANN401 - any JSON
    """Return the first difference in words, None for none."""
    if isinstance(before, dict) and isinstance(now, dict):
        changes = (_change(before.get(key), now.get(key), f"{path}.{key}") for key in sorted({*before, *now}))
        return next(filter(None, changes), None)
    return None if before == now else f"{path} was {json.dumps(before)}, is {json.dumps(now)}"
