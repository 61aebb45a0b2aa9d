"""Where a run's problems and logged traces come from."""

from typing import Any, ClassVar

from pydantic import Field

from dto_jobs.rules import Agreement, Rule
from dto_jobs.settings import Settings


class RowSource(Settings):
    """Which rows and columns of a JSONL file (`.gz` and `.zst` too) to read; columns not named are guessed from the usual names."""

    prompt: str | None = None
    """Column of the question; by default `problem`, `question` or `prompt`."""
    answer: str | None = None
    """Column of the right answer; by default `answer` or `gold`."""
    id: str | None = None
    """Column of the identity; by default `id`, `unique_id` or `question_id`, else the line number."""
    level: str | None = None
    """Column by which reports are sliced; by default `level`, `difficulty`, `category` or `subject`."""
    filter: dict[str, tuple[str, ...]] = Field(default={}, examples=[{"level": ["4", "5"]}])
    """Take rows only whose column has one of these values."""
    skip: int = Field(default=0, ge=0)
    """Leave out so many rows first."""
    limit: int | None = Field(default=None, ge=1)
    """Take at most so many rows."""
    skip_unanswered: bool = False
    """Leave out rows without an answer, in place of refusing them."""
    grader: str | None = None
    """`math`, `choice`, `text` or a plug-in's name; by default the benchmark's own, else `math`."""


class ProblemSource(RowSource):
    """Problems with checkable answers: a file, a set of the hub, a known benchmark, built-in problems, or written here."""

    rules: ClassVar[tuple[Agreement, ...]] = (
        Rule(
            "name a source or write problems inline, and not both; for example source: problems.jsonl",
            lambda problems: (problems.source is None) == bool(problems.inline),
            "has(self.source) != (self.inline.size() > 0)",
        ),
    )

    source: str | None = Field(
        default=None,
        min_length=1,
        examples=["problems.jsonl", "math500", "hf://datasets/openai/gsm8k?config=main&split=train[:4000]"],
    )
    """A path or `file:` URL, relative to the run file; `s3://bucket/key`; a set of the Hugging Face hub,
    `hf://datasets/org/name@revision?split=…&config=…`, or a folder with such a set, `folder?split=…`; a benchmark's name;
    `builtin:graded-sums` or `builtin:graded-sums-test`."""
    folder: str | None = None
    """Folder with the benchmarks' files, relative to the run file; by default $DTO_BENCHMARKS, else `benchmarks`. A benchmark
    without a file there is asked of the hub."""
    inline: tuple[dict[str, Any], ...] = ()
    """The problems themselves, in place of a source."""
    options: str | None = None
    """Column of a multiple-choice question's options; by default `options` or `choices`, read by the grader `choice`."""
    ask_for_box: bool = True
    """Add the request for a boxed answer to questions that lack it; built-in problems are said as they are."""


class NamedProblems(ProblemSource):
    """A set of problems to evaluate on, with a name of its own."""

    name: str = Field(min_length=1, max_length=253, examples=["olympiad"])
    """What results call it, and how the gate names it."""


class TraceSource(RowSource):
    """Logged responses to take in place of sampling: right and wrong ones, with or without the closing mark of thinking."""

    source: str = Field(min_length=1, examples=["traces.jsonl"])
    """A path or `file:` URL, relative to the run file, or `s3://bucket/key`."""
    response: str | None = None
    """Column of the whole response; by default `response`, `completion`, `output` or `text`."""
    max_characters: int | None = Field(default=None, ge=1)
    """Leave out longer responses."""
