"""Checkpoints of a training, kept in the store beside its artifact, so that it can go on on another machine."""

import shutil
from contextlib import suppress
from pathlib import Path

from dto_jobs.artifacts.artifact import Artifact, Receipt

FOLDER = "checkpoint-"
LAST_FILE = "trainer_state.json"
"""What the trainer writes last into a checkpoint."""


class Checkpoints:
    """The checkpoints of one attempt. Each is an artifact of its own, whole once it has its receipt; only the last is kept."""

    def __init__(self, artifact: Artifact, workspace: Path) -> None:
        self._artifact = artifact
        self._workspace = workspace
        self._kept = 0

    def keep(self) -> None:
        """Keep the newest whole checkpoint of the workspace, if it is not kept yet."""
        step = self._newest_here()
        if step <= self._kept:
            return
        # The trainer may take an old checkpoint away while it is read: then a newer one is there, and kept the next time.
        with suppress(FileNotFoundError):
            place = self._place(step)
            blobs = place.write_files(self._workspace / f"{FOLDER}{step}")
            place.commit(Receipt(stage="checkpoint", key=str(step), code="", blobs=blobs))
            self._kept = step
            for old in self._steps():
                if old < step:
                    self._artifact.store.delete(f"{self._place(old).base}/")

    def restore(self) -> None:
        """Put the newest kept checkpoint into the workspace, unless one as new is there."""
        whole = [step for step in self._steps() if self._place(step).receipt() is not None]
        self._kept = max(whole, default=0)
        if self._kept <= self._newest_here():
            return
        partial = self._workspace / "restored.partial"
        shutil.rmtree(partial, ignore_errors=True)
        self._place(self._kept).fetch_files(partial)
        target = self._workspace / f"{FOLDER}{self._kept}"
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)

    def _newest_here(self) -> int:
        whole = (path.parent.name for path in self._workspace.glob(f"{FOLDER}*/{LAST_FILE}"))
        return max((int(name.removeprefix(FOLDER)) for name in whole), default=0)

    def _steps(self) -> list[int]:
        start = f"{self._artifact.base}/checkpoints/"
        names = {name.removeprefix(start).partition("/")[0] for name in self._artifact.store.names(start)}
        return sorted(int(name) for name in names if name.isdigit())

    def _place(self, step: int) -> Artifact:
        return Artifact(self._artifact.store, f"{self._artifact.base}/checkpoints/{step}")
