"""Logged traces that replace sampling: right and wrong ones, with or without the closing mark of thinking."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from dto_jobs.artifacts.problem_sets import Answered, answered, identity, limited
from dto_jobs.artifacts.rows import Identities, Row, chosen, located, read_rows
from dto_jobs.core.records import ImportedTrace, Problem
from dto_jobs.problem_source import TraceSource

RESPONSES = ("response", "completion", "output", "text")


def read_traces(source: TraceSource, folder: Path, endpoint: str | None = None) -> Iterator[ImportedTrace]:
    """Yield a file's traces; relative paths start from `folder`, the run file's. InputError for what cannot be used."""
    identities = Identities()
    traces = (
        _trace(row, read, source, identities)
        for row in chosen(read_rows(located(source.source, folder, endpoint=endpoint)), source)
        if (read := answered(row, source)) is not None
    )
    longest = source.max_characters
    fitting = (trace for trace in traces if longest is None or len(trace.text) <= longest)
    yield from limited(fitting, source, source.source, "traces")


def together(read: Callable[[], Iterator[ImportedTrace]]) -> Iterator[ImportedTrace]:
    """Yield what `read` yields, the traces of each problem one after the other: later stages pair and cap problem by problem.

    The log is read twice, so that traces are held back only until the last one of their problem has come.
    """
    coming = Counter(trace.problem.id for trace in read())
    waiting: dict[str, list[ImportedTrace]] = defaultdict(list)
    for trace in read():
        problem = trace.problem.id
        waiting[problem].append(trace)
        if len(waiting[problem]) == coming[problem]:
            yield from waiting.pop(problem)


def _trace(row: Row, read: Answered, source: TraceSource, identities: Identities) -> ImportedTrace:
    column = row.required("response", source.response, RESPONSES)
    text = row.text(column)
    if not text.strip():
        raise row.error(f"column {column!r} is empty: remove the row, a trace needs its text")
    problem = Problem(
        id=_problem_id(read),
        question=read.question,
        answer=read.answer,
        grader=source.grader or "math",
        level=read.level,
    )
    return ImportedTrace(id=identities.add(identity(row, source), row), problem=problem, text=text)


def _problem_id(read: Answered) -> str:
    """Return one name for all traces of a problem: logs rarely have one, and pairs are split and capped by problem."""
    return hashlib.sha256(f"{read.question.strip()}\0{read.answer}".encode()).hexdigest()[:12]
