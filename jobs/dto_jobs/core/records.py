"""The records that flow from stage to stage: one line of an artifact each, every stage adding to what it read.

problem → response → searched trace → ended trace → pruned trace → pair → answer
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """One line of an artifact. Frozen; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(Record):
    """A question whose answer can be checked."""

    id: str
    question: str
    answer: str
    grader: str = "math"
    """Which grader compares answers with it."""
    benchmark: str = ""
    level: str = ""
    """The slice a report shows apart: a difficulty, a domain; empty for none."""


class ImportedTrace(Record):
    """A response that somebody's log holds: taken in place of sampling."""

    id: str
    problem: Problem
    text: str
    """As logged: with or without the opening and closing marks of thinking."""


class Response(Record):
    """One sampled (or imported) response of the model to a problem."""

    id: str
    """`<problem id>#<sample>`."""
    problem: Problem
    prompt: str
    """The chat template rendered to text, thinking opened; the response follows it directly."""
    text: str
    prompt_tokens: int
    tokens: int
    """Generated tokens, the end mark included."""
    finished: bool
    """False where the token limit cut the response: it is not an answer then."""
    opened: bool
    """The prompt opened the thinking: what precedes the closing mark is thinking, and without that mark there is no answer."""
    answer: str
    """What the grader read as the answer; empty for none."""
    correct: bool

    @property
    def whole(self) -> str:
        """Prompt and response as one text."""
        return self.prompt + self.text


class Pattern(Record):
    """One thinking pattern: a piece of a trace's thinking that starts at a cue."""

    text: str
    kind: str
    """Which family of cues opened it (`check`, `alternative`, `doubt` …), `start` for the first, `block` for a structural cut."""


class Boundary(Record):
    """What Monte Carlo saw after a pattern: completions that were right and wrong if thinking stopped there."""

    hits: int = Field(ge=0)
    misses: int = Field(ge=0)

    @property
    def rate(self) -> float:
        """The estimate p_i = hits / samples, 0 before any sample."""
        return self.hits / max(1, self.hits + self.misses)


class SearchedTrace(Record):
    """A response, cut into patterns, with its earliest sufficient exit."""

    response: Response
    patterns: tuple[Pattern, ...]
    boundaries: tuple[Boundary, ...]
    """Boundary i lies after pattern i; curtailed search looks at boundaries up to the exit only."""
    exit: int | None
    """How many patterns are kept: 1 … n; None where no boundary passed, so nothing is guessed."""
    wrong_ending: str | None = None
    """An answer text sampled one pattern before the exit that was wrong: shows that the last kept pattern is needed."""


class EndedTrace(Record):
    """A searched trace with the shortest correct way to finish from its exit."""

    trace: SearchedTrace
    ending: str | None
    """What the model wrote after the finalize pattern; None: no exit, or no correct ending."""
    tried: int = 0
    correct: int = 0

    @property
    def kept(self) -> tuple[Pattern, ...]:
        """The patterns up to the exit; none without one."""
        return self.trace.patterns[: self.trace.exit or 0]


class Drop(Record):
    """A pattern left out of the optimized trajectory."""

    pattern: int
    reason: str


class PrunedTrace(Record):
    """An ended trace with needless patterns dropped, and the optimized text that is left."""

    ended: EndedTrace
    kept: tuple[int, ...] = ()
    dropped: tuple[Drop, ...] = ()
    restored: tuple[int, ...] = ()
    """Patterns a verdict dropped and the check put back."""
    text: str | None = None
    """The optimized response: kept patterns, finalize pattern, ending. None where there is no optimized trajectory."""
    tokens: int = 0
    optimized_correct_rate: float = 0.0
    """Share of correct endings in the last check of the optimized trajectory."""


PairKind = Literal["compressed", "rescued", "necessary", "long-correct"]


class Pair(Record):
    """Two responses to one problem: the chosen one is what the model should come to prefer."""

    problem_id: str
    level: str
    kind: PairKind
    prompt: str
    chosen: str
    rejected: str
    chosen_tokens: int
    rejected_tokens: int
    copies: int = Field(default=1, ge=1)


class Answer(Record):
    """One response in the evaluation of a model."""

    problem_id: str
    benchmark: str
    level: str
    sample: int
    prompt_tokens: int
    tokens: int
    finished: bool
    correct: bool
    answer: str
    text: str
    rechecks: int
    """Patterns that start with a cue of checking again."""
