"""Traces before and after, cut into pieces that a page can colour."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dto_jobs.core.records import PrunedTrace, SearchedTrace

LONGEST = 6000
"""Characters of one piece that are shown; the middle of a longer one is left out."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text: its kind of pattern (empty for none), and what became of it."""

    text: str
    kind: str = ""
    fate: str = ""
    """`kept`, `dropped`, `cut` (after the exit), `answer` or `ending`."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """One trace beside what it was optimized to."""

    name: str
    question: str
    answer: str
    benchmark: str
    level: str
    regime: str
    """`right` (compressed) or `wrong` (rescued), after what the trace was."""
    patterns: int
    exit: int | None
    tokens_before: int
    tokens_after: int | None
    before: tuple[Piece, ...]
    after: tuple[Piece, ...]


def example(trace: PrunedTrace) -> Example:
    """Return a trace as a page shows it."""
    searched = trace.ended.trace
    response = searched.response
    return Example(
        name=response.id,
        question=response.problem.question,
        answer=response.problem.answer,
        benchmark=response.problem.benchmark,
        level=response.problem.level,
        regime="right" if response.correct else "wrong",
        patterns=len(searched.patterns),
        exit=searched.exit,
        tokens_before=response.tokens,
        tokens_after=None if trace.text is None else trace.tokens,
        before=tuple(_before(trace)),
        after=tuple(_after(trace)),
    )


def _before(trace: PrunedTrace) -> Iterator[Piece]:
    searched = trace.ended.trace
    reasons = {drop.pattern: drop.reason for drop in trace.dropped}
    for index, pattern in enumerate(searched.patterns):
        yield Piece(shortened(pattern.text), pattern.kind, _fate(index, searched, reasons), reasons.get(index, ""))
    rest = _answer(searched)
    if rest.strip():
        yield Piece(shortened(rest), fate="answer")


def _fate(index: int, searched: SearchedTrace, reasons: dict[int, str]) -> str:
    if searched.exit is None:
        return "kept"
    if index >= searched.exit:
        return "cut"
    return "dropped" if index in reasons else "kept"


def _answer(searched: SearchedTrace) -> str:
    """Return what follows the thinking in the response."""
    thinking = "".join(pattern.text for pattern in searched.patterns)
    start = searched.response.text.find(thinking)
    return searched.response.text[start + len(thinking) :] if start >= 0 else ""


def _after(trace: PrunedTrace) -> Iterator[Piece]:
    """Yield the kept patterns as they stand in the optimized text, and its ending."""
    if trace.text is None:
        return
    patterns = trace.ended.trace.patterns
    place = 0
    for index in trace.kept:
        # Joining trims white space at either end, so a pattern is looked for by what it says.
        said = patterns[index].text.strip()
        found = trace.text.find(said, place)
        if said and found >= 0:
            yield Piece(shortened(trace.text[place : found + len(said)]), patterns[index].kind, "kept")
            place = found + len(said)
    yield Piece(shortened(trace.text[place:]), fate="ending")


def shortened(text: str) -> str:
    """Return the text, or its two ends where it is too long to show."""
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters …]\n{text[-half:]}"


def kinds(examples: Sequence[Example]) -> list[str]:
    """Return the kinds of patterns in the examples, in the order of their first appearance."""
    return list(dict.fromkeys(piece.kind for one in examples for piece in one.before if piece.kind))
