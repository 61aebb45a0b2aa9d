"""A stage's inputs, cut into parts of a fixed make-up and worked off: what a part is, and what came of it."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dto_jobs.core.cost import Spend
from dto_jobs.core.records import Record
from dto_jobs.metering import MeteredPorts
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


def worked(stage: Stage, coming: Iterator[Batch], ports: MeteredPorts) -> Iterator[Made]:
    """Yield what has come of a part after each of its inputs, parts in order.

    A continuous engine takes the inputs of all parts in one run, so that its batch never drains. Any other gets each part in
    a run by itself: the same requests in the same order, which give the same bits on resume.
    """
    runs = [coming] if ports.engine.continuous else ([batch] for batch in coming)
    for run in runs:
        yield from _run(stage, run, ports)


def _run(stage: Stage, coming: Iterable[Batch], ports: MeteredPorts) -> Iterator[Made]:
    begun: deque[Made] = deque()

    def inputs() -> Iterator[Any]:
        for batch in coming:
            begun.append(Made(batch.number, len(batch.inputs)))
            yield from batch.inputs

    for place, records in enumerate(stage.run(inputs(), ports)):
        made = begun[0]
        made.add(records, *ports.engine.settled(place))
        yield made
        if made.whole:
            begun.popleft()
