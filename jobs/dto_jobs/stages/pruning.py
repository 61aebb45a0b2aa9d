"""Pruning: leave out patterns that the answer does not need; whatever is proposed is checked (method.md 5)."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import ClassVar, Literal

from pydantic import Field

from dto_jobs.core.ending import Ending, shortest_correct
from dto_jobs.core.exit_point import decide, hits_needed
from dto_jobs.core.grading import grade, grader
from dto_jobs.core.pruning import Check, Kept, leave_one_out, verified
from dto_jobs.core.records import Boundary, Drop, EndedTrace, PrunedTrace
from dto_jobs.core.trajectory import joined, stopped
from dto_jobs.dialogue import Dialogue, Score, hold
from dto_jobs.judges import JudgeSource
from dto_jobs.prompts import finalize_pattern
from dto_jobs.stage import Completion, Judge, Ports, Request, Review, Stage

JUDGED_AT_ONCE = 128
"""Traces a judge is handed together: enough to keep it busy, and few to lose."""


class Pruning(Stage):
    """Drop needless patterns from every ended trace."""

    reads: ClassVar = EndedTrace
    writes: ClassVar = PrunedTrace

    judge: JudgeSource | None = None
    """Who proposes patterns to drop. None: each pattern is tried in turn (leave-one-out), which needs no second model."""
    completions: int = Field(default=8, ge=1, le=256)
    """Endings sampled at most to check that answers stay right without some patterns."""
    threshold: float = Field(default=0.5, gt=0, le=1)
    """Dropping is accepted if at least this share of them is right."""
    restore: Literal["bisect", "all"] = "bisect"
    """What happens when a proposal fails its check: put back by halves, or all at once."""
    guard: bool = True
    """Drop a pattern only where what follows it still makes sense without it, as the model's log-probabilities tell."""
    max_log_probability_fall: float = Field(default=0.1, ge=0)
    """What follows a dropped pattern may lose at most so much mean log-probability, where the guard is on."""
    max_tokens: int = Field(default=1024, ge=1)
    """Longest ending."""
    temperature: float = Field(default=0.6, ge=0, le=2)
    """Sampling temperature of the endings."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus of the endings."""

    def run(self, records: Iterable[EndedTrace], ports: Ports) -> Iterator[Sequence[PrunedTrace]]:
        """Yield one pruned trace per ended trace; without an ending there is nothing to prune."""
        judged = _judged(records, ports.judge)
        return hold((self._prune(ended, review, ports) for ended, review in judged), ports.engine)

    def _prune(self, ended: EndedTrace, review: Review | None, ports: Ports) -> Dialogue[list[PrunedTrace]]:
        if ended.ending is None or ended.trace.exit is None:
            return [PrunedTrace(ended=ended)]
        trial = Trial(ended, self, ports)
        reasons = None if review is None else _proposed(review, ports)
        check: Check = (
            leave_one_out(trial.count)
            if reasons is None
            else verified(trial.count, reasons, bisect=self.restore == "bisect")
        )
        try:
            kept = next(check)
            while True:
                ports.count("checks")
                kept = check.send((yield from trial.stays_right(kept)))
        except StopIteration as end:
            kept = end.value
        return [trial.result(kept, reasons, ports)]


def _judged(records: Iterable[EndedTrace], judge: Judge | None) -> Iterator[tuple[EndedTrace, Review | None]]:
    """Yield traces with what the judge says of them; None where nobody judges, or there is nothing to prune."""
    waiting = iter(records)
    while traces := list(islice(waiting, JUDGED_AT_ONCE)):
        asked = [ended for ended in traces if judge is not None and ended.ending is not None and ended.kept]
        questions = [(ended.trace.response.problem.question, [one.text for one in ended.kept]) for ended in asked]
        reviews = judge.review(questions) if judge is not None and asked else []
        by_trace = {ended.trace.response.id: review for ended, review in zip(asked, reviews, strict=True)}
        yield from ((ended, by_trace.get(ended.trace.response.id)) for ended in traces)


def _proposed(review: Review, ports: Ports) -> dict[int, str]:
    """Return the patterns that a judge wants dropped, with its reasons; its counts and costs go to the receipt."""
    drops = {verdict.pattern - 1: verdict.reason for verdict in review.verdicts if not verdict.keep}
    ports.pay(review.spend)
    ports.count("verdicts", len(review.verdicts))
    ports.count("verdicts_drop", len(drops))
    for cause, number in review.counts.items():
        ports.count(f"verdicts_{cause}", number)
    return drops


class Trial:
    """One trace's patterns up to its exit, tried with some of them left out."""

    def __init__(self, ended: EndedTrace, settings: Pruning, ports: Ports) -> None:
        self._ended = ended
        self._response = ended.trace.response
        self._patterns = [pattern.text for pattern in ended.kept]
        self._settings = settings
        self._engine = ports.engine
        self._seed = ports.seed
        self._grader = grader(self._response.problem.grader)
        self._closing = finalize_pattern(thinking=ports.engine.thinking)
        self._needed = hits_needed(settings.completions, settings.threshold)
        self._accepted: Kept = tuple(range(self.count))
        self._ending = ended.ending or ""
        self._rate = ended.correct / max(1, ended.tried)

    @property
    def count(self) -> int:
        """How many patterns there are."""
        return len(self._patterns)

    def _join(self, kept: Sequence[int], *, begins: bool = True) -> str:
        return joined(self._patterns, kept, begins=begins)

    def stays_right(self, kept: Kept) -> Dialogue[bool]:
        """Tell whether what stays still makes sense and its endings are right often enough; remember the best ending."""
        if not (yield from self._makes_sense(kept)):
            return False
        seen, endings = yield from self.sampled(kept)
        best = shortest_correct(endings)
        if seen.hits < self._needed or best is None:
            return False
        self._accepted, self._ending, self._rate = kept, best.text, seen.rate
        return True

    def sampled(self, kept: Kept) -> Dialogue[tuple[Boundary, list[Ending]]]:
        """Sample endings after the kept patterns until it is certain whether they are right often enough."""
        settings = self._settings
        endings: list[Ending] = []
        talk = decide(len(kept), settings.completions, self._needed)
        try:
            [ask] = next(talk)
            while True:
                completions: list[Completion] = yield self._requests(kept, ask.first, ask.samples)
                drawn = [self._graded(one) for one in completions]
                endings += drawn
                [ask] = talk.send([[ending.correct for ending in drawn]])
        except StopIteration as end:
            return end.value, endings

    def _makes_sense(self, kept: Kept) -> Dialogue[bool]:
        if not self._settings.guard:
            return True
        first = next(i for i, index in enumerate(self._accepted) if index not in kept)
        longer, shorter = self._accepted[: first + 1], self._accepted[:first]
        old, new = yield Score(
            (
                (self._response.prompt + self._join(longer), self._join(self._accepted[first + 1 :], begins=False)),
                (self._response.prompt + self._join(shorter), self._join(kept[first:], begins=first == 0)),
            )
        )
        return bool(new >= old - self._settings.max_log_probability_fall)

    def _requests(self, kept: Kept, first: int, count: int) -> list[Request]:
        settings = self._settings
        name = ".".join(map(str, kept))
        return [
            Request(
                key=f"{self._seed}/pruning/{self._response.id}/{name}/{number}",
                prompt=self._response.prompt + stopped([self._join(kept)], self._closing),
                max_tokens=settings.max_tokens,
                temperature=settings.temperature,
                top_p=settings.top_p,
                family=self._response.id,
                trace=self._response.whole,
            )
            for number in range(first, first + count)
        ]

    def _graded(self, completion: Completion) -> Ending:
        correct = completion.finished and grade(self._grader, completion.text, self._response.problem.answer).correct
        return Ending(completion.text, completion.tokens, correct)

    def result(self, kept: Kept, reasons: dict[int, str] | None, ports: Ports) -> PrunedTrace:
        """Return the record of what was accepted."""
        assert kept == self._accepted, "only what passed its check is kept"
        text = stopped([self._join(kept)], self._closing) + self._ending
        dropped = [index for index in range(self.count) if index not in kept]
        proposed = set(reasons or {})
        ports.count("dropped", len(dropped))
        return PrunedTrace(
            ended=self._ended,
            kept=kept,
            dropped=tuple(
                Drop(pattern=index, reason=(reasons or {}).get(index, "answers stay right without it"))
                for index in dropped
            ),
            restored=tuple(sorted(proposed - set(dropped))),
            text=text,
            tokens=self._engine.count(text) + 1,
            optimized_correct_rate=self._rate,
        )
