"""Exits: cut every trace into patterns and find its earliest sufficient exit (method.md 2 and 3)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from dto_jobs.core.answers import boxed
from dto_jobs.core.exit_point import Ask, Strategy, search
from dto_jobs.core.grading import Grader, grader
from dto_jobs.core.records import Pattern, Response, SearchedTrace
from dto_jobs.core.segmentation import Segmentation, segment, split_thinking
from dto_jobs.core.trajectory import stopped
from dto_jobs.dialogue import Dialogue, hold
from dto_jobs.prompts import EXIT_STOPS, exit_pattern
from dto_jobs.stage import Completion, Ports, Request, Stage


class Exits(Stage):
    """Find where thinking could have stopped, by sampling answers after each pattern."""

    reads: ClassVar = Response
    writes: ClassVar = SearchedTrace

    completions: int = Field(default=8, ge=1, le=256)
    """Samples K per boundary."""
    threshold: float = Field(default=0.5, gt=0, le=1)
    """The exit is the first boundary where at least this share of samples is right."""
    strategy: Strategy = "curtailed"
    """`curtailed` stops at the first pass and as soon as a boundary is decided; `exhaustive` draws every sample at every
    boundary."""
    max_tokens: int = Field(default=64, ge=1, le=4096)
    """Longest sampled answer."""
    temperature: float = Field(default=0.6, ge=0, le=2)
    """Sampling temperature of the answers."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus of the answers."""
    segmentation: Segmentation = Segmentation()
    """How thinking is cut into patterns."""

    def run(self, records: Iterable[Response], ports: Ports) -> Iterator[Sequence[SearchedTrace]]:
        """Yield one searched trace per response."""
        return hold((self._search(response, ports) for response in records), ports.engine)

    def _search(self, response: Response, ports: Ports) -> Dialogue[list[SearchedTrace]]:
        thinking, _ = split_thinking(response.text, opened=response.opened)
        patterns = segment(thinking, self.segmentation)
        judged = _Judged(response, patterns, self, ports)
        talk = search(len(patterns), self.completions, self.threshold, self.strategy)
        try:
            asks = next(talk)
            while True:
                completions: list[Completion] = yield judged.requests(asks)
                asks = talk.send(judged.outcomes(asks, completions))
        except StopIteration as end:
            found = end.value
        ports.count("boundaries", len(found.boundaries))
        ports.count("samples", sum(boundary.hits + boundary.misses for boundary in found.boundaries))
        trace = SearchedTrace(
            response=response,
            patterns=patterns,
            boundaries=found.boundaries,
            exit=found.exit,
            wrong_ending=judged.wrong.get((found.exit or 0) - 1),
        )
        return [trace]


class _Judged:
    """Requests for one trace's boundaries, and the grades of what came of them."""

    def __init__(self, response: Response, patterns: Sequence[Pattern], settings: Exits, ports: Ports) -> None:
        self._response = response
        self._texts = [pattern.text for pattern in patterns]
        self._settings = settings
        self._seed = ports.seed
        self._closing = exit_pattern(thinking=ports.engine.thinking)
        self._grader: Grader = grader(response.problem.grader)
        self.wrong: dict[int, str] = {}

    def requests(self, asks: Sequence[Ask]) -> list[Request]:
        return [request for ask in asks for request in self._boundary(ask)]

    def _boundary(self, ask: Ask) -> Iterator[Request]:
        prompt = self._response.prompt + stopped(self._texts[: ask.boundary], self._closing)
        for number in range(ask.first, ask.first + ask.samples):
            yield Request(
                key=f"{self._seed}/exits/{self._response.id}/{ask.boundary}/{number}",
                prompt=prompt,
                max_tokens=self._settings.max_tokens,
                temperature=self._settings.temperature,
                top_p=self._settings.top_p,
                stop=EXIT_STOPS,
                family=self._response.id,
                trace=self._response.whole,
            )

    def outcomes(self, asks: Sequence[Ask], completions: Sequence[Completion]) -> list[list[bool]]:
        coming = iter(completions)
        return [[self._right(ask.boundary, next(coming)) for _ in range(ask.samples)] for ask in asks]

    def _right(self, boundary: int, completion: Completion) -> bool:
        answer = boxed(completion.text)
        right = bool(answer) and self._grader.equal(answer, self._response.problem.answer)
        if not right and answer:
            self.wrong.setdefault(boundary, completion.text)
        return right
