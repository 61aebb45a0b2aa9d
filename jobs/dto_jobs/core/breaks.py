"""The places where a trace may be cut, between sentences, lines and paragraphs, and the cues that stand there."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from dto_jobs.core.cues import (
    AT_PARAGRAPHS,
    CLOSERS,
    CUES,
    DECORATIONS,
    ENDS,
    LEADS,
    PAUSES,
    SPACED_ENDS,
    TELLING,
    UNLED,
    Language,
)

Break = tuple[int, str | None, bool]
"""Where; the kind of the cue that stands there, None without one; whether it lies between paragraphs. A bare tuple,
because one is made for every sentence: naming its parts would cost a quarter of the whole time."""


class _Scanner(NamedTuple):
    """A compiled pattern, and by its groups the kinds: group 1 is the mark of formula or code, 2 white space."""

    expression: re.Pattern[str]
    kinds: tuple[str | None, ...]


# The first character alone decides whether anything is looked at, so the scan runs at the speed of a character class.
# What repeats without bound is possessive and part of every match, so that runs of blanks or marks stay linear.
_MARK = r"((?<=\\)(?<!\\\\)[()\[\]]|(?<=\$)\$|(?<=`)``)"
_ENDED = (
    rf"(?:(?<=[{SPACED_ENDS}])[{re.escape(CLOSERS)}]{{0,8}}+(?=\s)|(?<=[{ENDS}])[{re.escape(CLOSERS)}]*+|(?<=\n))"
    rf"(\s*+)(?:[{re.escape(DECORATIONS)}]++[^\S\n]*+)?+"
)
_FENCE = "``"
_CLOSED_BY = {"(": ")", "[": "]", "$": "$", _FENCE: _FENCE}


def find_breaks(text: str, languages: Sequence[Language], extra_cues: Mapping[str, Sequence[str]]) -> Iterator[Break]:
    """Yield the places between sentences, lines and paragraphs that lie outside formulas and code, in one pass."""
    expression, kinds = _scanner(tuple(languages), tuple((kind, tuple(cues)) for kind, cues in extra_cues.items()))
    held: list[Break] = []
    closer = ""
    for match in expression.finditer(text):
        mark = match[1]
        if mark is None:
            found = _break(text, match, kinds)
            if closer and (closer == _FENCE or not found[2]):
                held.append(found)
                continue
            # A formula holds no blank line: what looked like its opening was none.
            yield from (*held, found)
            held, closer = [], ""
            continue
        if mark == closer:
            held, closer = [], ""
            continue
        if closer != _FENCE and mark in _CLOSED_BY:
            yield from held
            held, closer = [], _CLOSED_BY[mark]
    yield from held


def _break(text: str, match: re.Match[str], kinds: Sequence[str | None]) -> Break:
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
        # What decorates a cue is skipped before any cue is looked at.
        phrases.setdefault(kind, []).extend(filter(None, (cue.lstrip(DECORATIONS) for cue in cues)))
    leads = [lead for language in dict.fromkeys(languages) for lead in LEADS[language]]
    lead = rf"(?:{_any_of(leads)}[{PAUSES}]*+[^\S\n]*+){{0,3}}" if leads else ""
    kinds = sorted(filter(phrases.get, phrases), key=UNLED.__contains__)
    cue = "|".join(f"{'' if kind in UNLED else lead}({_any_of(phrases[kind])})" for kind in kinds)
    expression = re.compile(rf"[{SPACED_ENDS}{ENDS}\n\\$`](?:{_MARK}|{_ENDED}(?:{cue})?)")
    return _Scanner(expression, (None, None, None, *kinds))


def _any_of(phrases: Iterable[str]) -> str:
    """Write phrases as a regular expression, first letters in either case; common beginnings are tried once."""
    return _tree(sorted({phrase[0].lower() + phrase[1:] for phrase in phrases}))


def _tree(endings: Sequence[str], before: str = "") -> str:
    boundary = r"\b" if before.isascii() and before.isalnum() else ""
    branches = [
        _character(first, opens=not before) + _tree([ending[1:] for ending in group], first)
        for first, group in groupby((ending for ending in endings if ending), key=itemgetter(0))
    ]
    return "(?:" + "|".join([*branches, boundary] if "" in endings else branches) + ")" if branches else boundary


def _character(character: str, *, opens: bool) -> str:
    """Write a character of a phrase; a space also matches a comma and a space."""
    if opens and character.isalpha():
        return f"[{character}{character.upper()}]"
    return {" ": r",?+[^\S\n]++", "'": "['\u2019]"}.get(character) or re.escape(character)
