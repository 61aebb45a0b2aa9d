"""When two mathematical answers are the same: decided by the first means that can, the cheapest first."""

import re
from collections.abc import Callable
from fractions import Fraction

from dto_jobs.core import notation
from dto_jobs.core.notation import Listing, Number
from dto_jobs.core.symbolic import Algebra

LONGEST = 2_000
"""Longer answers are compared as text only, characters."""
DEEPEST = 20
"""So are answers with brackets nested deeper."""
LONGEST_LISTING = 32

ROUNDED_PLACES = 6
"""A decimal with so many places stands for the number it is when rounded: 0.333333 for 1/3, never 0.33."""

_RELATION = re.compile(r"[<>=|]|\\(?:le|ge|ne|in|cup|cap|setminus|backslash|mathbb|cdots|ldots)(?![A-Za-z])")
_UNIT_FACTOR = re.compile(r"(?<=[\d})])\s*i(?![A-Za-z])")
_BUILDER = re.compile(r"\\\{\s*([A-Za-z])\s*(?:\\in\s*(?:\\mathbb\{R\}|R)\s*)?[|:]\s*(.*)\\\}")

Decision = Callable[[str, str], bool | None]


class Equality:
    """One comparison, with one budget of algebra for all its parts."""

    def __init__(self) -> None:
        self._algebra = Algebra()
        self._decisions: tuple[Decision, ...] = (
            _same_number,
            self._same_assigned,
            _same_phrase,
            self._same_measured,
            self._same_listed,
            self._same_united,
        )

    def holds(self, answer: str, gold: str) -> bool:
        """Say whether an answer, as written, is the gold one."""
        if answer.split() == gold.split():
            return bool(gold.strip())
        if max(len(answer), len(gold)) > LONGEST or max(notation.depth(answer), notation.depth(gold)) > DEEPEST:
            return False
        return self._same(notation.unwrap(notation.spell(answer)), notation.unwrap(notation.spell(gold)))

    def _same(self, answer: str, gold: str) -> bool:
        if notation.key(answer) == notation.key(gold):
            return bool(gold)
        for decide in self._decisions:
            decision = decide(answer, gold)
            if decision is not None:
                return decision
        return self._algebra.same_value(_formula(answer), _formula(gold))

    def _same_assigned(self, answer: str, gold: str) -> bool | None:
        """`x = 5` is 5, and x = 5; it is not y = 5."""
        (name, value), (gold_name, gold_value) = notation.split_assignment(answer), notation.split_assignment(gold)
        if not (name or gold_name):
            return None
        if name and gold_name and name != gold_name:
            return None
        return self._same(value, gold_value)

    def _same_measured(self, answer: str, gold: str) -> bool | None:
        """`12 cm` is 12 and `12 centimeters`; it is not `12 m`."""
        (value, unit), (gold_value, gold_unit) = notation.split_unit(answer), notation.split_unit(gold)
        if not (unit or gold_unit):
            return None
        if unit != gold_unit and not {unit, gold_unit} & {"", "?"}:
            return False
        return self._same(value, gold_value)

    def _same_listed(self, answer: str, gold: str) -> bool | None:
        """Compare item by item; a list beside a single value is equal only where one of them describes a set."""
        listing, gold_listing = notation.listing(answer), notation.listing(gold)
        if listing and gold_listing:
            return self._same_items(listing, gold_listing)
        return self._described(answer, gold) if listing or gold_listing else None

    def _same_items(self, listing: Listing, gold: Listing) -> bool:
        brackets, gold_brackets = listing.opening + listing.closing, gold.opening + gold.closing
        if len(listing.items) != len(gold.items) or len(gold.items) > LONGEST_LISTING:
            return False
        loose = {brackets, gold_brackets}
        if brackets != gold_brackets and not ("" in loose and loose <= {"", "()", r"\{\}"}):
            return False
        if "()" in loose or loose & {"[]", "(]", "[)"}:
            return all(map(self._same, listing.items, gold.items))
        return self._match(listing.items, gold.items)

    def _match(self, items: tuple[str, ...], gold_items: tuple[str, ...]) -> bool:
        """Say whether the items pair off in some order."""
        left = list(gold_items)
        for item in items:
            twin = next((gold for gold in left if self._same(item, gold)), None)
            if twin is None:
                return False
            left.remove(twin)
        return True

    def _same_united(self, answer: str, gold: str) -> bool | None:
        parts, gold_parts = answer.split(r"\cup"), gold.split(r"\cup")
        if (
            len(parts) == len(gold_parts) > 1
            and len(parts) <= LONGEST_LISTING
            and self._match(tuple(parts), tuple(gold_parts))
        ):
            return True
        return self._described(answer, gold) if len(parts) > 1 or len(gold_parts) > 1 else None

    def _described(self, answer: str, gold: str) -> bool:
        r"""Compare a set or interval with a description of it: `[-2, 1)` with `-2 \le x < 1` and with a set builder."""
        if not (_RELATION.search(answer) or _RELATION.search(gold)):
            return False
        return self._algebra.same_value(_formula(_condition(answer)), _formula(_condition(gold)))


def _same_number(answer: str, gold: str) -> bool | None:
    number, gold_number = notation.number(answer), notation.number(gold)
    if number is None or gold_number is None:
        return None
    if number.percent != gold_number.percent:
        percentage, other = (number, gold_number) if number.percent else (gold_number, number)
        hundredth = Number(percentage.value / 100, None, percent=False)
        return _same_value(percentage, other) or _same_value(hundredth, other)
    return _same_value(number, gold_number)


def _same_value(number: Number, gold: Number) -> bool:
    return number.value == gold.value or _rounds_to(number.value, gold) or _rounds_to(gold.value, number)


def _rounds_to(value: Fraction, decimal: Number) -> bool:
    return (decimal.places or 0) >= ROUNDED_PLACES and round(value, decimal.places) == decimal.value


def _same_phrase(answer: str, gold: str) -> bool | None:
    """Words and letters are equal as text or not at all: algebra would read them as products of symbols."""
    either = (answer, gold)
    return (
        False
        if any(map(notation.is_phrase, either)) or all(text.isalpha() and len(text) == 1 for text in either)
        else None
    )


def _condition(spelled: str) -> str:
    builder = _BUILDER.fullmatch(spelled)
    return builder[2] if builder else spelled


def _formula(spelled: str) -> str:
    """Return a spelling as LaTeX again, the imaginary unit apart from its factor: math-verify takes `3i` for a symbol."""
    return _UNIT_FACTOR.sub(" i", re.sub(r'"([^"]*)"', r"\\text{\1}", spelled).replace("%", r"\%"))
