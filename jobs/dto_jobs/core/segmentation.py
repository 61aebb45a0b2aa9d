"""Cutting a trace into thinking patterns: at cues, at structure where cues are rare. Linear time, no character lost.

A pattern begins with the white space before its cue. What follows a trace cut after a pattern (an exit pattern, another
pattern) therefore brings its own separation, and joining the patterns gives back the text.
"""

import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby, pairwise
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import Field

from dto_jobs.core.cues import (
    AT_PARAGRAPHS,
    BLOCK,
    CHECK,
    CLOSERS,
    CLOSING,
    CUES,
    DECORATIONS,
    ENDS,
    LEADS,
    PAUSES,
    SPACED_ENDS,
    START,
    TELLING,
    UNLED,
    Language,
)
from dto_jobs.core.records import Pattern
from dto_jobs.settings import Settings

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

    strategy: Literal["cues", "structure"] = "cues"
    """`cues` cuts where a phrase such as "Wait" or "Alternatively" starts a paragraph or a sentence, and at structure
    where cues are rare; `structure` groups paragraphs to blocks and looks at no words."""
    languages: tuple[Language, ...] = ("en", "zh")
    """Languages whose cues are looked for."""
    extra_cues: dict[Words, tuple[Words, ...]] = Field(default={})
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
    pieces = _without_short(_pieces(thinking, settings), settings)
    kept = _at_most(settings.max_patterns, pieces)
    return tuple(Pattern(text=thinking[piece.start : piece.end], kind=piece.kind) for piece in kept)


# --- the places where a trace may be cut ------------------------------------------------------------------------------


# A place where a trace may be cut: where, the kind of the cue that stands there (None without one), between paragraphs.
# A bare tuple: one is made for every sentence, and a name for it would cost a third of the whole time.
_Break = tuple[int, str | None, bool]


class _Scanner(NamedTuple):
    """A compiled pattern, and by its groups the kinds: group 1 is the mark of formula or code, 2 white space."""

    expression: re.Pattern[str]
    kinds: tuple[str | None, ...]


# The first character alone decides whether anything is looked at, so the scan runs at the speed of a character class.
# What repeats without bound is possessive and eaten by the match, so runs of blanks or marks stay linear.
_MARK = r"((?<=\\)(?<!\\\\)[()\[\]]|(?<=\$)\$|(?<=`)``)"
_ENDED = (
    rf"(?:(?<=[{SPACED_ENDS}])[{re.escape(CLOSERS)}]*+(?=\s)|(?<=[{ENDS}])[{re.escape(CLOSERS)}]*+|(?<=\n))"
    rf"(\s*+)(?:[{re.escape(DECORATIONS)}]++[^\S\n]*+)?+"
)
_FENCE = "``"
_CLOSED_BY = {"(": ")", "[": "]", "$": "$", _FENCE: _FENCE}


def _breaks(text: str, settings: Segmentation) -> Iterator[_Break]:
    """Yield the places between sentences, lines and paragraphs that lie outside formulas and code, in one pass."""
    by_cue = settings.strategy == "cues"
    expression, kinds = _scanner(settings.languages, tuple(settings.extra_cues.items())) if by_cue else _scanner((), ())
    held: list[_Break] = []
    closer = ""
    for match in expression.finditer(text):
        mark = match[1]
        if not mark:
            held.append(found := _break(text, match, kinds))
            # A formula holds no blank line: what looked like its opening was none.
            closer = "" if found[2] and closer != _FENCE else closer
        elif mark == closer:
            held, closer = [], ""
        elif closer != _FENCE and mark in _CLOSED_BY:
            yield from held
            held, closer = [], _CLOSED_BY[mark]
        if held and not closer:
            yield from held
            held = []
    yield from held


def _break(text: str, match: re.Match[str], kinds: Sequence[str | None]) -> _Break:
    start = match.start()
    blank, words = match.span(2)
    paragraph = words - start > 1 and text.count("\n", start, words) > 1
    kind = kinds[match.lastindex or 0]
    return start if text[start] == "\n" else blank, kind if paragraph or kind not in AT_PARAGRAPHS else None, paragraph


@lru_cache(maxsize=64)
def _scanner(languages: tuple[Language, ...], extra: tuple[tuple[str, tuple[str, ...]], ...]) -> _Scanner:
    phrases: dict[str, list[str]] = {kind: [] for kind, _ in extra if kind not in TELLING}
    shipped = [cues for language in dict.fromkeys(languages) for cues in CUES[language].items()]
    for kind, cues in (*shipped, *extra):
        phrases.setdefault(kind, []).extend(cues)
    leads = [lead for language in dict.fromkeys(languages) for lead in LEADS[language]]
    lead = rf"(?:{_any_of(leads)}[{PAUSES}]*+[^\S\n]*+){{0,3}}" if leads else ""
    kinds = sorted(phrases, key=UNLED.__contains__)
    cue = "|".join(f"{'' if kind in UNLED else lead}({_any_of(phrases[kind])})" for kind in kinds)
    expression = re.compile(rf"[{SPACED_ENDS}{ENDS}\n\\$`](?:{_MARK}|{_ENDED}(?:{cue})?)")
    return _Scanner(expression, (None, None, None, *kinds))


def _any_of(phrases: Iterable[str]) -> str:
    """Write phrases as a regular expression, first letters in either case; common beginnings are tried once."""
    either = {first + phrase[1:] for phrase in phrases for first in (phrase[0].lower(), phrase[0].upper())}
    return _tree(sorted(either))


def _tree(endings: Sequence[str], last: str = "") -> str:
    boundary = r"\b" if last.isascii() and last.isalnum() else ""
    branches = [
        _character(first) + _tree([ending[1:] for ending in group], first)
        for first, group in groupby((ending for ending in endings if ending), key=lambda ending: ending[0])
    ]
    return "(?:" + "|".join([*branches, boundary] if "" in endings else branches) + ")" if branches else boundary


def _character(character: str) -> str:
    """Write a character of a phrase; a space also matches a comma and a space."""
    return {" ": r",?+[^\S\n]++", "'": "['\u2019]"}.get(character) or re.escape(character)


# --- pieces -----------------------------------------------------------------------------------------------------------


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
    whole = RARE * block if settings.strategy == "cues" else block
    start, opened_by, inside = 0, START, list[_Break]()
    for found in chain(_breaks(text, settings), [(len(text), BLOCK, True)]):
        place, kind, _ = found
        if kind is None:
            inside.append(found)
        elif place > 0:
            piece = _piece(text, start, place, opened_by)
            yield from _blocks(text, piece, inside, block) if piece.size > whole else (piece,)
            start, opened_by, inside = place, kind, []


def _blocks(text: str, piece: _Piece, inside: Iterable[_Break], block: int) -> Iterator[_Piece]:
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


def _piece(text: str, start: int, end: int, kind: str) -> _Piece:
    return _Piece(start, end, kind, _bytes(text[start:end]))


def _without_short(pieces: Iterable[_Piece], settings: Segmentation) -> list[_Piece]:
    """Join pieces that are too short with what they lead into, or with what they close while that is no block yet."""
    least, block = settings.min_tokens * BYTES_PER_TOKEN, settings.block_tokens * BYTES_PER_TOKEN
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
