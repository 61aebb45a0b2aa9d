"""Rollout: sample responses to every problem (method.md 1)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from dto_jobs.core.grading import grade, grader
from dto_jobs.core.records import Problem, Response
from dto_jobs.core.segmentation import split_thinking
from dto_jobs.dialogue import Dialogue, hold
from dto_jobs.problem_source import TraceSource
from dto_jobs.stage import Completion, Ports, Request, Stage


class Rollout(Stage):
    """Sample responses of the model to every problem."""

    reads: ClassVar = Problem
    writes: ClassVar = Response
    part: ClassVar = 128

    samples: int = Field(default=4, ge=1, le=256)
    """Responses per problem."""
    temperature: float = Field(default=0.6, ge=0, le=2)
    """Sampling temperature; 0 is greedy."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus: the smallest set of tokens with this probability is sampled from."""
    max_tokens: int = Field(default=8192, ge=1)
    """Longest response; one that reaches it is cut and counts as no answer."""

    imported: TraceSource | None = Field(default=None, alias="import")
    """Take logged responses in place of sampling."""

    def run(self, records: Iterable[Problem], ports: Ports) -> Iterator[Sequence[Response]]:
        """Yield the responses of each problem."""
        return hold((self._sample(problem, ports) for problem in records), ports.engine)

    def _sample(self, problem: Problem, ports: Ports) -> Dialogue[list[Response]]:
        prompt = ports.engine.render(problem.question)
        completions: list[Completion] = yield [
            Request(
                key=f"{ports.seed}/rollout/{problem.id}/{number}",
                prompt=prompt,
                max_tokens=self.max_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                family=problem.id,
            )
            for number in range(self.samples)
        ]
        opened = ports.engine.thinking
        return [response(problem, f"{problem.id}#{i}", prompt, one, opened=opened) for i, one in enumerate(completions)]


def response(problem: Problem, name: str, prompt: str, completion: Completion, *, opened: bool) -> Response:
    """Return the graded record of a completed response."""
    _, answer = split_thinking(completion.text, opened=opened)
    graded = grade(grader(problem.grader), answer if completion.finished else None, problem.answer)
    return Response(
        id=name,
        problem=problem,
        prompt=prompt,
        text=completion.text,
        prompt_tokens=completion.prompt_tokens,
        tokens=completion.tokens,
        finished=completion.finished,
        opened=opened,
        answer=graded.answer,
        correct=graded.correct,
    )
