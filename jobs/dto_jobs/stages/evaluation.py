"""Evaluation: the same problems, prompts and sampling for the base and the tuned model (method.md 8)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from dto_jobs.core.grading import grade, grader
from dto_jobs.core.records import Answer, Problem
from dto_jobs.core.segmentation import Segmentation, count_rechecks, segment, split_thinking
from dto_jobs.dialogue import Dialogue, hold
from dto_jobs.problem_source import NamedProblems
from dto_jobs.rules import Agreement, Rule
from dto_jobs.settings import Distinct, Named
from dto_jobs.stage import Completion, Ports, Request, Stage

# Merging patterns down to a limit would hide re-checks.
EVERY_PATTERN = Segmentation(max_patterns=4096)


class Evaluation(Stage):
    """Answer the benchmarks' problems with one model."""

    reads: ClassVar = Problem
    writes: ClassVar = Answer
    part: ClassVar = 256
    rules: ClassVar[tuple[Agreement, ...]] = (
        Rule(
            "name at least one benchmark or problem set",
            lambda evaluation: bool(evaluation.names),
            "self.benchmarks.size() + self.problemSets.size() > 0",
        ),
        Rule(
            "a problem set has the name of a benchmark: give it one of its own",
            lambda evaluation: len(set(evaluation.names)) == len(evaluation.names),
            "self.problemSets.all(one, !(one.name in self.benchmarks))",
        ),
    )

    benchmarks: Distinct[Annotated[str, Field(min_length=1, max_length=253)]] = Field(
        default=("math500", "gsm8k", "aime2024", "mmlu-pro"), max_length=32
    )
    """Benchmarks by name, or problem sets by source."""
    problem_sets: Named[NamedProblems] = Field(default=(), max_length=32)
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

    @property
    def names(self) -> tuple[str, ...]:
        """What results call the benchmarks and sets."""
        return (*self.benchmarks, *(one.name for one in self.problem_sets))

    def sets(self) -> Iterator[NamedProblems]:
        """Yield all that is to be answered, by name."""
        named = (NamedProblems(name=name, source=name) for name in self.benchmarks)
        for one in (*named, *self.problem_sets):
            limit = min(filter(None, (one.limit, self.limit)), default=None)
            yield one.model_copy(update={"limit": limit})

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
