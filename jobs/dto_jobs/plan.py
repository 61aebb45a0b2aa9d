"""A run's stages, linked and named, and which may start. Shared by the operator and the local runner."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dto_jobs.errors import InputError
from dto_jobs.pipeline import Link, Pipeline, needed
from dto_jobs.stage import ModelStage, Stage

TELLING = {
    "analysis",
    "audits",
    "comparison",
    "cut_audit",
    "estimate",
    "gate",
    "interval",
    "judge_audit",
    "results",
    "statistics",
}
"""Modules of the core that tell what came of a run, and have no part in making it."""
TRAINING = {
    "adapters",
    "divergence",
    "log_probabilities",
    "processes",
    "simpo",
    "sweep",
    "training_log",
    "training_process",
}
"""Modules of core and engines that only a training runs."""


@dataclass(frozen=True)
class Shard:
    """Which parts of a stage a process works on: every `count`-th, from `index` on.

    Neighbours go to different shards, since problem sets are often sorted by difficulty. A part's number does not depend on
    the shards, so the artifact is the same for any number of them.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise InputError(
                f"there is no shard {self.index} of {self.count}: shards count from 0, so write 0/{self.count}"
            )

    def takes(self, number: int) -> bool:
        """Tell whether a part is this shard's."""
        return number % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE = Shard()


def shard(text: str) -> Shard:
    """Return the shard that `i/n` names."""
    index, _, count = text.partition("/")
    try:
        return Shard(int(index), int(count))
    except ValueError as error:
        raise InputError(f"{text!r} is no shard; write index/count, for example 0/4") from error


@dataclass(frozen=True)
class PlannedStage:
    """A stage in its place: what it waits for, and the content key of what it writes."""

    name: str
    stage: Stage | ModelStage
    reads: str
    model: str | None
    key: str
    asks: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The stages and sources that must be done before."""
        return tuple(need for need in (self.reads, self.model, self.asks) if need)


def plan(
    pipeline: Pipeline, sources: Mapping[str, str], base: Mapping[str, Any], until: str | None = None
) -> tuple[PlannedStage, ...]:
    """Name every stage by what its result depends on: code, settings, inputs and the model.

    `sources` holds a digest per source; `base` says what runs the stages (model digest, engine, seed). The same key means
    the same artifact, whichever run made it.
    """
    keys = dict(sources)
    planned: list[PlannedStage] = []
    for link in needed(list(pipeline.links()), until):
        step = PlannedStage(link.name, link.stage, link.reads, link.model, content_key(link, keys, base), link.asks)
        keys[step.name] = step.key
        planned.append(step)
    return tuple(planned)


def content_key(link: Link, keys: Mapping[str, str], base: Mapping[str, Any]) -> str:
    """Return the sha256 of everything a stage's result depends on."""
    content = {
        "code": code_version(trains=isinstance(link.stage, ModelStage), chooses=link.asks is not None),
        # Base and tuned answers share settings, and may share a model digest; what they read tells them apart.
        "stage": type(link.stage).__name__,
        "settings": link.stage.model_dump(mode="json", by_alias=True),
        "reads": keys[link.reads],
        "tuned": keys[link.model] if link.model else None,
        **base,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def code_version(*, trains: bool = False, chooses: bool = False) -> str:
    """Return a digest of the code that decides what a stage writes: the algorithm, the stages and the words said to models.

    The trainer's code counts only for a stage that trains; what tells good from bad only where it chooses between models.
    """
    unread = set() if chooses else TELLING if trains else TELLING | TRAINING
    root = resources.files("dto_jobs")
    digest = hashlib.sha256()
    for name in ("core", "stages", "engines"):
        with resources.as_file(root / name) as folder:
            for path in sorted(path for path in Path(folder).glob("*.py") if path.stem not in unread):
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
    for name in ("prompts.py", "dialogue.py", *(("sweep.py",) if chooses else ())):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


class Waiting(Protocol):
    """Something to be done that needs others to be done before."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of what it needs."""
        ...


Task = TypeVar("Task", bound=Waiting)


def ready(steps: Collection[Task], done: Collection[str]) -> list[Task]:
    """Return the stages not done whose needs are, first to last."""
    return [step for step in steps if step.name not in done and all(need in done for need in step.needs)]
