"""Cutting a trace into thinking patterns: at cues, at structure where cues are rare. Linear time, no character lost.

A pattern begins with the white space before its cue. What follows a trace cut after a pattern (an exit pattern, another
pattern) therefore brings its own separation, and joining the patterns gives back the text.
"""

import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, pairwise, repeat
from random import Random
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import Field

from dto_jobs.core.breaks import Break, find_breaks
from dto_jobs.core.cues import BLOCK, CHECK, CLOSING, START, TELLING, Language
from dto_jobs.core.records import Pattern
from dto_jobs.settings import Distinct, Settings

OPEN: Final = "<think>"
CLOSE: Final = "</think>"

BYTES_PER_TOKEN: Final = 4
# A stretch without a cue stays whole up to this many blocks, so that cues decide wherever there are any.
RARE: Final = 2
# So many pieces per pattern wanted are merged one pair at a time; more than that, coarsely first, to stay linear.
FINE: Final = 16

Words = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S")]


class Segmentation(Settings):
    """How thinking is cut into patterns."""

    strategy: Literal["cues", "structure", "random"] = "cues"
    """`cues` cuts where a phrase such as "Wait" or "Alternatively" starts a paragraph or a sentence, and at structure
    where cues are rare; `structure` groups paragraphs to blocks and looks at no words; `random`, a control for audits, cuts
    as many patterns as `cues` would, between any two words."""
    languages: Distinct[Language] = ("en", "zh")
    """Languages whose cues are looked for."""
    extra_cues: dict[str, tuple[Words, ...]] = Field(default={})
    """More cues, by kind: phrases that start a sentence. A kind may be new; `check` counts as checking again."""
    max_patterns: int = Field(default=64, ge=1, le=10_000)
    """Most patterns per trace; beyond it the shortest neighbours are merged."""
    min_tokens: int = Field(default=8, ge=1, le=10_000)
    """Fewest estimated tokens per pattern (a quarter of the text's UTF-8 bytes); a shorter one joins a neighbour."""
    block_tokens: int = Field(default=200, ge=16, le=100_000)
    """Estimated tokens per block where structure decides; a sentence is never cut."""


DEFAULTS: Final = Segmentation()


class Thinking(NamedTuple):
    """A response, divided: what was thought, and the text in which its answer is to be looked for."""

    thinking: str
    answer: str | None
    """None: thinking was opened and never closed, so nothing in it counts as an answer."""


def split_thinking(text: str, *, opened: bool) -> Thinking:
    """Divide a response at its first closing mark; `opened` says that the prompt had opened the thinking.

    Thinking + CLOSE + answer is the response again. A leading `<think>` line means opened as well and is left out of
    the thinking: imported traces have it, of sampled ones it ends the prompt. Without any mark the whole text is both
    thinking and the place of the answer.
    """
    rest = drop_opening(text)
    thinking, mark, answer = rest.partition(CLOSE)
    if mark:
        return Thinking(thinking, answer)
    return Thinking(rest, None if opened or rest != text else text)


def drop_opening(text: str) -> str:
    """Return a response without the `<think>` line it may begin with."""
    start = text.lstrip()
    return start.removeprefix(OPEN).removeprefix("\n") if start.startswith(OPEN) else text


def estimated_tokens(text: str) -> int:
    """Estimate a text's tokens as a quarter of its UTF-8 bytes: 4 Latin letters, or 1.3 Chinese characters, are one."""
    return -(-_bytes(text) // BYTES_PER_TOKEN)


def count_rechecks(patterns: Iterable[Pattern]) -> int:
    """Count the patterns that start with a cue of checking again."""
    return sum(pattern.kind == CHECK for pattern in patterns)


def segment(thinking: str, settings: Segmentation = DEFAULTS) -> tuple[Pattern, ...]:
    """Cut thinking into patterns, at most `max_patterns` and none empty: joined they are the text again."""
    if not thinking:
        return ()
    if settings.strategy == "random":
        return _at_random(thinking, len(segment(thinking, settings.model_copy(update={"strategy": "cues"}))))
    pieces = _without_short(_pieces(thinking, settings), settings)
    kept = _at_most(settings.max_patterns, pieces)
    return tuple(Pattern(text=thinking[piece.start : piece.end], kind=piece.kind) for piece in kept)


_WORD = re.compile(r"\s+\S")
_RANKS = {kind: rank for rank, kind in enumerate(TELLING)}


@dataclass(slots=True)
class _Piece:
    """A stretch of the text on its way to a pattern."""

    start: int
    end: int
    kind: str
    size: int
    """In UTF-8 bytes."""

    def absorb(self, following: "_Piece", least: int = 0) -> None:
        """Take in the next piece; its kind too, where this one is shorter than `least` bytes and says less."""
        if self.size < least and self.kind != START and _rank(following.kind) < _rank(self.kind):
            self.kind = following.kind
        self.end = following.end
        self.size += following.size


def _rank(kind: str) -> int:
    return _RANKS.get(kind, -1)


def _pieces(text: str, settings: Segmentation) -> Iterator[_Piece]:
    """Cut at every cue, and what is left without one for long into blocks."""
    block = settings.block_tokens * BYTES_PER_TOKEN
    by_cue = settings.strategy == "cues"
    cues = (settings.languages, settings.extra_cues) if by_cue else ((), {})
    whole = RARE * block if by_cue else block
    start, opened_by, inside = 0, START, list[Break]()
    for found in chain(find_breaks(text, *cues), [(len(text), BLOCK, True)]):
        place, kind, _ = found
        if kind is None:
            inside.append(found)
        elif place > 0:
            piece = _piece(text, start, place, opened_by)
            yield from _blocks(text, piece, inside, block) if piece.size > whole else (piece,)
            start, opened_by, inside = place, kind, []


def _blocks(text: str, piece: _Piece, inside: Iterable[Break], block: int) -> Iterator[_Piece]:
    """Cut a piece into blocks of at most `block` bytes, between paragraphs or, where those are longer, sentences."""
    start, kind, paragraph, other = piece.start, piece.kind, piece.start, piece.start
    for place, _, between_paragraphs in (*inside, (piece.end, None, True)):
        while other > start and _bytes(text[start:place]) > block:
            cut = paragraph if paragraph > start else other
            yield _piece(text, start, cut, kind)
            start, kind = cut, BLOCK
        other = place
        paragraph = place if between_paragraphs else paragraph
    if start < piece.end:
        yield _piece(text, start, piece.end, kind)


def _at_random(text: str, count: int) -> tuple[Pattern, ...]:
    """Cut before words that chance picks; chance is the text's own, so that it is always cut alike."""
    places = [found.start() for found in _WORD.finditer(text) if found.start()]
    chance = Random(sha256(text.encode(errors="surrogatepass")).digest())  # noqa: S311 - a control, no secret
    cuts = sorted(chance.sample(places, min(count - 1, len(places))))
    kinds = chain((START,), repeat(BLOCK))
    return tuple(
        Pattern(text=text[start:end], kind=kind)
        for (start, end), kind in zip(pairwise([0, *cuts, len(text)]), kinds, strict=False)
    )


def _piece(text: str, start: int, end: int, kind: str) -> _Piece:
    return _Piece(start, end, kind, _bytes(text[start:end]))


def _without_short(pieces: Iterable[_Piece], settings: Segmentation) -> list[_Piece]:
    """Join pieces that are too short with what they lead into, or with what they close while that is no block yet."""
    least, block = (settings.min_tokens - 1) * BYTES_PER_TOKEN + 1, settings.block_tokens * BYTES_PER_TOKEN
    kept: list[_Piece] = []
    for piece in pieces:
        closes = piece.size < least and piece.kind in CLOSING
        if kept and (kept[-1].size < least or (closes and kept[-1].size < block)):
            kept[-1].absorb(piece, least)
        else:
            kept.append(piece)
    if len(kept) > 1 and kept[-1].size < least:
        last = kept.pop()
        kept[-1].absorb(last)
    return kept


def _at_most(count: int, pieces: list[_Piece]) -> list[_Piece]:
    """Merge neighbours, the two that are shortest together first, until at most `count` pieces are left."""
    if len(pieces) > FINE * count:
        pieces = _grains(pieces, sum(piece.size for piece in pieces) // (FINE * count))
    end = len(pieces)
    after, before, gone = [*range(1, end + 1)], [*range(-1, end - 1)], set[int]()
    pairs = [(left.size + right.size, index) for index, (left, right) in enumerate(pairwise(pieces))]
    heapq.heapify(pairs)
    while end - len(gone) > count:
        size, left = heapq.heappop(pairs)
        right = after[left]
        # Stale: the left one is gone or has no neighbour any more, or one of the two has grown since.
        if left in gone or right == end or size != pieces[left].size + pieces[right].size:
            continue
        pieces[left].absorb(pieces[right])
        gone.add(right)
        after[left] = following = after[right]
        if following < end:
            before[following] = left
            heapq.heappush(pairs, (pieces[left].size + pieces[following].size, left))
        if (previous := before[left]) >= 0:
            heapq.heappush(pairs, (pieces[previous].size + pieces[left].size, previous))
    return [piece for index, piece in enumerate(pieces) if index not in gone]


def _grains(pieces: Iterable[_Piece], size: int) -> list[_Piece]:
    """Merge neighbours from left to right as long as they are at most `size` bytes together."""
    kept: list[_Piece] = []
    for piece in pieces:
        if kept and kept[-1].size + piece.size <= size:
            kept[-1].absorb(piece)
        else:
            kept.append(piece)
    return kept


def _bytes(text: str) -> int:
    # "surrogatepass": half a surrogate pair is not valid text, but a model's output may be cut there.
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
