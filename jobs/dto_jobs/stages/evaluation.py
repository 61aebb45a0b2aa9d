"""Evaluation: the same problems, prompts and sampling for the base and the tuned model (method.md 8)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from pydantic import Field, model_validator

from dto_jobs.core.grading import grade, grader
from dto_jobs.core.records import Answer, Problem
from dto_jobs.core.segmentation import Segmentation, count_rechecks, segment, split_thinking
from dto_jobs.dialogue import Dialogue, hold
from dto_jobs.problem_source import NamedProblems
from dto_jobs.settings import Distinct
from dto_jobs.stage import Completion, Ports, Request, Stage

# Merging patterns down to a limit would hide re-checks.
EVERY_PATTERN = Segmentation(max_patterns=4096)


class Evaluation(Stage):
    """Answer the benchmarks' problems with one model."""

    reads: ClassVar = Problem
    writes: ClassVar = Answer
    part: ClassVar = 256

    benchmarks: Distinct[str] = ("math500", "gsm8k", "aime2024", "mmlu-pro")
    """Benchmarks by name, or problem sets by source."""
    problem_sets: tuple[NamedProblems, ...] = ()
    """Further sets, each with columns and grader of its own."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many problems of each benchmark and set."""
    samples: int = Field(default=4, ge=1, le=256)
    """Responses k per problem."""
    temperature: float = Field(default=0.6, ge=0, le=2)
    """Sampling temperature."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus."""
    max_tokens: int = Field(default=8192, ge=1)
    """Longest response."""

    def sets(self) -> Iterator[NamedProblems]:
        """Yield all that is to be answered, by name."""
        named = (NamedProblems(name=name, source=name) for name in self.benchmarks)
        for one in (*named, *self.problem_sets):
            limit = min(filter(None, (one.limit, self.limit)), default=None)
            yield one.model_copy(update={"limit": limit})

    @model_validator(mode="after")
    def _named_once(self) -> "Evaluation":
        names = Counter([*self.benchmarks, *(one.name for one in self.problem_sets)])
        twice = [name for name, times in names.items() if times > 1]
        if twice or not names:
            raise ValueError(f"{twice[0]} is named twice" if twice else "name at least one benchmark or problem set")
        return self

    def run(self, records: Iterable[Problem], ports: Ports) -> Iterator[Sequence[Answer]]:
        """Yield the answers to each problem."""
        return hold((self._answer(problem, ports) for problem in records), ports.engine)

    def _answer(self, problem: Problem, ports: Ports) -> Dialogue[list[Answer]]:
        prompt = ports.engine.render(problem.question)
        completions: list[Completion] = yield [
            Request(
                # The same key for both models: what differs between them is the model, not the luck of the draw.
                key=f"{ports.seed}/evaluation/{problem.benchmark}/{problem.id}/{number}",
                prompt=prompt,
                max_tokens=self.max_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                family=f"{problem.benchmark}/{problem.id}",
            )
            for number in range(self.samples)
        ]
        return [self._graded(problem, number, one, ports) for number, one in enumerate(completions)]

    def _graded(self, problem: Problem, sample: int, completion: Completion, ports: Ports) -> Answer:
        thinking, answer = split_thinking(completion.text, opened=ports.engine.thinking)
        graded = grade(grader(problem.grader), answer if completion.finished else None, problem.answer)
        return Answer(
            problem_id=problem.id,
            benchmark=problem.benchmark,
            level=problem.level,
            sample=sample,
            prompt_tokens=completion.prompt_tokens,
            tokens=completion.tokens,
            finished=completion.finished,
            correct=graded.correct,
            answer=graded.answer,
            text=completion.text,
            rechecks=count_rechecks(segment(thinking, EVERY_PATTERN)),
        )
