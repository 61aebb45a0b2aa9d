"""Traces and answers, cut into pieces that a page can colour and set side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dto_jobs.core.records import Answer, Pattern, Problem, PrunedTrace, SearchedTrace
from dto_jobs.core.segmentation import segment, split_thinking

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

    @property
    def said(self) -> str:
        """The text without white space around it."""
        return self.text.strip()

    @property
    def lead(self) -> str:
        """White space before what is said."""
        return self.text[: len(self.text) - len(self.text.lstrip())]

    @property
    def trail(self) -> str:
        """White space after what is said."""
        return self.text[len(self.text.rstrip()) :] if self.said else ""


@dataclass(frozen=True, slots=True)
class Side:
    """One of two texts that stand side by side."""

    title: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """Two texts to one problem, the second made of the first, or by the model that was tuned."""

    name: str
    problem: Problem
    regime: str
    """`right` or `wrong`, after what the first text was."""
    fate: str
    """What became of it, in a few words."""
    before: Side
    after: Side | None

    @property
    def telling(self) -> bool:
        """Something was dropped: worth looking at first."""
        return self.after is not None and any(piece.fate == "dropped" for piece in self.before.pieces)


@dataclass(frozen=True, slots=True)
class Compared:
    """What the base and the tuned model answered to one problem."""

    problem: Problem
    base: Answer
    tuned: Answer


# Traces


def trace_example(trace: PrunedTrace) -> Example:
    """Return a trace beside what it was optimized to."""
    response = trace.ended.trace.response
    return Example(
        name=response.id,
        problem=response.problem,
        regime="right" if response.correct else "wrong",
        fate=_outcome(trace),
        before=Side(f"Before: {response.tokens:,} tokens", tuple(_before(trace))),
        after=None if trace.text is None else Side(f"After: {trace.tokens:,} tokens", tuple(_after(trace, trace.text))),
    )


def _outcome(trace: PrunedTrace) -> str:
    searched = trace.ended.trace
    tokens = f"{searched.response.tokens:,}"
    if searched.exit is None:
        return f"{tokens} tokens, no exit"
    if trace.text is None:
        return f"{tokens} tokens, no right ending from the exit"
    return f"{tokens} → {trace.tokens:,} tokens, exit after {searched.exit} of {len(searched.patterns)}"


def _before(trace: PrunedTrace) -> Iterator[Piece]:
    searched = trace.ended.trace
    reasons = {drop.pattern: drop.reason for drop in trace.dropped}
    for index, pattern in enumerate(searched.patterns):
        yield Piece(shortened(pattern.text), pattern.kind, _fate(index, searched, reasons), reasons.get(index, ""))
    yield from _rest(searched.response.text, searched.patterns)


def _fate(index: int, searched: SearchedTrace, reasons: dict[int, str]) -> str:
    if searched.exit is not None and index >= searched.exit:
        return "cut"
    return "dropped" if index in reasons else "kept"


def _rest(text: str, patterns: Sequence[Pattern]) -> Iterator[Piece]:
    """Yield what follows the thinking in a response, if anything does."""
    thinking = "".join(pattern.text for pattern in patterns)
    start = text.find(thinking)
    if start >= 0 and text[start + len(thinking) :].strip():
        yield Piece(shortened(text[start + len(thinking) :]), fate="answer")


def _after(trace: PrunedTrace, text: str) -> Iterator[Piece]:
    """Yield the kept patterns as they stand in the optimized text, and its ending."""
    patterns = trace.ended.trace.patterns
    place = 0
    for index in trace.kept:
        # Joining trims white space at either end, so a pattern is looked for by what it says.
        said = patterns[index].text.strip()
        found = text.find(said, place)
        if said and found >= 0:
            yield Piece(shortened(text[place : found + len(said)]), patterns[index].kind, "kept")
            place = found + len(said)
    yield Piece(shortened(text[place:]), fate="ending")


# Answers


def answer_example(compared: Compared) -> Example:
    """Return the base model's answer to a problem beside the tuned one's."""
    base, tuned = compared.base, compared.tuned
    return Example(
        name=compared.problem.id,
        problem=compared.problem,
        regime="right" if base.correct else "wrong",
        fate=f"{base.tokens:,} → {tuned.tokens:,} tokens, now {'right' if tuned.correct else 'wrong'}",
        before=_answer_side("Base", base),
        after=_answer_side("Tuned", tuned),
    )


def _answer_side(name: str, answer: Answer) -> Side:
    patterns = segment(split_thinking(answer.text, opened=False).thinking)
    pieces = [Piece(shortened(pattern.text), pattern.kind, "kept") for pattern in patterns]
    title = f"{name}: {answer.tokens:,} tokens, {'right' if answer.correct else 'wrong'}"
    return Side(title, (*pieces, *_rest(answer.text, patterns)))


def shortened(text: str) -> str:
    """Return the text, or its two ends where it is too long to show."""
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters …]\n{text[-half:]}"


def kinds(examples: Sequence[Example]) -> list[str]:
    """Return the kinds of patterns in the examples, in the order of their first appearance."""
    return list(dict.fromkeys(piece.kind for one in examples for piece in one.before.pieces if piece.kind))
