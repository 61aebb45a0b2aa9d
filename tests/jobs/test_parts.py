"""Inputs cut into parts and worked off, with the whole input in one engine run and part by part."""

from itertools import pairwise
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.core.records import Problem
from dto_jobs.dialogue import hold
from dto_jobs.engines.scripted import SumsReasoner
from dto_jobs.metering import MeteredEngine, MeteredPorts
from dto_jobs.parts import batches, worked
from dto_jobs.stage import Request, Stage


class Asking(Stage):
    """Asks as many times as the problem says."""

    reads: ClassVar = Problem
    writes: ClassVar = Problem
    part: ClassVar = 10

    @classmethod
    def group(cls, record):
        return record.level or None

    def run(self, records, ports):
        return hold((self._ask(record, ports) for record in records), ports.engine)

    def _ask(self, problem, ports):
        for turn in range(int(problem.answer)):
            yield [Request(f"{problem.id}/{turn}", ports.engine.render(problem.question), max_tokens=200)]
            ports.count("turns")
        return [problem]


def problems(turns, group=lambda _: ""):
    return [
        Problem(id=f"p{i}", question="Compute 4+3.", answer=str(turn), level=group(i)) for i, turn in enumerate(turns)
    ]


def made(inputs, *, continuous):
    engine = MeteredEngine(lambda: SumsReasoner(continuous=continuous))
    parts = [one for one in worked(Asking(), batches(inputs, Asking()), MeteredPorts(engine=engine)) if one.whole]
    return engine, [(one.number, one.records, one.spend.model_copy(update={"seconds": 0}), one.counts) for one in parts]


@given(st.lists(st.integers(0, 4), max_size=45))
def test_parts_hold_the_same_whether_the_engine_is_fed_at_once_or_part_by_part(turns):
    inputs = problems(turns)
    assert made(inputs, continuous=True)[1] == made(inputs, continuous=False)[1]
    assert [one for _, records, _, _ in made(inputs, continuous=True)[1] for one in records] == inputs


@pytest.mark.parametrize("continuous", [True, False])
def test_nothing_is_lost_or_counted_twice(continuous):
    engine, parts = made(problems([3, 0, 1] * 11), continuous=continuous)
    assert [number for number, *_ in parts] == [0, 1, 2, 3]
    assert sum(spend.generated for _, _, spend, _ in parts) == engine.total.generated
    assert sum(counts["turns"] for *_, counts in parts) == engine.total.requests == 44


class Watching(SumsReasoner):
    """Notes how many requests it had at once."""

    def __init__(self, *, continuous):
        super().__init__(continuous=continuous)
        self.sizes = []

    def complete(self, feed):
        def watched(free):
            requests = feed(free)
            self.sizes.append(len(requests))
            return requests

        yield from super().complete(watched)


@pytest.mark.parametrize(("continuous", "drained"), [(True, 1), (False, 4)])
def test_a_continuous_engine_never_drains_between_parts(continuous, drained):
    watching = Watching(continuous=continuous)
    engine = MeteredEngine(lambda: watching)
    list(worked(Asking(), batches(problems([1] * 40), Asking()), MeteredPorts(engine=engine)))
    assert watching.sizes.count(0) == drained


@given(st.lists(st.integers(0, 6), max_size=60))
def test_what_belongs_together_is_never_parted(groups):
    inputs = problems([1] * len(groups), lambda i: f"g{sorted(groups)[i]}")
    cut = list(batches(inputs, Asking()))
    assert [record for batch in cut for record in batch.inputs] == inputs
    assert [batch.number for batch in cut] == list(range(len(cut)))
    for one, other in pairwise(cut):
        assert one.inputs[-1].level != other.inputs[0].level
        assert len(one.inputs) >= Asking.part
