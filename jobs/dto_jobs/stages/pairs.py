"""Pairs: chosen and rejected responses to learn from (method.md 6)."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import ClassVar

from dto_jobs.core.preference import Preference, pairs
from dto_jobs.core.records import Pair, PrunedTrace
from dto_jobs.core.trajectory import joined, stopped
from dto_jobs.prompts import exit_pattern
from dto_jobs.stage import Ports, Stage


class Pairs(Preference, Stage):
    """Make preference pairs, problem by problem."""

    reads: ClassVar = PrunedTrace
    writes: ClassVar = Pair

    @classmethod
    def group(cls, record: PrunedTrace) -> str:
        """Return the problem: a problem's traces are paired together."""
        return record.ended.trace.response.problem.id

    def run(self, records: Iterable[PrunedTrace], ports: Ports) -> Iterator[Sequence[Pair]]:
        """Yield a problem's pairs with its last trace, nothing with the others."""

        def stopped_earlier(trace: PrunedTrace) -> tuple[str, int] | None:
            searched = trace.ended.trace
            if searched.wrong_ending is None:
                return None
            shorter = joined([pattern.text for pattern in searched.patterns], trace.kept[:-1])
            text = stopped([shorter], exit_pattern(thinking=ports.engine.thinking)) + searched.wrong_ending
            return text, ports.engine.count(text) + 1

        for _, group in groupby(records, key=self.group):
            traces = list(group)
            yield from [()] * (len(traces) - 1)
            made = pairs(traces, self, stopped_earlier)
            for pair in made:
                ports.count(f"pairs_{pair.kind}")
            yield made
