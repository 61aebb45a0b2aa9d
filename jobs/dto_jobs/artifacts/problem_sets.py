"""Problem sets: files, benchmarks, built-in and inline problems, read as records one at a time."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dto_jobs.artifacts.benchmarks import BENCHMARKS, Benchmark, benchmark_file, no_such_file
from dto_jobs.artifacts.hub_sets import HubSet, hub_rows, hub_set
from dto_jobs.artifacts.rows import Identities, Row, chosen, located, read_rows
from dto_jobs.core.records import Problem
from dto_jobs.errors import InputError, MissingExtraError
from dto_jobs.problem_source import ProblemSource, RowSource
from dto_jobs.prompts import choice_question, math_question
from dto_jobs.settings import benchmarks_from_environment

PROMPTS = ("problem", "question", "prompt")
ANSWERS = ("answer", "gold")
IDENTITIES = ("id", "unique_id", "question_id")
LEVELS = ("level", "difficulty", "category", "subject")
OPTIONS = ("options", "choices")

BUILTIN = "builtin:"

R = TypeVar("R")


def read_problems(
    source: ProblemSource, folder: Path, *, benchmark: str = "", endpoint: str | None = None
) -> Iterator[Problem]:
    """Yield a source's problems; relative paths start from `folder`, the run file's. InputError for what cannot be used."""
    name = source.source or "inline"
    known = BENCHMARKS.get(name, Benchmark(()))
    if name in BENCHMARKS:
        source, benchmark = _as_known(source, known), benchmark or name
    identities = Identities()
    problems = (
        _problem(row, question, source, known, benchmark, identities)
        for row in chosen(_rows(source, folder, endpoint), source)
        if (question := answered(row, source, known.after)) is not None
    )
    yield from limited(problems, source, name)


class Answered(NamedTuple):
    """A question and its right answer, as a row has them."""

    question: str
    answer: str
    level: str


def answered(row: Row, source: RowSource, after: str = "") -> Answered | None:
    """Read a row's question and answer; None where it has no answer and the source leaves such rows out."""
    prompt = row.required("prompt", source.prompt, PROMPTS)
    column = row.required("answer", source.answer, ANSWERS)
    question, answer = row.text(prompt), row.text(column).rpartition(after or "\0")[2].strip()
    if not question.strip():
        raise row.error(f"column {prompt!r} is empty: a problem needs its question")
    if not answer and not source.skip_unanswered:
        raise row.error(
            f"column {column!r} is empty: give the right answer, remove the row, or set `skipUnanswered: true`"
        )
    level = row.named(source.level, LEVELS)
    return Answered(question, answer, row.text(level) if level else "") if answer else None


def identity(row: Row, source: RowSource) -> str:
    """Return what the row is called: its id column, else its number."""
    column = row.named(source.id, IDENTITIES)
    return (row.text(column) if column else "") or str(row.number)


def limited(records: Iterator[R], source: RowSource, name: str, kind: str = "problems") -> Iterator[R]:
    """Yield at most `limit` records; InputError where there is none at all."""
    found = False
    for record in islice(records, source.limit):
        found = True
        yield record
    if not found:
        sieved = " that `filter` and `skip` let through" if source.filter or source.skip else ""
        raise InputError(f"{name} holds no {kind}{sieved}: at least one is needed")


def _problem(
    row: Row, read: Answered, source: ProblemSource, known: Benchmark, benchmark: str, identities: Identities
) -> Problem:
    grader = source.grader or known.grader
    return Problem(
        id=identities.add(identity(row, source), row),
        question=_asked(row, read.question, source, grader),
        answer=read.answer,
        grader=grader,
        benchmark=benchmark,
        level=read.level,
    )


def _asked(row: Row, question: str, source: ProblemSource, grader: str) -> str:
    """Return the question as the model will read it: options lettered, a boxed answer asked for."""
    options = row.named(source.options, OPTIONS) if grader == "choice" else None
    if options is not None:
        return _with_options(row, question, row.columns[options])
    silent = (
        not source.ask_for_box or grader != "math" or "\\boxed" in question or (source.source or "").startswith(BUILTIN)
    )
    return question if silent else math_question(question)


def _with_options(row: Row, question: str, options: object) -> str:
    if not isinstance(options, list) or not options:
        raise row.error("the options are no list of texts")
    try:
        return choice_question(question, [str(option) for option in options])
    except ValueError as error:
        raise row.error(str(error)) from error


def _as_known(source: ProblemSource, known: Benchmark) -> ProblemSource:
    """Return the source with the benchmark's columns where it names none; known sets may have gaps."""
    columns = {name: getattr(source, name) or getattr(known, name) for name in ("prompt", "answer", "id", "level")}
    return source.model_copy(update={**columns, "skip_unanswered": True})


def _rows(source: ProblemSource, folder: Path, endpoint: str | None) -> Iterator[Row]:
    name = source.source
    if name is None:
        return _numbered("inline problem", source.inline)
    if name.startswith(BUILTIN):
        return _numbered(name, _builtin(name.removeprefix(BUILTIN)))
    if name in BENCHMARKS and not (folder / name).is_file():
        return _benchmark_rows(name, _benchmark_folder(source, folder))
    if (place := hub_set(name, folder)) is not None:
        return hub_rows(place)
    return read_rows(located(name, folder, also=tuple(BENCHMARKS), endpoint=endpoint))


def _benchmark_rows(name: str, folder: Path) -> Iterator[Row]:
    """Return a known benchmark's rows: its file's, or else the hub's."""
    file = benchmark_file(name, folder)
    if file is not None:
        return read_rows(file)
    place = hub_set(BENCHMARKS[name].hub, folder)
    if place is None:
        raise InputError(no_such_file(name, folder))
    return _from_hub(place, no_such_file(name, folder))


def _from_hub(place: HubSet, nearer: str) -> Iterator[Row]:
    try:
        yield from hub_rows(place)
    except (InputError, MissingExtraError) as error:
        raise InputError(f"{nearer}. The hub was asked, too: {error}") from error


def _numbered(label: str, rows: Iterable[dict[str, Any]]) -> Iterator[Row]:
    return (Row(f"{label} {number}", number, columns) for number, columns in enumerate(rows, start=1))


def _benchmark_folder(source: ProblemSource, folder: Path) -> Path:
    named = Path(source.folder).expanduser() if source.folder else benchmarks_from_environment()
    return folder / (named or "benchmarks")


def _builtin(name: str) -> list[dict[str, str]]:
    # Imported here: a run on other problems does not draw thousands of sums.
    from dto_jobs.demo import problems  # noqa: PLC0415 - as said above

    sets: dict[str, Callable[[int], list[dict[str, str]]]] = {
        "graded-sums": problems.training_problems,
        "graded-sums-test": problems.test_problems,
    }
    if name not in sets:
        known = " and ".join(BUILTIN + other for other in sets)
        raise InputError(f"there are no built-in problems {BUILTIN + name!r}: there are {known}")
    return sets[name](problems.PER_LEVEL * len(problems.LEVELS))
