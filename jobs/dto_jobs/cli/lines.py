"""`dto segment` and `dto grade`: any JSONL in, one line per row out."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dto_jobs.core.grading import grade, grader
from dto_jobs.core.segmentation import OPEN, segment, split_thinking
from dto_jobs.errors import InputError

KIND_STYLES = {
    "check": "yellow",
    "doubt": "magenta",
    "alternative": "cyan",
    "conclusion": "green",
    "summary": "green",
    "step": "blue",
}


def rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, row) of a JSONL file or standard input; InputError names the line that is broken."""
    try:
        source = nullcontext(sys.stdin) if str(file) == "-" else file.open(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error
    with source as lines:
        yield from _parsed(file, lines)


def _parsed(file: Path, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{file}:{number}: not JSON: {error}; mend or remove the line") from error
        if not isinstance(row, dict):
            raise InputError(f"{file}:{number}: holds {type(row).__name__}, not an object with columns")
        yield number, row


def _cell(file: Path, number: int, row: dict[str, Any], column: str) -> str:
    if column not in row:
        raise InputError(f"{file}:{number}: no column {column!r}; there are {', '.join(row)}; name one with an option")
    if row[column] is None:
        raise InputError(f"{file}:{number}: column {column!r} is null; give it a value, or remove the line")
    return str(row[column])


def _thinking(text: str) -> tuple[str, str | None]:
    marked = text.lstrip().startswith(OPEN)
    return split_thinking(text, opened=marked)


def segment_file(file: Path, column: str, identity: str, out: Console, *, as_json: bool) -> None:
    """Print the patterns of every row's text."""
    kinds: Counter[str] = Counter()
    traces = 0
    for number, row in rows(file):
        thinking, _ = _thinking(_cell(file, number, row, column))
        patterns = segment(thinking)
        name = row.get(identity, number)
        traces += 1
        kinds.update(pattern.kind for pattern in patterns)
        if as_json:
            typer.echo(
                json.dumps({"id": name, "patterns": [pattern.model_dump() for pattern in patterns]}, ensure_ascii=False)
            )
        else:
            line = Text(f"{name}: {len(patterns)} patterns  ", style="bold")
            for pattern in patterns:
                line.append(f"{pattern.kind} ", style=KIND_STYLES.get(pattern.kind, ""))
            out.print(line)
    if not as_json:
        out.print(
            f"{traces} traces, {sum(kinds.values())} patterns: {', '.join(f'{kind} {count}' for kind, count in kinds.most_common())}",
            highlight=False,
        )


def grade_file(file: Path, text: str, gold: str, identity: str, name: str, out: Console, *, as_json: bool) -> None:
    """Print for every row whether its answer is right."""
    judge = grader(name)
    right = total = 0
    wrong = Table("id", "answer", "gold", title="wrong answers")
    for number, row in rows(file):
        _, answer = _thinking(_cell(file, number, row, text))
        expected = _cell(file, number, row, gold)
        graded = grade(judge, answer, expected)
        right, total = right + graded.correct, total + 1
        if as_json:
            typer.echo(
                json.dumps(
                    {"id": row.get(identity, number), "correct": graded.correct, "answer": graded.answer},
                    ensure_ascii=False,
                )
            )
        elif not graded.correct:
            wrong.add_row(Text(str(row.get(identity, number))), Text(graded.answer or "none"), Text(expected))
    if not as_json:
        if wrong.row_count:
            out.print(wrong)
        out.print(f"{right} of {total} right ({100 * right / max(1, total):.1f} %)", highlight=False)
