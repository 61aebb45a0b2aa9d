"""A stage's inputs, cut into parts of a fixed make-up and worked off: what a part is, and what came of it."""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from dto_jobs.artifacts.artifact import Artifact
from dto_jobs.core.cost import Spend
from dto_jobs.core.records import Record
from dto_jobs.metering import MeteredPorts
from dto_jobs.plan import Shard
from dto_jobs.stage import Stage


@dataclass(frozen=True)
class Batch:
    """The inputs of one part. Its number depends on the inputs alone: the same part has the same number in every process."""

    number: int
    inputs: list[Any]


@dataclass
class Made:
    """What has come of a part so far."""

    number: int
    size: int
    inputs: int = 0
    records: list[Record] = field(default_factory=list)
    spend: Spend = field(default_factory=Spend)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def whole(self) -> bool:
        """Every input of the part is done."""
        return self.inputs == self.size

    def add(self, records: Iterable[Record], spend: Spend, counts: Counter[str]) -> None:
        """Take in what came of the next input."""
        self.inputs += 1
        self.records += records
        self.spend += spend
        self.counts += counts


def batches(inputs: Iterable[Any], stage: Stage) -> Iterator[Batch]:
    """Yield parts of at least `stage.part` inputs (the last may be shorter), never parting what belongs together."""
    number, batch = 0, list[Any]()
    for record in inputs:
        group = stage.group(record)
        if len(batch) >= stage.part and (group is None or group != stage.group(batch[-1])):
            yield Batch(number, batch)
            number, batch = number + 1, []
        batch.append(record)
    if batch:
        yield Batch(number, batch)


def due(source: Artifact, records: int, stage: Stage, wanted: Callable[[int], bool]) -> Iterator[Batch]:
    """Yield the parts of an artifact of so many records whose numbers are `wanted`."""
    if groups(stage):
        yield from (batch for batch in batches(source.records(stage.reads), stage) if wanted(batch.number))
        return
    # Parts of known size: the others need not even be parsed.
    coming = source.records(stage.reads, lambda place: wanted(place // stage.part))
    for number in filter(wanted, range(math.ceil(records / stage.part))):
        yield Batch(number, list(islice(coming, stage.part)))


def share(records: int, stage: Stage, shard: Shard) -> int | None:
    """Return how many of an artifact's records a shard works on; None where that shows only on reading them."""
    if groups(stage):
        return records if shard.count == 1 else None
    numbers = filter(shard.takes, range(math.ceil(records / stage.part)))
    return sum(min(stage.part, records - number * stage.part) for number in numbers)


def groups(stage: Stage) -> bool:
    """Tell whether a stage's parts depend on what is in its inputs."""
    return type(stage).group.__func__ is not Stage.group.__func__  # type: ignore[attr-defined] # a class method has it


def begun(batch: Batch) -> Made:
    """Return what has come of a part that nobody has worked on."""
    return Made(batch.number, len(batch.inputs))


def worked(
    stage: Stage, coming: Iterator[Batch], ports: MeteredPorts, begin: Callable[[Batch], Made] = begun
) -> Iterator[Made]:
    """Yield what has come of a part after each of its inputs, parts in order; `begin` tells what has come of it before.

    A continuous engine takes the inputs of all parts in one run, so that its batch never drains. Any other gets each part in
    a run by itself: the same requests in the same order, which give the same bits on resume.
    """
    runs = [coming] if ports.engine.continuous else ([batch] for batch in coming)
    for run in runs:
        yield from _run(stage, run, ports, begin)


def _run(stage: Stage, coming: Iterable[Batch], ports: MeteredPorts, begin: Callable[[Batch], Made]) -> Iterator[Made]:
    at_work: deque[Made] = deque()

    def inputs() -> Iterator[Any]:
        for batch in coming:
            made = begin(batch)
            at_work.append(made)
            yield from batch.inputs[made.inputs :]

    for place, records in enumerate(stage.run(inputs(), ports)):
        made = at_work[0]
        made.add(records, *ports.engine.settled(place))
        yield made
        if made.whole:
            at_work.popleft()
