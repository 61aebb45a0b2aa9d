"""Endings: let the model finish from the exit in its own words; the shortest correct way is kept (method.md 4)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from dto_jobs.core.ending import Ending, shortest_correct
from dto_jobs.core.grading import grade, grader
from dto_jobs.core.records import EndedTrace, SearchedTrace
from dto_jobs.core.trajectory import stopped
from dto_jobs.dialogue import Dialogue, hold
from dto_jobs.prompts import finalize_pattern
from dto_jobs.stage import Completion, Ports, Request, Stage


class Endings(Stage):
    """Finish every trace that has an exit from there."""

    reads: ClassVar = SearchedTrace
    writes: ClassVar = EndedTrace

    completions: int = Field(default=4, ge=1, le=256)
    """Endings M sampled per trace."""
    max_tokens: int = Field(default=1024, ge=1)
    """Longest ending."""
    temperature: float = Field(default=0.6, ge=0, le=2)
    """Sampling temperature."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus."""

    def run(self, records: Iterable[SearchedTrace], ports: Ports) -> Iterator[Sequence[EndedTrace]]:
        """Yield one ended trace per searched trace; without an exit there is nothing to sample."""
        return hold((self._finish(trace, ports) for trace in records), ports.engine)

    def _finish(self, trace: SearchedTrace, ports: Ports) -> Dialogue[list[EndedTrace]]:
        if trace.exit is None:
            return [EndedTrace(trace=trace, ending=None)]
        response = trace.response
        kept = [pattern.text for pattern in trace.patterns[: trace.exit]]
        prompt = response.prompt + stopped(kept, finalize_pattern(thinking=ports.engine.thinking))
        completions: list[Completion] = yield [
            Request(
                key=f"{ports.seed}/endings/{response.id}/{number}",
                prompt=prompt,
                max_tokens=self.max_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                family=response.id,
                trace=response.whole,
            )
            for number in range(self.completions)
        ]
        judge = grader(response.problem.grader)
        endings = [
            Ending(one.text, one.tokens, one.finished and grade(judge, one.text, response.problem.answer).correct)
            for one in completions
        ]
        best = shortest_correct(endings)
        ports.count("endings_correct", sum(ending.correct for ending in endings))
        ended = EndedTrace(
            trace=trace,
            ending=None if best is None else best.text,
            tried=len(endings),
            correct=sum(ending.correct for ending in endings),
        )
        return [ended]
