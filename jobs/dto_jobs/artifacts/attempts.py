"""Which artifact belongs to a planned stage: one made before (by any run), one begun, or a new attempt."""

import json

from dto_jobs.artifacts.artifact import Artifact, Receipt, to_json
from dto_jobs.artifacts.memory import StoreMemory
from dto_jobs.artifacts.store import Store
from dto_jobs.errors import InputError, StoreError
from dto_jobs.plan import PlannedStage
from dto_jobs.plan_file import Plan

Whole = tuple[Artifact, Receipt]


class Attempts:
    """The attempts of one run, and the index from content key to artifact that all runs of a store share."""

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self._run = run
        self.damaged: set[str] = set()
        """Content keys of which an artifact was found that is not what its receipt says."""

    def whole(self, step: PlannedStage) -> Whole | None:
        """Return the artifact with the step's content key, if there is one and every object of it is as its receipt says."""
        for base in self._known(step):
            found = self._verified(Artifact(self._store, base), step.key)
            if found is not None:
                return found
        return None

    def is_known(self, step: PlannedStage) -> bool:
        """Tell whether there seems to be an artifact with the step's content key; nothing is verified."""
        there = [Artifact(self._store, base) for base in self._known(step)]
        receipts = (artifact.receipt() for artifact in there if not artifact.discarded())
        return any(receipt.key == step.key for receipt in receipts if receipt)

    def begun(self, step: PlannedStage, *, fresh: bool = False) -> Artifact:
        """Return the attempt to go on with: the latest if it is the step's and unfinished, else a new one."""
        artifact = self.next(step, fresh=fresh)
        self.begin(step, artifact)
        return artifact

    def next(self, step: PlannedStage, *, fresh: bool = False) -> Artifact:
        """Return the attempt that `begun` would, and write nothing yet."""
        numbers = self._numbers(step.name)
        latest = f"{self._place(step.name)}/{max(numbers, default=0)}"
        if numbers and not fresh and self._key(latest) == step.key and not self._store.exists(f"{latest}/receipt.json"):
            return Artifact(self._store, latest)
        return Artifact(self._store, f"{self._place(step.name)}/{max(numbers, default=0) + 1}")

    def begin(self, step: PlannedStage, artifact: Artifact) -> None:
        """Note whose attempt it is; any number of processes may do so."""
        self._store.write(f"{artifact.base}/attempt.json", [to_json({"key": step.key, "stage": step.name})])

    def finish(self, artifact: Artifact, receipt: Receipt) -> Receipt:
        """Commit the receipt, then make the artifact known to all runs; return the receipt that stands."""
        standing = artifact.commit(receipt)
        self._store.write(f"cache/{standing.key}.json", [to_json({"base": artifact.base})])
        return standing

    def note(self, stage: str, artifact: Artifact) -> None:
        """Note which artifact the run's stage ended with: its own, or one that another run had made."""
        self._store.write(f"{self._place(stage)}.json", [to_json({"base": artifact.base})])

    def memory(self, place: str) -> StoreMemory:
        """Return what is remembered at a place of the store, by all its runs."""
        return StoreMemory(self._store, f"cache/{place}")

    def owns(self, artifact: Artifact) -> bool:
        """Tell whether the run made the artifact itself: then it paid for it."""
        return artifact.base.startswith(f"runs/{self._run}/")

    def _known(self, step: PlannedStage) -> list[str]:
        own = [f"{self._place(step.name)}/{number}" for number in sorted(self._numbers(step.name), reverse=True)]
        index = f"cache/{step.key}.json"
        if not self._store.exists(index):
            return own
        try:
            return [*own, json.loads(b"".join(self._store.read(index)))["base"]]
        except (ValueError, KeyError):
            return own

    def _verified(self, artifact: Artifact, key: str) -> Whole | None:
        try:
            receipt = artifact.receipt()
            if receipt is None or receipt.key != key or artifact.discarded():
                return None
            artifact.verify(receipt)
        except StoreError:
            # Damaged or gone: as good as never made. The stage is computed anew in an attempt of its own.
            self.damaged.add(key)
            return None
        return artifact, receipt

    def _place(self, stage: str) -> str:
        return f"runs/{self._run}/{stage}"

    def _numbers(self, stage: str) -> list[int]:
        place = self._place(stage) + "/"
        names = (name.removeprefix(place).split("/", 1)[0] for name in self._store.names(place))
        return sorted({int(name) for name in names if name.isdigit()})

    def _key(self, base: str) -> str | None:
        name = f"{base}/attempt.json"
        return json.loads(b"".join(self._store.read(name)))["key"] if self._store.exists(name) else None


def latest(store: Store, run: str, stage: str) -> Artifact | None:
    """Return the artifact a run's stage ended with; None where it has none."""
    note = f"runs/{run}/{stage}.json"
    return Artifact(store, json.loads(b"".join(store.read(note)))["base"]) if store.exists(note) else None


def whole_of(plan: Plan, store: Store) -> dict[str, Whole]:
    """Return the artifacts of a plan's stages; InputError names the first that is not whole."""
    whole: dict[str, Whole] = {}
    for step in plan.steps:
        artifact = Artifact(store, step.artifact)
        receipt = artifact.receipt()
        if receipt is None:
            raise InputError(f"{step.name} is not finished: {artifact.base} in {store.address} has no receipt yet")
        whole[step.name] = artifact, receipt
    return whole
